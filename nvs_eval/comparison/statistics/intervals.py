"""Mean difference of two sides with its 95 % interval by a hierarchical studentised bootstrap, and its limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from nvs_eval.comparison.statistics.resampling import studentised
from nvs_eval.comparison.statistics.scores import Array, Scores, freedom, units, units_of_layout
from nvs_eval.errors import InputError, counted, listed, some

K = TypeVar("K")

LEVEL = 0.95
RESAMPLES = 10_000
# Fixed seed of the draws: the same scores always have the same interval.
SEED = 20_240_229
# Largest number of metrics whose draws are in memory at a time.
_AT_ONCE = 1000
# Limit of the quantile, in Student's quantiles. A single outlier among few views makes the quantile erratic, because
# resamples without it hardly spread. The limit costs at most 0.1 points of coverage (docs/comparison.md) and avoids
# absurdly wide intervals.
_MOST_OF_STUDENTS = 2.0
# Number of views that an interval over fixed scenes requires.
FEWEST_VIEWS = 6
# Effective number of views that fixed scenes with different numbers of views require.
_FEWEST_UNITS = 4
# Number of units from which on a sample shows how skewed it is, on which coverage depends.
_ENOUGH = 15
# Sample skewness above which coverage was clearly below 95 % in simulations, with fewer than 200 units.
_VERY_SKEWED = 2.0
_ENOUGH_OF_SKEWED = 200
# Number of runs from which on a side shows how its trainings differ.
_ENOUGH_RUNS = 5

_INFINITE = (
    "On {infinite} of {views} views, only one side is infinite (its image equals the reference). The mean difference "
    "is therefore not finite, and only ranks can be compared."
)
_FEW_VIEWS = "With {views}, there is no interval: at least {fewest} are required."
_SINGLE_VIEWS = (
    "With a single view of a scene, there is no interval: at least two are required. Scenes with one: {scenes}."
)
_FEW_UNITS = "{weight}. There is no interval: the scene with the fewest views needs more."
_WEIGHT = "Scenes of {counts} views have equal weight, and tell no more than {units} views of one scene"
_UNSHOWN_SKEW = (
    "With only {units}, skewness cannot be judged: if the differences are very skewed, the interval covers "
    "{coverage} %, not 95 %. If they have heavy tails, it covers up to 98 %."
)
_SKEWED = (
    "The differences of the {units} are very skewed (a few large ones on one side). The interval may cover as little "
    "as 90 % instead of 95 %."
)
_FEW_RUNS = "A side with {runs} runs shows little of how trainings differ; {enough} runs show more."
_EQUAL_SCENES = "All scenes have the same mean difference although their views differ: the spread of scenes is unknown."
_ABOUT_SCENES = "The interval is about scenes like these {count}."
_ABOUT_VIEWS = "The interval is about other views of {scenes}, not about other scenes.{runs}"
# Keys: whether a side has a single run on a scene, over all sides and scenes.
_SINGLE_RUNS = {
    frozenset({True}): " Each side was trained once: the interval does not contain what another training would change.",
    frozenset({True, False}): (
        " Where a side was trained once, the interval does not contain what another training would change."
    ),
}


@dataclass(frozen=True)
class Interval:
    """Mean difference B - A with its 95 % interval, in the unit of the metric.

    Attributes:
        difference: mean over scenes of their mean differences; infinite if only one side is infinite on a view, None if
            there are such views of both signs.
        low: lower end of the 95 % interval, or None.
        high: upper end of the 95 % interval, or None.
        standard_error: standard error of the difference, or None.
        quantile: half the width of the interval in standard errors, or None.
        reason: sentence on why there is no interval; "" if there is one.
        caution: sentence on why coverage may differ from 95 %; "" if there is no reason.
        note: sentence on what the interval is about, and what it does not contain.
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
        """1 if the interval is above zero, -1 if below, and 0 otherwise."""
        return sign_of(self.low, self.high)


def sign_of(low: float | None, high: float | None) -> int:
    """Return 1 if an interval is above zero, -1 if below, and 0 otherwise or without an interval."""
    if low is None or high is None:
        return 0
    return int(low > 0) - int(high < 0)


def ends(difference: float, half: float, rounding: float) -> tuple[float, float]:
    """Return the ends of an interval, which contains zero if the difference may be due to rounding."""
    low, high = difference - half, difference + half
    return (min(low, 0.0), max(high, 0.0)) if abs(difference) <= rounding else (low, high)


def sign_of_several(scores: Scores, interval: Interval, tests: int) -> int:
    """Return 1 if the interval, widened for a number of tests, is above zero, -1 if below, and 0 otherwise."""
    if tests == 1 or not interval.standard_error or interval.quantile is None or interval.difference is None:
        return interval.sign
    from scipy.special import stdtrit

    quantile = float(stdtrit(freedom(scores), 1 - (1 - LEVEL) / (2 * tests)))
    half = max(quantile, interval.quantile) * interval.standard_error
    return sign_of(*ends(interval.difference, half, scores.rounding))


