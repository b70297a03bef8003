"""The bootstrap's draws: how far the mean difference of resamples lies from that of the data, in standard errors.

Levels: scenes (where they are a sample), then the runs of each side on its own, then views, each for both sides at
once. Metrics of one layout share the draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nvs_eval.comparison.statistics.scores import Array, SceneScores, Scores

# How many numbers an intermediate array may hold, so that memory stays small however many views there are.
_MOST_NUMBERS = 2_000_000


@dataclass(frozen=True)
class _Scene:
    """One scene's scores under several metrics, laid out for drawing.

    Attributes:
        runs: how many A and B have.
        views: how many there are.
        scores: [runs of A, then of B; metrics; views], shifted so that a draw's mean difference is its distance from
            the scene's own.
        products: of the scores of each two runs, [pairs of runs, metrics, views].
    """

    runs: tuple[int, int]
    views: int
    scores: Array
    products: Array


@dataclass(frozen=True)
class _Draws:
    """The shares of A's runs, of B's, and of the views of a scene in each resample, [resamples, runs or views]."""

    a: Array
    b: Array
    views: Array


@dataclass(frozen=True)
class _Generators:
    """Where the draws of views and scenes, and of runs, come from: the same however many are made at a time."""

    views: np.random.Generator
    runs: np.random.Generator


def studentised(metrics: Sequence[Scores], *, resamples: int, seed: int) -> Array:
    """The distance of each resample's mean difference from the data's, divided by the resample's own standard error.

    A resample without any spread is infinitely far where it is off at all. Where a side has several runs, resamples
    come in pairs that draw the same views and swap which side gets which draw of runs: so swapping the sides turns
    every sign and changes nothing else.

    Args:
        metrics: of one layout, with finite differences that spread.
        resamples: how many; one more where they come in pairs and the number is odd.
        seed: of the draws.

    Returns:
        [resamples, metrics].
    """
    rng = _Generators(np.random.default_rng(seed), np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0]))
    scenes = [_laid_out([scores.scenes[index] for scores in metrics]) for index in range(len(metrics[0].scenes))]
    orders = 2 if any(max(scene.runs) > 1 for scene in scenes) else 1
    drawn = -(-resamples // orders)
    if metrics[0].samples_scenes:
        offsets = np.array([scores.scene_means - scores.difference for scores in metrics]).T
        distances, errors = _of_sampled_scenes(scenes, offsets, drawn, orders, rng)
    else:
        distances, errors = _of_fixed_scenes(scenes, drawn, orders, rng)
    still = errors == 0
    ratios = distances / np.where(still, 1.0, errors)
    ratios = np.where(still, np.where(distances == 0, 0.0, np.copysign(np.inf, distances)), ratios)
    return ratios.reshape(orders * drawn, len(metrics))


def _laid_out(scenes: Sequence[SceneScores]) -> _Scene:
    sides = [scene.finite for scene in scenes]
    a, b = (np.stack([pair[side] for pair in sides], axis=1) for side in (0, 1))
    # A view's own level is in both sides and leaves no trace in a difference: without it no digits are lost.
    level = (a.mean(axis=0) + b.mean(axis=0)) / 2
    a, b = a - level, b - level
    scores = np.concatenate([side - side.mean(axis=(0, 2), keepdims=True) for side in (a, b)])
    first, second = np.triu_indices(len(scores))
    products = np.multiply(scores[first], scores[second], dtype=np.float64)
    return _Scene((len(a), len(b)), scores.shape[-1], scores, products)


def _of_fixed_scenes(scenes: Sequence[_Scene], drawn: int, orders: int, rng: _Generators) -> tuple[Array, Array]:
    """Distances and standard errors, [orders, draws, metrics]: the views and runs of every scene are drawn anew."""
    shape = (orders, drawn, scenes[0].scores.shape[1])
    distances, variances = np.zeros(shape), np.zeros(shape)
    for scene in scenes:
        for rows, draws in _draws(scene, np.arange(drawn), orders, rng):
            for order, drawn_once in enumerate(draws):
                distance, variance = _of_scene(scene, drawn_once)
                distances[order, rows] += distance
                variances[order, rows] += variance
    return distances / len(scenes), np.sqrt(variances) / len(scenes)


def _of_sampled_scenes(
    scenes: Sequence[_Scene], offsets: Array, drawn: int, orders: int, rng: _Generators
) -> tuple[Array, Array]:
    """The same where scenes are drawn, too: each as often as it comes, with its views and runs drawn anew."""
    count = len(scenes)
    chosen = rng.views.integers(0, count, (drawn, count))
    shape = (orders, drawn, scenes[0].scores.shape[1])
    sums, squares = np.zeros(shape), np.zeros(shape)
    for place in range(count):
        for index, scene in enumerate(scenes):
            for rows, draws in _draws(scene, np.flatnonzero(chosen[:, place] == index), orders, rng):
                for order, drawn_once in enumerate(draws):
                    distance = offsets[index] + _mean(scene, drawn_once)
                    sums[order, rows] += distance
                    squares[order, rows] += distance**2
    means = sums / count
    variances = np.maximum(squares / count - means**2, 0.0) / (count - 1)
    return means, np.sqrt(variances)


def _draws(scene: _Scene, rows: np.ndarray, orders: int, rng: _Generators) -> Iterator[tuple[np.ndarray, list[_Draws]]]:
    """Draws of a scene for some resamples, a part of them at a time: for each order of the sides, the same views."""
    width = max(scene.views, scene.products[:, :, 0].size)
    step = max(1, _MOST_NUMBERS // width)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        views = _shares(rng.views.integers(0, scene.views, (len(part), scene.views)), scene.views)
        points = rng.runs.random((len(part), 2, max(scene.runs))) if orders > 1 else np.zeros((len(part), 2, 1))
        runs = [
            [_shares((points[:, side, :most] * most).astype(np.int64), most) for most in scene.runs] for side in (0, 1)
        ]
        (x_a, x_b), (y_a, y_b) = runs
        yield part, [_Draws(x_a, y_b, views), _Draws(y_a, x_b, views)][:orders]


def _shares(drawn: np.ndarray, most: int) -> Array:
    """How often each of `most` things was drawn in each row, as shares of one."""
    flat = drawn + np.arange(len(drawn))[:, None] * most
    return np.bincount(flat.ravel(), minlength=len(drawn) * most).reshape(len(drawn), most) / drawn.shape[1]


def _mean(scene: _Scene, draws: _Draws) -> Array:
    """The mean differences of draws, [resamples, metrics]."""
    of_a, of_b = _run_means(scene, draws)
    return np.einsum("rk,krm->rm", draws.b, of_b) - np.einsum("rk,krm->rm", draws.a, of_a)


def _run_means(scene: _Scene, draws: _Draws) -> tuple[Array, Array]:
    """The means over the drawn views of each run of A and of B, [runs, resamples, metrics]."""
    means = draws.views @ scene.scores.transpose(0, 2, 1)
    return means[: scene.runs[0]], means[scene.runs[0] :]


def _of_scene(scene: _Scene, draws: _Draws) -> tuple[Array, Array]:
    """The mean differences of draws and the variances of them (`variance_of_mean`), each [resamples, metrics]."""
    shares = np.concatenate([-draws.a, draws.b], axis=1)
    first, second = np.triu_indices(shares.shape[1])
    # The square of a sum over runs, without an array of resamples times views.
    pairs = shares[:, first] * shares[:, second] * np.where(first == second, 1.0, 2.0)
    square = np.einsum("rp,prm->rm", pairs, draws.views @ scene.products.transpose(0, 2, 1))
    means, runs_variance = [], np.zeros_like(square)
    for weights, of_runs in zip((draws.a, draws.b), _run_means(scene, draws), strict=True):
        mean = np.einsum("rk,krm->rm", weights, of_runs)
        means.append(mean)
        if len(of_runs) > 1:
            spread = np.einsum("rk,krm->rm", weights, of_runs**2) - mean**2
            runs_variance += np.maximum(spread, 0.0) / (len(of_runs) - 1)
    total = means[1] - means[0]
    return total, np.maximum(square - total**2, 0.0) / (scene.views - 1) + runs_variance
