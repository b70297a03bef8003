"""Arithmetic and files of the benchmark: rounds, quartiles, ratios, limits, errors. Nothing is timed."""

from __future__ import annotations

import dataclasses
import itertools
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from support.speed import results

import benchmarks.speed.__main__ as program
from benchmarks.speed.__main__ import Options, begin
from benchmarks.speed.cases import MEMORY_CASES, MEMORY_TARGETS, WORKS, timed_cases
from benchmarks.speed.contenders import Target, promised
from benchmarks.speed.exact import DEFINITIONS
from benchmarks.speed.images import SIZES, mosaic
from benchmarks.speed.limits import needs, network_operations
from benchmarks.speed.machine import code_revision, short_name
from benchmarks.speed.processes import ProcessCase, Program, time_processes
from benchmarks.speed.results import (
    CaseResult,
    Measured,
    compare,
    files_of_results,
    met,
    read_results,
    spread,
    write_results,
)
from benchmarks.speed.timing import Rounds, largest_error, pair
from nvs_eval import InputError, ssim
from nvs_eval.metrics.lpips.metric import Lpips
from nvs_eval.metrics.weights.pins import Net


def case(**contenders: Measured) -> CaseResult:
    return CaseResult("ssim", "540p", "photo", 1, "s", contenders)


def test_spread_agrees_with_numpys_quartiles() -> None:
    values = [5.0, 1.0, 4.0, 2.5, 9.0, 3.0]
    assert spread(values) == pytest.approx(np.quantile(values, [0.25, 0.5, 0.75]), abs=1e-12)
    assert spread([2.0]) == (2.0, 2.0, 2.0)


def test_ratio_is_computed_by_round_and_to_the_best_peer() -> None:
    measured = case(
        ours=Measured("ours", [1.0, 2.0, 4.0]),
        slow=Measured("peer", [9.0, 9.0, 9.0]),
        best=Measured("peer", [3.0, 8.0, 4.0]),
    )
    comparison = compare(measured, "ours")
    assert comparison.peer == "best"
    assert comparison.ratio == (2.0, 3.0, 3.5)


def test_failed_peer_is_not_the_best_peer() -> None:
    wrong = Measured("peer", [0.1], failed="wrong by 1e-2")
    measured = case(ours=Measured("ours", [1.0]), wrong=wrong, right=Measured("peer", [2.0]))
    assert compare(measured, "ours").peer == "right"
    assert compare(case(ours=Measured("ours", [1.0]), wrong=wrong), "ours") == (None, None, None)


def test_limit_uses_the_measured_rates() -> None:
    product = Measured("limit", [0.5, 0.5], needs=(100.0, 0.0))  # 200 operations per second
    copy = Measured("limit", [0.1, 0.1], needs=(0.0, 50.0))  # 500 bytes per second
    limits = {"matrix product": product, "memory copy": copy}
    by_products = compare(case(ours=Measured("ours", [4.0], needs=(400.0, 10.0)), **limits), "ours")
    by_bytes = compare(case(ours=Measured("ours", [4.0], needs=(400.0, 1500.0)), **limits), "ours")
    assert by_products.limit == pytest.approx(0.5)
    assert by_bytes.limit == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("target", "flags", "verdict"),
    [
        (Target(ratio=2), [], True),
        (Target(ratio=2.5), [], False),
        (Target(ratio=2.5, limit=0.9), [], False),
        (Target(ratio=6, needs="amx_bf16"), ["avx512f"], None),
        (Target(ratio=6, needs="amx_bf16"), ["amx_bf16"], False),
        (Target(below=1.5), [], True),
        (Target(below=1.0), [], False),
    ],
)
def test_target_is_met_or_missed_or_does_not_apply(target: Target, flags: list[str], verdict: bool | None) -> None:
    measured = case(ours=Measured("ours", [1.0]), peer=Measured("peer", [2.0]))
    assert met(target, measured.contenders["ours"], compare(measured, "ours"), flags) is verdict


def test_target_is_met_by_one_of_the_alternatives() -> None:
    ours = Measured("ours", [1.0], needs=(95.0, 0.0))
    limits = {"matrix product": Measured("limit", [1.0], needs=(100.0, 0.0))}
    limits["memory copy"] = Measured("limit", [1.0], needs=(0.0, 100.0))
    measured = case(ours=ours, peer=Measured("peer", [2.0]), **limits)
    assert met(Target(ratio=2.5, limit=0.9), ours, compare(measured, "ours"), []) is True


def test_failed_case_meets_no_target_and_unmeasured_is_unknown() -> None:
    for ours, verdict in ((Measured("ours", [1.0], failed="wrong"), False), (Measured("ours"), None)):
        assert met(Target(below=2), ours, compare(case(ours=ours), "ours"), []) is verdict


@pytest.mark.parametrize(("error", "verdict"), [(1e-4, True), (2e-3, False), (None, False)])
def test_target_is_missed_if_the_error_is_too_large(error: float | None, verdict: bool) -> None:
    ours = Measured("ours", [1.0], error=error)
    assert met(Target(below=2, error=1e-3), ours, compare(case(ours=ours), "ours"), []) is verdict


