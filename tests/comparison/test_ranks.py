"""Wilcoxon's test, Holm's correction, and wins by view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from support.paired_scores import INF, differing, drawn, of
from support.pinned import Pinned

from nvs_eval.comparison.statistics.ranks import SignedRank, holm, least_p, signed_ranks, wins
from nvs_eval.comparison.statistics.scores import Scores


def signed_rank(scores: Scores) -> SignedRank:
    (result,) = signed_ranks([scores])
    return result


def scipys(values: Sequence[float], **options: Any) -> float:
    """Return the p-value of scipy's test."""
    return float(np.asarray(stats.wilcoxon(values, **options))[1])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-9, 9).filter(bool), min_size=6, max_size=60, unique_by=abs))
def test_signed_rank_test_agrees_with_scipy(values: list[float]) -> None:
    result = signed_rank(differing(values))
    method = "exact" if len(values) <= 50 else "approx"
    assert result.p == pytest.approx(scipys(values, method=method, correction=method == "approx"))
    assert (result.units, result.n) == ("views", len(values))


def test_many_tests_together_equal_each_alone() -> None:
    rng = np.random.default_rng(0)
    metrics = [differing(rng.standard_normal(views).round(places)) for views in (7, 7, 60, 51, 50) for places in (1, 9)]
    metrics += [differing([0.0] * 7), differing(*[[mean] for mean in range(-2, 5)]), drawn(1, 3, 5)]
    assert signed_ranks(metrics) == [signed_rank(scores) for scores in metrics]


def test_views_without_a_difference_are_dropped() -> None:
    differences = [0.5, -0.25, 1, 2, 3, 4, 0, 0]
    assert signed_rank(differing(differences)) == signed_rank(differing(differences[:6]))
    assert signed_rank(differing(differences)).n == 6
    assert signed_rank(differing([0.0] * 9)).p == 1


def test_infinite_differences_rank_highest() -> None:
    highest = of(([20.0] * 6, [21, 22, 23, 18.5, 25, INF]))
    assert signed_rank(highest).p == signed_rank(differing([1, 2, 3, -1.5, 5, 6])).p
    lowest = of(([20.0] * 5 + [INF], [21, 22, 23, 18.5, 25, 20]))
    assert signed_rank(lowest).p == signed_rank(differing([1, 2, 3, -1.5, 5, -6])).p


def test_p_of_equal_differences_is_not_below_the_smallest_possible() -> None:
    result = signed_rank(differing([0.5] * 6))
    assert result.p == result.least_p == 2 / 2**6
    assert signed_rank(differing([0.5] * 30)).p == pytest.approx(scipys([0.5] * 30, method="approx", correction=True))
    assert signed_rank(differing([0.5])).p == 1


def test_six_scenes_are_ranked(pinned: Pinned) -> None:
    means = [1, 2, 4, -3, 8, 16]
    result = signed_rank(differing(*[[mean - 30, mean + 30] for mean in means]))
    assert (result.units, result.n) == ("scenes", 6)
    assert result.p == pytest.approx(scipys(means))
    undefined = of(([INF, 1], [1, INF]), *[([0.0], [mean]) for mean in means])
    assert signed_rank(undefined).p is None
    pinned("compare", signed_rank(undefined).reason)


def test_ranks_have_the_sign_of_the_heavier_side() -> None:
    assert [signed_rank(differing(values)).sign for values in ([5, -1, -2], [-5, 1, 2], [-7, 1, 2])] == [0, 0, 0]
    assert [signed_rank(differing(values)).sign for values in ([1, 2, 3, -9], [-1, -2, -3, 9], [0, 0])] == [1, -1, 0]
    assert signed_rank(differing(*[[mean - 30, mean + 30] for mean in (-1, -2, -4, 3, -8, -16)])).sign == -1


@pytest.mark.parametrize("runs", [(3, 3), (1, 2), (2, 1)])
def test_views_are_not_ranked_with_several_runs(runs: tuple[int, int]) -> None:
    result = signed_rank(drawn(1, 1, 25, runs))
    assert (result.p, result.sign, result.n) == (None, 0, 25)
    assert "several runs" in result.reason
    # The spread of sampled scenes contains that of runs.
    assert signed_rank(drawn(1, 6, 5, runs)).p is not None
    assert signed_rank(drawn(1, 6, 5, runs)).reason == ""


def test_false_positives_are_at_most_at_the_level() -> None:
    rng = np.random.default_rng(6)
    for views, runs in ((25, 1), (25, 3), (200, 3)):
        rejected = 0
        for _ in range(200):
            sides = 0.5 * (rng.standard_normal((2, runs, 1)) + rng.standard_normal((2, runs, views))) * (runs > 1)
            p = signed_rank(of((sides[0], sides[1] + rng.standard_normal(views)))).p
            rejected += p is not None and p < 0.05
        assert rejected <= 20


def test_scenes_with_different_numbers_of_views_have_no_test(pinned: Pinned) -> None:
    assert signed_rank(drawn(1, 3, 5)).p is not None
    result = signed_rank(differing([-3.0, -2.0], [1.0, 2.0, 3.0]))
    assert (result.p, result.sign, result.n) == (None, 0, 5)
    pinned("compare", result.reason)


@pytest.mark.parametrize("n", [1, 2, 6, 7, 20])
def test_smallest_p_is_that_of_differences_with_one_sign(n: int) -> None:
    assert least_p(n) == pytest.approx(scipys(range(1, n + 1), method="exact"))
    assert least_p(0) == 1


def test_holm_on_worked_examples() -> None:
    # Example of Wikipedia's article: at 5 %, 0.005 and 0.01 are rejected, 0.03 and 0.04 are not.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02, None, 0.02, 0.4]) == [0.06, None, 0.06, 0.4]
    assert holm([]) == []
    assert holm([None]) == [None]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_corrected_p_is_between_the_p_value_and_bonferronis(values: list[float]) -> None:
    adjusted = holm(values)
    for p, corrected in zip(values, adjusted, strict=True):
        assert corrected is not None
        assert p <= corrected <= min(1.0, len(values) * p)
    assert [corrected for _, corrected in sorted(zip(values, adjusted, strict=True))] == sorted(adjusted)  # pyright: ignore


def test_wins_follow_the_direction_of_the_metric() -> None:
    scores = differing([1, 2, -1, 0, 0], [3])
    up, down = (wins(scores, higher_is_better=higher) for higher in (True, False))
    assert (up.wins, up.losses, up.ties) == (3, 1, 2)
    assert (down.wins, down.losses, down.ties) == (1, 3, 2)
