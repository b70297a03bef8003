"""Draws of the bootstrap: scenes if they are a sample, then the runs of each side separately, then views."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np

from nvs_eval.comparison.statistics.scores import Array

# Largest size of an intermediate array, which stays in a core's cache.
MOST_NUMBERS = 300_000
# Largest number of view counts of a layout that is kept for the next comparison of this layout.
_MOST_KEPT = 4_000_000
# With fewer resamples per scene, on average, scenes are computed together instead of one after the other.
FEW_ROWS = 50

Layout = tuple[tuple[int, int, int], ...]
"""Numbers of A's runs, B's runs and views of each scene."""


@dataclass(frozen=True)
class Draws:
    """Draws of scenes with one layout for some resamples, all at one position among the drawn scenes.

    Attributes:
        scenes: index of each resample's scene, ascending, [n].
        rows: indices of the resamples, [n].
        position: index of the scenes among those that are drawn; 0 if scenes are fixed.
        counts: how often each view was drawn, [n, views].
        runs: shares of A's and of B's runs, [n, runs] each, once for each order of the sides.
    """

    scenes: np.ndarray
    rows: np.ndarray
    position: int
    counts: np.ndarray
    runs: Sequence[tuple[Array, Array]]

    @property
    def views(self) -> Array:
        """Share of each view among those drawn, [n, views]."""
        return self.counts / self.counts.shape[1]


def orders_of(layout: Layout) -> int:
    """Return 2 if resamples come in pairs that swap the draws of runs, and 1 otherwise."""
    return 2 if any(max(runs) > 1 for *runs, _ in layout) else 1


def draws_of(layout: Layout, drawn: int, seed: int, *, sampled: bool) -> Iterable[Draws]:
    """Return draws, one position after the other, and one scene after the other if scenes are fixed.

    Args:
        layout: layout of all scenes.
        drawn: number of resamples.
        seed: seed of the generators.
        sampled: whether scenes are a sample.
    """
    counts = drawn * sum(views for *_, views in layout)
    return (_kept_draws if counts <= _MOST_KEPT else _draws)(layout, drawn, seed, sampled=sampled)


@lru_cache(maxsize=16)
def _kept_draws(layout: Layout, drawn: int, seed: int, *, sampled: bool) -> list[Draws]:
    return list(_draws(layout, drawn, seed, sampled=sampled))


def _draws(layout: Layout, drawn: int, seed: int, *, sampled: bool) -> Iterator[Draws]:
    count, rows = len(layout), np.arange(drawn)
    draw = _Drawing(layout, seed)
    if not sampled:
        for scene in range(count):
            yield from draw(0, np.full(drawn, scene), rows)
        return
    chosen = np.empty((count, drawn), np.min_scalar_type(count))
    for start in range(0, drawn, step := max(1, MOST_NUMBERS // count)):
        part = rows[start : start + step]
        chosen[:, part] = draw.views.integers(0, count, (len(part), count)).T
    for position, scenes in enumerate(chosen):
        by_scene = np.argsort(scenes, kind="stable")
        yield from draw(position, scenes[by_scene], by_scene)


class _Drawing:
    """Draws of views and runs. They do not depend on how many are made at a time.

    Args:
        layout: layout of all scenes.
        seed: seed of the generators.

    Attributes:
        views: generator of views and scenes. That of runs is another.
    """

    def __init__(self, layout: Layout, seed: int) -> None:
        self.views = np.random.default_rng(seed)
        self._runs = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
        self._sizes, self.orders = np.array(layout), orders_of(layout)
        self._points = 2 * self._sizes[:, :2].max(axis=1)
        self._layouts, self._kind = np.unique(self._sizes, axis=0, return_inverse=True)
        self._step = max(1, MOST_NUMBERS // max(max(views, prod(runs)) for *runs, views in layout))

    def __call__(self, position: int, scenes: np.ndarray, rows: np.ndarray) -> Iterator[Draws]:
        """Yield draws of one scene for each resample, in parts. Both orders of sides have the same views.

        Args:
            position: index of the scenes among those that are drawn.
            scenes: index of each resample's scene, ascending.
            rows: indices of the resamples.
        """
        for start in range(0, len(rows), self._step):
            part = slice(start, start + self._step)
            of_part, kinds = scenes[part], self._kind[scenes[part]]
            views, points_of = self._sizes[of_part, 2], self._points[of_part]
            counts = _counts(_drawn(views, self.views), views)
            points = self._runs.random(points_of.sum()) if self.orders > 1 else np.zeros(points_of.sum())
            for kind in np.unique(kinds):
                runs = self._layouts[kind, :2].tolist()
                here = np.flatnonzero(kinds == kind)
                yield Draws(
                    of_part[here],
                    rows[part][here],
                    position,
                    _rows(counts, views, here),
                    self._shares(_rows(points, points_of, here).reshape(len(here), 2, -1), runs),
                )

    def _shares(self, points: Array, runs: Sequence[int]) -> list[tuple[Array, Array]]:
        """Return shares of A's and B's runs for each order of the sides, from random numbers [n, 2, runs]."""
        if self.orders == 1:
            return [(np.ones((len(points), 1)), np.ones((len(points), 1)))]
        drawn = [[(points[:, side, :most] * most).astype(np.int64) for most in runs] for side in (0, 1)]
        (x_a, x_b), (y_a, y_b) = (
            [
                _counts(of_side.ravel(), np.full(len(points), most)).reshape(-1, most) / most
                for of_side, most in zip(side, runs, strict=True)
            ]
            for side in drawn
        )
        return [(x_a, y_b), (y_a, x_b)]


def _rows(values: np.ndarray, sizes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return rows of equal size, ascending, of values whose rows have several sizes, [n, size]."""
    starts, size = np.cumsum(sizes) - sizes, int(sizes[rows[0]])
    first, last = rows[[0, -1]]
    if last - first == len(rows) - 1:
        return values[starts[first] : starts[last] + size].reshape(-1, size)
    return values[starts[rows][:, None] + np.arange(size)]


def _drawn(views: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw as many views of each scene as it has, [sum of views]."""
    starts = np.flatnonzero(np.diff(views)) + 1
    if len(views) < FEW_ROWS * (len(starts) + 1):
        return rng.integers(0, np.repeat(views, views))
    equal = np.split(views, starts)  # The same draws, faster.
    return np.concatenate([rng.integers(0, part[0], len(part) * part[0]) for part in equal])


def _counts(drawn: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return how often each index below its size was drawn, row after row, [sum of sizes]."""
    starts = np.cumsum(sizes) - sizes
    counts = np.bincount(drawn + np.repeat(starts, sizes), minlength=len(drawn))
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))
