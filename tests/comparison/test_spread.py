"""The standard error of a mean difference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from support.paired_scores import differing

from nvs_eval.comparison.statistics.spread import standard_error, variance_of_mean


def test_one_scene_has_the_standard_error_of_a_mean() -> None:
    assert standard_error(differing([1, 2, 3, 4, 10])) == pytest.approx(stats.sem([1, 2, 3, 4, 10]), rel=1e-14)


def test_a_few_scenes_are_fixed() -> None:
    scores = differing([1, 2, 4], [10, 30])
    expected = math.sqrt(np.var([1, 2, 4], ddof=1) / 3 + np.var([10, 30], ddof=1) / 2) / 2
    assert standard_error(scores) == pytest.approx(expected, rel=1e-14)


def test_six_scenes_are_a_sample() -> None:
    means = [1, 2, 4, 8, 16, 32]
    scores = differing(*[[mean - 3, mean + 3] for mean in means])
    assert standard_error(scores) == pytest.approx(stats.sem(means), rel=1e-14)


def test_runs_of_both_sides_add_to_the_variance() -> None:
    a, b = np.array([[1.0, 2, 3], [2, 3, 7]]), np.array([[4.0, 4, 4], [5, 6, 7], [6, 8, 10]])
    differences = np.array([5 - 1.5, 6 - 2.5, 7 - 5])
    expected = differences.var(ddof=1) / 3 + np.var([2, 4], ddof=1) / 2 + np.var([4, 6, 8], ddof=1) / 3
    assert variance_of_mean(a, b) == pytest.approx(expected, rel=1e-14)