def intervals(metrics: Mapping[K, Scores], *, resamples: int = RESAMPLES, seed: int = SEED) -> dict[K, Interval]:
    """Return the mean difference of each metric with its symmetric 95 % interval.

    Half the interval is the standard error times a quantile: the 95 % quantile of the distance of resamples from the
    mean difference, in their own standard errors, and at most twice Student's quantile. (Hall, "On symmetric bootstrap
    confidence intervals", 1988; coverage is in docs/comparison.md.)

    Args:
        metrics: scores by metric. Metrics with the same numbers of scenes, runs and views share the draws.
        resamples: number of bootstrap resamples.
        seed: seed of the draws.

    Raises:
        InputError: there are too few resamples for a quantile.
    """
    if math.ceil(LEVEL * (resamples + 1)) > resamples:
        level = f"{100 * LEVEL:g} %"
        raise InputError(f"The number of resamples must be at least 19 for a {level} quantile. Got {resamples}.")
    result = {name: _without_draws(scores) for name, scores in metrics.items()}
    layouts: dict[object, list[K]] = {}
    for name, interval in result.items():
        if not interval.reason and interval.low is None:
            layouts.setdefault(metrics[name].layout, []).append(name)
    for all_names in layouts.values():
        for start in range(0, len(all_names), _AT_ONCE):
            names = all_names[start : start + _AT_ONCE]
            ratios = studentised([metrics[name] for name in names], resamples=resamples, seed=seed)
            for name, quantile in zip(names, _quantiles(ratios), strict=True):
                result[name] = _interval(metrics[name], quantile)
    return {name: result[name] for name in metrics}


def _quantiles(ratios: Array) -> list[float]:
    """Return an order statistic of the distances of each metric; interpolation would fail at infinite ones."""
    index = math.ceil(LEVEL * (len(ratios) + 1)) - 1
    return [float(np.partition(np.abs(of_metric), index)[index]) for of_metric in ratios.T]


def _without_draws(scores: Scores) -> Interval:
    """Return what needs no draws: the reason for no interval, a point if nothing spreads, or the difference alone."""
    difference = None if math.isnan(scores.difference) else scores.difference
    reason = why_none(scores)
    if reason or difference is None:
        return Interval(difference, reason=reason)
    if scores.standard_error > scores.rounding:
        return Interval(difference)
    range_of_views = max(float(np.ptp(scene.differences)) for scene in scores.scenes)
    if scores.samples_scenes and range_of_views > scores.rounding:
        return Interval(difference, reason=_EQUAL_SCENES)
    low, high = ends(difference, 0.0, scores.rounding)
    return Interval(difference, low, high, 0.0, 0.0, caution=caution(scores), note=note(scores))


def _interval(scores: Scores, quantile: float) -> Interval:
    from scipy.special import stdtrit

    error = scores.standard_error
    quantile = min(quantile, _MOST_OF_STUDENTS * float(stdtrit(freedom(scores), (1 + LEVEL) / 2)))
    low, high = ends(scores.difference, quantile * error, scores.rounding)
    return Interval(scores.difference, low, high, error, quantile, caution=caution(scores), note=note(scores))


def why_none(scores: Scores) -> str:
    """Return why there can be no interval, or ""."""
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
    """Return why the coverage of an interval may differ from 95 %, or ""."""
    return " ".join(filter(None, [_caution_on_units(scores), _caution_on_runs(scores)]))


def note(scores: Scores) -> str:
    """Return what an interval is about, and what it does not contain."""
    count = len(scores.scenes)
    if scores.samples_scenes:
        return _ABOUT_SCENES.format(count=count)
    single = frozenset(runs == 1 for scene in scores.scenes for runs in scene.layout[:2])
    scenes = "this scene" if count == 1 else f"these {count} scenes"
    return _ABOUT_VIEWS.format(scenes=scenes, runs=_SINGLE_RUNS.get(single, ""))


def _caution_on_units(scores: Scores) -> str:
    number = units(scores)
    fixed = not scores.samples_scenes
    all_units = counted(scores.views, "view") if fixed else counted(len(scores.scenes), "scene")
    if number < _ENOUGH:
        if fixed and number < scores.views:
            skew = _UNSHOWN_SKEW.format(units=counted(number, "view"), coverage="84 to 92")
            return f"{_weight(scores, number)}. {skew}"
        return _UNSHOWN_SKEW.format(units=all_units, coverage="88 to 93")
    if number < _ENOUGH_OF_SKEWED and abs(_skewness(scores, number)) > _VERY_SKEWED:
        return _SKEWED.format(units=all_units)
    return ""


def _weight(scores: Scores, number: int) -> str:
    return _WEIGHT.format(counts=listed([str(len(scene.views)) for scene in scores.scenes]), units=number)


def _caution_on_runs(scores: Scores) -> str:
    """Return a caution for few runs on fixed scenes; the spread of sampled scenes contains that of runs."""
    counts = [runs for scene in scores.scenes for runs in scene.layout[:2] if runs > 1]
    if scores.samples_scenes or not counts or min(counts) >= _ENOUGH_RUNS:
        return ""
    return _FEW_RUNS.format(runs=min(counts), enough=_ENOUGH_RUNS)


def _skewness(scores: Scores, number: int) -> float:
    """Return the sample skewness of the units' contributions to the mean difference.

    Views are centred on their scene's mean, and weighted as in the mean over scenes: a view counts for more in a scene
    with few views.
    """
    if scores.samples_scenes:
        values = scores.scene_means - scores.scene_means.mean()
    else:
        centred = [(scene.differences - scene.differences.mean()) / len(scene.views) for scene in scores.scenes]
        values = np.concatenate(centred)
    squares = (values**2).sum()
    return float((values**3).sum() / squares**1.5 * np.sqrt(number)) if squares > 0 else 0.0
