"""Scores of two sides, their differences, and the standard error of the mean difference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from support.paired_scores import INF, differing, of, scene

from nvs_eval import InputError
from nvs_eval.comparison.statistics.scores import Array, SceneScores, Scores, variance_of_mean


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([[1, 2]], [[1, 2, 3]], r"garden: .* side B .*\[runs, views\].* \(1, 3\) for 2 views"),
        ([1, 2], [[1, 2]], r"garden: .* side A .* \(2,\)"),
        (np.zeros((0, 2)), [[1, 2]], r"garden: .* side A .* \(0, 2\)"),
        ([[1, 2]], [[1, 2], [3, math.nan]], "garden: .* side B, run 2, view v1 .* nan"),
        ([[-INF, 2]], [[1, 2]], "garden: .* side A, run 1, view v0 .* -inf"),
    ],
)
def test_invalid_scores_are_refused(a: Array, b: Array, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SceneScores("garden", ("v0", "v1"), a, b)


def test_names_are_unique_and_there_is_something_to_compare() -> None:
    with pytest.raises(InputError, match=r"garden: .* a, a\."):
        SceneScores("garden", ("a", "a"), np.zeros((1, 2)), np.zeros((1, 2)))
    with pytest.raises(InputError, match=r"\(1, 0\)"):
        SceneScores("garden", (), np.zeros((1, 0)), np.zeros((1, 0)))
    with pytest.raises(InputError, match="garden, garden"):
        Scores((scene([1], [1]), scene([1], [1])))
    with pytest.raises(InputError, match="at least one scene"):
        Scores(())


def test_scores_are_copied_and_read_only() -> None:
    a = np.ones((1, 2))
    kept = SceneScores("garden", ("v0", "v1"), a, a)
    a[0, 0] = 5
    assert kept.a[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        kept.b[0, 0] = 5


def test_difference_averages_runs_then_views_then_scenes() -> None:
    scores = of(([[1, 2], [3, 4]], [[5, 7]]), ([[0, 0, 0]], [[1, 2, 6]]))
    assert [scene.differences.tolist() for scene in scores.scenes] == [[3.0, 4.0], [1.0, 2.0, 6.0]]
    assert scores.difference == (3.5 + 3.0) / 2


def test_one_scene_has_the_standard_error_of_a_mean() -> None:
    assert differing([1, 2, 3, 4, 10]).standard_error == pytest.approx(stats.sem([1, 2, 3, 4, 10]), rel=1e-14)


def test_a_few_scenes_are_fixed() -> None:
    scores = differing([1, 2, 4], [10, 30])
    expected = math.sqrt(np.var([1, 2, 4], ddof=1) / 3 + np.var([10, 30], ddof=1) / 2) / 2
    assert scores.standard_error == pytest.approx(expected, rel=1e-14)


def test_six_scenes_are_a_sample() -> None:
    means = [1, 2, 4, 8, 16, 32]
    scores = differing(*[[mean - 3, mean + 3] for mean in means])
    assert scores.standard_error == pytest.approx(stats.sem(means), rel=1e-14)


def test_runs_of_both_sides_add_to_the_variance() -> None:
    a, b = np.array([[1.0, 2, 3], [2, 3, 7]]), np.array([[4.0, 4, 4], [5, 6, 7], [6, 8, 10]])
    differences = np.array([5 - 1.5, 6 - 2.5, 7 - 5])
    expected = differences.var(ddof=1) / 3 + np.var([2, 4], ddof=1) / 2 + np.var([4, 6, 8], ddof=1) / 3
    assert variance_of_mean(a, b) == pytest.approx(expected, rel=1e-14)
