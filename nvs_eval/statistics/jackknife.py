"""How much a verdict hangs on one view or one scene: the mean difference and its interval without each of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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

    The interval without one is in closed form: the standard error without it, times the quantile of all (`Interval`),
    which one view of many hardly changes.

    Args:
        scores: of one metric.
        interval: of the same scores.
    """
    fixed = interval.quantile is not None and not scores.samples_scenes
    whole = [_summary(scene.differences, *scene.finite, fixed=fixed) for scene in scores.scenes]
    views: list[Without] = []
    scenes: list[Without] = []
    for index, scene in enumerate(scores.scenes):
        others = whole[:index] + whole[index + 1 :]
        if others:
            scenes.append(_without(scores, interval, others, (scene.name, None)))
        for place, view in enumerate(scene.views):
            left = [_one_left_out(scene, place, fixed=fixed)] if len(scene.views) > 1 else []
            if others or left:
                views.append(_without(scores, interval, [*others, *left], (scene.name, view)))
    return Jackknife(interval, tuple(views), tuple(scenes))


def _one_left_out(scene: SceneScores, place: int, *, fixed: bool) -> tuple[float, float]:
    a, b = (np.delete(side, place, axis=1) for side in scene.finite)
    return _summary(np.delete(scene.differences, place), a, b, fixed=fixed)


def _summary(differences: Array, a: Array, b: Array, *, fixed: bool) -> tuple[float, float]:
    """A scene's mean difference and, where scenes are fixed, its variance; NaN where there is none."""
    with np.errstate(invalid="ignore"):
        mean = float(differences.mean())
    return mean, variance_of_mean(a, b) if fixed and len(differences) > 1 else math.nan


def _without(
    scores: Scores, interval: Interval, kept: Sequence[tuple[float, float]], name: tuple[str, str | None]
) -> Without:
    """What the scenes' summaries say that are kept, under the name of what is left out."""
    means, variances = np.array(kept).T
    with np.errstate(invalid="ignore"):
        difference = float(means.mean())
    if math.isnan(difference):
        return Without(*name, None, None, None)
    if interval.quantile is None:
        return Without(*name, difference, None, None)
    error = float(over_scenes(means) if scores.samples_scenes else within_scenes(variances))
    if math.isnan(error):
        return Without(*name, difference, None, None)
    return Without(*name, difference, *ends(difference, interval.quantile * error, scores.rounding))
