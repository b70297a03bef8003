"""Sentences on whether B is better than A."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from support.pinned import Pinned
from support.two_sides import GAINS, A, B, base, many, of, pair_of, scenes_of, words

from nvs_eval.comparison.tables import difference_table
from nvs_eval.records.record import MetricInfo, Record


def test_verdicts_come_first_with_interval_and_views(pinned: Pinned) -> None:
    sentences = words(A, B)
    difference = pair_of(A, B).pairs[0].differences["psnr"].interval
    assert sentences[0].startswith(
        f"b is better than a in PSNR by 0.29 dB [{difference.low:.2f}, {difference.high:.2f}], on 6 of 7 views;"
    )
    assert _ssim(A, B) in sentences[0]
    pinned("compare", "\n".join(sentences))


def test_plugin_metric_has_its_title_in_a_verdict() -> None:
    sharpness = MetricInfo("", True, "sharpness|v1", title="Sharpness")
    titled = [replace(record, metrics={**record.metrics, "psnr": sharpness}) for record in (A, B)]
    # A record cannot rename a metric of nvs-eval.
    assert pair_of(*titled).pairs[0].differences["psnr"].title == "PSNR"
    renamed = [
        replace(
            record,
            metrics={"sharpness": sharpness},
            views=[replace(row, scores={"sharpness": row.scores["psnr"]}) for row in record.views],
        )
        for record in titled
    ]
    assert words(*renamed)[0].startswith("b is better than a in Sharpness by ")


def _ssim(*records: Record) -> str:
    interval = pair_of(*records).pairs[0].differences["ssim"].interval
    return f"{interval.difference:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def test_fewer_than_six_views_are_inconclusive(pinned: Pinned) -> None:
    sentences = words(of("a", base(5)), of("b", [x + 1.0 + 0.01 * i for i, x in enumerate(base(5))]))
    pinned("compare", "\n".join(sentences))


def test_infinite_scores_have_ranks_and_no_mean(pinned: Pinned) -> None:
    identical = of("b", [math.inf, *(x + 0.5 for x in base()[1:])])
    comparison = pair_of(of("a", base()), identical)
    difference = comparison.pairs[0].differences["psnr"]
    assert (difference.verdict, difference.interval.difference, difference.mean_b) == ("unknown", math.inf, math.inf)
    assert difference.test.p == pytest.approx(2.0**-6)
    pinned("compare", "\n".join(words(of("a", base()), identical)))
    plain = json.loads(json.dumps(comparison.to_plain(), allow_nan=False))
    assert plain["pairs"][0]["metrics"]["psnr"]["difference"] == "inf"
    assert plain["pairs"][0]["metrics"]["psnr"]["interval"] is None
    # A view that is infinite on both sides is a tie.
    both = pair_of(of("a", [math.inf, *base()[1:]]), identical).pairs[0].differences["psnr"]
    assert both.verdict == "better"
    assert both.wins.ties == 1


def test_ranks_decide_if_one_view_is_infinite(pinned: Pinned) -> None:
    steady = [0.5 + 0.01 * index for index in range(19)]
    pinned("compare", words(*many([math.inf, *steady]))[0])
    worse, better = many([math.inf, *steady], ssim=[0.01 + 0.001 * index for index in range(20)])
    first = words(better, worse)[0]
    pinned("compare", first)


def test_infinities_of_both_signs_have_no_mean_difference(pinned: Pinned) -> None:
    a, b = (of(name, [*scores, *base()[2:]]) for name, scores in (("a", [math.inf, 20.0]), ("b", [20.0, math.inf])))
    pinned("compare", words(a, b)[0])


def test_views_infinite_on_both_sides_count_as_no_difference(pinned: Pinned) -> None:
    sides = [of(name, [math.inf, *(x + gain for x in base()[1:])]) for name, gain in (("a", 0.0), ("b", 0.5))]
    pinned("compare", words(*sides)[-1])


def test_cautions_that_differ_name_their_metrics() -> None:
    steady = [0.1 + 0.01 * math.sin(index) for index in range(25)]
    sentences = words(*many(steady, ssim=[*(0.001 * gain for gain in steady[:-1]), 0.3]))
    assert any(sentence.startswith("SSIM: The differences of the 25 views") for sentence in sentences)
    sentences = words(*many(steady[:8], ssim=steady[:8]))
    assert any(sentence.startswith("With only 8 views") for sentence in sentences)


def test_reason_for_no_interval_names_its_metric() -> None:
    sentences = words(*many([math.inf, *([0.5] * 7)], ssim=[0.01 * index for index in range(1, 9)]))
    assert any(sentence.startswith("PSNR: On 1 of 8 views") for sentence in sentences)


def test_several_differences_are_inconclusive(pinned: Pinned) -> None:
    pinned("compare", words(*many([0.1] * 3, ssim=[0.01] * 3))[0])


def test_identical_sides_have_no_intervals_and_cautions(pinned: Pinned) -> None:
    pinned("compare", "\n".join(words(A, replace(A, method="c"))))
    first, *rest = words(*many(GAINS, ssim=[0.0] * 7))
    pinned("compare", first)
    assert not any("SSIM" in sentence for sentence in rest)
    comparison = pair_of(A, replace(A, method="c"))
    table = difference_table(comparison, comparison.pairs[0])
    assert [cells[3].aside for cells in table.rows] == ["identical", "identical"]


def test_difference_without_an_interval_is_shown_beside_ranks(pinned: Pinned) -> None:
    gains = {f"scene{index}": [0.4, 0.6] for index in range(6)}
    a, b = scenes_of(**gains)
    pinned("compare", words(*a, *b)[0])
