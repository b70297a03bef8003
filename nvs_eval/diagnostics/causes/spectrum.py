"""Spectra: matching blur or sharpening, noise, and the shares of low, middle and high frequencies.

Reference and render are compared in the spectra of tiles: what the render has of the reference at a frequency, and what
it has besides. Blur takes from the first, noise adds to the second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.fft import rfft2

from nvs_eval.diagnostics.causes.tiles import Array, Gain, without_each

_BINS = 64
_LOW, _HIGH = 1 / 16, 1 / 4
"""Frequencies between low, middle and high, in cycles per pixel."""
_NOISE = (0.38, 0.5)
_ALIKE = 0.6
_WIDEST = 6.0
UNSHARP = 1.0
"""Standard deviation of the Gaussian of unsharp masking, in pixels."""


@dataclass(frozen=True)
class Spectra:
    """Spectra of the tiles of a reference and a render, in bins of frequency.

    Attributes:
        reference: `[T, B]` power of the reference.
        cross: `[T, B]` real part of the product of both.
        render: `[T, B]` power of the render.
        count: number of samples of a bin in a tile, of all channels.
        power: sum of the squared window.
    """

    reference: Array
    cross: Array
    render: Array
    count: Array
    power: float

    @property
    def error(self) -> Array:
        """Power of the difference, `[T, B]`."""
        return self.reference + self.render - 2 * self.cross


@lru_cache(maxsize=4)
def _bins(size: int) -> tuple[Array, Array, Array]:
    """Return the bin of each frequency of a tile, its multiplicity in a full spectrum, and the bins' frequencies."""
    y, x = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    index = np.minimum((np.hypot(y, x) * _BINS / 0.5).astype(int), int(_BINS * math.sqrt(2)))
    twice = np.where((x == 0) | (x == 0.5), 1.0, 2.0) * np.ones_like(y)
    frequencies = (np.arange(index.max() + 1) + 0.5) * 0.5 / _BINS
    return index.ravel(), twice.ravel(), frequencies


def tile_size(height: int, width: int) -> int:
    """Return the size of the tiles of an image."""
    return next((size for size in (128, 64, 32, 16) if min(height, width) >= 3 * size), 16)


def spectra(reference: Array, render: Array, weights: Array) -> Spectra | None:
    """Return the spectra of the tiles of an image that are wholly inside the mask; None if these are fewer than 4.

    Args:
        reference: `[3, H, W]`.
        render: `[3, H, W]`.
        weights: `[H, W]` weights of the pixels.
    """
    height, width = weights.shape
    size = tile_size(height, width)
    if min(height, width) < size:
        return None
    step = size // 2 if height * width < 500_000 else size
    tops, lefts = range(0, height - size + 1, step), range(0, width - size + 1, step)
    window = np.outer(*[np.hanning(size + 2)[1:-1]] * 2).astype(np.float32)
    index, twice, frequencies = _bins(size)
    places = [(y, x) for y in tops for x in lefts if weights[y : y + size, x : x + size].min() >= 0.5]
    if len(places) < 4:
        return None
    own, cross, other = (np.zeros((len(places), len(frequencies))) for _ in range(3))
    for place, (y, x) in enumerate(places):
        part = (slice(None), slice(y, y + size), slice(x, x + size))
        pair = np.concatenate([reference[part], render[part]])
        pair = (pair - pair.mean((1, 2), keepdims=True)) * window
        transformed: Any = rfft2(pair)
        first, second = transformed[:3], transformed[3:]
        for sums, power in (
            (own, (first.real**2 + first.imag**2).sum(0)),
            (cross, (first.real * second.real + first.imag * second.imag).sum(0)),
            (other, (second.real**2 + second.imag**2).sum(0)),
        ):
            sums[place] = np.bincount(index, power.ravel() * twice, len(frequencies))
    count = 3 * np.bincount(index, twice, len(frequencies))
    return Spectra(own, cross, other, count, float((window**2).sum()))


def frequencies_of(one: Spectra) -> Array:
    """Return the middle frequency of each bin, in cycles per pixel."""
    return (np.arange(one.count.size) + 0.5) * 0.5 / _BINS


