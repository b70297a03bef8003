"""The intervals hold the truth as often as they say, where a percentile bootstrap does not."""

from __future__ import annotations

import numpy as np

from nvs_eval.comparison.statistics.intervals import intervals
from nvs_eval.comparison.statistics.scores import SceneScores, Scores

TRIALS = 1000


def trials(scenes: int, views: int, seed: int) -> dict[str, Scores]:
    """Sides that differ in nothing but normal noise."""
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


def covered(scores: dict[str, Scores]) -> float:
    found = intervals(scores, resamples=1000).values()
    ends = [(each.low, each.high) for each in found if each.low is not None and each.high is not None]
    assert len(ends) == TRIALS
    return sum(low <= 0 <= high for low, high in ends) / TRIALS


def percentile(scores: dict[str, Scores], views: int) -> float:
    """What the plain bootstrap of the mean covers."""
    rng = np.random.default_rng(1)
    held = 0
    for each in scores.values():
        means = each.scenes[0].differences[rng.integers(0, views, (1000, views))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        held += low <= 0 <= high
    return held / TRIALS


def test_seven_views_are_covered_where_percentiles_would_not() -> None:
    scores = trials(1, 7, 0)
    assert 0.94 < covered(scores) < 0.985
    assert percentile(scores, 7) < 0.9


def test_nine_scenes_are_covered() -> None:
    assert 0.935 < covered(trials(9, 7, 0)) < 0.97