def test_fast_peer_is_not_compared_with_exact_contender() -> None:
    peers = {"plain": Measured("peer", [3.0]), "TF32": Measured("peer", [2.0], fast=True)}
    measured = case(ours=Measured("ours", [1.0]), fast=Measured("ours", [1.0], fast=True), **peers)
    assert compare(measured, "ours").peer == "plain"
    assert compare(measured, "fast").peer == "TF32"


def test_target_may_name_its_peer() -> None:
    ours = Measured("ours", [1.0], target=Target(ratio=2, peer="named"))
    measured = case(ours=ours, best=Measured("peer", [1.5]), named=Measured("peer", [2.0]))
    assert compare(measured, "ours").peer == "named"
    measured.contenders["named"].failed = "not installed"
    assert compare(measured, "ours").peer is None


def test_target_applies_to_its_device_and_size() -> None:
    cpu, cuda = Target(ratio=2), Target(ratio=3, device="cuda", size="1080p")
    assert promised((cpu, cuda), "cpu", "540p") is cpu
    assert promised((cpu, cuda), "cuda", "1080p") is cuda
    assert promised((cpu, cuda), "cuda", "540p") is None
    assert promised((cpu,), "cuda", "1080p") is None


def test_peers_named_by_targets_exist() -> None:
    for contenders in WORKS.values():
        target_peers = {target.peer for contender in contenders for target in contender.targets} - {None}
        assert target_peers <= {contender.name for contender in contenders if contender.owner == "peer"}


def test_errors_are_relative_to_one_or_to_the_value() -> None:
    assert largest_error([0.101, 30.3], [0.1, 30.0], relative=False) == pytest.approx(0.01)
    assert largest_error([0.1014, 30.0], [0.1, 30.0], relative=True) == pytest.approx(0.01)
    with pytest.raises(ValueError):
        largest_error([0.1], [0.1, 0.2], relative=False)


@pytest.mark.parametrize(
    ("metric", "off", "right"), [("psnr", 1e-3, False), ("psnr", 1e-5, True), ("lpips_alex", 1e-4, True)]
)
def test_exact_metrics_of_a_fast_program_have_the_exact_tolerance(metric: str, off: float, right: bool) -> None:
    def program(name: str, owner: Literal["ours", "peer"], value: float, **more: Any) -> Program:
        return Program(name, owner, lambda *_: [sys.executable, "-c", ""], lambda *_: {(0, metric): value}, **more)

    fast = program("fast", "ours", 0.3 + off, tolerance=5e-3, relative=True)
    made = ProcessCase("made", "540p", (fast, program("exact", "ours", 0.3 + off), program("theirs", "peer", 0.3)), 1)
    contenders = time_processes(made, Rounds(0, least=1), "cpu", lambda activity: None).contenders
    assert (contenders["fast"].failed is None) == right
    assert (contenders["exact"].failed is None) == (off <= 5e-5)