@dataclass(frozen=True)
class Sharpness:
    """Matching blur or sharpening of the reference.

    Attributes:
        blur: standard deviation of the Gaussian that the render is blurred by, in pixels; 0 if it is not blurred.
        sharpening: amount of unsharp masking (radius 1 px) that the render is sharpened by; 0 if it is not.
        gain: squared errors of the tiles.
    """

    blur: float
    sharpening: float
    gain: Gain

    def transfer(self, frequencies: Array) -> Array:
        """Return the factor of each frequency."""
        if self.blur > 0:
            return np.exp(-2 * np.pi**2 * self.blur**2 * frequencies**2)
        return 1 + self.sharpening * (1 - np.exp(-2 * np.pi**2 * UNSHARP**2 * frequencies**2))


def match_sharpness(one: Spectra) -> Sharpness:
    """Find the Gaussian, or the unsharp mask, that turns the reference into the render."""
    squared = frequencies_of(one) ** 2
    widths = np.concatenate([np.linspace(0, 2, 81)[1:], np.linspace(2, _WIDEST, 41)[1:]])
    blurred = np.exp(-2 * np.pi**2 * widths[:, None] ** 2 * squared)
    amounts = np.linspace(0, 3, 121)[1:]
    sharpened = 1 + amounts[:, None] * (1 - np.exp(-2 * np.pi**2 * UNSHARP**2 * squared))
    # From the sharpest over the identity to the most blurred.
    transfer = np.concatenate([sharpened[::-1], np.ones((1, squared.size)), blurred])
    scale = np.concatenate([-amounts[::-1], [0], widths])
    curves = one.render.sum(1)[:, None] - 2 * one.cross @ transfer.T + one.reference @ transfer.T**2
    left_out = without_each(curves).argmin(1)
    identity = len(amounts)
    gain = Gain(curves[:, identity].clip(0), np.take_along_axis(curves, left_out[:, None], 1)[:, 0].clip(0))
    best = _vertex(scale, curves.sum(0))
    return Sharpness(max(best, 0.0), max(-best, 0.0), gain)


def _vertex(scale: Array, curve: Array) -> float:
    """Return the minimum of a sampled curve, by a parabola through its three lowest points."""
    middle = int(curve.argmin())
    if middle in (0, len(curve) - 1):
        return float(scale[middle])
    quadratic = np.polyfit(scale[middle - 1 : middle + 2] - scale[middle], curve[middle - 1 : middle + 2], 2)
    return float(scale[middle] - quadratic[1] / (2 * quadratic[0])) if quadratic[0] > 0 else float(scale[middle])


def noise_of(one: Spectra, match: Sharpness) -> tuple[float, float]:
    """Return the standard deviation of white noise in the render, and its share of the error that a match leaves.

    Noise is what the render has besides the reference at the highest frequencies. It is alike in all tiles, of
    which the median counts. Edges and the marks of compression are not: then the lower quartile counts.
    """
    frequencies = frequencies_of(one)
    band = (frequencies >= _NOISE[0]) & (frequencies < _NOISE[1])
    own, cross, other = (values[:, band] for values in (one.reference, one.cross, one.render))
    besides = other - cross**2 / np.maximum(own, 1e-12)
    quartile, median = np.percentile(besides.sum(1), [25, 50])
    density = max(0.0, float(median if quartile > _ALIKE * median else quartile)) / float(one.count[band].sum())
    transfer = match.transfer(frequencies)
    error = (one.render - 2 * transfer * one.cross + transfer**2 * one.reference).sum(0).clip(1e-30)
    white = np.minimum(error, density * one.count * len(one.render))
    return math.sqrt(density / one.power), float(white.sum() / error.sum())


def band_shares(one: Spectra) -> dict[str, float]:
    """Return the shares of the squared error in low, middle and high frequencies."""
    frequencies, error = frequencies_of(one), one.error.sum(0)
    total = float(error.sum())
    low, high = frequencies < _LOW, frequencies >= _HIGH
    bands = {"low": low, "middle": ~low & ~high, "high": high}
    return {name: float(error[band].sum()) / total if total > 0 else 0.0 for name, band in bands.items()}
