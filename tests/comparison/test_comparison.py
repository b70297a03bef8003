"""Two sides on the views they share: what differs, whether it is more than noise, and what is said of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from support.records import INFO, record, row

from nvs_eval.cli import main
from nvs_eval.comparison.comparing import compared
from nvs_eval.comparison.improvement import improved
from nvs_eval.comparison.model import Comparison
from nvs_eval.comparison.noise import Ties
from nvs_eval.comparison.plain import to_plain
from nvs_eval.comparison.shared import shared
from nvs_eval.comparison.sides import left_out_notes, sides_of
from nvs_eval.comparison.tables import change_table, difference_table, view_table
from nvs_eval.comparison.words.verdicts import overview, words_of
from nvs_eval.errors import InputError
from nvs_eval.records.groups import Contender, methods_of
from nvs_eval.records.record import Record, record_file, write_record

# Of each view by how much B is better: all but one, by some 0.3 dB.
GAINS = [0.31, 0.45, 0.12, 0.52, -0.05, 0.38, 0.29]


def of(method: str, psnr: Sequence[float], *, ssim: Sequence[float] | None = None, **changes: Any) -> Record:
    scores = [{"psnr": value} for value in psnr]
    if ssim is not None:
        scores = [{**each, "ssim": value} for each, value in zip(scores, ssim, strict=True)]
    return record([row(f"{i:04}", **each) for i, each in enumerate(scores)], method=method, **changes)


def base(count: int = 7) -> list[float]:
    """Views differ much more from each other than methods do."""
    return [20.0 + 2.5 * math.sin(3.0 * index) for index in range(count)]


def contenders(*records: Record, runs: str = "each") -> list[Contender]:
    return methods_of(records, runs="mean" if runs == "mean" else "each")


def pair_of(*records: Record, runs: str = "each", **choices: Any) -> Comparison:
    return compared(contenders(*records, runs=runs), resamples=1000, **choices)


A = of("a", base(), ssim=[0.8] * 7)
B = of("b", [x + gain for x, gain in zip(base(), GAINS, strict=True)], ssim=[0.8 + 0.01 * (-1) ** i for i in range(7)])


# --- What is compared -----------------------------------------------------------------------------------------------


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


def test_swapped_sides_say_the_opposite() -> None:
    forth, back = (pair_of(*sides).pairs[0].differences["psnr"] for sides in ((A, B), (B, A)))
    assert (forth.verdict, back.verdict) == ("better", "worse")
    assert forth.interval.low == -(back.interval.high or 0.0)
    assert (forth.wins.wins, forth.wins.losses) == (back.wins.losses, back.wins.wins)


def test_a_lower_score_is_better_where_it_is_said_to_be() -> None:
    lower = {"psnr": replace(INFO["psnr"], higher_is_better=False)}
    worse = pair_of(*(of(each.method, [r.scores["psnr"] for r in each.views], metrics=lower) for each in (A, B)))
    assert worse.pairs[0].differences["psnr"].verdict == "worse"
    assert worse.pairs[0].differences["psnr"].changes[0].difference == pytest.approx(-0.05)


def test_changes_go_from_the_largest_gain_to_the_largest_loss() -> None:
    changes = pair_of(A, B).pairs[0].differences["psnr"].changes
    assert [(change.view, round(change.difference, 9)) for change in changes] == [
        ("0003", 0.52), ("0001", 0.45), ("0005", 0.38), ("0000", 0.31), ("0006", 0.29), ("0002", 0.12), ("0004", -0.05),
    ]  # fmt: skip


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


def test_metrics_are_chosen_and_those_that_not_all_have_are_left_out() -> None:
    only = of("b", base())
    assert list(pair_of(A, B, metrics=("ssim",)).pairs[0].differences) == ["ssim"]
    assert list(pair_of(A, only).pairs[0].differences) == ["psnr"]
    assert shared(*contenders(A, only)).notes == ["SSIM: not of all records, and left out"]
    with pytest.raises(InputError, match="a and b share psnr, and none of ssim"):
        pair_of(A, only, metrics=("ssim",))


def test_a_metric_that_neither_side_has_is_an_error_among_others_too() -> None:
    with pytest.raises(InputError, match=r"Unknown metric 'psnrr'. Did you mean 'psnr'\? Known: psnr, ssim"):
        pair_of(A, B, metrics=("psnr", "psnrr"))
    # What one side alone has is a note.
    assert list(pair_of(A, of("b", base()), metrics=("psnr", "ssim")).pairs[0].differences) == ["psnr"]


# --- The shared views -----------------------------------------------------------------------------------------------


def test_only_shared_views_and_scenes_are_compared_and_the_others_said() -> None:
    more = of("a", [*base(), 99.0])
    other = of("b", base(), scene="garden")
    both = shared(*contenders(more, B, other))
    assert both.views == {"fox": [f"{i:04}" for i in range(7)]}
    assert both.notes == [
        "Only b has garden: left out",
        "fox: compared on the 7 of 8 views that all have; without 0007",
        "SSIM: not of all records, and left out",
    ]
    assert both.scores("psnr").difference == pytest.approx(np.mean(GAINS))


def test_names_in_notes_stay_as_they_are() -> None:
    info = {"lpips_vgg": INFO["psnr"], **INFO}
    other = replace(
        A, metrics=info, views=[replace(each, scores={**each.scores, "lpips_vgg": 0.1}) for each in A.views]
    )
    said = words(other, of("b", base(6)))
    assert "fox: compared on the 6 of 7 views that all have; without 0006." in said
    assert "LPIPS (vgg): not of all records, and left out." in said


def test_runs_and_scenes_of_different_steps_are_said() -> None:
    runs = [replace(A, run="x", step=500), replace(A, run="y", step=1000), replace(B, step=7)]
    assert shared(*contenders(*runs, runs="mean")).notes == ["a: of different steps, 500, 1000"]
    scenes = [*(replace(each, step=500) for each in (A, B)), replace(A, scene="x", step=9), replace(B, scene="x")]
    assert shared(*contenders(*scenes)).notes == ["a: of different steps, 9, 500", "b: of different steps, 500, none"]
    # Of scenes that are not compared it does not matter.
    assert shared(*contenders(*scenes), scenes=["x"]).notes == []


def test_no_shared_view_is_an_error() -> None:
    with pytest.raises(InputError, match=r"a and b share no view: a is of fox \(0000, .*b of garden"):
        pair_of(A, of("b", base(), scene="garden"))
    renamed = replace(B, views=[replace(each, name=f"x{each.name}") for each in B.views])
    with pytest.raises(InputError, match="share no view"):
        pair_of(A, renamed)


def test_views_of_one_name_and_different_images_are_an_error() -> None:
    other = replace(B, views=[replace(each, reference_sha256="1" * 64) for each in B.views])
    with pytest.raises(InputError, match=r"fox: a and b were scored with different references \(7 of 7 views\)"):
        pair_of(A, other)
    # But of views that are not shared it does not matter.
    one = replace(A, views=[*A.views, replace(A.views[0], name="x", width=7)])
    assert pair_of(one, replace(B, views=[*B.views, replace(B.views[0], name="y")])).pairs


# --- Sides ----------------------------------------------------------------------------------------------------------


def test_each_group_is_a_side_by_the_shortest_name_that_tells_it_apart() -> None:
    def names(*records: Record) -> list[str]:
        ((*found,),) = sides_of({f"folder{i}": [each] for i, each in enumerate(records)})
        return [each.name for each in found]

    assert names(A, B) == ["a", "b"]
    assert names(replace(A, run="x"), replace(A, run="y")) == ["a/x", "a/y"]
    assert names(replace(A, run="x", step=1), replace(A, run="x", step=2)) == ["a/x/1", "a/x/2"]
    assert names(A, A) == ["a (folder0)", "a (folder1)"]


def test_one_group_alone_is_all_its_methods() -> None:
    (found,) = sides_of({"all": [replace(A, step=1), replace(A, step=2), replace(B, step=2)]})
    assert [(each.name, each.all_records[0].step) for each in found] == [("a", 2), ("b", 2)]


def test_a_group_of_several_sides_among_others_is_an_error() -> None:
    with pytest.raises(InputError, match="both holds a, b: with several arguments each is one side"):
        sides_of({"both": [A, B], "a": [A]})
    with pytest.raises(InputError, match="or say `--runs mean`"):
        sides_of({"seeds": [replace(A, run="x"), replace(A, run="y")], "b": [B]})
    assert sides_of({"seeds": [replace(A, run="x"), replace(A, run="y")], "b": [B]}, runs="mean")


def test_sides_of_different_protocols_are_an_error_and_those_of_several_are_compared_by_each() -> None:
    inria = {"name": "inria-3dgs", "definition": {"round_means": None}, "fingerprint": "82a74b27"}
    with pytest.raises(InputError, match="one has a under standard; other has b under inria-3dgs"):
        sides_of({"one": [A], "other": [replace(B, protocol=inria)]})
    both = {"one": [A, replace(A, protocol=inria)], "other": [B, replace(B, protocol=inria)]}
    assert [[each.name for each in found] for found in sides_of(both)] == [["a", "b"], ["a", "b"]]
    with pytest.raises(InputError, match="no two sides of one protocol"):
        sides_of({"all": [A]})


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


# --- In words -------------------------------------------------------------------------------------------------------


def words(*records: Record, **choices: Any) -> list[str]:
    return list(pair_of(*records, **choices).pairs[0].words)


def test_the_verdicts_come_first_with_interval_and_views() -> None:
    first, *rest = words(A, B)
    difference = pair_of(A, B).pairs[0].differences["psnr"].interval
    assert first == (
        f"b is better than a in PSNR by 0.29 dB [{difference.low:.2f}, {difference.high:.2f}], on 6 of 7 views; the "
        f"difference in SSIM ({_ssim(A, B)}) is not distinguishable."
    )
    assert rest[0].startswith(
        "The verdict in PSNR hangs on any one of 3 views (0000, 0003, 0006): the difference is +0.28 [-0.0"
    )
    assert any("does not confirm it at 5%: PSNR p = 0.062." in sentence for sentence in rest)
    assert any(sentence.startswith("7 views cannot show how skewed") for sentence in rest)
    assert rest[-1].startswith("The interval is about other views of this scene, not about others. Each side was")


def _ssim(*records: Record) -> str:
    interval = pair_of(*records).pairs[0].differences["ssim"].interval
    return f"{interval.difference:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def test_what_the_test_could_never_confirm_is_said() -> None:
    names = [f"m{index}" for index in range(4)]

    def side(method: str, gain: float) -> Record:
        scores = [x + gain * (1.0 + 0.05 * index) for index, x in enumerate(base())]
        views = [row(f"{i:04}", **dict.fromkeys(names, score)) for i, score in enumerate(scores)]
        return replace(record(method=method), views=views, metrics=dict.fromkeys(names, INFO["psnr"]))

    said = words(side("a", 0.0), side("b", 0.2))
    assert "Nor could it: of 7 views and 4 tests the smallest p there can be is 0.062." in said
    confirmed = words(side("a", 0.0), side("b", 0.2), metrics=("m0", "m1"))
    assert not any("confirm" in sentence or "Nor could it" in sentence for sentence in confirmed)
    assert confirmed[1] == "No verdict hangs on a single view."


def test_a_verdict_that_hangs_on_one_view_is_said() -> None:
    gains = [0.30, 0.28, 0.35, 0.31, 0.27, 0.33, -0.55, 0.29, 0.32, 0.30]
    said = words(of("a", base(10)), of("b", [x + gain for x, gain in zip(base(10), gains, strict=True)]))
    assert "is not distinguishable" in said[0]
    hinge = next(sentence for sentence in said if "hangs on" in sentence)
    assert hinge.startswith("The verdict in PSNR hangs on view 0006: the difference is +0.31 [")
    assert hinge.endswith("] without 0006.")


def test_fewer_than_six_views_conclude_nothing() -> None:
    said = words(of("a", base(5)), of("b", [x + 1.0 + 0.01 * i for i, x in enumerate(base(5))]))
    assert said[0] == (
        "Nothing can be concluded of the difference in PSNR (+1.02 dB; better on 5 of 5 views) between b and a."
    )
    assert "5 shared views can bear no interval: at least 6 are needed." in said


def test_infinite_scores_have_ranks_and_no_mean() -> None:
    identical = of("b", [math.inf, *(x + 0.5 for x in base()[1:])])
    comparison = pair_of(of("a", base()), identical)
    difference = comparison.pairs[0].differences["psnr"]
    assert (difference.verdict, difference.interval.difference, difference.mean_b) == ("unknown", math.inf, math.inf)
    assert difference.test.p == pytest.approx(2.0**-6)
    assert "On 1 of 7 views one side alone is infinite" in " ".join(words(of("a", base()), identical))
    plain = json.loads(json.dumps(to_plain(comparison), allow_nan=False))
    assert plain["pairs"][0]["metrics"]["psnr"]["difference"] == "inf"
    assert plain["pairs"][0]["metrics"]["psnr"]["interval"] is None
    # Where both are, there is no difference.
    both = pair_of(of("a", [math.inf, *base()[1:]]), identical).pairs[0].differences["psnr"]
    assert both.verdict == "better"
    assert both.wins.ties == 1


def many(gains: Sequence[float], **others: Sequence[float]) -> tuple[Record, Record]:
    """Two sides that differ by these gains in PSNR, and by others in other metrics."""
    count = len(gains)
    sides = []
    for method, changed in (("a", False), ("b", True)):
        scores = [
            {"psnr": x + (gains[i] if changed else 0.0)}
            | {name: 0.5 + each[i] * changed for name, each in others.items()}
            for i, x in enumerate(base(count))
        ]
        metrics = {"psnr": INFO["psnr"], **dict.fromkeys(others, INFO["ssim"])}
        views = [row(f"{i:04}", **each) for i, each in enumerate(scores)]
        sides.append(replace(record(method=method), views=views, metrics=metrics))
    return sides[0], sides[1]


def test_ranks_conclude_where_one_view_is_infinite() -> None:
    steady = [0.5 + 0.01 * index for index in range(19)]
    assert words(*many([math.inf, *steady]))[0] == (
        "By ranks b is better than a in PSNR (p = 1.9e-06; better on 20 of 20 views; the mean difference is +inf)."
    )
    worse, better = many([math.inf, *steady], ssim=[0.01 + 0.001 * index for index in range(20)])
    first = words(better, worse)[0]
    assert first.startswith("a is worse than b in SSIM by 0.0195 [")
    assert first.endswith(
        "; by ranks a is worse than b in PSNR (p = 3.8e-06; worse on 20 of 20 views; the mean difference is -inf)."
    )


def test_infinities_of_both_signs_have_no_mean_difference_in_words() -> None:
    a, b = (of(name, [*scores, *base()[2:]]) for name, scores in (("a", [math.inf, 20.0]), ("b", [20.0, math.inf])))
    assert words(a, b)[0] == (
        "Nothing can be concluded of the difference in PSNR (there is no mean difference, as each side alone is "
        "infinite on some views; better on 1 of 7 views) between b and a."
    )


def test_views_on_which_both_are_infinite_are_said_to_count_as_no_difference() -> None:
    said = words(*(of(name, [math.inf, *(x + gain for x in base()[1:])]) for name, gain in (("a", 0.0), ("b", 0.5))))
    assert said[-1] == "Both sides are infinite in PSNR on 1 of 7 views (0000): that counts as no difference."


def test_several_runs_have_no_test_and_it_is_said_why() -> None:
    runs = [replace(each, run=run) for each in (A, B) for run in ("x", "y")]
    comparison = pair_of(*runs, runs="mean")
    assert comparison.tests == 0
    psnr = comparison.pairs[0].differences["psnr"]
    assert (psnr.p_holm, psnr.confirmed, psnr.told_by_ranks) == (None, False, False)
    said = [sentence for sentence in comparison.pairs[0].words if "several runs" in sentence]
    assert len(said) == 1
    assert difference_table(comparison, comparison.pairs[0]).rows[0][4].text == ""
    wilcoxon = to_plain(comparison)["pairs"][0]["metrics"]["psnr"]["wilcoxon"]
    assert (wilcoxon["p"], wilcoxon["p_holm"], wilcoxon["reason"]) == (None, None, said[0])


def test_most_views_may_say_the_opposite_of_the_mean() -> None:
    few = [of(name, [x + gain for x in base(6)], scene="few") for name, gain in (("a", 0.0), ("b", -3.0))]
    lots = [
        of(name, [x + gain + 0.001 * i * gain for i, x in enumerate(base(30))], scene="lots")
        for name, gain in (("a", 0.0), ("b", 0.5))
    ]
    comparison = pair_of(*few, *lots)
    (psnr,) = comparison.pairs[0].differences.values()
    assert (psnr.verdict, psnr.confirmed, psnr.p_holm) == ("worse", False, None)
    assert "Most views say the opposite of the mean in PSNR: b is better on 30 of 36." in comparison.pairs[0].words
    assert any("the scenes have different numbers of views" in sentence for sentence in comparison.pairs[0].words)


def test_a_test_that_points_the_other_way_confirms_nothing() -> None:
    (psnr,) = pair_of(A, B, metrics=("psnr",)).pairs[0].differences.values()
    told = replace(psnr, p_holm=0.01)
    assert (told.confirmed, told.told_by_ranks) == (True, True)
    opposed = replace(told, test=replace(told.test, sign=-1))
    assert (opposed.confirmed, opposed.told_by_ranks) == (False, True)
    comparison = pair_of(A, B, metrics=("psnr",))
    pair = replace(comparison.pairs[0], differences={"psnr": opposed})
    assert "Wilcoxon's signed-rank test says the opposite: by ranks b is worse in PSNR (p = 0.01)." in words_of(
        comparison, pair
    )


def test_what_the_test_alone_tells_is_said() -> None:
    gains = [0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 9.0]
    said = words(*many(gains))
    assert "is not distinguishable" in said[0]
    assert (
        "Wilcoxon's signed-rank test does tell them apart: by ranks b is better in PSNR (p = 0.0078), where the "
        "interval, wide for so few views, does not."
    ) in said
    long = [0.1 + 0.001 * index for index in range(19)]
    assert any("wide for single views that differ much, does not." in each for each in words(*many([*long, 90.0])))
    both = words(*many(gains, ssim=[-gain / 10 for gain in gains]))
    assert any(
        "by ranks b is better in PSNR (p = 0.016) and worse in ssim (p = 0.016), where the intervals, wide for so few "
        "views, do not.".replace("ssim", "SSIM")
        in each
        for each in both
    )


def test_whether_a_verdict_hangs_on_one_of_six_views_cannot_be_told() -> None:
    said = words(*many([0.5, 0.51, 0.52, 0.53, 0.54, 0.56]))
    assert (
        "Without any one of the 6 views, there is no interval: whether the verdict hangs on these cannot be told."
    ) in said
    assert not any("No verdict hangs" in sentence for sentence in said)


def scenes_of(**gains: Sequence[float]) -> tuple[list[Record], list[Record]]:
    """Two sides that differ by these gains, by scene."""
    of_a = [of("a", base(len(each)), scene=scene) for scene, each in gains.items()]
    of_b = [
        of("b", [x + gain for x, gain in zip(base(len(each)), each, strict=True)], scene=scene)
        for scene, each in gains.items()
    ]
    return of_a, of_b


def test_what_hangs_on_views_of_a_scene_of_few_cannot_be_told() -> None:
    of_a, of_b = scenes_of(x=[0.9, 1.0, 1.1, 1.05], z=[1.0 + 0.01 * (index % 7) for index in range(60)])
    said = words(*of_a, *of_b)
    assert (
        "Without any one of the 4 views of x, or without scene z, there is no interval: whether the verdict hangs on "
        "these cannot be told."
    ) in said
    assert not any("No verdict hangs" in sentence for sentence in said)


def test_cautions_that_differ_name_their_metrics() -> None:
    steady = [0.1 + 0.01 * math.sin(index) for index in range(25)]
    said = words(*many(steady, ssim=[*(0.001 * gain for gain in steady[:-1]), 0.3]))
    assert any(each.startswith("In SSIM: the differences of the 25 views are very skewed") for each in said)
    said = words(*many(steady[:8], ssim=steady[:8]))
    assert any(each.startswith("8 views cannot show") for each in said)


def test_why_there_is_no_interval_names_its_metric() -> None:
    said = words(*many([math.inf, *([0.5] * 7)], ssim=[0.01 * index for index in range(1, 9)]))
    assert any(each.startswith("In PSNR: on 1 of 8 views one side alone is infinite") for each in said)


def test_nothing_is_concluded_of_several_differences() -> None:
    assert words(*many([0.1] * 3, ssim=[0.01] * 3))[0].startswith("Nothing can be concluded of the differences in PSNR")


def test_several_verdicts_are_not_confirmed() -> None:
    gains = [0.5, 0.51, 0.52, 0.53, 0.54, 0.56]
    assert any("does not confirm them at 5%" in each for each in words(*many(gains, ssim=gains)))


def test_identical_sides_are_said_to_be_without_intervals_and_cautions() -> None:
    assert words(A, replace(A, method="c")) == ["c and a are identical in PSNR and SSIM on all 7 views."]
    first, *rest = words(*many(GAINS, ssim=[0.0] * 7))
    assert first.endswith(", on 6 of 7 views; b and a are identical in SSIM on all 7 views.")
    assert not any("SSIM" in sentence for sentence in rest)
    comparison = pair_of(A, replace(A, method="c"))
    table = difference_table(comparison, comparison.pairs[0])
    assert [cells[3].aside for cells in table.rows] == ["identical", "identical"]


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


# --- Tables and JSON ------------------------------------------------------------------------------------------------


def test_the_tables_hold_what_the_words_are_about() -> None:
    comparison = pair_of(A, B)
    table = difference_table(comparison, comparison.pairs[0])
    assert table.title == "b (B) against a (A): fox, 7 shared test views"
    assert [cells[0].text for cells in table.rows] == ["psnr [dB] ↑", "ssim ↑"]
    psnr = table.rows[0]
    assert [cell.text for cell in psnr[1:4]] == [
        f"{np.mean(base()):.2f}",
        f"{np.mean(base()) + np.mean(GAINS):.2f}",
        "+0.29",
    ]
    assert psnr[3].aside.startswith("[+0.")
    assert psnr[-1].text == "6/1/0"
    changes = change_table(comparison.pairs[0])
    assert [[cell.text for cell in cells] for cells in changes.rows[:3]] == [
        ["psnr", "0003 +0.52", "0004 -0.05"],
        ["", "0001 +0.45", ""],
        ["", "0005 +0.38", ""],
    ]
    none = pair_of(A, replace(A, method="c"))
    assert [[cell.text for cell in cells] for cells in change_table(none.pairs[0]).rows] == [
        ["psnr", "none", "none"],
        ["ssim", "none", "none"],
    ]
    views = view_table(comparison, comparison.pairs[0])
    assert [cells[1].text for cells in views.rows] == [f"{index:04}" for index in range(7)]
    assert [cells[2].value for cells in views.rows] == pytest.approx(GAINS)


def test_a_small_change_is_shown_with_the_digits_that_tell_it_from_none() -> None:
    a, b = many([0.0004, -2e-12, 0.5, 0.6, 0.7, -0.8, 0.9, 0.0])
    few = [replace(each, views=[*each.views[:2], *each.views[5:6]]) for each in (a, b)]
    changes = change_table(pair_of(*few).pairs[0])
    assert [[cell.text for cell in cells] for cells in changes.rows] == [
        ["psnr", "0000 +0.0004", "0005 -0.80"],
        ["", "", "0001 -2.0e-12"],
    ]


def test_the_metric_stands_in_each_part_of_a_table_that_is_too_wide() -> None:
    table = difference_table(pair_of(A, B), pair_of(A, B).pairs[0])
    assert table.identity == 1
    assert view_table(pair_of(A, B), pair_of(A, B).pairs[0]).identity == 2


def test_json_has_every_view_and_number() -> None:
    comparison = pair_of(A, B)
    plain = json.loads(json.dumps(to_plain(comparison), allow_nan=False))
    (pair,) = plain["pairs"]
    assert (plain["protocol"], plain["tests"], plain["level"]) == (
        {"name": "standard", "fingerprint": "9f2c51ab"}, 2, 0.95,
    )  # fmt: skip
    assert (pair["a"]["name"], pair["b"]["name"], pair["views"]) == ("a", "b", {"fox": 7})
    psnr = pair["metrics"]["psnr"]
    assert psnr["difference"] == comparison.pairs[0].differences["psnr"].interval.difference
    assert {each["view"]: round(each["difference"], 9) for each in psnr["views"]} == {
        f"{i:04}": gain for i, gain in enumerate(GAINS)
    }
    assert pair["words"] == comparison.pairs[0].words


# --- Ties and improvement -------------------------------------------------------------------------------------------


def test_tied_is_what_cannot_be_told_from_the_best() -> None:
    close = of("c", [r.scores["psnr"] + 0.3 * (-1) ** (i + 1) for i, r in enumerate(B.views)])
    far = of("d", [x - 5.0 for x in base()])
    assert Ties()(contenders(A, B, close, far), ["fox"], "psnr") == [2]
    few = [replace(each, views=each.views[:5]) for each in (A, B)]
    assert Ties()(contenders(*few), ["fox"], "psnr") == [0]


def test_improvement_is_beyond_noise_or_cannot_be_told() -> None:
    assert improved(A, B, "psnr") is True
    assert improved(B, A, "psnr") is False
    assert improved(A, B, "ssim") is False
    assert improved(replace(A, views=A.views[:5]), replace(B, views=B.views[:5]), "psnr") is None


# --- The command ----------------------------------------------------------------------------------------------------


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
        (["out/fox/a", "out/fox/a"], "out/fox/a was given twice: each argument is a side."),
        (["out/fox/a", "out/./fox/b/../a/"], "out/./fox/b/../a/ was given twice, first as out/fox/a: each argument is"),
        (["out/fox/a"], "There are no two sides of one protocol: out/fox/a has a under standard."),
        (["out/fox/c", "out/fox/a"], "There is no record at 'out/fox/c'"),
        (["out", "--protocol", "inria"], "Unknown protocol of the records 'inria'."),
        (["out", "--resamples", "3"], "3 resamples have no 95% quantile: 19 are needed"),
        ([], "Nothing to compare was named"),
    ],
)
def test_what_cannot_be_compared_is_refused(args: list[str], said: str, compare: Callable[..., str]) -> None:
    refused = compare(*args)
    assert refused.startswith("2 Error: ")
    assert said in refused
