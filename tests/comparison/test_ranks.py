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

from nvs_eval.comparison.statistics.ranks import holm, least_p, signed_rank, wins


def scipys(values: Sequence[float], **options: Any) -> float:
    """The p-value of scipy's test."""
    return float(np.asarray(stats.wilcoxon(values, **options))[1])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-9, 9).filter(bool), min_size=6, max_size=60, unique_by=abs))
def test_the_test_of_ranks_is_scipys(values: list[float]) -> None:
    found = signed_rank(differing(values))
    method = "exact" if len(values) <= 50 else "approx"
    assert found.p == pytest.approx(scipys(values, method=method, correction=method == "approx"))
    assert (found.units, found.n) == ("views", len(values))


def test_views_without_a_difference_are_left_out() -> None:
    some = [0.5, -0.25, 1, 2, 3, 4, 0, 0]
    assert signed_rank(differing(some)) == signed_rank(differing(some[:6]))
    assert signed_rank(differing(some)).n == 6
    assert signed_rank(differing([0.0] * 9)).p == 1


def test_infinite_differences_rank_highest() -> None:
    highest = of(([20.0] * 6, [21, 22, 23, 18.5, 25, INF]))
    assert signed_rank(highest).p == signed_rank(differing([1, 2, 3, -1.5, 5, 6])).p
    lowest = of(([20.0] * 5 + [INF], [21, 22, 23, 18.5, 25, 20]))
    assert signed_rank(lowest).p == signed_rank(differing([1, 2, 3, -1.5, 5, -6])).p


def test_equal_differences_are_no_more_certain_than_ranks_can_be() -> None:
    found = signed_rank(differing([0.5] * 6))
    assert found.p == found.least_p == 2 / 2**6
    assert signed_rank(differing([0.5] * 30)).p == pytest.approx(scipys([0.5] * 30, method="approx", correction=True))
    assert signed_rank(differing([0.5])).p == 1


def test_six_scenes_are_what_is_ranked() -> None:
    means = [1, 2, 4, -3, 8, 16]
    found = signed_rank(differing(*[[mean - 30, mean + 30] for mean in means]))
    assert (found.units, found.n) == ("scenes", 6)
    assert found.p == pytest.approx(scipys(means))
    undefined = of(([INF, 1], [1, INF]), *[([0.0], [mean]) for mean in means])
    assert signed_rank(undefined).p is None
    assert signed_rank(undefined).reason.startswith("A scene's mean difference is undefined")


def test_ranks_have_the_sign_of_the_heavier_side() -> None:
    assert [signed_rank(differing(each)).sign for each in ([5, -1, -2], [-5, 1, 2], [-7, 1, 2])] == [0, 0, 0]
    assert [signed_rank(differing(each)).sign for each in ([1, 2, 3, -9], [-1, -2, -3, 9], [0, 0])] == [1, -1, 0]
    assert signed_rank(differing(*[[mean - 30, mean + 30] for mean in (-1, -2, -4, 3, -8, -16)])).sign == -1


@pytest.mark.parametrize("runs", [(3, 3), (1, 2), (2, 1)])
def test_views_are_not_ranked_where_runs_differ_too(runs: tuple[int, int]) -> None:
    found = signed_rank(drawn(1, 1, 25, runs))
    assert (found.p, found.sign, found.n) == (None, 0, 25)
    assert found.reason.startswith("With several runs of a side there is no p-value")
    # Scenes that are a sample have it in their spread.
    assert signed_rank(drawn(1, 6, 5, runs)).p is not None
    assert signed_rank(drawn(1, 6, 5, runs)).reason == ""


def test_under_the_null_no_test_rejects_more_often_than_it_says() -> None:
    rng = np.random.default_rng(6)
    for views, runs in ((25, 1), (25, 3), (200, 3)):
        rejected = 0
        for _ in range(200):
            sides = 0.5 * (rng.standard_normal((2, runs, 1)) + rng.standard_normal((2, runs, views))) * (runs > 1)
            p = signed_rank(of((sides[0], sides[1] + rng.standard_normal(views)))).p
            rejected += p is not None and p < 0.05
        assert rejected <= 20


def test_scenes_of_unequal_numbers_of_views_have_no_test() -> None:
    assert signed_rank(drawn(1, 3, 5)).p is not None
    found = signed_rank(differing([-3.0, -2.0], [1.0, 2.0, 3.0]))
    assert (found.p, found.sign, found.n) == (None, 0, 5)
    assert "the scenes have different numbers of views" in found.reason


@pytest.mark.parametrize("n", [1, 2, 6, 7, 20])
def test_the_least_p_is_that_of_differences_that_all_agree(n: int) -> None:
    assert least_p(n) == pytest.approx(scipys(range(1, n + 1), method="exact"))
    assert least_p(0) == 1


def test_holm_on_worked_examples() -> None:
    # Of four tests at 5 %: 0.005 and 0.01 are rejected, 0.03 and 0.04 are not (the example of Wikipedia's article).
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02, None, 0.02, 0.4]) == [0.06, None, 0.06, 0.4]
    assert holm([]) == []
    assert holm([None]) == [None]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holm_is_between_the_p_value_and_bonferronis(values: list[float]) -> None:
    adjusted = holm(values)
    for p, each in zip(values, adjusted, strict=True):
        assert each is not None
        assert p <= each <= min(1.0, len(values) * p)
    assert [each for _, each in sorted(zip(values, adjusted, strict=True))] == sorted(adjusted)  # pyright: ignore


def test_wins_follow_the_direction_of_the_metric() -> None:
    scores = differing([1, 2, -1, 0, 0], [3])
    up, down = (wins(scores, higher_is_better=each) for each in (True, False))
    assert (up.wins, up.losses, up.ties) == (3, 1, 2)
    assert (down.wins, down.losses, down.ties) == (1, 3, 2)
