"""Images through a network a few rows at a time: each layer keeps the rows that it still needs, and nothing more.

No row is computed twice and none is left out, so that the values are those of the whole image at once, whatever its
size; the memory is that of a few rows of each layer.
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
    """What makes rows of rows: of windows of some rows, and of all their columns.

    Attributes:
        size: of a window, in rows and in columns.
        stride: from one window to the next.
        padding: the zeros at each side.
        ceil: whether a last window may reach beyond the last row.
        tap: whether the rows that it makes are asked for.
        channels: of the rows that it makes; None for as many as it is given.
        dtype: of the rows that it makes; None for that of what it is given.
        weight_bytes: of its weights.
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
        """All windows of the rows of pieces `[n, c, h, w]`, above and below which are so many rows of zeros."""

    def rows_at_once(self, width: int) -> int | None:
        """How many rows of its output it makes best at a time; None for any number."""
        return None

    def working_bytes(self, height: int, width: int, inputs: int) -> dict[str, int]:
        """What it needs while it makes so many rows; layers share what has the same name."""
        itemsize = (self.dtype or torch.float32).itemsize
        return {"rows": height * width * self.stride**2 * inputs * itemsize}

    def bytes_of_weights(self, height: int, width: int) -> int:
        """What its weights take, beside those that it was made of, when it makes so many rows."""
        return self.weight_bytes

    def held_bytes(self) -> dict[Hashable, int]:
        """What of all this it holds already, by what that is: layers share what is the same."""
        return {id(self): self.weight_bytes}

    def outputs(self, size: int) -> int:
        """How many windows there are along an axis."""
        spare = size + 2 * self.padding - self.size
        return (-(-spare // self.stride) if self.ceil else spare // self.stride) + 1


@dataclass(frozen=True, eq=False)
class Tapped:
    """Rows that a tap has made.

    Attributes:
        tap: which.
        top: the place of the first of them.
        rows: `[n, c, h, w]`.
    """

    tap: int
    top: int
    rows: Tensor


def tap_sizes(layers: Sequence[Layer], height: int, width: int) -> Iterator[tuple[int, int]]:
    """The rows and columns of each tap of an image."""
    for layer in layers:
        height, width = layer.outputs(height), layer.outputs(width)
        if layer.tap:
            yield height, width


class Stream:
    """One or more images of a size on their way through the layers.

    Args:
        layers: from the first to the last.
        height: of the images, in pixels.
    """

    def __init__(self, layers: Sequence[Layer], height: int) -> None:
        self._stages: list[_Stage] = []
        self._taps = list(accumulate((layer.tap for layer in layers), initial=0))
        for layer in layers:
            self._stages.append(_Stage(layer, height))
            height = self._stages[-1].outputs

    def feed(self, rows: Tensor) -> Iterator[Tapped]:
        """Feed the next rows `[n, c, h, w]`; gives the rows of the taps that can be made of them.

        Streams of images of one size that are fed alike give rows of the same taps and places, in the same order.
        """
        self._stages[0].add(rows)
        del rows  # Here and below nothing is held on to but what a layer waits for.
        which = 0
        while which >= 0:
            stage = self._stages[which]
            top, made = stage.made, stage.make()
            if made is None:
                which -= 1  # There may be more to make before it.
                continue
            if stage.layer.tap:
                yield Tapped(self._taps[which], top, made)
            if which + 1 < len(self._stages):
                which += 1
                self._stages[which].add(made)
            del made

    def waiting(self) -> Iterator[Tensor]:
        """The rows that are held."""
        for stage in self._stages:
            yield from stage.pieces


class _Stage:
    """A layer, the rows that wait for it, and how far it is."""

    def __init__(self, layer: Layer, height: int) -> None:
        self.layer = layer
        self._height = height
        self.outputs = layer.outputs(height)
        self.pieces: list[Tensor] = []
        self._first = 0  # The places in the image of the first row that waits,
        self._seen = 0  # and of the first that is not there yet.
        self.made = 0

    def add(self, rows: Tensor) -> None:
        """The next rows to wait."""
        self.pieces.append(rows)
        self._seen += rows.shape[2]

    def make(self) -> Tensor | None:
        """The next rows of its output, as many as it makes at a time; None if there is too little to make them of."""
        if self.made == self.outputs or not self.pieces:
            return None
        until = self._reachable(self.pieces[0].shape[3])
        return self._make(until) if until > self.made else None

    def _reachable(self, width: int) -> int:
        """Up to which row of its output the layer goes now."""
        layer = self.layer
        if self._seen == self._height:
            possible = self.outputs
        else:
            possible = max((self._seen + layer.padding - layer.size) // layer.stride + 1, self.made)
        at_once = layer.rows_at_once(width)
        if at_once is None or (possible == self.outputs and possible - self.made <= at_once):
            return possible
        return self.made + at_once if possible - self.made >= at_once else self.made

    def _make(self, until: int) -> Tensor:
        layer = self.layer
        start = self.made * layer.stride - layer.padding
        end = (until - 1) * layer.stride - layer.padding + layer.size
        pieces = self._between(max(start, 0), min(end, self._height))
        made = layer(pieces, top=max(-start, 0), bottom=0 if layer.ceil else max(end - self._height, 0))
        self.made = until
        kept = max(until * layer.stride - layer.padding, 0)
        if until < self.outputs:
            self.pieces = self._between(kept, self._seen)
            self._first = kept
        else:
            self.pieces = []
        return made

    def _between(self, start: int, end: int) -> list[Tensor]:
        """The waiting rows from one place in the image to another."""
        pieces, place = [], self._first
        for piece in self.pieces:
            inside = piece[:, :, max(start - place, 0) : max(end - place, 0)]
            if inside.shape[2]:
                pieces.append(inside)
            place += piece.shape[2]
        return pieces
