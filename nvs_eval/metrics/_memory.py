"""How much memory a pass of images through a network takes, known before it is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
from torch import Tensor

from nvs_eval.metrics._streaming import Layer, Stream

# What the libraries take for themselves on a CPU when they are first used.
_LIBRARIES = 80 * 2**20


@dataclass(frozen=True)
class Pass:
    """Images of one size that pass a network side by side.

    Attributes:
        references: how many of them are references.
        renders: how many of them are renders.
        together: how many go through each layer together.
        height: of each, in pixels.
        width: of each, in pixels.
    """

    references: int
    renders: int
    together: int
    height: int
    width: int


def rows_within(layers: tuple[Layer, ...], images: Pass, rows: int, memory: int) -> int | None:
    """How many rows to feed at a time so that a pass fits into some bytes; at most so many; None if it cannot."""
    while bytes_needed(layers, images, rows) > memory:
        if rows == 1:
            return None
        rows //= 2
    return rows


@lru_cache(maxsize=256)
def bytes_needed(layers: tuple[Layer, ...], images: Pass, rows: int) -> int:
    """What a pass takes at its peak when so many rows are fed at a time: all but the images and the weights as read."""
    stream = Stream([_Hollow.of(layer) for layer in layers], images.height)
    held = most = 0
    taps: dict[int, int] = {}
    for start in range(0, images.height, rows):
        fed = torch.empty(images.together, 3, min(rows, images.height - start), images.width, device="meta")
        given: dict[int, int] = {}
        for tap, made in stream.feed(fed):
            given[tap] = given.get(tap, 0) + made.numel() // images.together
            most = max(most, _held(stream) + made.nbytes)
        taps = {tap: max(taps.get(tap, 0), given.get(tap, 0)) for tap in {*taps, *given}}
        held = max(held, _held(stream))
    others = -(-(images.references + images.renders) // images.together) - 1
    # Of the references the rows of all taps are kept, and what they are normalised; of the others those of one tap, and
    # what comes between them and the difference, in float32. The differences are put together at the end.
    kept = 8 * sum(taps.values()) * images.references + 20 * max(taps.values()) * images.together
    planes = 2 * 4 * images.height * images.width * images.renders
    weights = sum(layer.weight_bytes for layer in layers)
    libraries = _LIBRARIES if images.together == 1 else 0
    return libraries + weights + others * held + max(most, held) + _working(layers, images, rows) + kept + planes


def _held(stream: Stream) -> int:
    """The memory behind the rows that a stream holds: a piece holds on to all that was made with it."""
    storages = {piece.untyped_storage()._cdata: piece.untyped_storage().nbytes() for piece in stream.waiting()}
    return sum(storages.values())


def _working(layers: Sequence[Layer], images: Pass, rows: int) -> int:
    """What the layers share while they work, one after the other."""
    shared: dict[str, int] = {}
    width, channels = images.width, 3
    for layer in layers:
        rows, width = min(-(-rows // layer.stride), layer.outputs(images.height)), layer.outputs(width)
        at_once = min(layer.rows_at_once(width) or rows, images.height)
        for name, size in layer.working_bytes(at_once, width, channels).items():
            shared[name] = max(shared.get(name, 0), size)
        channels = layer.channels or channels
    return sum(shared.values()) * (1 if "tiles" in shared else images.together)


@dataclass(frozen=True, kw_only=True)
class _Hollow(Layer):
    """A layer that makes rows of no memory."""

    at_once: Layer

    @classmethod
    def of(cls, layer: Layer) -> _Hollow:
        """The same windows as a layer's."""
        known = {field.name: getattr(layer, field.name) for field in fields(Layer)}
        return cls(**known, at_once=layer)

    def rows_at_once(self, width: int) -> int | None:
        return self.at_once.rows_at_once(width)

    def __call__(self, pieces: Sequence[Tensor], *, top: int, bottom: int) -> Tensor:
        count, channels, _, width = pieces[0].shape
        height = sum(piece.shape[2] for piece in pieces) + top + bottom
        spare = height - self.size
        made = (-(-spare // self.stride) if self.ceil else spare // self.stride) + 1
        shape = (count, self.channels or channels, made, self.outputs(width))
        return torch.empty(shape, dtype=self.dtype or pieces[0].dtype, device="meta")
