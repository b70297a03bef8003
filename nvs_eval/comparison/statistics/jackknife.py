"""Jackknife: the mean difference and its interval without each view and each scene."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nvs_eval.comparison.statistics.intervals import RESAMPLES, Interval, ends, intervals, sign_of, why_none
from nvs_eval.comparison.statistics.scores import (
    FEWEST_SCENES,
    Array,
    SceneScores,
    Scores,
    over_scenes,
    variance_of_mean,
    within_scenes,
)

# Largest numbers of views in total and of scenes for which the interval is recomputed without each.
_MOST_VIEWS = 100
_MOST_SCENES = 50
# Largest number of views drawn with all resamples. Beyond it, the number of resamples is reduced.
_MOST_DRAWN = 20_000_000
_FEWER_RESAMPLES = 2_000


@dataclass(frozen=True)
class Without:
    """Mean difference without one view or one scene.

    Attributes:
        scene: name of the scene.
        view: name of the view; None if the whole scene is omitted.
        difference: mean difference B - A of the rest.
        low: lower end of the interval of the rest; None if there is none, or none of the same kind.
        high: upper end of the interval of the rest, or None.
    """

    scene: str
    view: str | None
    difference: float
    low: float | None
    high: float | None

    @property
    def sign(self) -> int:
        """1 if the interval is above zero, -1 if below, and 0 otherwise or without an interval."""
        return sign_of(self.low, self.high)


@dataclass(frozen=True)
class Jackknife:
    """Mean difference without each view and without each scene.

    Attributes:
        interval: interval of all views.
        views: results without one view each; empty without an interval or with a single view.
        scenes: results without one scene each; empty without an interval or with a single scene.
    """

    interval: Interval
    views: tuple[Without, ...] = ()
    scenes: tuple[Without, ...] = ()

    @property
    def pivotal_views(self) -> tuple[Without, ...]:
        """Views without which the verdict (the interval's sign) would change."""
        return self.pivotal(self.views)

    @property
    def pivotal_scenes(self) -> tuple[Without, ...]:
        """Scenes without which the verdict would change."""
        return self.pivotal(self.scenes)

    def pivotal(self, rests: Sequence[Without]) -> tuple[Without, ...]:
        """Return the results whose verdict differs from that of all views."""
        return tuple(rest for rest in rests if rest.low is not None and rest.sign != self.interval.sign)


@dataclass(frozen=True, eq=False)
class Jackknives:
    """Jackknives of metrics that share draws, computed when the first one is asked for.

    Attributes:
        metrics: scores by metric.
        full: intervals of these scores.
        resamples: number of bootstrap resamples.
    """

    metrics: Mapping[str, Scores]
    full: Mapping[str, Interval]
    resamples: int

    @cached_property
    def by_metric(self) -> Mapping[str, Jackknife]:
        """Jackknife of each metric."""
        return jackknives(self.metrics, self.full, resamples=self.resamples)


def jackknives(
    metrics: Mapping[str, Scores], full: Mapping[str, Interval], *, resamples: int = RESAMPLES
) -> dict[str, Jackknife]:
    """Omit each view and each scene in turn, for each metric that has an interval.

    Up to 100 views and up to 50 scenes, the interval is recomputed without each. With more, one of them changes the
    quantile little: the difference and its standard error are recomputed in closed form, and the quantile of all views
    is kept (docs/comparison.md).

    Args:
        metrics: scores by metric, as for `intervals`.
        full: intervals of these scores.
        resamples: number of bootstrap resamples; limited to 2,000 if more would take long.
    """
    with_interval = {name: scores for name, scores in metrics.items() if full[name].low is not None}
    rests = {name: list(_rests(scores)) for name, scores in with_interval.items()}
    recomputed = iter(_recompute([rest for metric in rests.values() for _, _, rest in metric], resamples))
    result = {name: Jackknife(interval) for name, interval in full.items()}
    for name, scores in with_interval.items():
        results = [_without(scores, *rest, next(recomputed)) for rest in rests[name]]
        results += _in_closed_form(scores, full[name])
        views = [without for without in results if without.view is not None]
        scenes = [without for without in results if without.view is None]
        result[name] = Jackknife(full[name], tuple(views), tuple(scenes))
    return result


def _rests(scores: Scores) -> Iterator[tuple[str, str | None, Scores]]:
    """Yield the rest without each view and then without each scene, unless they are too many to recompute."""
    scenes = scores.scenes
    others = [(*scenes[:index], *scenes[index + 1 :]) for index in range(len(scenes))]
    if scores.views <= _MOST_VIEWS:
        for scene, before, rest in zip(scenes, range(len(scenes)), others, strict=True):
            for view in range(len(scene.views)):
                # A scene without its only view is dropped.
                left = [_scene_without(scene, view)] if len(scene.views) > 1 else []
                if kept := (*rest[:before], *left, *rest[before:]):
                    yield scene.name, scene.views[view], Scores(kept)
    if len(scores.scenes) <= _MOST_SCENES:
        yield from ((scene.name, None, Scores(rest)) for scene, rest in zip(scenes, others, strict=True) if rest)


def _scene_without(scene: SceneScores, view: int) -> SceneScores:
    kept = [index for index in range(len(scene.views)) if index != view]
    return SceneScores(scene.name, tuple(scene.views[index] for index in kept), scene.a[:, kept], scene.b[:, kept])


def _recompute(rests: Sequence[Scores], resamples: int) -> list[Interval]:
    """Return the interval of each rest, with fewer resamples if there are many rests."""
    drawn = resamples * sum(scores.views for scores in rests)
    fewer = min(resamples, _FEWER_RESAMPLES) if drawn > _MOST_DRAWN else resamples
    recomputed = intervals({str(index): scores for index, scores in enumerate(rests)}, resamples=fewer)
    return [recomputed[str(index)] for index in range(len(rests))]


def _without(scores: Scores, scene: str, view: str | None, rest: Scores, interval: Interval) -> Without:
    # Six scenes are a sample of scenes and five are not: their interval is of another kind.
    same_kind = rest.samples_scenes == scores.samples_scenes
    low, high = (interval.low, interval.high) if same_kind else (None, None)
    return Without(scene, view, rest.difference, low, high)


def _in_closed_form(scores: Scores, interval: Interval) -> Iterator[Without]:
    """Yield results without each view and each scene, if they are too many to recompute the interval."""
    means, fixed = scores.scene_means, not scores.samples_scenes
    variances = np.array([variance_of_mean(*scene.finite) if fixed else 0.0 for scene in scores.scenes])
    for index, scene in enumerate(scores.scenes):
        rest = scores.scenes[:index] + scores.scenes[index + 1 :]
        others = np.delete(means, index)[None], np.delete(variances, index)[None]
        if len(scores.scenes) > _MOST_SCENES:
            numbers = _numbers(scores, interval, others, has_interval=_has_same_interval(scores, rest))
            yield Without(scene.name, None, *numbers[0])
        if scores.views <= _MOST_VIEWS:
            continue
        # A scene without its only view is dropped. Only the number of remaining views decides if there is an interval.
        several = len(scene.views) > 1
        has_interval = _has_same_interval(scores, (*rest, _scene_without(scene, 0)) if several else rest)
        if several:
            means_of_scene = _sums_without(scene.differences) / (len(scene.views) - 1)
            spread = _variances_without(scene) if fixed and has_interval else np.zeros(len(scene.views))
            others = _append(others[0], means_of_scene), _append(others[1], spread)
        numbers = _numbers(scores, interval, others, has_interval=has_interval)
        for view, numbers_of_view in zip(scene.views, numbers, strict=True):
            yield Without(scene.name, view, *numbers_of_view)


def _has_same_interval(scores: Scores, scenes: tuple[SceneScores, ...]) -> bool:
    """Return whether the remaining scenes have an interval of the same kind."""
    if scores.samples_scenes:
        return len(scenes) >= FEWEST_SCENES
    return not why_none(Scores(scenes))


def _append(others: Array, values: Array) -> Array:
    """Append each of several values to the row of the other scenes: [values, scenes]."""
    return np.column_stack([np.broadcast_to(others, (len(values), others.shape[1])), values])


def _numbers(
    scores: Scores, interval: Interval, rest: tuple[Array, Array], *, has_interval: bool
) -> list[tuple[float, float | None, float | None]]:
    """Return differences and interval ends from the means and variances of the remaining scenes, [number, scenes]."""
    means, variances = rest
    if not has_interval:
        return [(difference, None, None) for difference in means.mean(axis=1).tolist()]
    errors = over_scenes(means) if scores.samples_scenes else within_scenes(variances)
    halves = (interval.quantile or 0.0) * errors
    numbers = zip(means.mean(axis=1).tolist(), halves.tolist(), strict=True)
    return [(difference, *ends(difference, half, scores.rounding)) for difference, half in numbers]


def _variances_without(scene: SceneScores) -> Array:
    """Return `variance_of_mean` without each view of a scene, which has at least three views."""
    a, b = scene.finite
    left = len(scene.views) - 1
    centred = scene.differences - scene.differences.mean()
    squares = _sums_without(centred**2) - _sums_without(centred) ** 2 / left
    runs = [(_sums_without(side) / left).var(axis=0, ddof=1) / len(side) for side in (a, b) if len(side) > 1]
    return np.maximum(squares, 0.0) / (left - 1) / left + sum(runs)


def _sums_without(values: Array) -> Array:
    """Return the sum over all views without each of them, [..., views]."""
    return values.sum(axis=-1, keepdims=True) - values
