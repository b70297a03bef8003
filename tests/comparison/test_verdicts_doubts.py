"""Sentences on doubts about a verdict: Wilcoxon's test, most views, one view or scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from support.pinned import Pinned
from support.records import INFO, record, row
from support.two_sides import A, B, base, many, of, pair_of, scenes_of, words

from nvs_eval.comparison.tables import difference_table
from nvs_eval.comparison.verdicts import pair_words
from nvs_eval.records.record import Record


def test_too_few_views_to_confirm_are_reported(pinned: Pinned) -> None:
    names = [f"m{index}" for index in range(4)]

    def side(method: str, gain: float) -> Record:
        scores = [x + gain * (1.0 + 0.05 * index) for index, x in enumerate(base())]
        views = [row(f"{i:04}", **dict.fromkeys(names, score)) for i, score in enumerate(scores)]
        return replace(record(method=method), views=views, metrics=dict.fromkeys(names, INFO["psnr"]))

    sentences = words(side("a", 0.0), side("b", 0.2))
    pinned("compare", "\n".join(sentence for sentence in sentences if " tests" in sentence))
    confirmed = words(side("a", 0.0), side("b", 0.2), metrics=("m0", "m1"))
    assert not any("confirm" in sentence or " tests" in sentence for sentence in confirmed)
    pinned("compare", confirmed[1])


def test_several_runs_have_no_test_for_a_reason(pinned: Pinned) -> None:
    runs = [replace(side, run=run) for side in (A, B) for run in ("x", "y")]
    comparison = pair_of(*runs, runs="mean")
    assert comparison.tests == 0
    psnr = comparison.pairs[0].differences["psnr"]
    assert (psnr.p_holm, psnr.confirmed, psnr.ranks_differ) == (None, False, False)
    (reason,) = [sentence for sentence in comparison.pairs[0].words if "several runs" in sentence]
    pinned("compare", reason)
    assert difference_table(comparison, comparison.pairs[0]).rows[0][4].text == ""
    wilcoxon = comparison.to_plain()["pairs"][0]["metrics"]["psnr"]["wilcoxon"]
    assert (wilcoxon["p"], wilcoxon["p_holm"], wilcoxon["reason"]) == (None, None, reason)


def test_most_views_may_contradict_the_mean(pinned: Pinned) -> None:
    few = [of(name, [x + gain for x in base(6)], scene="few") for name, gain in (("a", 0.0), ("b", -3.0))]
    most = [
        of(name, [x + gain + 0.001 * i * gain for i, x in enumerate(base(30))], scene="most")
        for name, gain in (("a", 0.0), ("b", 0.5))
    ]
    comparison = pair_of(*few, *most)
    (psnr,) = comparison.pairs[0].differences.values()
    assert (psnr.verdict, psnr.confirmed, psnr.p_holm) == ("worse", False, None)
    pinned("compare", "\n".join(comparison.pairs[0].words))


def test_test_that_points_the_other_way_confirms_nothing(pinned: Pinned) -> None:
    (psnr,) = pair_of(A, B, metrics=("psnr",)).pairs[0].differences.values()
    significant = replace(psnr, p_holm=0.01)
    assert (significant.confirmed, significant.ranks_differ) == (True, True)
    opposed = replace(significant, test=replace(significant.test, sign=-1))
    assert (opposed.confirmed, opposed.ranks_differ) == (False, True)
    comparison = pair_of(A, B, metrics=("psnr",))
    pair = replace(comparison.pairs[0], differences={"psnr": opposed})
    (sentence,) = [sentence for sentence in pair_words(comparison, pair) if "Wilcoxon" in sentence]
    pinned("compare", sentence)


def test_difference_that_only_the_test_finds_is_reported(pinned: Pinned) -> None:
    def wilcoxon(sentences: Sequence[str]) -> str:
        return "\n".join(sentence for sentence in sentences if "Wilcoxon" in sentence)

    gains = [0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 9.0]
    sentences = words(*many(gains))
    assert "is not distinguishable" in sentences[0]
    pinned("compare", wilcoxon(sentences))
    many_views = [0.1 + 0.001 * index for index in range(19)]
    pinned("compare", wilcoxon(words(*many([*many_views, 90.0]))))
    pinned("compare", wilcoxon(words(*many(gains, ssim=[-gain / 10 for gain in gains]))))


def test_several_verdicts_are_not_confirmed() -> None:
    gains = [0.5, 0.51, 0.52, 0.53, 0.54, 0.56]
    assert any("does not confirm them at 5 %" in sentence for sentence in words(*many(gains, ssim=gains)))


def test_pivotal_view_is_named(pinned: Pinned) -> None:
    gains = [0.30, 0.28, 0.35, 0.31, 0.27, 0.33, -0.55, 0.29, 0.32, 0.30]
    sentences = words(of("a", base(10)), of("b", [x + gain for x, gain in zip(base(10), gains, strict=True)]))
    assert "is not distinguishable" in sentences[0]
    (pivotal,) = [sentence for sentence in sentences if "0006" in sentence]
    pinned("compare", pivotal)


def test_pivotal_view_among_six_cannot_be_told(pinned: Pinned) -> None:
    sentences = words(*many([0.5, 0.51, 0.52, 0.53, 0.54, 0.56]))
    pinned("compare", "\n".join(sentence for sentence in sentences if "depends" in sentence))


def test_pivotal_view_in_a_scene_with_few_cannot_be_told(pinned: Pinned) -> None:
    a, b = scenes_of(x=[0.9, 1.0, 1.1, 1.05], z=[1.0 + 0.01 * (index % 7) for index in range(60)])
    pinned("compare", "\n".join(sentence for sentence in words(*a, *b) if "depends" in sentence))
