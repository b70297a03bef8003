"""docs/speed.md shows all results, the newest first."""

from __future__ import annotations

import pytest
from support.speed import results

from benchmarks.speed.contenders import Target
from benchmarks.speed.page import BEGIN, END, PAGE, insert, lines, table
from benchmarks.speed.results import CaseResult, Measured, files_of_results, read_results
from nvs_eval import InputError


def measured_ssim(size: str, threads: int, ours: list[float], peer: list[float]) -> CaseResult:
    contenders = {
        "nvs-eval, K=4": Measured("ours", ours, 4, target=Target(ratio=2), needs=(100.0, 0.0)),
        "other": Measured("peer", peer),
        "matrix product": Measured("limit", [1.0, 1.0, 1.0], needs=(50.0, 0.0)),
        "memory copy": Measured("limit", [1.0, 1.0, 1.0], needs=(0.0, 50.0)),
    }
    return CaseResult("ssim", size, "photo", threads, "s", contenders)


def test_page_shows_all_results() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert insert(text, [read_results(file) for file in files_of_results()]) == text


def test_row_shows_the_largest_case_and_the_verdict_of_all_cases() -> None:
    small = measured_ssim("540p", 2, [1.0, 1.0, 1.0], [1.5, 1.5, 1.5])
    large = measured_ssim("1080p", 2, [4.0, 4.0, 4.0], [9.0, 10.0, 11.0])
    huge = measured_ssim("4K", 2, [1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    *_, row = table(results(a=small, b=large, c=huge))
    assert row == ("| ssim: K=4 (1080p, 2 threads) | 4.00 s | 10.0 s ±0.5 (other) | 1.50 to 2.50 | 2 | 1 of 2 | 50% |")


def test_error_of_fast_is_shown() -> None:
    small, large = (measured_ssim(size, 1, [1.0], [3.0]) for size in ("540p", "1080p"))
    small.contenders["nvs-eval, K=4"].off = 0.00312
    large.contenders["nvs-eval, K=4"].off = 0.001
    *_, row = table(results(a=small, b=large))
    assert row.startswith("| ssim: K=4 (1080p, 1 thread), error at most 0.31% |")


def test_synthetic_images_have_no_row() -> None:
    made = measured_ssim("540p", 1, [1.0], [1.0])
    made.images = "noise"
    assert len(table(results(a=made))) == 2


def test_row_shows_why_a_case_failed() -> None:
    ours = Measured("ours", failed="wrong by 1e-2", target=Target(below=1.5e9))
    memory = CaseResult("lpips_vgg", "4K", "photo", 2, "bytes", {"nvs-eval, K=1": ours})
    *_, row = table(results(a=memory))
    assert row == "| memory, lpips\\_vgg of a 4K pair: K=1 | failed: wrong by 1e-2 |  |  | < 1.5 GB | no |  |"


def test_row_reports_failure_of_another_case() -> None:
    small, large = (measured_ssim(size, 2, [1.0], [3.0]) for size in ("540p", "1080p"))
    small.contenders["nvs-eval, K=4"].failed = "wrong by 1e-2"
    *_, row = table(results(a=small, b=large))
    assert row == (
        "| ssim: K=4 (1080p, 2 threads) | 1.00 s; failed at 540p/2: wrong by 1e-2 | 3.00 s (other) | 3.00 | 2 "
        "| 1 of 2 | 200% |"
    )


@pytest.mark.parametrize(("size", "images", "place"), [("4K", "photo", "4K/2"), ("540p", "noise", "540p/noise/2")])
def test_row_reports_failure_of_a_case_without_target(size: str, images: str, place: str) -> None:
    failed = measured_ssim(size, 2, [], [3.0])
    failed.images = images
    failed.contenders["nvs-eval, K=4"].failed = "wrong by 1e-2"
    *_, row = table(results(a=failed, b=measured_ssim("1080p", 2, [1.0], [3.0])))
    assert f"failed at {place}: wrong by 1e-2 |" in row
    assert "| 1 of 2 |" in row


def test_failed_case_without_target_counts_as_missed() -> None:
    small, large = (measured_ssim(size, 2, [1.0], [3.0]) for size in ("540p", "1080p"))
    small.contenders["nvs-eval, K=4"].target = None
    assert "| yes |" in table(results(a=small, b=large))[-1]
    small.contenders["nvs-eval, K=4"].failed = "wrong by 1e-2"
    assert "| 1 of 2 |" in table(results(a=small, b=large))[-1]


def test_target_that_does_not_apply_is_not_missed() -> None:
    case = measured_ssim("1080p", 2, [1.0], [3.0])
    ours = case.contenders["nvs-eval, K=4"]
    ours.target = Target(ratio=2, needs="amx_bf16")
    assert "| 2 with amx\\_bf16 | no target here |" in table(results(a=case))[-1]
    ours.failed = "wrong by 1e-2"
    assert "| 2 with amx\\_bf16 | no |" in table(results(a=case))[-1]


def test_row_reports_failed_peers_without_ratio() -> None:
    small, large = (measured_ssim(size, 2, [1.0], [3.0]) for size in ("540p", "1080p"))
    large.contenders["other"].failed = "not installed"
    assert "| 1.00 s | other failed: not installed |  | 2 | unknown |" in table(results(a=large))[-1]
    small.contenders["other"].failed, large.contenders["other"].failed = large.contenders["other"].failed, None
    row = table(results(a=small, b=large))[-1]
    assert "| 3.00 s (other); other failed at 540p/2: not installed | 3.00 | 2 | 1 of 2, 1 unknown |" in row
    small.contenders["another"] = Measured("peer", [4.0])
    assert "not installed" not in table(results(a=small, b=large))[-1]


def test_first_line_shows_the_revision() -> None:
    small, large = (measured_ssim(size, 2, [1.0], [3.0]) for size in ("540p", "1080p"))
    made = results(a=small, b=large)
    assert lines(made)[0].startswith("2026-01-02, AMD EPYC")
    small.revision = large.revision = "abc1234"
    assert lines(made)[0].startswith("2026-01-02, revision abc1234, AMD EPYC")
    large.revision = "abc1234-dirty"
    assert lines(made)[0].startswith("2026-01-02, 2 revisions, AMD EPYC")


def test_memory_is_shown_in_gigabytes() -> None:
    contenders = {
        "nvs-eval, K=1": Measured("ours", [1.25e9], target=Target(below=1.5e9)),
        "lpips": Measured("peer", [5e9]),
    }
    *_, row = table(results(a=CaseResult("lpips_vgg", "4K", "photo", 2, "bytes", contenders)))
    assert row == "| memory, lpips\\_vgg of a 4K pair: K=1 | 1.25 GB | 5.00 GB (lpips) | 4.00 | < 1.5 GB | yes |  |"


def test_page_without_markers_is_refused() -> None:
    with pytest.raises(InputError, match="no place"):
        insert(f"{BEGIN}\n", [results()])
    page = insert(f"a\n{BEGIN}\nold\n{END}\nb", [results(), results()])
    assert page.startswith(f"a\n{BEGIN}\n2026-01-02, AMD EPYC") and page.count("2026-01-02, AMD EPYC") == 2