def test_pattern_without_a_case_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.speed", "--only", "ssim/541p/*"])
    assert program.main() == 2
    message = capsys.readouterr().err
    assert "ssim/541p/*" in message and "ssim/540p/photo/2, " in message


def test_rounds_continue_until_the_time_is_used_up_but_have_a_minimum() -> None:
    assert len(list(Rounds(0, least=3))) == 3
    assert len(list(Rounds(math.inf, most=7))) == 7


def test_operations_of_vgg_are_those_of_its_layers() -> None:
    height, width, total = 540, 960, 0
    for block in ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512)):
        total += sum(2 * 9 * a * b * height * width for a, b in itertools.pairwise(block))
        height, width = height // 2, width // 2
    assert network_operations("vgg", 540, 960) == total
    assert total == pytest.approx(316e9, rel=0.01)


def test_renders_share_the_work_on_their_reference() -> None:
    one, four = (needs("lpips_vgg", 540, 960, renders) for renders in (1, 4))
    assert one is not None and four is not None
    assert one.operations == 2 * network_operations("vgg", 540, 960)
    assert four.operations / one.operations == pytest.approx(1.25 / 2)
    assert one.bytes == 2 * 540 * 960 * 3 * 4
    assert needs("five together", 540, 960, 1) is None


def test_results_are_unchanged_by_writing_and_reading(tmp_path: Path) -> None:
    measured = Measured(
        "ours", [0.1, 0.2], 4, 1e-8, 1e-5, None, Target(ratio=2, limit=0.9), (3.0, 4.0), {"more": [1.0]}
    )
    made = results(a=case(ours=measured, peer=Measured("peer", failed="not installed")))
    write_results(tmp_path / "results.json", made)
    assert read_results(tmp_path / "results.json") == made


def test_first_results_have_the_latest_date(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make bench"):
        files_of_results(tmp_path)
    for name, date in (("a", "2026-01-03"), ("b", "2026-01-02"), ("c-quick", "2026-01-04")):
        made = results()
        made.started = date
        write_results(tmp_path / f"{name}.json", made)
    assert [file.name for file in files_of_results(tmp_path)] == ["a.json", "b.json"]
    assert [file.name for file in files_of_results(tmp_path, quick=True)] == ["c-quick.json"]


def test_results_of_the_same_day_are_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_set_up", lambda options: None)
    options = Options(output=tmp_path, only=("none",))
    file, made = begin(options)
    write_results(file, made)
    with pytest.raises(InputError, match="`--resume`"):
        begin(options)
    assert begin(dataclasses.replace(options, resume=True))[0] == file
    assert begin(dataclasses.replace(options, quick=True))[0] != file


def test_results_without_a_revision_are_read(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    made = results(a=case(ours=Measured("ours", [1.0])))
    made.cases["a"].revision = "abc1234"
    write_results(file, made)
    assert read_results(file).cases["a"].revision == "abc1234"
    file.write_text(file.read_text().replace('"revision"', '"other"'))
    assert read_results(file).cases["a"].revision is None


def test_revision_ignores_files_written_by_the_benchmark(tmp_path: Path) -> None:
    assert code_revision(tmp_path) is None

    def git(*arguments: str) -> str:
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        return subprocess.run(
            ["git", *author, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    for name in ("docs/speed.md", "code.py", "benchmarks/results/a.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "--no-verify", "-m", "a")
    commit = git("rev-parse", "--short", "HEAD").strip()
    for name in ("docs/speed.md", "new.py", "benchmarks/results/a.json"):
        (tmp_path / name).write_text("b")
    assert code_revision(tmp_path) == commit
    (tmp_path / "code.py").write_text("b")
    assert code_revision(tmp_path) == f"{commit}-dirty"


def test_invalid_file_of_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"started": 3}')
    with pytest.raises(InputError, match=r"a\.json .*results"):
        files_of_results(tmp_path)


def test_file_name_has_the_processor_or_gpu() -> None:
    assert short_name({"processor": "AMD EPYC", "graphics card": None, "cores": 2}) == "amd-epyc-2-cores"
    assert (
        short_name({"processor": "x", "graphics card": "NVIDIA H100 80GB", "cores": 16}) == "nvidia-h100-80gb-16-cores"
    )


def test_every_target_of_a_metric_has_cases() -> None:
    cases = timed_cases((1, 2))
    targeted = {name for name, work in WORKS.items() if any(contender.targets for contender in work)}
    for work in targeted - {"five together"}:
        sizes = {(case.size, case.threads) for case in cases if case.work == work and case.images == "photo"}
        assert sizes >= {(size, threads) for size in ("540p", "1080p") for threads in (1, 2)}
    names = [case.name for case in (*cases, *MEMORY_CASES)]
    assert len(set(names)) == len(names)
    assert MEMORY_TARGETS.keys() <= set(names)


def test_every_work_has_contenders_of_both_kinds_and_exact_values() -> None:
    for contenders in WORKS.values():
        assert {contender.owner for contender in contenders} == {"ours", "peer"}
        assert all(name in DEFINITIONS for contender in contenders for name in contender.exact)
        assert all(not contender.targets for contender in contenders if contender.owner == "peer")


def test_mosaic_fills_any_size_and_differs_at_an_offset() -> None:
    for size in SIZES.values():
        assert mosaic(*size).shape == (*size, 3)
    assert not np.array_equal(mosaic(270, 480), mosaic(270, 480, offset=97))
    from skimage import data

    assert np.array_equal(mosaic(270, 480), data.astronaut()[:270, :480])


def test_exact_values_agree_with_nvs_evals() -> None:
    """The two implementations are independent. The image size is odd."""
    import torch

    rng = np.random.default_rng(0)
    reference = mosaic(67, 83)
    noisy = (reference + rng.normal(0, 20, reference.shape)).clip(0, 255).astype(np.uint8)
    stack = np.stack([reference, noisy, np.roll(reference, 1, axis=1)])
    images = pair(stack, [0, 1], torch.device("cpu"))
    assert DEFINITIONS["ssim valid"](stack) == pytest.approx(ssim(*images).tolist(), abs=1e-7)
    assert DEFINITIONS["ssim reflect"](stack) == pytest.approx(ssim(*images, kernel="reflect").tolist(), abs=1e-7)
    assert DEFINITIONS["psnr"](stack)[0] > 15


@pytest.mark.parametrize("net", ["alex", "vgg", "squeeze"])
def test_exact_lpips_agrees_with_nvs_evals(
    net: Net, lpips_of: Callable[..., Lpips], weights_in_place: Callable[[Net], None]
) -> None:
    import torch

    weights_in_place(net)
    metric = lpips_of(net)
    stack = np.stack([mosaic(67, 83), mosaic(67, 83, offset=5)])
    images = pair(stack, [0], torch.device("cpu"))
    assert DEFINITIONS[f"lpips {net}"](stack) == pytest.approx(metric(*images).tolist(), abs=1e-6)
