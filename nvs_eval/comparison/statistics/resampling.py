"""Draws of the bootstrap: distances of resampled mean differences from that of the data, in standard errors.

Levels are scenes (if they are a sample), then the runs of each side separately, then views, the same for both sides.
Metrics of one layout share the draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod

import numpy as np

from nvs_eval.comparison.statistics.scores import Array, Scores

# Largest size of an intermediate array, so that memory does not grow with the number of views.
_MOST_NUMBERS = 2_000_000
# Largest number of view counts of a layout that is kept for the next comparison of this layout.
_MOST_KEPT = 4_000_000
# Number of resamples whose means of two sides fit into a core's cache.
_IN_CACHE = 2_000

Layout = tuple[tuple[int, int, int], ...]
"""Numbers of A's runs, B's runs and views of each scene."""


@dataclass(frozen=True)
class _Draws:
    """Draws of one scene for some resamples.

    Attributes:
        scene: index of the scene.
        rows: indices of the resamples, [n].
        position: index of the scene among those that are drawn; 0 if scenes are fixed.
        counts: how often each view was drawn, [n, views].
        runs: shares of A's and of B's runs, [n, runs] each, once for each order of the sides.
    """

    scene: int
    rows: np.ndarray
    position: int
    counts: np.ndarray
    runs: Sequence[tuple[Array, Array]]

    @property
    def views(self) -> Array:
        """Share of each view among those drawn, [n, views]."""
        return self.counts / self.counts.shape[1]


@dataclass(frozen=True)
class _Generators:
    """Random generators of views and scenes, and of runs. Draws do not depend on how many are made at a time."""

    views: np.random.Generator
    runs: np.random.Generator


def studentised(metrics: Sequence[Scores], *, resamples: int, seed: int) -> Array:
    """Return the distance of each resample's mean difference from the data's, in the resample's own standard errors.

    A resample without spread is infinitely far from a different mean. If a side has several runs, resamples come in
    pairs that draw the same views and swap the draws of runs between the sides. Swapping the sides then flips every
    sign and changes nothing else.

    Args:
        metrics: scores with the same layout, and finite differences that are not all equal.
        resamples: number of resamples, rounded up to an even number if they come in pairs.
        seed: seed of the draws.

    Returns:
        [resamples, metrics].
    """
    layout, sampled = metrics[0].layout, metrics[0].samples_scenes
    orders = _orders(layout)
    drawn = -(-resamples // orders)
    counts = drawn * sum(views for *_, views in layout)
    draws = (_kept_draws if counts <= _MOST_KEPT else _draws)(layout, drawn, seed, sampled=sampled)
    of_scenes = _of_sampled_scenes if sampled else _of_fixed_scenes
    return of_scenes(metrics, draws, (orders, drawn)).reshape(len(metrics), orders * drawn).T


def _ratios(distances: Array, variances: Array) -> Array:
    """Return distances in standard errors; a distance without spread is infinite, unless it is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = distances / np.sqrt(variances)
    ratios[np.isnan(ratios)] = 0.0
    return ratios


def _orders(layout: Layout) -> int:
    """Return 2 if resamples come in pairs that swap the draws of runs, and 1 otherwise."""
    return 2 if any(max(runs) > 1 for *runs, _ in layout) else 1


# --- Draws ------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def _kept_draws(layout: Layout, drawn: int, seed: int, *, sampled: bool) -> list[_Draws]:
    return list(_draws(layout, drawn, seed, sampled=sampled))


def _draws(layout: Layout, drawn: int, seed: int, *, sampled: bool) -> Iterator[_Draws]:
    """Draw views and runs of every scene, or scenes and then views and runs of each drawn scene."""
    rng = _Generators(np.random.default_rng(seed), np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0]))
    scenes = range(len(layout))
    if not sampled:
        for scene in scenes:
            yield from _draws_of(layout, (0, scene), np.arange(drawn), rng)
        return
    chosen = rng.views.integers(0, len(layout), (drawn, len(layout)))
    for position in scenes:
        for scene in scenes:
            rows = np.flatnonzero(chosen[:, position] == scene)
            yield from _draws_of(layout, (position, scene), rows, rng)


