"""The regression gate: exit code 1 if a score got worse by more than tolerance and noise, 2 for wrong input."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.commands import Said
from support.pinned import Pinned
from support.records import record, row, under

from nvs_eval.cli import main
from nvs_eval.comparison.check import CheckResult, check, default_tolerance
from nvs_eval.errors import InputError
from nvs_eval.records.record import Record, record_file, write_record

STEADY = [-0.30, -0.28, -0.33, -0.31, -0.29, -0.32, -0.30, -0.27]
NOISY = [-0.9, 0.8, -1.1, 0.7, -0.6, 0.5, -0.8, 0.4]


def of(changes: Sequence[float] = (0.0,) * 8, *, ssim: float = 0.8, **fields: Any) -> Record:
    scores = [25.0 + 2.0 * math.sin(i) + change for i, change in enumerate(changes)]
    return record([row(f"{i:04}", psnr=score, ssim=ssim) for i, score in enumerate(scores)], **fields)


def checked(new: Sequence[Record], old: Sequence[Record], **tolerances: float) -> CheckResult:
    return check(new, old, tolerances=tolerances, resamples=500)


def failed(result: CheckResult) -> list[str]:
    return [f"{failure.scene} {failure.difference.metric}" for failure in result.failed]


OLD = of()


def test_equal_results_pass(pinned: Pinned) -> None:
    result = checked([OLD], [OLD])
    assert [(check.difference.metric, check.failed, check.worse_by) for check in result.checks] == [
        ("psnr", False, 0.0), ("ssim", False, 0.0),
    ]  # fmt: skip
    pinned("check", result.words)


def test_score_that_got_worse_by_more_than_noise_and_tolerance_fails(pinned: Pinned) -> None:
    result = checked([of(STEADY)], [OLD])
    assert failed(result) == ["fox psnr"]
    assert result.checks[0].worse_by == pytest.approx(0.3)
    pinned("check", result.words)
    (cells,) = result.tables[0].rows
    assert [cell.text for cell in cells][:4] == ["nerfacto", "fox", "standard", "PSNR [dB] ↑"]
    assert cells[-1].text == "8 of 8"


def test_score_that_got_better_passes() -> None:
    assert failed(checked([OLD], [of(STEADY)])) == []


def test_loss_within_the_tolerance_passes() -> None:
    assert failed(checked([of(STEADY)], [OLD], psnr=0.31)) == []
    assert failed(checked([of(STEADY)], [OLD], psnr=0.29)) == ["fox psnr"]
    # The default tolerance is half the last decimal of tables.
    assert default_tolerance("psnr") == pytest.approx(0.005)
    assert default_tolerance("lpips_vgg") == pytest.approx(0.0005)
    assert failed(checked([of([-0.004] * 8)], [OLD])) == []
    assert failed(checked([of([-0.006] * 8)], [OLD])) == ["fox psnr"]


def test_a_loss_of_exactly_the_tolerance_passes() -> None:
    old, new = (record([row(psnr=value)]) for value in (27.84, 27.835))
    assert failed(checked([new], [old], psnr=0.005)) == []  # 27.84 - 27.835 is 0.00500000000000256 in binary.


def test_a_loss_that_fails_is_not_shown_as_the_tolerance() -> None:
    old, new = (record([row(psnr=value)]) for value in (27.84, 27.83499))
    result = checked([new], [old], psnr=0.005)
    difference, tolerance = (cell.text for cell in result.tables[0].rows[0][6:8])
    assert (difference, tolerance) == ("-0.00501", "0.005")


def test_loss_within_noise_passes_and_is_reported(pinned: Pinned) -> None:
    result = checked([of(NOISY)], [OLD])
    assert result.checks[0].worse_by == pytest.approx(0.125)
    assert failed(result) == []
    pinned("check", result.words)


def test_with_too_few_views_the_tolerance_alone_decides(pinned: Pinned) -> None:
    new, old = (replace(result, views=result.views[:3]) for result in (of(NOISY), OLD))
    result = checked([new], [old])
    assert failed(result) == ["fox psnr"]
    pinned("check", result.words)
    passed = checked([new], [old], psnr=0.5)
    assert failed(passed) == []
    pinned("check", passed.words)


def test_view_that_is_no_longer_perfect_fails(pinned: Pinned) -> None:
    perfect = replace(OLD, views=[replace(OLD.views[0], scores={"psnr": math.inf, "ssim": 0.8}), *OLD.views[1:]])
    result = checked([OLD], [perfect], psnr=5.0)
    assert (failed(result), result.checks[0].worse_by, result.checks[0].lost) == (["fox psnr"], math.inf, ["0000"])
    pinned("check", result.words)
    assert failed(checked([perfect], [OLD])) == []


@pytest.mark.parametrize(("perfect", "worse_by"), [({"new"}, 5.0), ({"old", "new"}, 5.0 * 7 / 8)])
def test_one_perfect_view_hides_nothing(perfect: set[str], worse_by: float, pinned: Pinned) -> None:
    def with_perfect(side: Record, view: int, name: str) -> Record:
        views = list(side.views)
        if name in perfect:
            views[view] = replace(views[view], scores={"psnr": math.inf, "ssim": 0.8})
        return replace(side, views=views)

    result = checked([with_perfect(of([-5.0] * 8), 1, "new")], [with_perfect(OLD, 1, "old")])
    assert failed(result) == ["fox psnr"]
    assert result.checks[0].worse_by == pytest.approx(worse_by)
    both = checked([with_perfect(of([-5.0] * 8), 1, "new")], [with_perfect(OLD, 2, "old")])
    pinned("check", both.words)
    # A view that is perfect only in the new results is no loss.
    assert failed(checked([with_perfect(OLD, 1, "new")], [OLD])) == []


def test_scenes_and_their_mean_are_checked() -> None:
    old = [OLD, of(scene="garden")]
    result = checked([of(STEADY), of(scene="garden")], old)
    assert [check.scene for check in result.checks] == ["fox", "fox", "garden", "garden", None, None]
    assert failed(result)[0] == "fox psnr"
    assert "garden psnr" not in failed(result)


def test_single_runs_with_different_names_are_matched(pinned: Pinned) -> None:
    assert failed(checked([of(STEADY, run="tuesday", step=9)], [of(run="monday", step=7)])) == ["fox psnr"]
    with pytest.raises(InputError) as error:
        checked([of(STEADY, method="new")], [OLD])
    pinned("check", error.value)
    both = [of(run="x"), of(run="y")]
    assert failed(checked([of(run="x"), of(STEADY, run="y")], both)) == ["fox psnr"]
    with pytest.raises(InputError, match=r"nerfacto/x .* nerfacto/z, nerfacto/y"):
        checked([of(run="z"), of(run="y")], both)


def test_seeds_are_averaged() -> None:
    result = check(
        [of(run="z"), of(STEADY, run="w")], [of(run="x"), of(run="y")], tolerances={}, runs="mean", resamples=500
    )
    assert result.checks[0].worse_by == pytest.approx(0.15)


MINE = {"name": "mine", "definition": {"round_means": None}, "fingerprint": "00000000"}


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(of(scene="garden"), id="scene"),
        pytest.param(replace(OLD, views=OLD.views[:7]), id="view"),
        pytest.param(replace(OLD, metrics={"psnr": OLD.metrics["psnr"]}), id="metric"),
        pytest.param(under(OLD, MINE), id="protocol"),
        pytest.param(replace(OLD, views=[replace(view, width=7) for view in OLD.views]), id="references"),
    ],
)
def test_results_that_lack_part_of_the_baseline_are_refused(new: Record, pinned: Pinned) -> None:
    with pytest.raises(InputError) as error:
        checked([new], [OLD])
    pinned("check", error.value)


def test_additional_results_are_allowed() -> None:
    more = replace(OLD, views=[*OLD.views, replace(OLD.views[0], name="more")])
    assert len(checked([more, of(scene="garden")], [OLD]).checks) == 2


# --- The command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    for name, result in (("old", OLD), ("worse", of(STEADY)), ("better", of([0.3] * 8))):
        write_record(record_file(result, tmp_path / name), result)
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> Said:
        code = main(["check", *args])
        printed = capsys.readouterr()
        return Said(code, printed.out, printed.err)

    return run


def test_the_exit_code_is_the_answer(command: Callable[..., Said], pinned: Pinned) -> None:
    worse, better = command("worse", "--baseline", "old"), command("better", "--baseline", "old")
    assert (worse.code, better.code, worse.err, better.err) == (1, 0, "", "")
    assert worse.out.startswith("got worse\n")
    pinned("check", worse.out.splitlines()[-1])
    pinned("check", better.out)
    assert command("worse", "--baseline", "old", "--tolerance", "psnr=0.5").code == 0


def test_control_characters_of_names_never_reach_the_terminal(command: Callable[..., Said], tmp_path: Path) -> None:
    control = replace(OLD.views[0], name="\x1b[2J", scores={"psnr": math.inf, "ssim": 0.8})
    for folder, view in (("lost", replace(control, scores=OLD.views[0].scores)), ("perfect", control)):
        side = replace(OLD, views=[view, *OLD.views[1:]])
        write_record(record_file(side, tmp_path / folder), side)
    printed = command("lost", "--baseline", "perfect").out
    assert printed.endswith("(\\x1b[2J).\n")
    assert "\x1b" not in printed


def test_json_has_all_checks(command: Callable[..., Said]) -> None:
    answer = command("worse", "--baseline", "old", "--format", "json")
    plain = json.loads(answer.out)
    assert (answer.code, plain["nvs_eval_check"], plain["passed"]) == (1, 1, False)
    assert [(check["metric"], check["failed"]) for check in plain["checks"]] == [("psnr", True), ("ssim", False)]
    assert plain["checks"][0]["difference"] == pytest.approx(-0.3)
    assert plain["checks"][0]["views"] == {"better": 0, "worse": 8, "tied": 0}


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(["nowhere", "--baseline", "old"], id="no record"),
        pytest.param(["worse", "--baseline", "old", "--tolerance", "psnr"], id="no number"),
        pytest.param(["worse", "--baseline", "old", "--tolerance", "lpips=1"], id="unknown metric"),
        pytest.param(["worse", "--baseline", "old", "--tolerance", "psnr=-1"], id="negative"),
    ],
)
def test_check_refuses_wrong_input(args: list[str], command: Callable[..., Said], pinned: Pinned) -> None:
    refused = command(*args)
    assert refused.code == 2
    pinned("check", refused.err)


# --- Views that failed ----------------------------------------------------------------------------------------------


def lacking(each: Record, *names: str) -> Record:
    """Return a record that lacks views that failed."""
    rows = [row for row in each.views if row.name not in names]
    return replace(each, views=rows, provenance={"failed": dict.fromkeys(names, "damaged")})


@pytest.mark.parametrize(
    ("new", "old"),
    [(lacking(OLD, "0003"), OLD), (OLD, lacking(OLD, "0003")), (lacking(OLD, "0003"), lacking(OLD, "0003"))],
    ids=["new", "baseline", "both"],
)
def test_views_that_failed_never_pass(
    new: Record, old: Record, tmp_path: Path, cli: Callable[..., Said], pinned: Pinned
) -> None:
    for folder, each in (("new", new), ("old", old)):
        write_record(record_file(each, tmp_path / folder), each)
    result = cli("check", str(tmp_path / "new"), "--baseline", str(tmp_path / "old"))
    assert (result.code, result.out) == (2, "")
    assert "fox/nerfacto: 1 of 8 views failed (0003)" in result.err
    pinned("check", result.err)


def test_views_that_failed_in_a_scene_outside_the_baseline_do_not_matter() -> None:
    assert checked([OLD, lacking(of(scene="other"), "0001")], [OLD]).passed
