"""Registration: the shift, and the small homography, that move the reference onto the render.

Phase correlation finds the shift to a pixel, Gauss-Newton what is below. The reference is moved and not the render:
moving an image smooths it, which would pass for a gain on a noisy render.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.fft import irfft2, rfft2

from nvs_eval.diagnostics.causes.tiles import Array, Gain, Tiles, without_each

_MOST_PIXELS = 700_000
_ITERATIONS = 12
_SETTLED = 1e-3
"""Largest displacement, in pixels, of a step after which there is no other."""
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class Motion:
    """Displacement of the render against the reference, to first order in the parameters of a homography.

    Attributes:
        values: 8 parameters in pixels, of coordinates that are 1 at half the larger of width and height: shift and
            linear part of x, then of y, then the two of perspective.
        height: height of the image in pixels.
        width: width of the image in pixels.
    """

    values: Array
    height: int
    width: int

    @property
    def unit(self) -> float:
        """Length of the unit of the coordinates, in pixels."""
        return max(self.height, self.width) / 2

    @property
    def shift(self) -> tuple[float, float]:
        """Displacement of the centre in x and y, in pixels; positive to the right and downwards."""
        return float(self.values[0]), float(self.values[3])

    @property
    def rotation(self) -> float:
        """Angle in degrees, positive if the render is turned clockwise."""
        return float(np.degrees((self.values[4] - self.values[2]) / 2 / self.unit))

    @property
    def zoom(self) -> float:
        """Relative size, positive if the render is larger."""
        return float((self.values[1] + self.values[5]) / 2 / self.unit)

    def at(self, y: Array, x: Array) -> tuple[Array, Array]:
        """Return the displacement in y and x at pixels."""
        along_y, along_x = _basis((y - (self.height - 1) / 2) / self.unit, (x - (self.width - 1) / 2) / self.unit)
        return np.tensordot(self.values, along_y, 1), np.tensordot(self.values, along_x, 1)

    def inside(self) -> Array:
        """Return the pixels `[H, W]` of the render whose place in the reference is inside it."""
        y, x = np.indices((self.height, self.width), dtype=np.float32)
        down, right = self.at(y, x)
        rows, columns = y - down, x - right
        return (rows >= 0) & (rows <= self.height - 1) & (columns >= 0) & (columns <= self.width - 1)

    @property
    def largest(self) -> float:
        """Largest displacement of a corner, in pixels."""
        y, x = np.array([0, 0, self.height - 1, self.height - 1]), np.array([0, self.width - 1, 0, self.width - 1])
        return float(np.hypot(*self.at(y, x)).max())

    def scaled(self, height: int, width: int) -> Motion:
        """Return the motion for the image in another size."""
        return Motion(self.values * (max(height, width) / max(self.height, self.width)), height, width)

    def apply(self, reference: Array) -> Array:
        """Return the reference `[3, H, W]`, moved onto the render."""
        y, x = np.indices(reference.shape[-2:], dtype=np.float32)
        down, right = self.at(y, x)
        places = np.stack([y - down, x - right]).astype(np.float32)
        return np.stack(
            [
                ndimage.map_coordinates(channel, places, order=3, mode="nearest", output=np.float32)
                for channel in reference
            ]
        )


def _basis(y: Array, x: Array) -> tuple[Array, Array]:
    zero, one = np.zeros_like(x), np.ones_like(x)
    return (
        np.stack([zero, zero, zero, one, x, y, x * y, y * y]),
        np.stack([one, x, y, zero, zero, zero, x * x, x * y]),
    )


@dataclass(frozen=True)
class Registration:
    """A motion, and the squared errors of the luminance before and after it."""

    motion: Motion
    gain: Gain


def register(reference: Array, render: Array, weights: Array) -> tuple[Registration, Registration]:
    """Return the shift and the homography that move a reference onto a render.

    Args:
        reference: `[3, H, W]`.
        render: `[3, H, W]`, with the colours of the reference.
        weights: `[H, W]` weights of the pixels.
    """
    height, width = weights.shape
    factor = max(1, round((height * width / _MOST_PIXELS) ** 0.5))
    of_reference, of_render = (_reduced(np.tensordot(_LUMINANCE, image, 1), factor) for image in (reference, render))
    search = _Search(of_reference, of_render, _reduced(weights.astype(np.float32), factor))
    start = np.zeros(8)
    start[[3, 0]] = _whole_pixels(of_reference, of_render)
    start = min((start, np.zeros(8)), key=search.error)
    shift = search.descend(start, [0, 3])
    homography = search.descend(shift.motion.values, list(range(8)))
    scaled = (Registration(one.motion.scaled(height, width), one.gain) for one in (shift, homography))
    shift, homography = scaled
    return shift, homography


def _reduced(image: Array, factor: int) -> Array:
    if factor == 1:
        return image
    height, width = (length // factor * factor for length in image.shape)
    return image[:height, :width].reshape(height // factor, factor, width // factor, factor).mean((1, 3))


def _spectrum(image: Array) -> Any:
    return rfft2(image)


def _whole_pixels(reference: Array, render: Array) -> tuple[int, int]:
    """Return the shift in y and x to a pixel, by phase correlation."""
    window = np.hanning(reference.shape[0])[:, None] * np.hanning(reference.shape[1])
    one, other = (_spectrum((image - image.mean()) * window) for image in (reference, render))
    cross = other * np.conj(one)
    correlation: Any = irfft2(cross / (np.abs(cross) + 1e-3 * np.abs(cross).mean() + 1e-12), s=reference.shape)
    peak = np.unravel_index(int(correlation.argmax()), correlation.shape)
    y, x = (int(p) - n if p > n // 2 else int(p) for p, n in zip(peak, reference.shape, strict=True))
    return (y, x) if max(abs(y), abs(x)) <= max(reference.shape) // 10 else (0, 0)


class _Search:
    """Descent over the parameters of a motion, on luminances `[H, W]`."""

    def __init__(self, reference: Array, render: Array, weights: Array) -> None:
        self._height, self._width = reference.shape
        self._spline = ndimage.spline_filter(reference, order=3).astype(np.float32)
        self._render, self._weights = render, weights
        self._tiles = Tiles(self._height, self._width)
        y, x = np.indices(reference.shape, dtype=np.float32)
        self._y, self._x = y, x
        unit = max(reference.shape) / 2
        self._basis = _basis((y - (self._height - 1) / 2) / unit, (x - (self._width - 1) / 2) / unit)
        self._before = self._errors(np.zeros(8))

    def _moved(self, values: Array) -> tuple[Array, Array]:
        """Return the moved reference, and the weights of the pixels that it covers."""
        down, right = (np.tensordot(values.astype(np.float32), basis, 1) for basis in self._basis)
        y, x = self._y - down, self._x - right
        inside = (y >= 2) & (y <= self._height - 3) & (x >= 2) & (x <= self._width - 3)
        moved = ndimage.map_coordinates(self._spline, [y, x], order=3, mode="nearest", prefilter=False)
        return moved, self._weights * inside

    def _errors(self, values: Array) -> Array:
        moved, weights = self._moved(values)
        return weights * (self._render - moved) ** 2

    def error(self, values: Array) -> float:
        """Return the mean squared error of a motion."""
        moved, weights = self._moved(values)
        return float((weights * (self._render - moved) ** 2).sum() / max(float(weights.sum()), 1e-9))

    def descend(self, values: Array, free: list[int]) -> Registration:
        """Improve the free parameters. The gain of each tile is with the parameters of all others."""
        values = values.copy()
        own = cross = np.zeros(0)
        step = np.full(len(free), np.inf)
        for _ in range(_ITERATIONS):
            own, cross, step = self._step(values, free)
            values[free] += step
            if np.abs(step).max() < _SETTLED:
                break
        moved, weights = self._moved(values)
        after = self._tiles.sums(weights * (self._render - moved) ** 2)
        before = self._tiles.sums(np.where(weights > 0, self._before, 0))
        # The last equations give the parameters without each tile, and the error on it to second order.
        ridge = 1e-9 * np.trace(own.sum(0)) * np.eye(len(free)) + 1e-12 * np.eye(len(free))
        apart = np.linalg.solve(without_each(own) + ridge, without_each(cross)[..., None])[..., 0] - step
        after = after - 2 * (apart * (cross - own @ step)).sum(1) + np.einsum("ti,tij,tj->t", apart, own, apart)
        return Registration(Motion(values, self._height, self._width), Gain(before, after.clip(0)))

    def _step(self, values: Array, free: list[int]) -> tuple[Array, Array, Array]:
        """Return the normal equations of each tile, and the step that solves their sum."""
        moved, weights = self._moved(values)
        residual = self._render - moved
        scale = 9 * float((weights * residual**2).sum()) / max(float(weights.sum()), 1e-9)
        weights = weights / (1 + residual**2 / (scale + 1e-12))
        down, right = np.gradient(moved)
        slopes = [-(down * self._basis[0][index] + right * self._basis[1][index]) for index in free]
        own = np.empty((len(self._tiles), len(free), len(free)))
        cross = np.empty((len(self._tiles), len(free)))
        for row, slope in enumerate(slopes):
            weighted = weights * slope
            cross[:, row] = self._tiles.sums(weighted * residual)
            for column in range(row, len(free)):
                own[:, row, column] = own[:, column, row] = self._tiles.sums(weighted * slopes[column])
        ridge = 1e-9 * np.trace(own.sum(0)) * np.eye(len(free)) + 1e-12 * np.eye(len(free))
        return own, cross, np.linalg.solve(own.sum(0) + ridge, cross.sum(0))
