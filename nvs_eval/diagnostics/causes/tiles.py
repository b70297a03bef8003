"""Tiles of an image, and whether a gain in squared error is above its noise.

The parameters of a fit are estimated without a tile and judged on it. Parameters that only follow noise gain nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_LEAST_TILE, _MOST_ALONG = 24, 6
_LEAST_Z = 2.5
LEAST_DECIBELS = 0.1
"""Smallest gain that is named, in dB. Less is not visible, and within what resampling an image changes."""


@dataclass(frozen=True)
class Tiles:
    """Grid of tiles over an image, of nearly equal size."""

    height: int
    width: int

    def _edges(self, length: int) -> Array:
        return np.linspace(0, length, max(1, min(_MOST_ALONG, length // _LEAST_TILE)) + 1).round().astype(int)

    @cached_property
    def rows(self) -> Array:
        """Edges of the rows of tiles, in pixels."""
        return self._edges(self.height)

    @cached_property
    def columns(self) -> Array:
        """Edges of the columns of tiles, in pixels."""
        return self._edges(self.width)

    def __len__(self) -> int:
        return (len(self.rows) - 1) * (len(self.columns) - 1)

    def __iter__(self) -> Iterator[tuple[slice, slice]]:
        for top, bottom in zip(self.rows[:-1], self.rows[1:], strict=True):
            for left, right in zip(self.columns[:-1], self.columns[1:], strict=True):
                yield slice(top, bottom), slice(left, right)

    def sums(self, values: Array) -> Array:
        """Return the sum of an image `[H, W]` in each tile, in float64."""
        down = np.add.reduceat(values, self.rows[:-1], axis=0, dtype=np.float64)
        return np.add.reduceat(down, self.columns[:-1], axis=1).ravel()

    def index(self, y: Array, x: Array) -> Array:
        """Return the tile of each pixel."""
        row = np.searchsorted(self.rows, y, side="right") - 1
        column = np.searchsorted(self.columns, x, side="right") - 1
        return row * (len(self.columns) - 1) + column


def without_each(per_tile: Array) -> Array:
    """Return, for each tile, the sum over all other tiles, along the first axis."""
    return per_tile.sum(axis=0, keepdims=True) - per_tile


@dataclass(frozen=True)
class Gain:
    """Squared error of each tile before a fit, and after one that did not use the tile."""

    before: Array
    after: Array

    @property
    def decibels(self) -> float:
        """Gain in dB; negative if the fit only follows noise."""
        before, after = float(self.before.sum()), float(self.after.sum())
        return 10 * math.log10(before / after) if before > 0 and after > 0 else 0.0

    @property
    def share(self) -> float:
        """Share of the squared error that goes, at least 0."""
        before = float(self.before.sum())
        return max(0.0, 1 - float(self.after.sum()) / before) if before > 0 else 0.0

    @property
    def is_real(self) -> bool:
        """Whether the gain is at least 0.1 dB, most tiles have it, and their mean is above its standard error.

        The number of tiles that gain is beyond what equal chances give by 2.5 standard deviations.
        """
        used = self.before > 0
        gains, count = (self.before - self.after)[used], int(used.sum())
        if count < 8 or self.decibels < LEAST_DECIBELS:
            return False
        many = (np.count_nonzero(gains > 0) - count / 2) / math.sqrt(count / 4) >= _LEAST_Z
        return bool(many and gains.mean() > 2 * gains.std(ddof=1) / math.sqrt(count))
