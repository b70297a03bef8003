"""The gate: exit code 1 where something got worse beyond tolerance and noise, else 0, and 2 where it cannot say."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.commands import Said
from support.records import record, row

from nvs_eval.cli import main
from nvs_eval.comparison.check import CheckResult, check, default_tolerance
from nvs_eval.errors import InputError
from nvs_eval.records.record import Record, record_file, write_record

STEADY = [-0.30, -0.28, -0.33, -0.31, -0.29, -0.32, -0.30, -0.27]
NOISY = [-0.9, 0.8, -1.1, 0.7, -0.6, 0.5, -0.8, 0.4]


def of(changes: Sequence[float] = (0.0,) * 8, *, ssim: float = 0.8, **fields: Any) -> Record:
    scores = [25.0 + 2.0 * math.sin(i) + change for i, change in enumerate(changes)]
    return record([row(f"{i:04}", psnr=score, ssim=ssim) for i, score in enumerate(scores)], **fields)


def held(new: Sequence[Record], old: Sequence[Record], **tolerances: float) -> CheckResult:
    return check(new, old, tolerances=tolerances, resamples=500)


def failed(result: CheckResult) -> list[str]:
    return [f"{each.scene} {each.difference.metric}" for each in result.failed]


OLD = of()


def test_the_same_results_pass() -> None:
    result = held([OLD], [OLD])
    assert [(check.difference.metric, check.failed, check.worse_by) for check in result.checks] == [
        ("psnr", False, 0.0), ("ssim", False, 0.0),
    ]  # fmt: skip
    assert result.words == "2 scores held against the baseline: none got worse."


def test_what_got_worse_beyond_noise_and_tolerance_fails() -> None:
    result = held([of(STEADY)], [OLD])
    assert failed(result) == ["fox psnr"]
    assert result.checks[0].worse_by == pytest.approx(0.3)
    assert result.words == "2 scores held against the baseline: 1 got worse beyond the tolerance and beyond noise."
    (cells,) = result.tables[0].rows
    assert [cell.text for cell in cells][:4] == ["nerfacto", "fox", "standard", "PSNR [dB] ↑"]
    assert cells[-1].text == "8 of 8"


def test_what_got_better_passes() -> None:
    assert failed(held([OLD], [of(STEADY)])) == []


def test_a_tolerance_admits_what_is_within_it() -> None:
    assert failed(held([of(STEADY)], [OLD], psnr=0.31)) == []
    assert failed(held([of(STEADY)], [OLD], psnr=0.29)) == ["fox psnr"]
    # What no table shows is within the tolerance that nobody set.
    assert default_tolerance("psnr") == pytest.approx(0.005)
    assert default_tolerance("lpips_vgg") == pytest.approx(0.0005)
    assert failed(held([of([-0.004] * 8)], [OLD])) == []
    assert failed(held([of([-0.006] * 8)], [OLD])) == ["fox psnr"]


def test_what_is_within_noise_passes_and_is_said() -> None:
    result = held([of(NOISY)], [OLD])
    assert result.checks[0].worse_by == pytest.approx(0.125)
    assert failed(result) == []
    assert result.words == (
        "2 scores held against the baseline: none got worse. Within noise, though worse by more than the tolerance: "
        "PSNR of fox (standard)."
    )


def test_with_too_few_views_the_tolerance_alone_decides() -> None:
    new, old = (replace(each, views=each.views[:3]) for each in (of(NOISY), OLD))
    result = held([new], [old])
    assert failed(result) == ["fox psnr"]
    assert result.words == (
        "2 scores held against the baseline: 1 got worse beyond the tolerance, with too few views to tell noise."
    )
    passed = held([new], [old], psnr=0.5)
    assert failed(passed) == []
    assert passed.words.endswith(" Where there are too few views to tell noise, the tolerance alone decided.")


def test_a_view_that_is_no_longer_perfect_fails() -> None:
    perfect = replace(OLD, views=[replace(OLD.views[0], scores={"psnr": math.inf, "ssim": 0.8}), *OLD.views[1:]])
    result = held([OLD], [perfect], psnr=5.0)
    assert (failed(result), result.checks[0].worse_by, result.checks[0].lost) == (["fox psnr"], math.inf, ["0000"])
    assert result.words.endswith("1 lost images that equalled their references (0000).")
    assert failed(held([perfect], [OLD])) == []


@pytest.mark.parametrize(("perfect", "worse_by"), [({"new"}, 5.0), ({"old", "new"}, 5.0 * 7 / 8)])
def test_one_perfect_view_hides_nothing(perfect: set[str], worse_by: float) -> None:
    def with_perfect(side: Record, view: int, name: str) -> Record:
        views = list(side.views)
        if name in perfect:
            views[view] = replace(views[view], scores={"psnr": math.inf, "ssim": 0.8})
        return replace(side, views=views)

    result = held([with_perfect(of([-5.0] * 8), 1, "new")], [with_perfect(OLD, 1, "old")])
    assert failed(result) == ["fox psnr"]
    assert result.checks[0].worse_by == pytest.approx(worse_by)
    both = held([with_perfect(of([-5.0] * 8), 1, "new")], [with_perfect(OLD, 2, "old")])
    if "old" in perfect:
        assert both.words.endswith(
            "1 got worse beyond the tolerance and beyond noise; 1 lost images that equalled their references (0002)."
        )
    # Views that are perfect on one side alone do not count for it.
    assert failed(held([with_perfect(OLD, 1, "new")], [OLD])) == []


def test_each_scene_counts_and_all_of_them_together() -> None:
    old = [OLD, of(scene="garden")]
    result = held([of(STEADY), of(scene="garden")], old)
    assert [check.scene for check in result.checks] == ["fox", "fox", "garden", "garden", None, None]
    assert failed(result)[0] == "fox psnr"
    assert "garden psnr" not in failed(result)


def test_single_runs_of_other_names_are_checked_together() -> None:
    assert failed(held([of(STEADY, run="tuesday", step=9)], [of(run="monday", step=7)])) == ["fox psnr"]
    with pytest.raises(InputError, match="The baseline has nerfacto, and the new results have new"):
        held([of(STEADY, method="new")], [OLD])
    both = [of(run="x"), of(run="y")]
    assert failed(held([of(run="x"), of(STEADY, run="y")], both)) == ["fox psnr"]
    with pytest.raises(
        InputError, match=r"The baseline has nerfacto/x, and the new results have nerfacto/z, nerfacto/y"
    ):
        held([of(run="z"), of(run="y")], both)


def test_seeds_count_together() -> None:
    result = check(
        [of(run="z"), of(STEADY, run="w")], [of(run="x"), of(run="y")], tolerances={}, runs="mean", resamples=500
    )
    assert result.checks[0].worse_by == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (of(scene="garden"), "The baseline has nerfacto on fox, and the new results have not"),
        (replace(OLD, views=OLD.views[:7]), "the new results of nerfacto lack the views 0007 of the baseline"),
        (
            replace(OLD, metrics={"psnr": OLD.metrics["psnr"]}),
            "the new results of nerfacto lack the metrics ssim of the baseline",
        ),
        (
            of(protocol={"name": "mine", "definition": {"round_means": None}, "fingerprint": "00000000"}),
            r"scored under standard \(9f2c51ab\), test views, and the new results were not: they are under mine",
        ),
        (replace(OLD, views=[replace(each, width=7) for each in OLD.views]), "scored with different references"),
    ],
)
def test_what_is_missing_cannot_pass(new: Record, said: str) -> None:
    with pytest.raises(InputError, match=said):
        held([new], [OLD])


def test_more_than_the_baseline_has_is_welcome() -> None:
    more = replace(OLD, views=[*OLD.views, replace(OLD.views[0], name="more")])
    assert len(held([more, of(scene="garden")], [OLD]).checks) == 2


# --- The command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    for name, each in (("old", OLD), ("worse", of(STEADY)), ("better", of([0.3] * 8))):
        write_record(record_file(each, tmp_path / name), each)
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> Said:
        code = main(["check", *args])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


def test_the_exit_code_is_the_answer(command: Callable[..., Said]) -> None:
    worse, better = command("worse", "--baseline", "old"), command("better", "--baseline", "old")
    assert (worse.code, better.code, worse.err, better.err) == (1, 0, "", "")
    assert worse.out.startswith("got worse\n")
    assert worse.out.endswith(": 1 got worse beyond the tolerance and beyond noise.\n")
    assert better.out == "2 scores held against the baseline: none got worse.\n"
    assert command("worse", "--baseline", "old", "--tolerance", "psnr=0.5").code == 0


def test_control_characters_of_names_never_reach_the_terminal(command: Callable[..., Said], tmp_path: Path) -> None:
    steering = replace(OLD.views[0], name="\x1b[2J", scores={"psnr": math.inf, "ssim": 0.8})
    for folder, view in (("lost", replace(steering, scores=OLD.views[0].scores)), ("perfect", steering)):
        side = replace(OLD, views=[view, *OLD.views[1:]])
        write_record(record_file(side, tmp_path / folder), side)
    printed = command("lost", "--baseline", "perfect").out
    assert printed.endswith("1 lost images that equalled their references (\\x1b[2J).\n")
    assert "\x1b" not in printed


def test_json_has_all_checks(command: Callable[..., Said]) -> None:
    said = command("worse", "--baseline", "old", "--format", "json")
    plain = json.loads(said.out)
    assert (said.code, plain["nvs_eval_check"], plain["passed"]) == (1, 1, False)
    assert [(each["metric"], each["failed"]) for each in plain["checks"]] == [("psnr", True), ("ssim", False)]
    assert plain["checks"][0]["difference"] == pytest.approx(-0.3)
    assert plain["checks"][0]["views"] == {"better": 0, "worse": 8, "tied": 0}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere", "--baseline", "old"], "There is no record at 'nowhere'"),
        (["worse", "--baseline", "old", "--tolerance", "psnr"], "--tolerance was given 'psnr'"),
        (
            ["worse", "--baseline", "old", "--tolerance", "lpips=1"],
            "--tolerance names lpips; the metrics are psnr, ssim.",
        ),
        (["worse", "--baseline", "old", "--tolerance", "psnr=-1"], "--tolerance of psnr is -1, and it is 0 at least."),
    ],
)
def test_what_cannot_be_checked_is_refused(args: list[str], said: str, command: Callable[..., Said]) -> None:
    refused = command(*args)
    assert refused.code == 2
    assert said in refused.err
