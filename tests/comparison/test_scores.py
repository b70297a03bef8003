"""The scores of two sides, and their differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.paired_scores import INF, of, scene

from nvs_eval import InputError
from nvs_eval.comparison.statistics.scores import Array, SceneScores, Scores


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ([[1, 2]], [[1, 2, 3]], r"garden: the scores of side B have the shape \(1, 3\), and \[runs, views\] is needed"),
        ([1, 2], [[1, 2]], r"garden: the scores of side A have the shape \(2,\)"),
        (np.zeros((0, 2)), [[1, 2]], r"garden: the scores of side A have the shape \(0, 2\)"),
        ([[1, 2]], [[1, 2], [3, math.nan]], "garden: the score of side B, run 2, view v1 is nan: a number is needed"),
        ([[-INF, 2]], [[1, 2]], "garden: the score of side A, run 1, view v0 is -inf"),
    ],
)
def test_scores_that_are_none_are_refused(a: Array, b: Array, said: str) -> None:
    with pytest.raises(InputError, match=said):
        SceneScores("garden", ("v0", "v1"), a, b)


def test_names_are_given_once_and_something_is_there() -> None:
    with pytest.raises(InputError, match="garden: two of its views have one name: a, a"):
        SceneScores("garden", ("a", "a"), np.zeros((1, 2)), np.zeros((1, 2)))
    with pytest.raises(InputError, match=r"the shape \(1, 0\)"):
        SceneScores("garden", (), np.zeros((1, 0)), np.zeros((1, 0)))
    with pytest.raises(InputError, match="Two of the scenes have one name: garden, garden"):
        Scores((scene([1], [1]), scene([1], [1])))
    with pytest.raises(InputError, match="There is no scene"):
        Scores(())


def test_scores_are_kept_as_they_were_given() -> None:
    a = np.ones((1, 2))
    kept = SceneScores("garden", ("v0", "v1"), a, a)
    a[0, 0] = 5
    assert kept.a[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        kept.b[0, 0] = 5


def test_the_difference_is_of_runs_then_views_then_scenes() -> None:
    scores = of(([[1, 2], [3, 4]], [[5, 7]]), ([[0, 0, 0]], [[1, 2, 6]]))
    assert [each.differences.tolist() for each in scores.scenes] == [[3.0, 4.0], [1.0, 2.0, 6.0]]
    assert scores.difference == (3.5 + 3.0) / 2
