"""Sums over windows, as products with banded matrices."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

STEP = 8
"""How many sums one product gives along an axis; the planes below have this many places for windows, or a multiple."""
Array = np.ndarray[Any, np.dtype[Any]]


def blur(planes: Tensor, taps: tuple[float, ...]) -> Tensor:
    """A window along both axes of `[p, h, w]`, for as many positions as it has wholly inside."""
    if _needs_torch(planes):
        return slide_columns(slide_rows(planes, taps), taps)
    bands = _bands(taps)
    return torch.from_numpy(_columns(_rows(_array(planes), bands), bands))


def slide_rows(planes: Tensor, taps: tuple[float, ...]) -> Tensor:
    """A window down the columns, `[p, h, w]` to `[p, h - len(taps) + 1, w]`."""
    bands = _bands(taps)
    if not _needs_torch(planes):
        return torch.from_numpy(_rows(_array(planes), bands))
    windows = planes.unfold(-2, bands.reach, STEP).mT
    return torch.matmul(torch.from_numpy(bands.rows).to(planes), windows).flatten(1, 2)


def slide_columns(planes: Tensor, taps: tuple[float, ...]) -> Tensor:
    """A window along the rows, `[p, h, w]` to `[p, h, w - len(taps) + 1]`."""
    bands = _bands(taps)
    if not _needs_torch(planes):
        return torch.from_numpy(_columns(_array(planes), bands))
    windows = planes.unfold(-1, bands.reach, STEP)
    return torch.matmul(windows, torch.from_numpy(bands.columns).to(planes)).flatten(2)


class _Bands(NamedTuple):
    """`[STEP, reach]`, a row a window, each a place further on than the last; and the same transposed, as it lies."""

    rows: Array
    columns: Array
    reach: int


@cache
def _bands(taps: tuple[float, ...]) -> _Bands:
    reach = STEP + len(taps) - 1
    rows = np.zeros((STEP, reach))
    for place in range(STEP):
        rows[place, place : place + len(taps)] = taps
    return _Bands(rows, rows.T.copy(), reach)


# Of matrices as small as these, NumPy's BLAS makes the products in half the time of torch's, and takes overlapping
# windows as they lie. It has no other device and no gradients.


def _needs_torch(planes: Tensor) -> bool:
    return planes.device.type != "cpu" or planes.requires_grad


def _array(planes: Tensor) -> Array:
    return planes.contiguous().numpy()


def _rows(planes: Array, bands: _Bands) -> Array:
    count, height, width = planes.shape
    steps = (height - bands.reach) // STEP + 1
    plane, row, column = planes.strides
    windows = np.ndarray((count, steps, bands.reach, width), planes.dtype, planes, 0, (plane, STEP * row, row, column))
    sums = np.empty((count, steps, STEP, width))
    np.matmul(bands.rows, windows, out=sums)
    return sums.reshape(count, -1, width)


def _columns(planes: Array, bands: _Bands) -> Array:
    count, height, width = planes.shape
    steps = (width - bands.reach) // STEP + 1
    plane, row, column = planes.strides
    windows = np.ndarray(
        (count, steps, height, bands.reach), planes.dtype, planes, 0, (plane, STEP * column, row, column)
    )
    sums = np.empty((count, height, steps, STEP))
    np.matmul(windows, bands.columns, out=sums.transpose(0, 2, 1, 3))
    return sums.reshape(count, height, -1)
