"""Which images are compared, and how they pass the network in the memory that there is, which is reckoned before."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.metrics.lpips.distance import Comparison
from nvs_eval.metrics.lpips.streaming import Layer, Stream, tap_sizes
from nvs_eval.metrics.pair import needs_gradient
from nvs_eval.system.devices import free_memory, give_back_memory

# How many pixels are fed to a network at once, times the stride of its first layer: enough to keep a device busy, few
# enough that memory stays flat.
_PIXELS_AT_ONCE = {"cpu": 2**16, "cuda": 2**23}
# A CPU is busy with one image; and one at a time its value is to the last bit the same, whatever else is scored with
# it, so that an audit writes the records that each protocol alone would.
_IMAGES_AT_ONCE = {"cpu": 1}
# The rest is for what is read meanwhile, and for others.
_OF_WHAT_IS_FREE = 0.8

Images = Sequence[Tensor]
"""Of one size, each `[3, H, W]`."""

# What the libraries take for themselves, and that part of what is taken which lies free between the rest.
_LIBRARIES, _BETWEEN = 16 * 2**20, 0.25


@dataclass(frozen=True)
class Pass:
    """Images of one size that pass a network side by side.

    Attributes:
        references, renders: how many of them are which.
        together: how many go through each layer together.
        height, width: of each, in pixels.
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
    # While a pair's planes are reduced to its score: under a mask three maps in float32 and two in float64.
    reduced = (3 * 4 + 2 * 8) * images.height * images.width if images.masked else 8 * max(sizes)
    # What the pass has let go is seldom in one piece, as the maps are.
    moving = batches * held + working + compared + planes + reduced
    return images.copied + weights + moving + int(_BETWEEN * moving) + _LIBRARIES


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


@dataclass(frozen=True)
class Pair:
    """One of a pairing's pairs, and the places of its images among those that pass together."""

    which: int
    reference: int
    render: int


@dataclass(frozen=True)
class Pairing:
    """Which images an LPIPS compares: `references[i]` of all references with `renders[i]` of all images.

    All images are the references first, then the renders, so that a render that equals a reference need not pass again.
    """

    lpips: Comparison
    references: Sequence[int]
    renders: Sequence[int]

    def within(self, start: int, count: int, *, among: int) -> list[Pair]:
        """Its pairs of so many renders from one on, with the first also those of two of the `among` references."""
        pairs = []
        for which, (reference, image) in enumerate(zip(self.references, self.renders, strict=True)):
            if start <= max(image - among, 0) < start + count:
                pairs.append(Pair(which, reference, image if image < among else image - start))
        return pairs


@dataclass(frozen=True)
class Allowed:
    """What may be taken, and for what beside the passes.

    Attributes:
        memory: the bytes that may be taken beside the images; what is free if it is None.
        copied: the bytes of it that copies of the images have taken already.
        masked: whether the distances are brought to the size of the images.
    """

    memory: int | None = None
    copied: int = 0
    masked: bool = False


@dataclass(frozen=True)
class Plan:
    """How images pass the layers: rows fed at a time, renders together with the references, images a layer at once."""

    layers: Sequence[Layer]
    rows: int
    together: int
    at_once: int


def plan_passes(pairings: Sequence[Pairing], references: Images, renders: Images, allowed: Allowed) -> Plan:
    """The quickest way that there is room for: as many renders together as fit, and lean layers if none does.

    Raises:
        InputError: there is no room for one render.
    """
    planning = _Planning(pairings, references, renders, allowed)
    every = max(len(renders), 1)
    if needs_gradient(*references, *renders):
        images = planning.images(every)
        return Plan(planning.layers(lean=False), images.height, every, images.together)
    plan = planning.fitting(every, lean=False)
    if plan and plan.rows == planning.most_rows(every):
        return plan
    if allowed.memory is None:
        give_back_memory(references[0].device)
    for lean in (False, True):
        for some in _halves(every):
            if plan := planning.fitting(some, lean=lean):
                return plan
    raise planning.too_little()


class _Planning:
    """Looks for a plan; `plan_passes` explains the arguments."""

    def __init__(self, pairings: Sequence[Pairing], references: Images, renders: Images, allowed: Allowed) -> None:
        self._pairings = pairings
        self._lpips = pairings[0].lpips
        self._references = references
        self._all = [*references, *renders]
        self._allowed = allowed

    def layers(self, *, lean: bool) -> tuple[Layer, ...]:
        return self._lpips.layers_for(*self._all, lean=lean)

    def images(self, renders: int) -> Pass:
        """What passes together with so many renders."""
        among = len(self._references)
        # The pairs of each so many renders from the first on.
        pairs = Counter(max(image - among, 0) // renders for pairing in self._pairings for image in pairing.renders)
        at_once = _IMAGES_AT_ONCE.get(self._references[0].device.type, among + renders)
        return Pass(
            among,
            renders,
            min(at_once, among + renders),
            *self._references[0].shape[-2:],
            pairs=max(pairs.values(), default=0),
            normalisers=len({pairing.lpips.normaliser for pairing in self._pairings}),
            copied=self._allowed.copied,
            masked=self._allowed.masked,
        )

    def most_rows(self, renders: int) -> int:
        """How many rows are fed at a time where there is room for them."""
        images = self.images(renders)
        pixels = _PIXELS_AT_ONCE.get(self._references[0].device.type, 2**20) * self.layers(lean=False)[0].stride
        return min(images.height, max(1, pixels // (images.together * images.width)))

    def fitting(self, renders: int, *, lean: bool) -> Plan | None:
        """A plan with so many renders together, if there is room for it."""
        layers, images, rows = self.layers(lean=lean), self.images(renders), self.most_rows(renders)
        memory = self._memory(layers)
        fitting = rows if memory is None else rows_within(layers, images, rows, memory)
        return None if fitting is None else Plan(layers, fitting, renders, images.together)

    def _memory(self, layers: Sequence[Layer]) -> int | None:
        """The bytes that a pass through layers may take; None if nobody knows."""
        if self._allowed.memory is not None:
            return self._allowed.memory
        free = free_memory(self._references[0].device)
        if free is None:
            return None
        held = {of: size for layer in layers for of, size in layer.held_bytes().items()}
        return int(_OF_WHAT_IS_FREE * (free + self._allowed.copied + sum(held.values())))

    def too_little(self) -> InputError:
        """What to say when there is no room for one render."""
        layers, images = self.layers(lean=True), self.images(1)
        memory = self._memory(layers) or 0
        free = "of what is free may be taken: end what else runs here"
        limit = free if self._allowed.memory is None else "may be taken: give --max-memory more"
        return InputError(
            f"LPIPS with {self._lpips.net} of a render of {images.width}x{images.height} needs "
            f"{math.ceil(bytes_needed(layers, images, 1) / 1e6)} MB beside the images, and {memory // 10**6} MB "
            f"{limit}, or leave this LPIPS out."
        )


def _halves(number: int) -> Iterator[int]:
    """A number, half of it and so on to 1."""
    while number > 1:
        yield number
        number = -(-number // 2)
    yield 1