def _draws_of(layout: Layout, place: tuple[int, int], rows: np.ndarray, rng: _Generators) -> Iterator[_Draws]:
    """Yield draws of a scene in a position for some resamples, in parts. Both orders of sides have the same views."""
    position, scene = place
    orders, (*runs, views) = _orders(layout), layout[scene]
    step = max(1, _MOST_NUMBERS // max(views, prod(runs)))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        counts = _counts(rng.views.integers(0, views, (len(part), views)), views)
        points = rng.runs.random((len(part), 2, max(runs))) if orders > 1 else np.zeros((len(part), 2, 1))
        (x_a, x_b), (y_a, y_b) = (
            [_counts((points[:, side, :most] * most).astype(np.int64), most) / most for most in runs] for side in (0, 1)
        )
        small = counts.astype(np.min_scalar_type(int(counts.max(initial=0))))
        yield _Draws(scene, part, position, small, [(x_a, y_b), (y_a, x_b)][:orders])


def _counts(drawn: np.ndarray, most: int) -> np.ndarray:
    """Return how often each of `most` indices was drawn in each row."""
    flat = drawn + np.arange(len(drawn))[:, None] * most
    return np.bincount(flat.ravel(), minlength=len(drawn) * most).reshape(len(drawn), most)


# --- Sampled scenes ---------------------------------------------------------------------------------------------------


def _of_sampled_scenes(metrics: Sequence[Scores], draws: Iterable[_Draws], shape: tuple[int, int]) -> Array:
    """Return distances over drawn scenes in standard errors, [metrics, orders, draws].

    The means of a side are computed once for all metrics that share it, such as those of its pairs with other sides.
    """
    orders, count = shape[0], len(metrics[0].scenes)
    sides = [_Sides.of(metrics, side) for side in (0, 1)]
    # The level of a view cancels in differences. Subtracting it first avoids loss of digits.
    by_scene = zip(sides[0].scenes, sides[1].scenes, strict=True)
    levels = [(a.mean(axis=(0, 1)) + b.mean(axis=(0, 1))) / 2 for a, b in by_scene]
    scenes = [side.centred(levels) for side in sides]
    means = [np.empty((orders, len(side.scenes[0]), count, shape[1])) for side in sides]
    for part in draws:
        views = part.views.T
        for side, of_side in enumerate(means):
            runs = scenes[side][part.scene] @ views
            for order in range(orders):
                shares = part.runs[order][side]
                of_draws = runs[:, 0] if runs.shape[1] == 1 else np.einsum("rk,skr->sr", shares, runs)
                of_side[order, :, part.position][:, part.rows] = of_draws
    ratios = np.empty((len(metrics), *shape))
    for order, start in product(range(orders), range(0, shape[1], _IN_CACHE)):
        part = slice(start, start + _IN_CACHE)
        for metric, (a, b) in enumerate(zip(sides[0].owners, sides[1].owners, strict=True)):
            differences = means[1][order, b, :, part] - means[0][order, a, :, part]
            distances = differences.sum(axis=0) / count
            squares = np.einsum("pr,pr->r", differences, differences) / count
            variances = np.maximum(squares - distances**2, 0.0) / (count - 1)
            ratios[metric, order, part] = _ratios(distances, variances)
    return ratios


@dataclass(frozen=True)
class _Sides:
    """Distinct sides of several metrics.

    Attributes:
        scenes: finite scores in each scene, [sides, runs, views].
        owners: index of each metric's side.
    """

    scenes: Sequence[Array]
    owners: Sequence[int]

    @classmethod
    def of(cls, metrics: Sequence[Scores], side: int) -> _Sides:
        """Collect the sides A (0) or B (1)."""
        scores = [[scene.finite[side] for scene in metric.scenes] for metric in metrics]
        places: dict[tuple[int, ...], int] = {}
        owners = [places.setdefault(tuple(map(id, scenes)), len(places)) for scenes in scores]
        distinct = dict(zip(owners, scores, strict=True)).values()
        return cls([np.stack(scenes) for scenes in zip(*distinct, strict=True)], owners)

    def centred(self, levels: Sequence[Array]) -> list[Array]:
        """Return the scores without the level of each view, and without their mean over scenes."""
        scenes = [scores - level for scores, level in zip(self.scenes, levels, strict=True)]
        means = np.mean([scores.mean(axis=(1, 2)) for scores in scenes], axis=0)
        return [scores - means[:, None, None] for scores in scenes]


# --- Fixed scenes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scene:
    """Scores of one scene under several metrics, in the layout that drawing uses.

    Attributes:
        runs: numbers of runs of A and B.
        views: number of views.
        scores: [runs of A, then of B; metrics; views], shifted so that the mean difference of a draw is its distance
            from the scene's.
        products: products of the scores of every two runs, [pairs of runs, metrics, views].
    """

    runs: tuple[int, int]
    views: int
    scores: Array
    products: Array

    @classmethod
    def of(cls, metrics: Sequence[Scores], index: int) -> _Scene:
        """Collect the scores of the scene with an index."""
        sides = [metric.scenes[index].finite for metric in metrics]
        a, b = (np.stack([pair[side] for pair in sides], axis=1) for side in (0, 1))
        # The level of a view cancels in differences. Subtracting it first avoids loss of digits.
        level = (a.mean(axis=0) + b.mean(axis=0)) / 2
        a, b = a - level, b - level
        scores = np.concatenate([side - side.mean(axis=(0, 2), keepdims=True) for side in (a, b)])
        first, second = np.triu_indices(len(scores))
        return cls((len(a), len(b)), scores.shape[-1], scores, scores[first] * scores[second])

    def mean_and_variance(self, views: Array, runs: tuple[Array, Array]) -> tuple[Array, Array]:
        """Return the mean differences of draws and their variances (`variance_of_mean`), each [resamples, metrics]."""
        if self.runs == (1, 1):
            differences = self.scores[1] - self.scores[0]
            total, square, runs_variance = views @ differences.T, views @ (differences**2).T, 0.0
        else:
            total, square, runs_variance = self._of_several_runs(views, runs)
        return total, np.maximum(square - total**2, 0.0) / (self.views - 1) + runs_variance

    def _of_several_runs(self, views: Array, runs: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        """Return mean differences, means of squared differences, and what runs add to the variance."""
        shares = np.concatenate([-runs[0], runs[1]], axis=1)
        first, second = np.triu_indices(shares.shape[1])
        # Square of a sum over runs, without an array of size resamples x views.
        pairs = shares[:, first] * shares[:, second] * np.where(first == second, 1.0, 2.0)
        square = np.einsum("rp,prm->rm", pairs, views @ self.products.transpose(0, 2, 1))
        of_runs = views @ self.scores.transpose(0, 2, 1)
        means, variance = [], np.zeros_like(square)
        for weights, run_means in zip(runs, (of_runs[: self.runs[0]], of_runs[self.runs[0] :]), strict=True):
            mean = np.einsum("rk,krm->rm", weights, run_means)
            means.append(mean)
            if len(run_means) > 1:
                spread = np.einsum("rk,krm->rm", weights, run_means**2) - mean**2
                variance += np.maximum(spread, 0.0) / (len(run_means) - 1)
        return means[1] - means[0], square, variance


def _of_fixed_scenes(metrics: Sequence[Scores], draws: Iterable[_Draws], shape: tuple[int, int]) -> Array:
    """Return distances over all scenes in standard errors, [metrics, orders, draws]."""
    scenes = [_Scene.of(metrics, index) for index in range(len(metrics[0].scenes))]
    distances, variances = np.zeros((*shape, len(metrics))), np.zeros((*shape, len(metrics)))
    for part in draws:
        scene = scenes[part.scene]
        step = max(1, _MOST_NUMBERS // scene.products[:, :, 0].size)
        for start in range(0, len(part.rows), step):
            some = slice(start, start + step)
            views = part.views[some]
            for order, (a, b) in enumerate(part.runs):
                distance, variance = scene.mean_and_variance(views, (a[some], b[some]))
                distances[order, part.rows[some]] += distance
                variances[order, part.rows[some]] += variance
    return np.moveaxis(_ratios(distances, variances), -1, 0)
