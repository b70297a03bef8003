"""The 95 % intervals reach their nominal coverage, and a percentile bootstrap does not."""

from __future__ import annotations

import numpy as np

from nvs_eval.comparison.statistics.intervals import intervals
from nvs_eval.comparison.statistics.scores import SceneScores, Scores

TRIALS = 1000


def trials(scenes: int, views: int, seed: int) -> dict[str, Scores]:
    """Return the scores of sides that differ by normal noise only."""
    rng = np.random.default_rng(seed)
    names = tuple(map(str, range(views)))
    return {
        str(trial): Scores(
            tuple(
                SceneScores(str(index), names, np.zeros((1, views)), rng.standard_normal((1, views)))
                for index in range(scenes)
            )
        )
        for trial in range(TRIALS)
    }


def coverage(scores: dict[str, Scores]) -> float:
    """Return the share of intervals that contain 0."""
    by_trial = intervals(scores, resamples=1000).values()
    ends = [
        (interval.low, interval.high) for interval in by_trial if interval.low is not None and interval.high is not None
    ]
    assert len(ends) == TRIALS
    return sum(low <= 0 <= high for low, high in ends) / TRIALS


def percentile_coverage(scores: dict[str, Scores], views: int) -> float:
    """Return the coverage of the percentile bootstrap of the mean."""
    rng = np.random.default_rng(1)
    covered = 0
    for trial_scores in scores.values():
        means = trial_scores.scenes[0].differences[rng.integers(0, views, (1000, views))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        covered += low <= 0 <= high
    return covered / TRIALS


def test_coverage_of_seven_views_exceeds_that_of_percentiles() -> None:
    scores = trials(1, 7, 0)
    assert 0.94 < coverage(scores) < 0.985
    assert percentile_coverage(scores, 7) < 0.9


def test_coverage_of_nine_scenes() -> None:
    assert 0.935 < coverage(trials(9, 7, 0)) < 0.97
