"""How much memory a pass of images through a network takes, known before it is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
from torch import Tensor

from nvs_eval.metrics.lpips.streaming import Layer, Stream, tap_sizes

# What the libraries take for themselves, and that part of what is taken which lies free between the rest.
_LIBRARIES, _BETWEEN = 16 * 2**20, 0.25


@dataclass(frozen=True)
class Pass:
    """Images of one size that pass a network side by side.

    Attributes:
        references: how many of them are references.
        renders: how many of them are renders.
        together: how many go through each layer together.
        height: of each, in pixels.
        width: of each, in pixels.
        pairs: how many of them are compared.
        normalisers: in how many ways their features are normalised.
        copied: the bytes of the copies that were made of the images.
        masked: whether the differences are brought to the size of the images.
    """

    references: int
    renders: int
    together: int
    height: int
    width: int
    pairs: int
    normalisers: int = 1
    copied: int = 0
    masked: bool = False


def rows_within(layers: Sequence[Layer], images: Pass, rows: int, memory: int) -> int | None:
    """How many rows to feed at a time so that a pass fits into some bytes; at most so many; None if it cannot."""
    while bytes_needed(layers, images, rows) > memory:
        if rows == 1:
            return None
        rows //= 2
    return rows


def bytes_needed(layers: Sequence[Layer], images: Pass, rows: int) -> int:
    """What a pass takes at its peak when so many rows are fed at a time: all but the images and the weights as read."""
    return _bytes_needed(tuple(_Hollow.of(layer) for layer in layers), images, rows)


@lru_cache(maxsize=256)
def _bytes_needed(layers: tuple[_Hollow, ...], images: Pass, rows: int) -> int:
    stream = Stream(layers, images.height)
    held = tapped = 0
    for start in range(0, images.height, rows):
        fed = torch.empty(images.together, 3, min(rows, images.height - start), images.width, device="meta")
        for made in stream.feed(fed):
            tapped = max(tapped, made.rows.numel() // images.together)
            held = max(held, _held(stream) + made.rows.nbytes)
        held = max(held, _held(stream))
    count = images.references + images.renders
    batches = -(-count // images.together)
    # The features of all images at a tap, normalised, and what comes between two of them and the difference, in
    # float32.
    compared = 4 * tapped * (count * images.normalisers + 4)
    sizes = [height * width for height, width in tap_sizes(layers, images.height, images.width)]
    weights, working = _of_layers(layers, images, rows)
    planes = 4 * images.pairs * sum(sizes)
    # What the pass has let go is seldom in one piece, as the maps are.
    moving = batches * held + working + compared + planes + _reducing(images, max(sizes))
    return images.copied + weights + moving + int(_BETWEEN * moving) + _LIBRARIES


def _reducing(images: Pass, largest: int) -> int:
    """What is taken while a pair's planes, the largest of so many values, are reduced to its score."""
    if images.masked:
        # The map in float32, the same times the mask and the mask, and two of them in float64.
        return (3 * 4 + 2 * 8) * images.height * images.width
    return 8 * largest


def _held(stream: Stream) -> int:
    """The memory behind the rows that a stream holds: a piece holds on to all that was made with it."""
    storages = {piece.untyped_storage()._cdata: piece.untyped_storage().nbytes() for piece in stream.waiting()}
    return sum(storages.values())


def _of_layers(layers: Sequence[Layer], images: Pass, rows: int) -> tuple[int, int]:
    """What the weights of layers take, and what they share while they work, one after the other."""
    shared: dict[str, int] = {}
    weights, channels = 0, 3
    height, width = images.height, images.width
    for layer in layers:
        height, width, rows = layer.outputs(height), layer.outputs(width), -(-rows // layer.stride)
        at_once = min(layer.rows_at_once(width) or rows, height)
        weights += layer.bytes_of_weights(at_once, width)
        for name, size in layer.working_bytes(at_once, width, channels).items():
            shared[name] = max(shared.get(name, 0), size)
        channels = layer.channels or channels
    shared["rows"] = shared.get("rows", 0) * images.together
    return weights, sum(shared.values())


@dataclass(frozen=True, kw_only=True)
class _Hollow(Layer):
    """A layer that makes rows of no memory; it holds on to no weights, so that it may be remembered."""

    kind: type[Layer]

    @classmethod
    def of(cls, layer: Layer) -> _Hollow:
        """The same windows as a layer's."""
        known = {field.name: getattr(layer, field.name) for field in fields(Layer)}
        return cls(**known, kind=type(layer))

    def rows_at_once(self, width: int) -> int | None:
        return self.kind.rows_at_once(self, width)

    def working_bytes(self, height: int, width: int, inputs: int) -> dict[str, int]:
        return self.kind.working_bytes(self, height, width, inputs)

    def bytes_of_weights(self, height: int, width: int) -> int:
        return self.kind.bytes_of_weights(self, height, width)

    def __call__(self, pieces: Sequence[Tensor], *, top: int, bottom: int) -> Tensor:
        count, channels, _, width = pieces[0].shape
        spare = sum(piece.shape[2] for piece in pieces) + top + bottom - self.size
        made = (-(-spare // self.stride) if self.ceil else spare // self.stride) + 1
        shape = (count, self.channels or channels, made, self.outputs(width))
        return torch.empty(shape, dtype=self.dtype or pieces[0].dtype, device="meta")
