"""Scores of two sides, explicit or random."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nvs_eval.comparison.statistics.intervals import Interval, intervals
from nvs_eval.comparison.statistics.jackknife import Jackknife, Without, jackknives
from nvs_eval.comparison.statistics.scores import Array, SceneScores, Scores

INF = math.inf


def scene(a: object, b: object, name: str = "garden") -> SceneScores:
    """Return the scores of one scene. A plain list is a single run."""
    sides = [np.atleast_2d(np.asarray(side, dtype=float)) for side in (a, b)]
    return SceneScores(name, tuple(f"v{index}" for index in range(sides[0].shape[1])), *sides)


def of(*scenes: tuple[object, object]) -> Scores:
    return Scores(tuple(scene(a, b, f"scene{index}") for index, (a, b) in enumerate(scenes)))


def differing(*differences: Sequence[float] | Array) -> Scores:
    """Return scenes with one run a side and these differences."""
    return of(*[(np.zeros(len(scene)), scene) for scene in differences])


def drawn(seed: int, scenes: int, views: int, runs: tuple[int, int] = (1, 1), shift: float = 0.3) -> Scores:
    """Return random scores around 25 with a spread between views, runs and scenes."""
    rng = np.random.default_rng(seed)
    scenes_of_scores = []
    for index in range(scenes):
        level = 25 + 3 * rng.standard_normal(views)
        sides = [level + 0.2 * rng.standard_normal((n, 1)) + 0.5 * rng.standard_normal((n, views)) for n in runs]
        scenes_of_scores.append(scene(sides[0], sides[1] + shift + 0.3 * rng.standard_normal(), f"scene{index}"))
    return Scores(tuple(scenes_of_scores))


def interval(scores: Scores, resamples: int = 2000, seed: int = 7) -> Interval:
    return intervals({"psnr": scores}, resamples=resamples, seed=seed)["psnr"]


def swapped(scores: Scores) -> Scores:
    """Swap sides A and B."""
    return Scores(tuple(SceneScores(scene.name, scene.views, scene.b, scene.a) for scene in scores.scenes))


def ends(interval: Interval | Without) -> tuple[float, float]:
    """Return the ends of an interval that must exist."""
    assert interval.low is not None
    assert interval.high is not None
    return interval.low, interval.high


def unequal(seed: int, *counts: int, spread: float = 1.0) -> Scores:
    """Return scenes with these numbers of views. The first scene has its own spread."""
    rng = np.random.default_rng(seed)
    scales = [spread] + [1.0] * (len(counts) - 1)
    return differing(*[scale * rng.standard_normal(count) for scale, count in zip(scales, counts, strict=True)])


def nearly_equal() -> tuple[Array, Array]:
    """Return two sides that differ only by the rounding of adding and subtracting a number."""
    a = np.random.default_rng(0).uniform(20, 40, 30)
    return a, (a + 100.3) - 100.3


def without(scores: Scores, resamples: int = 2000) -> Jackknife:
    """Return the jackknife of a single metric."""
    by_metric = intervals({"psnr": scores}, resamples=resamples)
    return jackknives({"psnr": scores}, by_metric, resamples=resamples)["psnr"]
