"""How much a verdict hangs on one view or one scene: the mean difference and its interval without each of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nvs_eval.statistics.intervals import Interval, ends, sign_of
from nvs_eval.statistics.scores import Array, SceneScores, Scores
from nvs_eval.statistics.spread import over_scenes, variance_of_mean, within_scenes


@dataclass(frozen=True)
class Without:
    """The mean difference without one view, or without one scene.

    Attributes:
        scene: its name.
        view: the view's name; None where the whole scene is left out.
        difference: B - A without it; None where it is undefined.
        low: where the interval without it begins, or None.
        high: where it ends, or None.
    """

    scene: str
    view: str | None
    difference: float | None
    low: float | None
    high: float | None

    @property
    def sign(self) -> int:
        """As that of an interval: 1, -1, or 0 where zero is within it or there is none."""
        return sign_of(self.low, self.high)


@dataclass(frozen=True)
class Jackknife:
    """What the difference would be without each view and each scene.

    Attributes:
        interval: with all of them.
        views: without one view each; none where nothing is left without it.
        scenes: without one scene each; none where there is only one.
    """

    interval: Interval
    views: tuple[Without, ...]
    scenes: tuple[Without, ...]

    @property
    def pivotal_views(self) -> tuple[Without, ...]:
        """The views without which the verdict, which is the interval's sign, would be another."""
        return tuple(each for each in self.views if self._turns(each))

    @property
    def pivotal_scenes(self) -> tuple[Without, ...]:
        """The scenes without which the verdict would be another."""
        return tuple(each for each in self.scenes if self._turns(each))

    @property
    def most_influential(self) -> Without | None:
        """The view without which the mean difference would change most; None where no mean is finite."""
        return max((each for each in self.views if each.difference is not None), key=self._change, default=None)

    def _turns(self, each: Without) -> bool:
        return self.interval.low is not None and each.low is not None and each.sign != self.interval.sign

    def _change(self, each: Without) -> float:
        if each.difference is None or self.interval.difference is None:
            return 0.0
        both = math.isinf(each.difference) and math.isinf(self.interval.difference)
        return 0.0 if both else abs(each.difference - self.interval.difference)


def jackknife(scores: Scores, interval: Interval) -> Jackknife:
    """Leave out each view, and each scene, in turn.

    The interval without one is in closed form: the standard error without it, times the quantile of all (`Interval`).
    One view of many hardly changes that; without an outlier among few it would be smaller, so that too few views are
    named as pivotal rather than too many.

    Args:
        scores: of one metric.
        interval: of the same scores.
    """
    fixed = interval.quantile is not None and not scores.samples_scenes
    means = scores.scene_means
    variances = np.array([variance_of_mean(*scene.finite) if fixed else np.nan for scene in scores.scenes])
    views: list[Without] = []
    scenes: list[Without] = []
    for index, scene in enumerate(scores.scenes):
        others = np.delete(means, index), np.delete(variances, index)
        whole = _named(scores, interval, others, [(scene.name, None)]) if len(means) > 1 else []
        scenes += whole
        names = [(scene.name, view) for view in scene.views]
        if len(names) > 1:
            spread = _variances_without(scene) if fixed else np.full(len(names), np.nan)
            kept = _beside(others[0], _means_without(scene)), _beside(others[1], spread)
            views += _named(scores, interval, kept, names)
        else:
            # With its only view a scene is gone.
            views += [replace(each, view=scene.views[0]) for each in whole]
    return Jackknife(interval, tuple(views), tuple(scenes))


def _beside(others: Array, each: Array) -> Array:
    """What the other scenes have, and then one of several values: [values, scenes]."""
    return np.column_stack([np.broadcast_to(others, (len(each), len(others))), each])


def _means_without(scene: SceneScores) -> Array:
    """A scene's mean difference without each of its views."""
    return _sums_without(scene.differences) / (len(scene.views) - 1)


def _variances_without(scene: SceneScores) -> Array:
    """What `variance_of_mean` is without each of a scene's views; NaN where one view is left."""
    a, b = scene.finite
    left = len(scene.views) - 1
    if left < 2:
        return np.full(left + 1, np.nan)
    centred = scene.differences - scene.differences.mean()
    squares = _sums_without(centred**2) - _sums_without(centred) ** 2 / left
    of_runs = [(_sums_without(side) / left).var(axis=0, ddof=1) / len(side) for side in (a, b) if len(side) > 1]
    return np.maximum(squares, 0.0) / (left - 1) / left + sum(of_runs)


def _sums_without(values: Array) -> Array:
    """The sum over all views but each, [..., views]: from both ends, as infinity cannot be taken off again."""
    before, after = np.zeros_like(values), np.zeros_like(values)
    with np.errstate(invalid="ignore"):
        before[..., 1:] = np.cumsum(values[..., :-1], axis=-1)
        after[..., -2::-1] = np.cumsum(values[..., :0:-1], axis=-1)
        return before + after


def _named(
    scores: Scores, interval: Interval, kept: tuple[Array, Array], names: Sequence[tuple[str, str | None]]
) -> list[Without]:
    """The differences and intervals of the means and variances of scenes [names, scenes] that are kept without each."""
    means, variances = (np.atleast_2d(each) for each in kept)
    with np.errstate(invalid="ignore"):
        differences = means.mean(axis=1)
    found = [Without(*name, _or_none(value), None, None) for name, value in zip(names, differences, strict=True)]
    if interval.quantile is None:
        return found
    errors = over_scenes(means) if scores.samples_scenes else within_scenes(variances)
    halves = interval.quantile * errors
    return [_with_ends(each, half, scores.rounding) for each, half in zip(found, halves.tolist(), strict=True)]


def _with_ends(each: Without, half: float, rounding: float) -> Without:
    if each.difference is None or math.isnan(half):
        return each
    low, high = ends(each.difference, half, rounding)
    return replace(each, low=low, high=high)


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
