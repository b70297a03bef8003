"""The sentences on what speaks against a verdict: Wilcoxon's test, most views, one view or scene."""

from __future__ import annotations

from dataclasses import replace

from support.records import INFO, record, row
from support.two_sides import A, B, base, many, of, pair_of, scenes_of, words

from nvs_eval.comparison.tables import difference_table
from nvs_eval.comparison.verdicts import pair_words
from nvs_eval.records.record import Record


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


def test_several_runs_have_no_test_and_it_is_said_why() -> None:
    runs = [replace(each, run=run) for each in (A, B) for run in ("x", "y")]
    comparison = pair_of(*runs, runs="mean")
    assert comparison.tests == 0
    psnr = comparison.pairs[0].differences["psnr"]
    assert (psnr.p_holm, psnr.confirmed, psnr.ranks_differ) == (None, False, False)
    said = [sentence for sentence in comparison.pairs[0].words if "several runs" in sentence]
    assert len(said) == 1
    assert difference_table(comparison, comparison.pairs[0]).rows[0][4].text == ""
    wilcoxon = comparison.to_plain()["pairs"][0]["metrics"]["psnr"]["wilcoxon"]
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
    assert (told.confirmed, told.ranks_differ) == (True, True)
    opposed = replace(told, test=replace(told.test, sign=-1))
    assert (opposed.confirmed, opposed.ranks_differ) == (False, True)
    comparison = pair_of(A, B, metrics=("psnr",))
    pair = replace(comparison.pairs[0], differences={"psnr": opposed})
    assert "Wilcoxon's signed-rank test says the opposite: by ranks b is worse in PSNR (p = 0.01)." in pair_words(
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


def test_several_verdicts_are_not_confirmed() -> None:
    gains = [0.5, 0.51, 0.52, 0.53, 0.54, 0.56]
    assert any("does not confirm them at 5%" in each for each in words(*many(gains, ssim=gains)))


def test_a_verdict_that_hangs_on_one_view_is_said() -> None:
    gains = [0.30, 0.28, 0.35, 0.31, 0.27, 0.33, -0.55, 0.29, 0.32, 0.30]
    said = words(of("a", base(10)), of("b", [x + gain for x, gain in zip(base(10), gains, strict=True)]))
    assert "is not distinguishable" in said[0]
    hinge = next(sentence for sentence in said if "hangs on" in sentence)
    assert hinge.startswith("The verdict in PSNR hangs on view 0006: the difference is +0.31 [")
    assert hinge.endswith("] without 0006.")


def test_hinge_among_six_views_cannot_be_told() -> None:
    said = words(*many([0.5, 0.51, 0.52, 0.53, 0.54, 0.56]))
    assert (
        "Without any one of the 6 views, there is no interval: whether the verdict hangs on these cannot be told."
    ) in said
    assert not any("No verdict hangs" in sentence for sentence in said)


def test_what_hangs_on_views_of_a_scene_of_few_cannot_be_told() -> None:
    of_a, of_b = scenes_of(x=[0.9, 1.0, 1.1, 1.05], z=[1.0 + 0.01 * (index % 7) for index in range(60)])
    said = words(*of_a, *of_b)
    assert (
        "Without any one of the 4 views of x, or without scene z, there is no interval: whether the verdict hangs on "
        "these cannot be told."
    ) in said
    assert not any("No verdict hangs" in sentence for sentence in said)
