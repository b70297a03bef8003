"""Colours: a gain per channel, a line per channel, and a quadratic of all channels.

A fit sees means over blocks, which noise, blur and small shifts leave as they are; a fit of single pixels would take
these for a loss of contrast. The reference is fitted to the render, because the noise is in the render: the other way
round, a fit that averages the channels would gain by removing noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nvs_eval.diagnostics.causes.tiles import Array, Gain, Tiles, without_each

Kind = Literal["gain", "affine", "quadratic"]
KINDS: tuple[Kind, ...] = ("gain", "affine", "quadratic")
_HALF_A_LEVEL = 0.5 / 255
_ROUNDS = 8
_MOST_PIXELS = 500_000


@dataclass(frozen=True)
class ColourFit:
    """Colours of a render as a function of those of the reference.

    Attributes:
        kind: form of the function.
        weights: `[3, 10]` weights of the terms of `_terms` for each channel.
        gain: squared errors before and after.
    """

    kind: Kind
    weights: Array
    gain: Gain

    @property
    def gains(self) -> list[float]:
        """Factor of each channel of the render, relative to the reference; meaningful for `gain` and `affine`."""
        return [float(self.weights[channel, channel]) for channel in range(3)]

    def apply(self, reference: Array) -> Array:
        """Return a reference `[3, H, W]` with the colours of the render, clipped as the render is."""
        weights = self.weights.astype(np.float32)
        if self.kind == "quadratic":
            return np.tensordot(weights, _terms(reference), axes=1).clip(0, 1)
        return (reference * weights[range(3), range(3)][:, None, None] + weights[:, 9][:, None, None]).clip(0, 1)


def _terms(image: Array) -> Array:
    """Return red, green, blue, their six products and 1 of an image `[3, ...]`, as `[10, ...]`."""
    red, green, blue = image
    products = [red * red, red * green, red * blue, green * green, green * blue, blue * blue]
    return np.stack([red, green, blue, *products, np.ones_like(red)])


def fit_colours(reference: Array, render: Array, weights: Array) -> dict[Kind, ColourFit]:
    """Fit all forms to a reference and its render.

    Args:
        reference: `[3, H, W]`.
        render: `[3, H, W]`.
        weights: `[H, W]` weights of the pixels.

    Returns:
        The fits by kind; none of those that the image is too small or too uniform for.
    """
    tiles = Tiles(*weights.shape)
    weights = weights * _unclipped(reference, render)
    blocks = _Blocks(reference, render, weights, tiles)
    grams = _grams(reference, render, weights, tiles)
    fits: dict[Kind, ColourFit] = {}
    for kind in KINDS:
        solved = [blocks.solve(kind, channel) for channel in range(3)]
        if any(one is None for one in solved):
            continue
        whole, left_out = (np.stack([one[part] for one in solved if one]) for part in (0, 1))
        fits[kind] = ColourFit(kind, whole, _judged(grams, left_out))
    return fits


def chosen(fits: dict[Kind, ColourFit]) -> ColourFit | None:
    """Return the simplest fit whose gain is real, and over which no other has a real gain; None if there is none."""
    best: ColourFit | None = None
    for fit in fits.values():
        over = fit.gain if best is None else Gain(best.gain.after, fit.gain.after)
        if over.is_real:
            best = fit
    return best


def _unclipped(reference: Array, render: Array) -> Array:
    """Return the pixels whose values noise does not take to 0 or 1, where clipping would pass for a colour."""
    difference = (render - reference).mean(0)
    fine = difference[:, 1:] - difference[:, :-1]
    margin = _HALF_A_LEVEL + min(0.1, 4 * (float(np.median(np.abs(fine[::2, ::2]))) if fine.size else 0.0) + 1 / 255)
    inside = (reference > margin) & (reference < 1 - margin) & (render > _HALF_A_LEVEL) & (render < 1 - _HALF_A_LEVEL)
    return np.all(inside, axis=0)


def _grams(reference: Array, render: Array, weights: Array, tiles: Tiles) -> tuple[Array, Array, Array]:
    """Return products per tile: of the terms `[T, 10, 10]`, with the render `[T, 3, 10]`, of the render `[T, 3]`."""
    step = max(1, round((weights.size / _MOST_PIXELS) ** 0.5))
    own, cross, square = [], [], []
    for rows, columns in tiles:
        part = (slice(None), slice(rows.start, rows.stop, step), slice(columns.start, columns.stop, step))
        terms = _terms(reference[part]).reshape(10, -1).astype(np.float64)
        target = render[part].reshape(3, -1).astype(np.float64)
        weighted = weights[part[1:]].reshape(-1)
        own.append((terms * weighted) @ terms.T)
        cross.append((target * weighted) @ terms.T)
        square.append((target * target) @ weighted)
    return np.stack(own), np.stack(cross), np.stack(square)


def _judged(grams: tuple[Array, Array, Array], left_out: Array) -> Gain:
    """Return the squared error of each tile with the identity, and with the weights `[3, T, 10]` of all others."""
    own, cross, square = grams

    def error(weights: Array) -> Array:
        mixed = np.einsum("cti,tij,ctj->t", weights, own, weights)
        return np.asarray(mixed - 2 * np.einsum("cti,tci->t", weights, cross) + square.sum(1))

    identity = np.broadcast_to(np.eye(3, 10)[:, None], left_out.shape)
    return Gain(error(identity).clip(0), error(left_out).clip(0))


class _Blocks:
    """Means of the terms of a reference, and of the render, over blocks without clipped pixels."""

    def __init__(self, reference: Array, render: Array, weights: Array, tiles: Tiles) -> None:
        height, width = weights.shape
        self._size = next((size for size in (32, 16, 8) if min(height, width) >= 24 * size), 4)
        count = self._sum(weights)
        used = count > 0.9 * self._size**2
        divisor = np.where(used, count, 1)
        self._terms = np.stack([self._sum(term * weights) / divisor for term in _terms(reference)])[:, used]
        self._render = np.stack([self._sum(channel * weights) / divisor for channel in render])[:, used]
        rows, columns = ((np.flatnonzero(used) // used.shape[1]), (np.flatnonzero(used) % used.shape[1]))
        half = self._size // 2
        self._tile = tiles.index(rows * self._size + half, columns * self._size + half)
        self._tiles, self._count = len(tiles), count[used]

    def _sum(self, values: Array) -> Array:
        size = self._size
        height, width = (length // size * size for length in values.shape)
        return values[:height, :width].reshape(height // size, size, width // size, size).sum((1, 3), dtype=np.float64)

    def solve(self, kind: Kind, channel: int) -> tuple[Array, Array] | None:
        """Return the weights `[10]` of all tiles, and `[T, 10]` of all but each, for one channel of the render."""
        used = {"gain": [channel], "affine": [channel, 9], "quadratic": list(range(10))}[kind]
        solved = self._regress(self._terms[used], self._render[channel])
        if solved is None:
            return None
        whole, left_out = np.zeros(10), np.zeros((self._tiles, 10))
        whole[used], left_out[:, used] = solved
        return whole, left_out

    def _regress(self, inputs: Array, output: Array) -> tuple[Array, Array] | None:
        """Fit robustly: blocks that fit badly, as those of floaters do, have little weight."""
        terms = len(inputs)
        if inputs.shape[1] < 8 * terms:
            return None
        robust = np.ones_like(output)
        own = cross = whole = np.zeros(0)
        for _ in range(_ROUNDS):
            weighted = inputs * (robust * self._count)
            own = self._per_tile(np.einsum("ib,jb->bij", weighted, inputs))
            cross = self._per_tile((weighted * output).T)
            if np.linalg.cond(own.sum(0)) > 1e10:
                return None
            whole = np.linalg.solve(own.sum(0), cross.sum(0))
            residual = np.abs(whole @ inputs - output)
            spread = 4 * float(np.median(residual)) + 1e-6
            robust = 1 / (1 + (residual / spread) ** 2)
        try:
            left_out = np.linalg.solve(without_each(own), without_each(cross)[..., None])[..., 0]
        except np.linalg.LinAlgError:
            return None
        return whole, left_out

    def _per_tile(self, values: Array) -> Array:
        sums = np.zeros((self._tiles, *values.shape[1:]))
        np.add.at(sums, self._tile, values)
        return sums


def channels_agree(gains: Sequence[float]) -> bool:
    """Return whether the channels have nearly the same gain: exposure, and not white balance."""
    return max(gains) - min(gains) < 0.25 * max(abs(gain - 1) for gain in gains) + 0.002
