"""Regions of a view: borders, darkest and brightest pixels, flat parts and edges, and floaters in flat parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from nvs_eval.diagnostics.causes.tiles import Array

_BORDER = 0.05
"""Width of the border, relative to the shorter side."""
_TENTH = 10
_LEAST_ERROR = 8 / 255
_LEAST_AREA = 0.0004
"""Smallest floater, relative to the image."""
_DEVIATIONS = 6
_EDGE = 0.6
"""Error at which a floater ends, relative to that at which one is found."""
_MARGIN = 3
_DISPLACEMENT = 6
"""Displacement in pixels that is no more taken for one, but for an error of its own."""


def region_shares(reference: Array, errors: Array) -> dict[str, tuple[float, float]]:
    """Return the share of the squared error in each region, and the share of the pixels.

    Args:
        reference: `[3, H, W]`.
        errors: `[H, W]` squared error, weighted by the mask.
    """
    total = float(errors.sum(dtype=np.float64))
    brightness, slope = reference.mean(0), _slope(reference)
    inner = np.zeros(errors.shape, dtype=bool)
    width = max(1, round(_BORDER * min(errors.shape)))
    inner[width:-width, width:-width] = True
    dark, bright = np.percentile(brightness[::3, ::3], [_TENTH, 100 - _TENTH])
    median, steep = np.percentile(slope[::3, ::3], [50, 90])
    regions = {
        "border": ~inner,
        "darkest": brightness <= dark,
        "brightest": brightness >= bright,
        "flat": slope <= median,
        "edges": slope >= steep,
    }
    if total <= 0:
        return {name: (0.0, float(region.mean())) for name, region in regions.items()}
    return {name: (float(errors[region].sum()) / total, float(region.mean())) for name, region in regions.items()}


def _slope(reference: Array) -> Array:
    smooth = ndimage.gaussian_filter(reference.mean(0), 1.0)
    return np.hypot(*(np.gradient(smooth, axis=axis) if smooth.shape[axis] > 1 else 0 * smooth for axis in (0, 1)))


@dataclass(frozen=True)
class Floater:
    """Large connected error in a flat part of the reference.

    Attributes:
        box: left, top, width and height in pixels.
        squared_error: its squared error, summed over pixels, mean over channels, above that of the rest.
    """

    box: tuple[int, int, int, int]
    squared_error: float


def find_floaters(reference: Array, residual: Array, weights: Array) -> list[Floater]:
    """Find floaters, from the largest squared error to the smallest.

    Args:
        reference: `[3, H, W]`.
        residual: `[3, H, W]` difference of render and reference that other causes leave.
        weights: `[H, W]` weights of the pixels.
    """
    height, width = weights.shape
    factor = 2 if height * width > 600_000 else 1
    small, texture = residual[:, ::factor, ::factor], _slope(reference[:, ::factor, ::factor])
    texture = ndimage.uniform_filter(texture, 9)
    smooth = np.stack([ndimage.gaussian_filter(channel, 3.0) for channel in small])
    size = np.sqrt((smooth**2).mean(0)) * (weights[::factor, ::factor] > 0)
    # Beside flat parts, floaters are in textures that are too weak for a displacement to cause the error.
    flat = (texture <= max(np.percentile(texture, 50), 0.01)) | (size > _DISPLACEMENT * texture)
    spread = float(np.median(size)) / 0.8  # The median of a root of squares over three channels.
    threshold = max(_LEAST_ERROR, _DEVIATIONS * spread)
    labelled: Any = ndimage.label(size > _EDGE * threshold)
    labels = labelled[0]
    square = (residual**2).mean(0) * weights
    usual = float(np.median(square))
    floaters = []
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        inside = (labels[place] == number) & (size[place] > threshold)
        if inside.sum() < _LEAST_AREA * labels.size or flat[place][inside].mean() < 0.6:
            continue
        top, left = (max(0, part.start - _MARGIN) for part in place)
        bottom, right = (part.stop + _MARGIN for part in place)
        # The edge of a floater is outside what was smoothed above the threshold.
        grown = ndimage.binary_dilation(labels[top:bottom, left:right] == number, iterations=_MARGIN)
        grown = grown.repeat(factor, 0).repeat(factor, 1)
        part = square[top * factor : bottom * factor, left * factor : right * factor]
        excess = part[grown[: part.shape[0], : part.shape[1]]] - usual
        rows, columns = ((part.start * factor, (part.stop - part.start) * factor) for part in place)
        box = (columns[0], rows[0], columns[1], rows[1])
        floaters.append(Floater(box, max(0.0, float(excess.sum(dtype=np.float64)))))
    return sorted(floaters, key=lambda one: -one.squared_error)
