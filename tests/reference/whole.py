"""PSNR, MAE and mip-NeRF's average in numpy float64, from their definitions, with the means that masks ask for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def psnr(reference: Array, render: Array, mask: Array | None = None, *, peak: float = 1.0) -> float:
    """In dB, over all pixels and channels, or over the mask's."""
    squares = (reference.astype(np.float64) - render.astype(np.float64)) ** 2
    error = mean(squares, mask)
    return math.inf if error == 0 else 10 * math.log10(peak**2 / error)


def mae(reference: Array, render: Array, mask: Array | None = None) -> float:
    """The mean absolute difference."""
    return mean(np.abs(reference.astype(np.float64) - render.astype(np.float64)), mask)


def mipnerf_average(psnr: float, ssim: float, lpips: float) -> float:
    """The geometric mean of the root of the error, the root of 1 - SSIM, and LPIPS, as mip-NeRF's paper has it."""
    errors = [10 ** (-psnr / 10), math.sqrt(1 - ssim), lpips]
    return math.exp(sum(map(math.log, errors)) / 3)


def mean(values: Array, mask: Array | None = None) -> float:
    """The mean of `[H, W, C]`, each pixel with the weight that the mask `[H, W]` has at it; the meaning `valid-pixels`.

    A map smaller than the mask lies in its middle: the mask is cropped to it.
    """
    if mask is None:
        return float(values.astype(np.float64).mean())
    height, width, channels = values.shape
    top, left = (mask.shape[0] - height) // 2, (mask.shape[1] - width) // 2
    total = weight = 0.0
    for y in range(height):
        for x in range(width):
            at = float(mask[top + y, left + x])
            total += at * float(values[y, x].astype(np.float64).sum())
            weight += at * channels
    return total / weight


def mean_over_windows_inside(values: Array, mask: Array, side: int) -> float:
    """The mean of a map `[H-side+1, W-side+1, C]` over the windows whose every pixel has the weight 1: `windows`.

    NaN where there is none.
    """
    inside = [
        values[y, x] for y in range(values.shape[0]) for x in range(values.shape[1])
        if (mask[y : y + side, x : x + side] == 1).all()
    ]  # fmt: skip
    return float(np.mean(inside)) if inside else math.nan
