"""Sums over windows, as products with banded matrices, and their mean over the pixels that count."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

STEP = 8
"""How many sums one product gives along an axis; the planes below have this many places for windows, or a multiple."""


def blur(planes: Tensor, taps: tuple[float, ...]) -> Tensor:
    """A window along both axes of `[p, h, w]`, for as many positions as it has wholly inside."""
    return slide_columns(slide_rows(planes, taps), taps)


def slide_rows(planes: Tensor, taps: tuple[float, ...]) -> Tensor:
    """A window down the columns, `[p, h, w]` to `[p, h - len(taps) + 1, w]`."""
    band, _ = _bands(taps, planes.dtype, planes.device)
    windows = planes.unfold(-2, band.shape[1], STEP).mT
    return _multiply(band, windows).flatten(1, 2)


def slide_columns(planes: Tensor, taps: tuple[float, ...]) -> Tensor:
    """A window along the rows, `[p, h, w]` to `[p, h, w - len(taps) + 1]`."""
    _, band = _bands(taps, planes.dtype, planes.device)
    windows = planes.unfold(-1, band.shape[0], STEP).transpose(1, 2)
    return _multiply(windows, band, interleaved=True).transpose(1, 2).flatten(2)


def _multiply(left: Tensor, right: Tensor, *, interleaved: bool = False) -> Tensor:
    """The matrix product of batches, of whatever strides; with its two middle axes in each other's place in memory."""
    if left.device.type != "cpu" or (torch.is_grad_enabled() and (left.requires_grad or right.requires_grad)):
        return torch.matmul(left, right)
    # Of matrices as small as these, NumPy's BLAS makes the products in half the time of torch's, and takes overlapping
    # windows as they lie.
    *batch, rows, columns = *(left if left.ndim > right.ndim else right).shape[:-2], left.shape[-2], right.shape[-1]
    if interleaved:
        result = torch.empty(batch[0], rows, batch[1], columns, dtype=left.dtype).transpose(1, 2)
    else:
        result = torch.empty(*batch, rows, columns, dtype=left.dtype)
    np.matmul(left.detach().numpy(), right.detach().numpy(), out=result.numpy())
    return result


@cache
def _bands(taps: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """`[STEP, STEP + len(taps) - 1]`, a row a window, each a place further on; and the same transposed, as it lies."""
    # What is made under a caller's inference mode could never be used for a gradient later.
    with torch.inference_mode(mode=False):
        band = torch.zeros(STEP, STEP + len(taps) - 1, dtype=torch.float64)
        for place in range(STEP):
            band[place, place : place + len(taps)] = torch.tensor(taps, dtype=torch.float64)
        band = band.to(device, dtype)
        return band, band.T.contiguous()
