"""The mean difference of two sides with its 95 % interval by a hierarchical studentised bootstrap, and its limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nvs_eval.comparison.statistics.resampling import studentised
from nvs_eval.comparison.statistics.scores import Array, Scores, freedom, standard_error, units, units_of_layout
from nvs_eval.errors import InputError, counted, listed, some

LEVEL = 0.95
RESAMPLES = 10_000
# What the draws start from, so that the same scores always have the same interval.
SEED = 20_240_229
# A single outlier among few views makes the quantile erratic, as resamples that lack it hardly spread. More than this
# many times Student's adds next to nothing to what intervals hold (docs/comparison.md), and makes them absurdly wide.
_MOST_OF_STUDENTS = 2.0
# The fewest views that bear an interval while scenes are fixed.
FEWEST_VIEWS = 6
# The same for scenes of different numbers of views, in views of one scene.
_FEWEST_UNITS = 4
# Fewer views or scenes than this cannot show how skewed they are, and the interval depends on it.
_ENOUGH = 15
# A sample skewness beyond which simulated intervals held clearly less than 95 %, but for so many views.
_VERY_SKEWED = 2.0
_ENOUGH_OF_SKEWED = 200
# Fewer runs than this say little of how runs differ.
_ENOUGH_RUNS = 5

_INFINITE = (
    "On {infinite} of {views} views one side alone is infinite (its image is identical to the reference), so that the "
    "mean difference is not finite: only ranks can be compared."
)
_FEW_VIEWS = "{views} can bear no interval: at least {fewest} are needed."
_SINGLE_VIEWS = "One view shared says nothing of how views spread: at least two are needed of {scenes}."
_FEW_UNITS = "{weight}, which can bear no interval: more are needed of the scene with the fewest."
_WEIGHT = "Scenes of {counts} views weigh the same, and tell as little as {units} views of one scene"
_UNSHOWN_SKEW = (
    "{units} cannot show how skewed the differences are: the interval holds {held} % where they are very skewed, and "
    "up to 98 % where they have heavy tails, instead of 95 %."
)
_SKEWED = (
    "The differences of the {units} are very skewed (a few large ones on one side): the interval may hold as little as "
    "90 % instead of 95 %."
)
_FEW_RUNS = "{runs} runs of a side say little of how much trainings differ: {enough} say more."
_EQUAL_SCENES = (
    "The mean differences of all scenes are equal while those of their views are not: nothing says how much scenes "
    "differ."
)
_ABOUT_SCENES = "The interval is about scenes of the kind of these {count}."
_ABOUT_VIEWS = "The interval is about other views of {scenes}, not about others.{runs}"
# Whether each side has one run in each scene, by the answers there are.
_SINGLE_RUNS = {
    frozenset({True}): " Each side was trained once: what another training would change is not in it.",
    frozenset({True, False}): " Where a side was trained once, what another training would change is not in it.",
}


@dataclass(frozen=True)
class Interval:
    """The mean difference B - A, in the unit of the metric, and how well it is known.

    Attributes:
        difference: the mean over scenes of their mean differences; infinite where one side alone is infinite on a view,
            None where infinities of both signs meet.
        low: where the 95 % interval begins, or None.
        high: where it ends, or None.
        standard_error: of the difference, or None.
        quantile: half the interval in standard errors, or None.
        reason: why there is no interval, in words; "" where there is one.
        caution: why it may hold less than 95 %, in words; "" where nothing is known against it.
        note: what it is about, in words, and what is not in it.
    """

    difference: float | None
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    quantile: float | None = None
    reason: str = ""
    caution: str = ""
    note: str = ""

    @property
    def sign(self) -> int:
        """Whether the difference is above (1) or below (-1) zero beyond doubt; 0 where that cannot be said."""
        return sign_of(self.low, self.high)


def sign_of(low: float | None, high: float | None) -> int:
    """Whether an interval lies above (1) or below (-1) zero; 0 where it does neither, or where there is none."""
    if low is None or high is None:
        return 0
    return int(low > 0) - int(high < 0)


def ends(difference: float, half: float, rounding: float) -> tuple[float, float]:
    """Where an interval begins and ends; a difference that is no more than rounding has zero in it."""
    low, high = difference - half, difference + half
    return (min(low, 0.0), max(high, 0.0)) if abs(difference) <= rounding else (low, high)


def intervals(metrics: Mapping[str, Scores], *, resamples: int = RESAMPLES, seed: int = SEED) -> dict[str, Interval]:
    """The mean difference of each metric and its 95 % interval, symmetric about it.

    Half the interval is the standard error times the 95 % quantile of how many of their own standard errors resamples
    are off, which is at most twice Student's. (Hall, "On symmetric bootstrap confidence intervals", 1988;
    docs/comparison.md says what it covers.)

    Args:
        metrics: the scores by the metric's name. Those with the same numbers of scenes, runs and views share the draws.
        resamples: how many.
        seed: of the draws.

    Raises:
        InputError: there are too few resamples for a quantile.
    """
    if math.ceil(LEVEL * (resamples + 1)) > resamples:
        raise InputError(f"{resamples} resamples have no {LEVEL:.0%} quantile: 19 are needed, and 10,000 are usual.")
    result = {name: _without_draws(scores) for name, scores in metrics.items()}
    layouts: dict[object, list[str]] = {}
    for name, interval in result.items():
        if not interval.reason and interval.low is None:
            layouts.setdefault(metrics[name].layout, []).append(name)
    for names in layouts.values():
        ratios = np.abs(studentised([metrics[name] for name in names], resamples=resamples, seed=seed))
        for name, quantile in zip(names, _quantiles(ratios), strict=True):
            result[name] = _interval(metrics[name], quantile)
    return {name: result[name] for name in metrics}


def _quantiles(ratios: Array) -> list[float]:
    """An order statistic, which may be infinite: between two of them there is nothing to interpolate."""
    place = math.ceil(LEVEL * (len(ratios) + 1)) - 1
    return [float(value) for value in np.partition(ratios, place, axis=0)[place]]


def _without_draws(scores: Scores) -> Interval:
    """What there is to say before anything is drawn: all of it where there is no interval, or no spread."""
    difference = None if math.isnan(scores.difference) else scores.difference
    reason = why_none(scores)
    if reason or difference is None:
        return Interval(difference, reason=reason)
    if standard_error(scores) > scores.rounding:
        return Interval(difference)
    within = max(float(np.ptp(scene.differences)) for scene in scores.scenes)
    if scores.samples_scenes and within > scores.rounding:
        return Interval(difference, reason=_EQUAL_SCENES)
    low, high = ends(difference, 0.0, scores.rounding)
    return Interval(difference, low, high, 0.0, 0.0, caution=caution(scores), note=note(scores))


def _interval(scores: Scores, quantile: float) -> Interval:
    from scipy.special import stdtrit

    error = standard_error(scores)
    quantile = min(quantile, _MOST_OF_STUDENTS * float(stdtrit(freedom(scores), (1 + LEVEL) / 2)))
    low, high = ends(scores.difference, quantile * error, scores.rounding)
    return Interval(scores.difference, low, high, error, quantile, caution=caution(scores), note=note(scores))


def why_none(scores: Scores) -> str:
    """Why there can be no interval; "" where there can."""
    if scores.infinite:
        return _INFINITE.format(infinite=scores.infinite, views=scores.views)
    if scores.samples_scenes:
        return ""
    if scores.views < FEWEST_VIEWS:
        return _FEW_VIEWS.format(views=counted(scores.views, "shared view"), fewest=FEWEST_VIEWS)
    if single := [scene.name for scene in scores.scenes if len(scene.views) < 2]:
        return _SINGLE_VIEWS.format(scenes=some(single))
    if (number := units_of_layout(scores)) < _FEWEST_UNITS:
        return _FEW_UNITS.format(weight=_weight(scores, number))
    return ""


def caution(scores: Scores) -> str:
    """Why an interval may hold the truth less often than it says; "" where nothing is known against it."""
    return " ".join(filter(None, [_of_units(scores), _of_runs(scores)]))


def note(scores: Scores) -> str:
    """What an interval is about, and what is not in it."""
    count = len(scores.scenes)
    if scores.samples_scenes:
        return _ABOUT_SCENES.format(count=count)
    single = frozenset(runs == 1 for scene in scores.scenes for runs in scene.layout[:2])
    scenes = "this scene" if count == 1 else f"these {count} scenes"
    return _ABOUT_VIEWS.format(scenes=scenes, runs=_SINGLE_RUNS.get(single, ""))


def _of_units(scores: Scores) -> str:
    number = units(scores)
    fixed = not scores.samples_scenes
    all_units = counted(scores.views, "view") if fixed else counted(len(scores.scenes), "scene")
    if number < _ENOUGH:
        if fixed and number < scores.views:
            weighed = f"{_weight(scores, number)}, and {counted(number, 'view')}"
            return _UNSHOWN_SKEW.format(units=weighed, held="84 to 92")
        return _UNSHOWN_SKEW.format(units=all_units, held="88 to 93")
    if number < _ENOUGH_OF_SKEWED and abs(_skewness(scores, number)) > _VERY_SKEWED:
        return _SKEWED.format(units=all_units)
    return ""


def _weight(scores: Scores, number: int) -> str:
    return _WEIGHT.format(counts=listed([str(len(scene.views)) for scene in scores.scenes]), units=number)


def _of_runs(scores: Scores) -> str:
    """Few runs of fixed scenes; where scenes are a sample, what runs add is in their spread, and known as well."""
    several = [runs for scene in scores.scenes for runs in scene.layout[:2] if runs > 1]
    if scores.samples_scenes or not several or min(several) >= _ENOUGH_RUNS:
        return ""
    return _FEW_RUNS.format(runs=min(several), enough=_ENOUGH_RUNS)


def _skewness(scores: Scores, number: int) -> float:
    """The sample skewness of what so many units contribute to the mean difference; of views about their scene's mean.

    A view of a scene of few contributes more, and so does what is skewed in that scene.
    """
    if scores.samples_scenes:
        values = scores.scene_means - scores.scene_means.mean()
    else:
        centred = [(scene.differences - scene.differences.mean()) / len(scene.views) for scene in scores.scenes]
        values = np.concatenate(centred)
    squares = (values**2).sum()
    return float((values**3).sum() / squares**1.5 * np.sqrt(number)) if squares > 0 else 0.0
