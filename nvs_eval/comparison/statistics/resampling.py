"""Draws of the bootstrap: distances of resampled mean differences from that of the data, in standard errors.

Levels are scenes (if they are a sample), then the runs of each side separately, then views, the same for both sides.
Metrics of one layout share the draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nvs_eval.comparison.statistics.scores import Array, SceneScores, Scores

# Largest size of an intermediate array, so that memory does not grow with the number of views.
_MOST_NUMBERS = 2_000_000


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


@dataclass(frozen=True)
class _Draws:
    """Shares of A's runs, B's runs and the views of a scene in each resample, [resamples, runs or views]."""

    a: Array
    b: Array
    views: Array


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
    rng = _Generators(np.random.default_rng(seed), np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0]))
    scenes = [_with_layout([scores.scenes[index] for scores in metrics]) for index in range(len(metrics[0].scenes))]
    orders = 2 if any(max(scene.runs) > 1 for scene in scenes) else 1
    drawn = -(-resamples // orders)
    if metrics[0].samples_scenes:
        offsets = np.array([scores.scene_means - scores.difference for scores in metrics]).T
        distances, errors = _draw_sampled_scenes(scenes, offsets, drawn, orders, rng)
    else:
        distances, errors = _draw_fixed_scenes(scenes, drawn, orders, rng)
    no_spread = errors == 0
    ratios = distances / np.where(no_spread, 1.0, errors)
    ratios = np.where(no_spread, np.where(distances == 0, 0.0, np.copysign(np.inf, distances)), ratios)
    return ratios.reshape(orders * drawn, len(metrics))


def _with_layout(scenes: Sequence[SceneScores]) -> _Scene:
    sides = [scene.finite for scene in scenes]
    a, b = (np.stack([pair[side] for pair in sides], axis=1) for side in (0, 1))
    # The level of a view cancels in differences. Subtracting it first avoids loss of digits.
    level = (a.mean(axis=0) + b.mean(axis=0)) / 2
    a, b = a - level, b - level
    scores = np.concatenate([side - side.mean(axis=(0, 2), keepdims=True) for side in (a, b)])
    first, second = np.triu_indices(len(scores))
    products = np.multiply(scores[first], scores[second], dtype=np.float64)
    return _Scene((len(a), len(b)), scores.shape[-1], scores, products)


def _draw_fixed_scenes(scenes: Sequence[_Scene], drawn: int, orders: int, rng: _Generators) -> tuple[Array, Array]:
    """Draw views and runs of every scene; return distances and standard errors, [orders, draws, metrics]."""
    shape = (orders, drawn, scenes[0].scores.shape[1])
    distances, variances = np.zeros(shape), np.zeros(shape)
    for scene in scenes:
        for rows, draws in _draws(scene, np.arange(drawn), orders, rng):
            for order, draw in enumerate(draws):
                distance, variance = _mean_and_variance(scene, draw)
                distances[order, rows] += distance
                variances[order, rows] += variance
    return distances / len(scenes), np.sqrt(variances) / len(scenes)


def _draw_sampled_scenes(
    scenes: Sequence[_Scene], offsets: Array, drawn: int, orders: int, rng: _Generators
) -> tuple[Array, Array]:
    """Draw scenes, then views and runs of each drawn scene; return like `_draw_fixed_scenes`."""
    count = len(scenes)
    chosen = rng.views.integers(0, count, (drawn, count))
    shape = (orders, drawn, scenes[0].scores.shape[1])
    sums, squares = np.zeros(shape), np.zeros(shape)
    for position in range(count):
        for index, scene in enumerate(scenes):
            for rows, draws in _draws(scene, np.flatnonzero(chosen[:, position] == index), orders, rng):
                for order, draw in enumerate(draws):
                    distance = offsets[index] + _mean(scene, draw)
                    sums[order, rows] += distance
                    squares[order, rows] += distance**2
    means = sums / count
    variances = np.maximum(squares / count - means**2, 0.0) / (count - 1)
    return means, np.sqrt(variances)


def _draws(scene: _Scene, rows: np.ndarray, orders: int, rng: _Generators) -> Iterator[tuple[np.ndarray, list[_Draws]]]:
    """Yield draws of a scene for some resamples, in parts. Both orders of the sides have the same views."""
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
    """Return the share of each of `most` indices among those drawn in each row."""
    flat = drawn + np.arange(len(drawn))[:, None] * most
    return np.bincount(flat.ravel(), minlength=len(drawn) * most).reshape(len(drawn), most) / drawn.shape[1]


def _mean(scene: _Scene, draws: _Draws) -> Array:
    """Return the mean differences of draws, [resamples, metrics]."""
    means_a, means_b = _run_means(scene, draws)
    return np.einsum("rk,krm->rm", draws.b, means_b) - np.einsum("rk,krm->rm", draws.a, means_a)


def _run_means(scene: _Scene, draws: _Draws) -> tuple[Array, Array]:
    """Return the means over the drawn views of each run of A and of B, [runs, resamples, metrics]."""
    means = draws.views @ scene.scores.transpose(0, 2, 1)
    return means[: scene.runs[0]], means[scene.runs[0] :]


def _mean_and_variance(scene: _Scene, draws: _Draws) -> tuple[Array, Array]:
    """Return the mean differences of draws and their variances (`variance_of_mean`), each [resamples, metrics]."""
    shares = np.concatenate([-draws.a, draws.b], axis=1)
    first, second = np.triu_indices(shares.shape[1])
    # Square of a sum over runs, without an array of size resamples x views.
    pairs = shares[:, first] * shares[:, second] * np.where(first == second, 1.0, 2.0)
    square = np.einsum("rp,prm->rm", pairs, draws.views @ scene.products.transpose(0, 2, 1))
    means, runs_variance = [], np.zeros_like(square)
    for weights, run_means in zip((draws.a, draws.b), _run_means(scene, draws), strict=True):
        mean = np.einsum("rk,krm->rm", weights, run_means)
        means.append(mean)
        if len(run_means) > 1:
            spread = np.einsum("rk,krm->rm", weights, run_means**2) - mean**2
            runs_variance += np.maximum(spread, 0.0) / (len(run_means) - 1)
    total = means[1] - means[0]
    return total, np.maximum(square - total**2, 0.0) / (scene.views - 1) + runs_variance
