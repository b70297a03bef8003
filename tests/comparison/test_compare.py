"""Two sides on the views they share: which sides there are, how they differ, and what the command prints."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from support.two_sides import GAINS, A, B, base, contenders, many, of, pair_of

from nvs_eval.cli import main
from nvs_eval.comparison.compare import contenders_of, left_out_notes
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
    # The views' own spread, eight times that of the differences, is in neither interval.
    student = scipy.stats.t.interval(0.95, 6, loc=np.mean(GAINS), scale=scipy.stats.sem(GAINS))
    assert (high - low) == pytest.approx(student[1] - student[0], rel=0.35)
    assert low > 0
    assert difference.verdict == "better"
    assert (difference.wins.wins, difference.wins.losses, difference.wins.ties) == (6, 1, 0)
    assert difference.test.p == pytest.approx(np.asarray(scipy.stats.wilcoxon(GAINS))[1], abs=1e-12)


def test_holms_correction_is_over_all_metrics_and_pairs() -> None:
    comparison = pair_of(A, B, replace(A, method="c"))
    assert comparison.tests == 6
    smallest = min(each.test.p or 1.0 for pair in comparison.pairs for each in pair.differences.values())
    corrected = min(each.p_holm or 1.0 for pair in comparison.pairs for each in pair.differences.values())
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


def test_means_are_over_the_scenes_whatever_their_views() -> None:
    garden = [of("a", [20.0] * 9, scene="garden"), of("b", [21.0] * 9, scene="garden")]
    many = [*garden, of("a", [20.0] * 3), of("b", [23.0] * 3)]
    difference = pair_of(*many).pairs[0].differences["psnr"]
    assert difference.interval.difference == pytest.approx((1.0 + 3.0) / 2)
    assert (difference.mean_a, difference.mean_b) == (20.0, 22.0)


def test_metrics_are_chosen_among_those_that_all_have() -> None:
    only = of("b", base())
    assert list(pair_of(A, B, metrics=("ssim",)).pairs[0].differences) == ["ssim"]
    assert list(pair_of(A, only).pairs[0].differences) == ["psnr"]
    assert shared(*contenders(A, only)).notes == ["SSIM: not of all records, and left out"]
    with pytest.raises(InputError, match="a and b share psnr, and none of ssim"):
        pair_of(A, only, metrics=("ssim",))


def test_metric_that_neither_side_has_is_an_error() -> None:
    with pytest.raises(InputError, match=r"Unknown metric 'psnrr'. Did you mean 'psnr'\? Known: psnr, ssim"):
        pair_of(A, B, metrics=("psnr", "psnrr"))
    # What one side alone has is a note.
    assert list(pair_of(A, of("b", base()), metrics=("psnr", "ssim")).pairs[0].differences) == ["psnr"]


def test_groups_are_sides_with_their_shortest_distinct_names() -> None:
    def names(*records: Record) -> list[str]:
        ((*found,),) = contenders_of({f"folder{i}": [each] for i, each in enumerate(records)})
        return [each.name for each in found]

    assert names(A, B) == ["a", "b"]
    assert names(replace(A, run="x"), replace(A, run="y")) == ["a/x", "a/y"]
    assert names(replace(A, run="x", step=1), replace(A, run="x", step=2)) == ["a/x/1", "a/x/2"]
    assert names(A, A) == ["a (folder0)", "a (folder1)"]


def test_one_group_alone_is_all_its_methods() -> None:
    (found,) = contenders_of({"all": [replace(A, step=1), replace(A, step=2), replace(B, step=2)]})
    assert [(each.name, each.all_records[0].step) for each in found] == [("a", 2), ("b", 2)]


def test_a_group_of_several_sides_among_others_is_an_error() -> None:
    with pytest.raises(InputError, match="both holds a, b: with several arguments each is one side"):
        contenders_of({"both": [A, B], "a": [A]})
    with pytest.raises(InputError, match="or say `--runs mean`"):
        contenders_of({"seeds": [replace(A, run="x"), replace(A, run="y")], "b": [B]})
    assert contenders_of({"seeds": [replace(A, run="x"), replace(A, run="y")], "b": [B]}, runs="mean")


def test_sides_are_compared_under_each_shared_protocol() -> None:
    inria = {"name": "inria-3dgs", "definition": {"round_means": None}, "fingerprint": "82a74b27"}
    with pytest.raises(InputError, match="one has a under standard; other has b under inria-3dgs"):
        contenders_of({"one": [A], "other": [replace(B, protocol=inria)]})
    both = {"one": [A, replace(A, protocol=inria)], "other": [B, replace(B, protocol=inria)]}
    assert [[each.name for each in found] for found in contenders_of(both)] == [["a", "b"], ["a", "b"]]
    with pytest.raises(InputError, match="no two sides of one protocol"):
        contenders_of({"all": [A]})


def test_what_not_all_sides_have_is_said() -> None:
    inria = {"name": "inria-3dgs", "definition": {"round_means": None}, "fingerprint": "82a74b27"}
    what = "test views under inria-3dgs (82a74b27)"
    a, b, c = (f"out/{name}" for name in "abc")
    both = [A, replace(A, protocol=inria)]
    assert list(left_out_notes({a: both, b: [B]})) == [f"Only out/a has {what}: left out."]
    assert list(left_out_notes({a: both, b: [B, replace(B, protocol=inria)]})) == []
    assert list(left_out_notes({a: both, b: both, c: [B]})) == [f"out/c has no {what}: compared without."]
    assert list(left_out_notes({a: both, b: both, c: [B], "d": [B]})) == [f"out/c, d have no {what}: compared without."]
    assert list(left_out_notes({"all": [*both, B]})) == [f"Only a has {what}: left out."]
    assert list(left_out_notes({"all": [A, B, replace(B, split="train")]})) == [
        "Only b has train views under standard (9f2c51ab): left out."
    ]


def test_several_pairs_have_an_overview(compare: Callable[..., str], tmp_path: Path) -> None:
    third = replace(A, method="c")
    write_record(record_file(third, tmp_path / "out"), third)
    assert compare("out").startswith(
        "b against a: better in PSNR; not distinguishable in SSIM\n"
        "c against a: identical in PSNR and SSIM\n"
        "c against b: worse in PSNR; not distinguishable in SSIM\n\n"
        "b is better than a in PSNR by"
    )
    assert overview(pair_of(*many([math.inf, *[0.5 + 0.01 * index for index in range(19)]]))) == [
        "b against a: by ranks better in PSNR"
    ]
    assert overview(pair_of(of("a", base(3)), of("b", [x + 1 for x in base(3)]))) == [
        "b against a: nothing known of PSNR"
    ]


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    for each in (A, B):
        write_record(record_file(each, tmp_path / "out"), each)
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> str:
        code = main(["compare", *args])
        said = capsys.readouterr()
        return said.out if code == 0 else f"{code} {said.err}"

    return run


def test_the_command_says_words_first_then_tables(compare: Callable[..., str]) -> None:
    said = compare("out/fox/a", "out/fox/b")
    assert said.startswith("b is better than a in PSNR by 0.29 dB [")
    assert "b (B) against a (A): fox, 7 shared test views\n" in said
    assert said == compare("out")
    assert "each view" not in said
    assert "\nfox    0003        +0.52" in compare("out", "--per-view")


def test_that_earlier_checkpoints_take_no_part_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], compare: Callable[..., str]
) -> None:
    for step in (1, 2):
        each = replace(A, method="steps", step=step)
        write_record(record_file(each, tmp_path / "out"), each)
    assert main(["compare", "out/fox/steps", "out/fox/b"]) == 0
    said = capsys.readouterr().err
    assert (
        said
        == "out/fox/steps: of each run the last checkpoint takes part. Name the folder of another step to take that.\n"
    )
    assert compare("out/fox/steps/1", "out/fox/b").startswith("b is better than steps in PSNR")


def test_several_protocols_are_told_apart(tmp_path: Path, compare: Callable[..., str]) -> None:
    for each in (A, B):
        other = replace(each, protocol={**each.protocol, "name": "mine", "fingerprint": "00000000"})
        write_record(record_file(other, tmp_path / "out"), other)
    said = compare("out")
    assert said.startswith("protocol mine (00000000):\nb is better than a")
    assert "\nprotocol standard (9f2c51ab):\nb is better than a" in said


def test_a_protocol_that_one_side_alone_has_is_said_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], compare: Callable[..., str]
) -> None:
    plain = compare("out/fox/a", "out/fox/b")
    other = replace(A, protocol={**A.protocol, "name": "mine", "fingerprint": "00000000"})
    write_record(record_file(other, tmp_path / "out"), other)
    assert main(["compare", "out/fox/a", "out/fox/b"]) == 0
    assert capsys.readouterr() == (plain, "Only out/fox/a has test views under mine (00000000): left out.\n")


def test_the_command_writes_json_alone(compare: Callable[..., str]) -> None:
    plain = json.loads(compare("out", "--format", "json", "--metrics", "psnr", "--resamples", "99"))
    assert plain["nvs_eval_comparison"] == 1
    assert list(plain["comparisons"][0]["pairs"][0]["metrics"]) == ["psnr"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["out/fox/a", "out/fox/a"], "out/fox/a was named twice."),
        (["out/fox/a", "out/./fox/b/../a/"], "out/./fox/b/../a/ was named twice, first as out/fox/a."),
        (["out/fox/a"], "There are no two sides of one protocol: out/fox/a has a under standard."),
        (["out/fox/c", "out/fox/a"], "There is no record at 'out/fox/c'"),
        (["out", "--protocol", "inria"], "Unknown protocol of the records 'inria'."),
        (["out", "--resamples", "3"], "3 resamples have no 95% quantile: 19 are needed"),
        ([], "compare needs at least one record or folder. Got none."),
    ],
)
def test_what_cannot_be_compared_is_refused(args: list[str], said: str, compare: Callable[..., str]) -> None:
    refused = compare(*args)
    assert refused.startswith("2 Error: ")
    assert said in refused
