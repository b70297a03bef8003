"""How much a verdict hangs on one view or one scene: the mean difference and its interval without each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nvs_eval.comparison.statistics.intervals import RESAMPLES, Interval, ends, intervals, sign_of, why_none
from nvs_eval.comparison.statistics.scores import (
    Array,
    SceneScores,
    Scores,
    over_scenes,
    variance_of_mean,
    within_scenes,
)

# Up to so many views in all, and scenes, the interval is computed anew without each.
_MOST_VIEWS = 100
_MOST_SCENES = 50
# How many numbers may be drawn with all resamples; where it were more, so few resamples are taken for each.
_MOST_DRAWN = 20_000_000
_FEWER_RESAMPLES = 2_000


@dataclass(frozen=True)
class Without:
    """The mean difference without one view, or without one scene.

    Attributes:
        scene: its name.
        view: the view's name; None where the whole scene is left out.
        difference: B - A without it.
        low: where the interval without it begins; None where the rest bears no interval, or none about the same.
        high: where it ends, or None.
    """

    scene: str
    view: str | None
    difference: float
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
        views: without one view each; none where there is no interval, or no view is left without it.
        scenes: without one scene each; none where there is no interval, or only one scene.
    """

    interval: Interval
    views: tuple[Without, ...] = ()
    scenes: tuple[Without, ...] = ()

    @property
    def pivotal_views(self) -> tuple[Without, ...]:
        """The views without which the verdict, which is the interval's sign, would be another."""
        return self.pivotal(self.views)

    @property
    def pivotal_scenes(self) -> tuple[Without, ...]:
        """The scenes without which the verdict would be another."""
        return self.pivotal(self.scenes)

    def pivotal(self, left_out: Sequence[Without]) -> tuple[Without, ...]:
        """Those of views or scenes without which the verdict would be another."""
        return tuple(rest for rest in left_out if rest.low is not None and rest.sign != self.interval.sign)


def jackknives(
    metrics: Mapping[str, Scores], whole: Mapping[str, Interval], *, resamples: int = RESAMPLES
) -> dict[str, Jackknife]:
    """Leave out each view, and each scene, in turn, of each metric that has an interval.

    Up to 100 views, and up to 50 scenes, `intervals` is asked again without each. Of more, one changes the quantile
    little: the difference and its standard error are computed without it, in closed form, and the quantile of all is
    kept (docs/comparison.md says how well that agrees).

    Args:
        metrics: the scores by the metric's name, as for `intervals`.
        whole: their intervals.
        resamples: number of bootstrap resamples; at most 2,000 where more would take long.
    """
    bearing = {name: scores for name, scores in metrics.items() if whole[name].low is not None}
    rests = {name: list(_rests(scores)) for name, scores in bearing.items()}
    anew = iter(_anew([rest for several in rests.values() for _, _, rest in several], resamples))
    result = {name: Jackknife(interval) for name, interval in whole.items()}
    for name, scores in bearing.items():
        left_out = [_without(scores, *rest, next(anew)) for rest in rests[name]]
        left_out += _in_closed_form(scores, whole[name])
        views = [without for without in left_out if without.view is not None]
        scenes = [without for without in left_out if without.view is None]
        result[name] = Jackknife(whole[name], tuple(views), tuple(scenes))
    return result


def _rests(scores: Scores) -> Iterator[tuple[str, str | None, Scores]]:
    """What is left without each view of a scene, where that is to be computed anew, and then without each scene."""
    scenes = scores.scenes
    others = [(*scenes[:index], *scenes[index + 1 :]) for index in range(len(scenes))]
    if scores.views <= _MOST_VIEWS:
        for scene, before, rest in zip(scenes, range(len(scenes)), others, strict=True):
            for view in range(len(scene.views)):
                # With its only view a scene is gone.
                left = [_scene_without(scene, view)] if len(scene.views) > 1 else []
                if kept := (*rest[:before], *left, *rest[before:]):
                    yield scene.name, scene.views[view], Scores(kept)
    if len(scores.scenes) <= _MOST_SCENES:
        yield from ((scene.name, None, Scores(rest)) for scene, rest in zip(scenes, others, strict=True) if rest)


