"""Colour correction of a render towards its reference, by numpy's least squares, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_HALF_A_LEVEL = 0.5 / 255
# Of the variance of a channel, and of the slope of its line.
_LEAST = 1e-8


def quadratic(render: Array, reference: Array) -> Array:
    """multinerf's: five fits of a quadratic of the colour, over the pixels that are not clipped."""
    height, width = render.shape[:2]
    first, target = (image.reshape(-1, 3).astype(np.float64) for image in (render, reference))
    current = first
    for _ in range(5):
        red, green, blue = current.T
        products = [red * red, red * green, red * blue, green * green, green * blue, blue * blue]
        terms = np.stack([*products, red, green, blue, np.ones_like(red)], axis=1)
        usable = _unclipped(first) & _unclipped(current) & _unclipped(target)
        fitted = []
        for channel in range(3):
            # Rows of zeros take no part in the fit.
            rows = usable[:, channel]
            weights = np.linalg.lstsq(terms * rows[:, None], target[:, channel] * rows, rcond=-1)[0]
            fitted.append(terms @ weights)
        current = np.stack(fitted, axis=1).clip(0, 1)
    return current.reshape(height, width, 3)


def _unclipped(colours: Array) -> Array:
    return (colours >= _HALF_A_LEVEL) & (colours <= 1 - _HALF_A_LEVEL)


def affine(render: Array, reference: Array) -> Array:
    """gsplat's: the line of each channel from reference to render, inverted."""
    y, x = (image.astype(np.float64) for image in (render, reference))
    mean_x, mean_y = x.mean(axis=(0, 1)), y.mean(axis=(0, 1))
    covariance = ((x - mean_x) * (y - mean_y)).mean(axis=(0, 1))
    slope = covariance / np.maximum(x.var(axis=(0, 1)), _LEAST)
    offset = mean_y - slope * mean_x
    return ((y - offset) / np.where(np.abs(slope) < _LEAST, 1.0, slope)).clip(0, 1)


CORRECTIONS = {"quadratic": quadratic, "affine": affine}
"""By the names that protocols have for them."""
