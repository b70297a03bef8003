"""The sentences on whether B is better than A."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from support.two_sides import GAINS, A, B, base, many, of, pair_of, scenes_of, words

from nvs_eval.comparison.tables import difference_table
from nvs_eval.records.record import MetricInfo, Record


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


def test_plugin_metric_has_its_title_in_a_verdict() -> None:
    sharpness = MetricInfo("", True, "sharpness|v1", title="Sharpness")
    titled = [replace(each, metrics={**each.metrics, "psnr": sharpness}) for each in (A, B)]
    # A plugin's key is its own; that of a metric of ours is ours to name.
    assert pair_of(*titled).pairs[0].differences["psnr"].title == "PSNR"
    renamed = [
        replace(
            each,
            metrics={"sharpness": sharpness},
            views=[replace(row, scores={"sharpness": row.scores["psnr"]}) for row in each.views],
        )
        for each in titled
    ]
    assert words(*renamed)[0].startswith("b is better than a in Sharpness by ")


def _ssim(*records: Record) -> str:
    interval = pair_of(*records).pairs[0].differences["ssim"].interval
    return f"{interval.difference:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


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
    plain = json.loads(json.dumps(comparison.to_plain(), allow_nan=False))
    assert plain["pairs"][0]["metrics"]["psnr"]["difference"] == "inf"
    assert plain["pairs"][0]["metrics"]["psnr"]["interval"] is None
    # Where both are, there is no difference.
    both = pair_of(of("a", [math.inf, *base()[1:]]), identical).pairs[0].differences["psnr"]
    assert both.verdict == "better"
    assert both.wins.ties == 1


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


def test_infinities_of_both_signs_have_no_mean_difference() -> None:
    a, b = (of(name, [*scores, *base()[2:]]) for name, scores in (("a", [math.inf, 20.0]), ("b", [20.0, math.inf])))
    assert words(a, b)[0] == (
        "Nothing can be concluded of the difference in PSNR (there is no mean difference, as each side alone is "
        "infinite on some views; better on 1 of 7 views) between b and a."
    )


def test_views_infinite_on_both_sides_count_as_no_difference() -> None:
    said = words(*(of(name, [math.inf, *(x + gain for x in base()[1:])]) for name, gain in (("a", 0.0), ("b", 0.5))))
    assert said[-1] == "Both sides are infinite in PSNR on 1 of 7 views (0000): that counts as no difference."


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


def test_identical_sides_have_no_intervals_and_cautions() -> None:
    assert words(A, replace(A, method="c")) == ["c and a are identical in PSNR and SSIM on all 7 views."]
    first, *rest = words(*many(GAINS, ssim=[0.0] * 7))
    assert first.endswith(", on 6 of 7 views; b and a are identical in SSIM on all 7 views.")
    assert not any("SSIM" in sentence for sentence in rest)
    comparison = pair_of(A, replace(A, method="c"))
    table = difference_table(comparison, comparison.pairs[0])
    assert [cells[3].aside for cells in table.rows] == ["identical", "identical"]


def test_difference_without_an_interval_is_shown_beside_ranks() -> None:
    gains = {f"scene{index}": [0.4, 0.6] for index in range(6)}
    of_a, of_b = scenes_of(**gains)
    assert words(*of_a, *of_b)[0] == (
        "By ranks b is better than a in PSNR (p = 0.031; better on 12 of 12 views; +0.50 dB)."
    )
