"""Blur and sharpening of images, and their amount to the last percent, which spectra of windows underestimate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from nvs_eval.diagnostics.causes.spectrum import UNSHARP, Sharpness
from nvs_eval.diagnostics.causes.tiles import Array

LEAST_BLUR = 0.35
"""Smallest blur that is named, in pixels. Compression and resampling blur less."""
LEAST_SHARPENING = 0.1
"""Smallest amount of sharpening that is named."""
_STEPS = (0.94, 1.0, 1.08, 1.18)
_ROUNDS = 2
_MOST_SIDE = 700


def matched(reference: Array, match: Sharpness) -> Array:
    """Return a reference `[3, H, W]` or `[H, W]`, blurred or sharpened and clipped as the render is."""
    several = reference if reference.ndim > 2 else reference[None]
    if match.blur > 0:
        changed = np.stack([gaussian(channel, match.blur) for channel in several])
    else:
        smooth = np.stack([gaussian(channel, UNSHARP) for channel in several])
        changed = (several + match.sharpening * (several - smooth)).clip(0, 1)
    return changed.reshape(reference.shape)


def gaussian(channel: Array, deviation: float) -> Array:
    """Blur a channel `[H, W]` by a Gaussian, by its transfer function where a sampled kernel would be too narrow."""
    if deviation >= 0.8:
        return ndimage.gaussian_filter(channel, deviation, mode="reflect")
    offsets, frequencies = np.arange(-4, 5), np.linspace(0, 0.5, 513)
    transfer = np.exp(-2 * np.pi**2 * deviation**2 * frequencies**2)
    transfer[[0, -1]] /= 2
    kernel = (np.cos(2 * np.pi * offsets[:, None] * frequencies) @ transfer) / 512
    kernel = (kernel / kernel.sum()).astype(np.float32)
    return ndimage.correlate1d(ndimage.correlate1d(channel, kernel, 0, mode="reflect"), kernel, 1, mode="reflect")


def refined(match: Sharpness, reference: Array, render: Array, weights: Array) -> Sharpness:
    """Return the match with the amount of the least squared error in the green channel, in the middle of the image.

    Args:
        match: match by spectra.
        reference: `[3, H, W]`, with the colours and pose of the render.
        render: `[3, H, W]`.
        weights: `[H, W]` weights of the pixels.
    """
    height, width = weights.shape
    top, left = (max(0, length - _MOST_SIDE) // 2 for length in (height, width))
    part = (slice(top, top + _MOST_SIDE), slice(left, left + _MOST_SIDE))
    own, other, share = reference[1][part], render[1][part], weights[part]

    def error(factor: float) -> float:
        return float((share * (matched(own, _times(match, factor)) - other) ** 2).sum(dtype=np.float64))

    for _ in range(_ROUNDS):
        errors = [error(factor) for factor in _STEPS]
        curve = np.polynomial.Polynomial.fit(_STEPS, errors, 2).convert().coef
        bends = curve.size == 3 and curve[2] > 0
        best = -curve[1] / (2 * curve[2]) if bends else _STEPS[int(np.argmin(errors))]
        match = _times(match, float(np.clip(best, _STEPS[0], _STEPS[-1])))
    return match


def _times(match: Sharpness, factor: float) -> Sharpness:
    return replace(match, blur=match.blur * factor, sharpening=match.sharpening * factor)
