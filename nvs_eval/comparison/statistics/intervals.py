"""The mean difference of two sides with its 95 % interval: a hierarchical studentised bootstrap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nvs_eval.comparison.statistics.resampling import studentised
from nvs_eval.comparison.statistics.scores import Array, Scores
from nvs_eval.comparison.statistics.spread import freedom, standard_error
from nvs_eval.comparison.statistics.words import caution, note, why_none
from nvs_eval.errors import InputError

LEVEL = 0.95
RESAMPLES = 10_000
# What the draws start from, so that the same scores always have the same interval.
SEED = 20_240_229
# A single outlier among few views makes the quantile erratic, as resamples that lack it hardly spread. More than this
# many times Student's adds next to nothing to what intervals hold (docs/comparison.md), and makes them absurdly wide.
_MOST_OF_STUDENTS = 2.0


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
        return Interval(
            difference,
            reason="The mean differences of all scenes are equal while those of their views are not: nothing says how "
            "much scenes differ.",
        )
    low, high = ends(difference, 0.0, scores.rounding)
    return Interval(difference, low, high, 0.0, 0.0, caution=caution(scores), note=note(scores))


def _interval(scores: Scores, quantile: float) -> Interval:
    from scipy.special import stdtrit

    error = standard_error(scores)
    quantile = min(quantile, _MOST_OF_STUDENTS * float(stdtrit(freedom(scores), (1 + LEVEL) / 2)))
    low, high = ends(scores.difference, quantile * error, scores.rounding)
    return Interval(scores.difference, low, high, error, quantile, caution=caution(scores), note=note(scores))
