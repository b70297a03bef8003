"""Streaming of images through a network, a few rows at a time: each layer keeps only the rows that it still needs.

Each row is computed exactly once, so the values equal those of the whole image at once. The memory is that of a few
rows of each layer, whatever the size of the image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer(ABC):
    """A layer that computes output rows from windows of input rows.

    Attributes:
        size: height and width of a window.
        stride: distance between windows.
        padding: number of zeros on each side.
        ceil: whether the last window may extend beyond the last row.
        tap: whether the output rows are returned.
        channels: channels of the output; None for those of the input.
        dtype: dtype of the output; None for that of the input.
        weight_bytes: bytes of the weights.
    """

    size: int
    stride: int = 1
    padding: int = 0
    ceil: bool = False
    tap: bool = False
    channels: int | None = None
    dtype: torch.dtype | None = None
    weight_bytes: int = 0

    @abstractmethod
    def __call__(self, pieces: Sequence[Tensor], *, top: int, bottom: int) -> Tensor:
        """Compute all windows of the rows in `pieces`, `[n, c, h, w]` each, padded by `top` and `bottom` zero rows."""

    def rows_at_once(self, width: int) -> int | None:
        """Return the number of output rows that are fastest to compute at a time; None for any number."""
        return None

    def working_bytes(self, height: int, width: int, inputs: int) -> dict[str, int]:
        """Return the working memory for so many output rows, by name; layers share memory of the same name."""
        itemsize = (self.dtype or torch.float32).itemsize
        return {"rows": height * width * self.stride**2 * inputs * itemsize}

    def bytes_of_weights(self, height: int, width: int) -> int:
        """Return the bytes of prepared weights, besides the loaded ones, for so many output rows."""
        return self.weight_bytes

    def held_bytes(self) -> dict[Hashable, int]:
        """Return the bytes that the layer already holds, by owner; layers share memory of the same owner."""
        return {id(self): self.weight_bytes}

    def outputs(self, size: int) -> int:
        """Return the number of windows along an axis."""
        spare = size + 2 * self.padding - self.size
        return (-(-spare // self.stride) if self.ceil else spare // self.stride) + 1


@dataclass(frozen=True, eq=False)
class Tapped:
    """Output rows of a tap.

    Attributes:
        tap: index of the tap.
        top: index of the first row.
        rows: `[n, c, h, w]`.
    """

    tap: int
    top: int
    rows: Tensor


def tap_sizes(layers: Sequence[Layer], height: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield the height and width of each tap for an image."""
    for layer in layers:
        height, width = layer.outputs(height), layer.outputs(width)
        if layer.tap:
            yield height, width


class Stream:
    """One or more images of equal size on their way through the layers.

    Args:
        layers: layers from first to last.
        height: height of the images, in pixels.
    """

    def __init__(self, layers: Sequence[Layer], height: int) -> None:
        self._stages: list[_Stage] = []
        self._taps = list(accumulate((layer.tap for layer in layers), initial=0))
        for layer in layers:
            self._stages.append(_Stage(layer, height))
            height = self._stages[-1].outputs

    def feed(self, rows: Tensor) -> Iterator[Tapped]:
        """Feed the next rows `[n, c, h, w]` and yield the rows of the taps that can be computed from them.

        Streams of images of one size that are fed alike yield rows of the same taps and indices, in the same order.
        """
        self._stages[0].add(rows)
        del rows  # Here and below, only rows that a layer waits for are kept alive.
        index = 0
        while index >= 0:
            stage = self._stages[index]
            top, output = stage.done, stage.advance()
            if output is None:
                index -= 1  # An earlier stage may be able to continue.
                continue
            if stage.layer.tap:
                yield Tapped(self._taps[index], top, output)
            if index + 1 < len(self._stages):
                index += 1
                self._stages[index].add(output)
            del output

    def waiting(self) -> Iterator[Tensor]:
        """Yield the rows that wait for a layer."""
        for stage in self._stages:
            yield from stage.pieces


class _Stage:
    """A layer, the rows that wait for it, and its progress."""

    def __init__(self, layer: Layer, height: int) -> None:
        self.layer = layer
        self._height = height
        self.outputs = layer.outputs(height)
        self.pieces: list[Tensor] = []
        self._first = 0  # Index of the first waiting row.
        self._received = 0  # Number of rows received so far.
        self.done = 0

    def add(self, rows: Tensor) -> None:
        """Append the next input rows."""
        self.pieces.append(rows)
        self._received += rows.shape[2]

    def advance(self) -> Tensor | None:
        """Compute the next output rows, as many as are fastest at a time; None if more input is required."""
        if self.done == self.outputs or not self.pieces:
            return None
        until = self._reachable(self.pieces[0].shape[3])
        return self._compute(until) if until > self.done else None

    def _reachable(self, width: int) -> int:
        """Return the output row up to which the layer computes now."""
        layer = self.layer
        if self._received == self._height:
            possible = self.outputs
        else:
            possible = max((self._received + layer.padding - layer.size) // layer.stride + 1, self.done)
        at_once = layer.rows_at_once(width)
        if at_once is None or (possible == self.outputs and possible - self.done <= at_once):
            return possible
        return self.done + at_once if possible - self.done >= at_once else self.done

    def _compute(self, until: int) -> Tensor:
        layer = self.layer
        start = self.done * layer.stride - layer.padding
        end = (until - 1) * layer.stride - layer.padding + layer.size
        pieces = self._between(max(start, 0), min(end, self._height))
        output = layer(pieces, top=max(-start, 0), bottom=0 if layer.ceil else max(end - self._height, 0))
        self.done = until
        kept = max(until * layer.stride - layer.padding, 0)
        if until < self.outputs:
            self.pieces = self._between(kept, self._received)
            self._first = kept
        else:
            self.pieces = []
        return output

    def _between(self, start: int, end: int) -> list[Tensor]:
        """Return the waiting rows between two indices."""
        pieces, place = [], self._first
        for piece in self.pieces:
            inside = piece[:, :, max(start - place, 0) : max(end - place, 0)]
            if inside.shape[2]:
                pieces.append(inside)
            place += piece.shape[2]
        return pieces