def _scene_without(scene: SceneScores, view: int) -> SceneScores:
    kept = [place for place in range(len(scene.views)) if place != view]
    return SceneScores(scene.name, tuple(scene.views[place] for place in kept), scene.a[:, kept], scene.b[:, kept])


def _anew(rests: Sequence[Scores], resamples: int) -> list[Interval]:
    """The interval of each, by no more draws than are quick."""
    drawn = resamples * sum(scores.views for scores in rests)
    fewer = min(resamples, _FEWER_RESAMPLES) if drawn > _MOST_DRAWN else resamples
    recomputed = intervals({str(index): scores for index, scores in enumerate(rests)}, resamples=fewer)
    return [recomputed[str(index)] for index in range(len(rests))]


def _without(scores: Scores, scene: str, view: str | None, rest: Scores, interval: Interval) -> Without:
    """Six scenes are a sample of scenes and five are not: an interval of these is about something else."""
    same = rest.samples_scenes == scores.samples_scenes
    low, high = (interval.low, interval.high) if same else (None, None)
    return Without(scene, view, rest.difference, low, high)


def _in_closed_form(scores: Scores, interval: Interval) -> Iterator[Without]:
    """Without each view, and each scene, that there are too many of to compute the interval anew."""
    means, fixed = scores.scene_means, not scores.samples_scenes
    variances = np.array([variance_of_mean(*scene.finite) if fixed else 0.0 for scene in scores.scenes])
    for index, scene in enumerate(scores.scenes):
        rest = scores.scenes[:index] + scores.scenes[index + 1 :]
        others = np.delete(means, index)[None], np.delete(variances, index)[None]
        if len(scores.scenes) > _MOST_SCENES:
            numbers = _numbers(scores, interval, others, bears=_bears_alike(scores, rest))
            yield Without(scene.name, None, *numbers[0])
        if scores.views <= _MOST_VIEWS:
            continue
        # With its only view a scene is gone. Whether there is an interval depends on how many views are left.
        several = len(scene.views) > 1
        bears = _bears_alike(scores, (*rest, _scene_without(scene, 0)) if several else rest)
        if several:
            left = _sums_without(scene.differences) / (len(scene.views) - 1)
            spread = _variances_without(scene) if fixed and bears else np.zeros(len(scene.views))
            others = _beside(others[0], left), _beside(others[1], spread)
        numbers = _numbers(scores, interval, others, bears=bears)
        for view, of_view in zip(scene.views, numbers, strict=True):
            yield Without(scene.name, view, *of_view)


def _bears_alike(scores: Scores, rest: tuple[SceneScores, ...]) -> bool:
    """Whether what is left bears an interval, and one about the same."""
    left = Scores(rest)
    return left.samples_scenes == scores.samples_scenes and not why_none(left)


def _beside(others: Array, values: Array) -> Array:
    """What the other scenes have, and then one of several values: [values, scenes]."""
    return np.column_stack([np.broadcast_to(others, (len(values), others.shape[1])), values])


def _numbers(
    scores: Scores, interval: Interval, kept: tuple[Array, Array], *, bears: bool
) -> list[tuple[float, float | None, float | None]]:
    """The differences and intervals of the means and the variances of scenes that are left, each [number, scenes]."""
    means, variances = kept
    if not bears:
        return [(difference, None, None) for difference in means.mean(axis=1).tolist()]
    errors = over_scenes(means) if scores.samples_scenes else within_scenes(variances)
    halves = (interval.quantile or 0.0) * errors
    numbers = zip(means.mean(axis=1).tolist(), halves.tolist(), strict=True)
    return [(difference, *ends(difference, half, scores.rounding)) for difference, half in numbers]


def _variances_without(scene: SceneScores) -> Array:
    """What `variance_of_mean` is without each of a scene's views, of which two are left at least."""
    a, b = scene.finite
    left = len(scene.views) - 1
    centred = scene.differences - scene.differences.mean()
    squares = _sums_without(centred**2) - _sums_without(centred) ** 2 / left
    of_runs = [(_sums_without(side) / left).var(axis=0, ddof=1) / len(side) for side in (a, b) if len(side) > 1]
    return np.maximum(squares, 0.0) / (left - 1) / left + sum(of_runs)


def _sums_without(values: Array) -> Array:
    """The sum over all views but each, [..., views]."""
    return values.sum(axis=-1, keepdims=True) - values
