"""Comparison of two sides on shared views: the sides, their difference, and the output of the command."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from support.commands import Said
from support.pinned import Pinned
from support.records import under
from support.two_sides import GAINS, A, B, base, contenders, many, of, pair_of

from nvs_eval.cli import main
from nvs_eval.comparison.compare import compare, contenders_of, left_out_notes
from nvs_eval.comparison.shared import shared
from nvs_eval.comparison.verdicts import overview
from nvs_eval.errors import InputError
from nvs_eval.records.record import Record, record_file, write_record


def test_the_difference_is_paired_by_view() -> None:
    difference = pair_of(A, B).pairs[0].differences["psnr"]
    assert difference.interval.difference == pytest.approx(np.mean(GAINS), abs=1e-12)
    assert (difference.mean_a, difference.mean_b) == (
        pytest.approx(np.mean(base())),
        pytest.approx(np.mean(base()) + np.mean(GAINS)),
    )
    low, high = difference.interval.low, difference.interval.high
    assert low is not None
    assert high is not None
    # Neither interval contains the spread of the views, eight times that of the differences.
    student = scipy.stats.t.interval(0.95, 6, loc=np.mean(GAINS), scale=scipy.stats.sem(GAINS))
    assert (high - low) == pytest.approx(student[1] - student[0], rel=0.35)
    assert low > 0
    assert difference.verdict == "better"
    assert (difference.wins.wins, difference.wins.losses, difference.wins.ties) == (6, 1, 0)
    assert difference.test.p == pytest.approx(np.asarray(scipy.stats.wilcoxon(GAINS))[1], abs=1e-12)


def test_holms_correction_is_over_all_metrics_and_pairs() -> None:
    comparison = pair_of(A, B, replace(A, method="c"))
    assert comparison.tests == 6
    smallest = min(d.test.p or 1.0 for pair in comparison.pairs for d in pair.differences.values())
    corrected = min(d.p_holm or 1.0 for pair in comparison.pairs for d in pair.differences.values())
    assert corrected == pytest.approx(6 * smallest)
    same = comparison.pairs[1].differences["psnr"]
    assert (comparison.pairs[1].a.name, comparison.pairs[1].b.name) == ("a", "c")
    assert (same.verdict, same.test.p, same.interval.difference) == ("not distinguishable", 1.0, 0.0)


def test_several_runs_count_as_one_side_whose_spread_is_noise() -> None:
    def runs(method: str, offsets: Sequence[float]) -> list[Record]:
        return [of(method, [x + offset for x in base(30)], run=str(offset)) for offset in offsets]

    wide = pair_of(*runs("a", (-1.0, 0.0, 1.0)), *runs("b", (-0.7, 0.3, 1.3)), runs="mean").pairs[0].differences["psnr"]
    narrow = pair_of(*runs("a", (0.0,)), *runs("b", (0.3,)), runs="mean").pairs[0].differences["psnr"]
    assert wide.interval.difference == pytest.approx(0.3)
    assert wide.verdict == "not distinguishable"
    assert narrow.verdict == "better"
    assert wide.scores.scenes[0].a.shape == (3, 30)


def test_every_scene_has_the_same_weight_in_means() -> None:
    garden = [of("a", [20.0] * 9, scene="garden"), of("b", [21.0] * 9, scene="garden")]
    many = [*garden, of("a", [20.0] * 3), of("b", [23.0] * 3)]
    difference = pair_of(*many).pairs[0].differences["psnr"]
    assert difference.interval.difference == pytest.approx((1.0 + 3.0) / 2)
    assert (difference.mean_a, difference.mean_b) == (20.0, 22.0)


def test_shared_metrics_can_be_chosen(pinned: Pinned) -> None:
    psnr_only = of("b", base())
    assert list(pair_of(A, B, metrics=("ssim",)).pairs[0].differences) == ["ssim"]
    assert list(pair_of(A, psnr_only).pairs[0].differences) == ["psnr"]
    pinned("compare", "\n".join(shared(*contenders(A, psnr_only)).notes))
    with pytest.raises(InputError) as error:
        pair_of(A, psnr_only, metrics=("ssim",))
    pinned("compare", error.value)


def test_metric_that_neither_side_has_is_an_error() -> None:
    with pytest.raises(InputError, match=r"'psnrr'.*'psnr'.* psnr, ssim"):
        pair_of(A, B, metrics=("psnr", "psnrr"))
    # A metric of one side alone is only a note.
    assert list(pair_of(A, of("b", base()), metrics=("psnr", "ssim")).pairs[0].differences) == ["psnr"]


def test_groups_are_sides_with_their_shortest_distinct_names() -> None:
    def names(*records: Record) -> list[str]:
        ((*sides,),) = contenders_of({f"folder{i}": [record] for i, record in enumerate(records)})
        return [side.name for side in sides]

    assert names(A, B) == ["a", "b"]
    assert names(replace(A, run="x"), replace(A, run="y")) == ["a/x", "a/y"]
    assert names(replace(A, run="x", step=1), replace(A, run="x", step=2)) == ["a/x/1", "a/x/2"]
    assert names(A, A) == ["a (folder0)", "a (folder1)"]


def test_methods_of_a_single_group_are_sides() -> None:
    (sides,) = contenders_of({"all": [replace(A, step=1), replace(A, step=2), replace(B, step=2)]})
    assert [(side.name, side.all_records[0].step) for side in sides] == [("a", 2), ("b", 2)]


def test_one_of_several_groups_with_several_methods_is_an_error(pinned: Pinned) -> None:
    with pytest.raises(InputError) as error:
        contenders_of({"both": [A, B], "a": [A]})
    pinned("compare", error.value)
    with pytest.raises(InputError, match="`--runs mean`"):
        contenders_of({"seeds": [replace(A, run="x"), replace(A, run="y")], "b": [B]})
    assert contenders_of({"seeds": [replace(A, run="x"), replace(A, run="y")], "b": [B]}, runs="mean")


def test_sides_are_compared_under_each_shared_protocol(pinned: Pinned) -> None:
    inria = {"name": "inria-3dgs", "definition": {"round_means": None}, "fingerprint": "82a74b27"}
    with pytest.raises(InputError) as error:
        contenders_of({"one": [A], "other": [under(B, inria)]})
    pinned("compare", error.value)
    both = {"one": [A, under(A, inria)], "other": [B, under(B, inria)]}
    assert [[side.name for side in sides] for sides in contenders_of(both)] == [["a", "b"], ["a", "b"]]
    with pytest.raises(InputError, match="a under standard"):
        contenders_of({"all": [A]})


def test_protocols_that_some_sides_lack_are_noted(pinned: Pinned) -> None:
    inria = {"name": "inria-3dgs", "definition": {"round_means": None}, "fingerprint": "82a74b27"}
    a, b, c = (f"out/{name}" for name in "abc")
    both = [A, under(A, inria)]
    assert list(left_out_notes({a: both, b: [B, under(B, inria)]})) == []
    for groups in (
        {a: both, b: [B]},
        {a: both, b: both, c: [B]},
        {a: both, b: both, c: [B], "d": [B]},
        {"all": [*both, B]},
        {"all": [A, B, replace(B, split="train")]},
    ):
        (note,) = left_out_notes(groups)
        pinned("compare", note)


def test_several_pairs_have_an_overview(command: Callable[..., str], tmp_path: Path, pinned: Pinned) -> None:
    third = replace(A, method="c")
    write_record(record_file(third, tmp_path / "out"), third)
    printed = command("out")
    pinned("compare", "\n".join(printed.splitlines()[:3]))
    assert printed.splitlines()[3] == ""
    assert printed.splitlines()[4].startswith("b is better than a in PSNR by ")
    infinite = pair_of(*many([math.inf, *[0.5 + 0.01 * index for index in range(19)]]))
    three_views = pair_of(of("a", base(3)), of("b", [x + 1 for x in base(3)]))
    pinned("compare", "\n".join([*overview(infinite), *overview(three_views)]))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    for record in (A, B):
        write_record(record_file(record, tmp_path / "out"), record)
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> str:
        code = main(["compare", *args])
        printed = capsys.readouterr()
        return printed.out if code == 0 else f"{code} {printed.err}"

    return run


def test_the_command_prints_sentences_then_tables(command: Callable[..., str]) -> None:
    printed = command("out/fox/a", "out/fox/b")
    assert printed.startswith("b is better than a in PSNR by 0.29 dB [")
    assert "b (B) against a (A): fox, 7 shared test views\n" in printed
    assert printed == command("out")
    assert "each view" not in printed
    assert "\nfox    0003        +0.52" in command("out", "--per-view")


def test_earlier_checkpoints_are_skipped_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: Callable[..., str], pinned: Pinned
) -> None:
    for step in (1, 2):
        record = replace(A, method="steps", step=step)
        write_record(record_file(record, tmp_path / "out"), record)
    assert main(["compare", "out/fox/steps", "out/fox/b"]) == 0
    pinned("compare", capsys.readouterr().err)
    assert command("out/fox/steps/1", "out/fox/b").startswith("b is better than steps in PSNR")


def test_several_protocols_have_headings(tmp_path: Path, command: Callable[..., str]) -> None:
    for record in (A, B):
        mine = under(record, {**record.protocol, "name": "mine", "fingerprint": "00000000"})
        write_record(record_file(mine, tmp_path / "out"), mine)
    printed = command("out")
    assert printed.startswith("protocol mine (00000000):\nb is better than a")
    assert "\nprotocol standard (9f2c51ab):\nb is better than a" in printed


def test_protocol_that_only_one_side_has_is_noted_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: Callable[..., str], pinned: Pinned
) -> None:
    plain = command("out/fox/a", "out/fox/b")
    mine = under(A, {**A.protocol, "name": "mine", "fingerprint": "00000000"})
    write_record(record_file(mine, tmp_path / "out"), mine)
    assert main(["compare", "out/fox/a", "out/fox/b"]) == 0
    printed = capsys.readouterr()
    assert printed.out == plain
    pinned("compare", printed.err)


def test_the_command_writes_json_alone(command: Callable[..., str]) -> None:
    plain = json.loads(command("out", "--format", "json", "--metrics", "psnr", "--resamples", "99"))
    assert plain["nvs_eval_comparison"] == 1
    assert list(plain["comparisons"][0]["pairs"][0]["metrics"]) == ["psnr"]


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(["out/fox/a", "out/fox/a"], id="twice"),
        pytest.param(["out/fox/a", "out/./fox/b/../a/"], id="twice by another path"),
        pytest.param(["out/fox/a"], id="one side"),
        pytest.param(["out/fox/c", "out/fox/a"], id="no record"),
        pytest.param(["out", "--protocol", "inria"], id="unknown protocol"),
        pytest.param(["out", "--resamples", "3"], id="few resamples"),
        pytest.param([], id="nothing"),
    ],
)
def test_compare_refuses_wrong_input(args: list[str], command: Callable[..., str], pinned: Pinned) -> None:
    refused = command(*args)
    assert refused.startswith("2 Error: ")
    pinned("compare", refused)


def test_views_that_failed_are_noted_on_stderr(tmp_path: Path, cli: Callable[..., Said], pinned: Pinned) -> None:
    part = replace(A, views=A.views[1:], provenance={"failed": {A.views[0].name: "damaged"}})
    for each in (part, B):
        write_record(record_file(each, tmp_path), each)
    result = cli("compare", str(tmp_path))
    assert result.code == 0
    pinned("compare", result.err)


def many_methods(count: int, scenes: int, views: int, runs: int = 1) -> list[Record]:
    """Return records of methods that differ by a few hundredths of the spread of the views."""
    rng = np.random.default_rng(0)
    level = rng.normal(25, 3, (scenes, views))
    return [
        of(
            f"m{method:02}",
            list(level[scene] + 0.05 * method + rng.normal(0, 0.1, views)),
            ssim=list(rng.random(views)),
            scene=f"s{scene}",
            run=str(run) if runs > 1 else None,
        )
        for scene in range(scenes)
        for method in range(count)
        for run in range(runs)
    ]


@pytest.mark.parametrize(("scenes", "views", "runs"), [(7, 5, 1), (2, 9, 1), (7, 4, 2), (2, 8, 2)])
def test_many_methods_are_compared_as_each_pair_alone(scenes: int, views: int, runs: int) -> None:
    records, shown = many_methods(4, scenes, views, runs), []
    together = compare({"": records}, runs="mean", resamples=500, on_pairs=lambda *pairs: shown.append(pairs))[0]
    assert shown == [(6, 6)]
    for pair in together.pairs:
        sides = [[r for r in records if r.method == side.method] for side in (pair.a, pair.b)]
        (alone,) = compare({"a": sides[0], "b": sides[1]}, runs="mean", resamples=500)[0].pairs
        for metric, difference in pair.differences.items():
            interval, expected = difference.interval, alone.differences[metric].interval
            assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-12, abs=1e-14)
            assert difference.test == alone.differences[metric].test


@pytest.mark.long
def test_a_thousand_records_are_compared_within_20_seconds() -> None:
    records = many_methods(100, 10, 25)
    start = time.process_time()
    (comparison,) = compare({"": records})
    assert len(overview(comparison)) == 4950
    assert time.process_time() - start < 20


def test_verdicts_alone_are_printed_of_many_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Said], pinned: Pinned
) -> None:
    monkeypatch.setattr("nvs_eval.cli.commands.compare._MOST_IN_FULL", 2)
    records = many_methods(3, 1, 6)
    for result in records:
        write_record(record_file(result, tmp_path), result)
    command = ["compare", str(tmp_path), "--resamples", "100"]
    printed = cli(*command)
    assert printed.out.splitlines() == [*overview(compare({"": records}, resamples=100)[0]), ""]
    pinned("compare", printed.err)
    for option in (["--format", "json"], ["--per-view"]):
        refused = cli(*command, *option)
        assert (refused.code, refused.out) == (2, "")
        pinned("compare", refused.err)
    monkeypatch.setattr("nvs_eval.comparison.compare._MOST_PAIRS", 2)
    assert cli(*command).code == 2
    pinned("compare", cli(*command).err)
