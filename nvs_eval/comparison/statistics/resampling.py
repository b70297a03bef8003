"""Distances of resampled mean differences from that of the data, in standard errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from nvs_eval.comparison.statistics.draws import FEW_ROWS, MOST_NUMBERS, Draws, draws_of, orders_of
from nvs_eval.comparison.statistics.scores import Array, Scores


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
    orders = orders_of(layout)
    drawn = -(-resamples // orders)
    draws = draws_of(layout, drawn, seed, sampled=sampled)
    of_scenes = _of_sampled_scenes if sampled else _of_fixed_scenes
    return of_scenes(metrics, draws, (orders, drawn)).reshape(len(metrics), orders * drawn).T


def _ratios(distances: Array, variances: Array) -> Array:
    """Return distances in standard errors; a distance without spread is infinite, unless it is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = distances / np.sqrt(variances)
    ratios[np.isnan(ratios)] = 0.0
    return ratios


# --- Sampled scenes ---------------------------------------------------------------------------------------------------


def _of_sampled_scenes(metrics: Sequence[Scores], draws: Iterable[Draws], shape: tuple[int, int]) -> Array:
    """Return distances over drawn scenes in standard errors, [metrics, orders, draws].

    The means of a side are computed once for all metrics that share it, such as those of its pairs with other sides.
    """
    count = len(metrics[0].scenes)
    by_side = [_distinct(metrics, side) for side in (0, 1)]
    # The level of a view cancels in differences. Subtracting it first avoids loss of digits.
    by_scene = zip(by_side[0][0], by_side[1][0], strict=True)
    levels = [(a.mean(axis=(0, 1)) + b.mean(axis=(0, 1))) / 2 for a, b in by_scene]
    sides = [_Sides.without_levels(scenes, levels) for scenes, _ in by_side]
    means = [np.empty((len(side.scores), *shape)) for side in sides]
    sums, squares = np.zeros((2, len(metrics), *shape))
    for _, parts in groupby(draws, key=lambda part: part.position):
        for part in parts:
            for index, side in enumerate(sides):
                runs = side.means_of_runs(part)
                for order, shares in enumerate(part.runs):
                    of_draws = runs[:, 0] if runs.shape[1] == 1 else np.einsum("rk,skr->sr", shares[index], runs)
                    means[index][:, order, part.rows] = of_draws
        for metric, (a, b) in enumerate(zip(*(owners for _, owners in by_side), strict=True)):
            differences = means[1][b] - means[0][a]
            sums[metric] += differences
            squares[metric] += differences**2
    distances = sums / count
    return _ratios(distances, np.maximum(squares / count - distances**2, 0.0) / (count - 1))


def _distinct(metrics: Sequence[Scores], side: int) -> tuple[list[Array], list[int]]:
    """Return the finite scores of the distinct sides A (0) or B (1) in each scene, and the index of each metric's side.

    The scores of a scene have the shape [sides, runs, views].
    """
    scores = [[scene.finite[side] for scene in metric.scenes] for metric in metrics]
    places: dict[tuple[int, ...], int] = {}
    owners = [places.setdefault(tuple(map(id, scenes)), len(places)) for scenes in scores]
    distinct = dict(zip(owners, scores, strict=True)).values()
    return [np.stack(scenes) for scenes in zip(*distinct, strict=True)], owners


@dataclass(frozen=True)
class _Sides:
    """Distinct sides of several metrics.

    Attributes:
        scores: scores of all scenes in a row, each [runs, views], [sides, sum of runs x views].
        starts: index of each scene's first score.
        runs: number of runs of each scene.
    """

    scores: Array
    starts: np.ndarray
    runs: np.ndarray

    @classmethod
    def without_levels(cls, scenes: Sequence[Array], levels: Sequence[Array]) -> _Sides:
        """Take scores, [sides, runs, views] in each scene, without the level of each view and the mean over scenes."""
        rest = [scores - level for scores, level in zip(scenes, levels, strict=True)]
        means = np.mean([scores.mean(axis=(1, 2)) for scores in rest], axis=0)
        flat = [(scores - means[:, None, None]).reshape(len(means), -1) for scores in rest]
        ends = np.cumsum([scores.shape[1] for scores in flat])
        return cls(np.concatenate(flat, axis=1), np.array([0, *ends[:-1]]), np.array([one.shape[1] for one in scenes]))

    def means_of_runs(self, draws: Draws) -> Array:
        """Return the mean drawn score of each run, [sides, runs, n]."""
        views, runs = draws.views, self.runs[draws.scenes[0]]
        size, shape = runs * views.shape[1], (len(self.scores), -1, runs, views.shape[1])
        firsts = [0, *np.flatnonzero(np.diff(draws.scenes)) + 1]
        if len(views) < FEW_ROWS * len(firsts):
            drawn = self.scores[:, self.starts[draws.scenes][:, None] + np.arange(size)]
            return np.einsum("srkv,rv->skr", drawn.reshape(shape), views)
        starts = self.starts[draws.scenes[firsts]]
        parts = zip(starts, np.split(views, firsts[1:]), strict=True)
        return np.concatenate(
            [self.scores[:, start : start + size].reshape(shape)[:, 0] @ part.T for start, part in parts], axis=2
        )


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


def _of_fixed_scenes(metrics: Sequence[Scores], draws: Iterable[Draws], shape: tuple[int, int]) -> Array:
    """Return distances over all scenes in standard errors, [metrics, orders, draws]."""
    scenes = [_Scene.of(metrics, index) for index in range(len(metrics[0].scenes))]
    distances, variances = np.zeros((*shape, len(metrics))), np.zeros((*shape, len(metrics)))
    for part in draws:
        scene = scenes[part.scenes[0]]
        step = max(1, MOST_NUMBERS // scene.products[:, :, 0].size)
        for start in range(0, len(part.rows), step):
            some = slice(start, start + step)
            views = part.views[some]
            for order, (a, b) in enumerate(part.runs):
                distance, variance = scene.mean_and_variance(views, (a[some], b[some]))
                distances[order, part.rows[some]] += distance
                variances[order, part.rows[some]] += variance
    return np.moveaxis(_ratios(distances, variances), -1, 0)
