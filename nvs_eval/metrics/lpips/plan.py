"""The pairs of images to compare, and the plan of their passes, chosen by a memory estimate that is made beforehand."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
from torch import Tensor

from nvs_eval.errors import ResourceError
from nvs_eval.metrics.lpips.network import Network, Pair
from nvs_eval.metrics.lpips.streaming import Layer, Stream, tap_sizes
from nvs_eval.metrics.pair import needs_gradient
from nvs_eval.system.devices import free_memory, give_back_memory

# Pixels fed to a network at once, times the stride of its first layer: they keep the device busy and memory flat.
_PIXELS_AT_ONCE = {"cpu": 2**16, "cuda": 2**23}
# One image keeps a CPU busy. With one image at a time, its value has the same bits whatever else is scored with it, so
# an audit writes the same records as each protocol alone.
_IMAGES_AT_ONCE = {"cpu": 1}
# The rest of the free memory is for prefetched images and other processes.
_SHARE_OF_FREE = 0.8

Images = Sequence[Tensor]
"""Images of one size, each `[3, H, W]`."""

# Bytes that the libraries allocate, and the share of the memory in use that fragmentation adds.
_LIBRARIES, _FRAGMENTATION = 16 * 2**20, 0.25


@dataclass(frozen=True)
class Pass:
    """Images of one size that pass through a network side by side.

    Attributes:
        references, renders: number of references and of renders.
        together: number of images that go through each layer together.
        height, width: size of each image, in pixels.
        pairs: number of pairs that are compared.
        feature_bytes: bytes of a value of the features, in all normalised forms.
        copied: bytes of the copies made of the images.
        masked: whether the differences are upsampled to the size of the images.
    """

    references: int
    renders: int
    together: int
    height: int
    width: int
    pairs: int
    feature_bytes: int = 4
    copied: int = 0
    masked: bool = False


def rows_within(layers: Sequence[Layer], images: Pass, rows: int, memory: int) -> int | None:
    """Return the number of rows to feed at a time, at most `rows`, so that a pass fits into memory, or None."""
    while bytes_needed(layers, images, rows) > memory:
        if rows == 1:
            return None
        rows //= 2
    return rows


def bytes_needed(layers: Sequence[Layer], images: Pass, rows: int) -> int:
    """Return the peak memory of a pass that is fed `rows` rows at a time, without images and loaded weights."""
    return _bytes_needed(tuple(_MetaLayer.of(layer) for layer in layers), images, rows)


@lru_cache(maxsize=256)
def _bytes_needed(layers: tuple[_MetaLayer, ...], images: Pass, rows: int) -> int:
    stream = Stream(layers, images.height)
    held = tapped = 0
    for start in range(0, images.height, rows):
        fed = torch.empty(images.together, 3, min(rows, images.height - start), images.width, device="meta")
        for activations in stream.feed(fed):
            tapped = max(tapped, activations.rows.numel() // images.together)
            held = max(held, _held(stream) + activations.rows.nbytes)
        held = max(held, _held(stream))
    count = images.references + images.renders
    batches = -(-count // images.together)
    # The normalised features of all images at a tap, and the intermediate results of one comparison.
    compared = tapped * (count * images.feature_bytes + 16)
    sizes = [height * width for height, width in tap_sizes(layers, images.height, images.width)]
    weights, working = _of_layers(layers, images, rows)
    planes = 4 * images.pairs * sum(sizes)
    # Reduction of a pair's planes to its score: with a mask, three maps in float32 and two in float64.
    reduced = (3 * 4 + 2 * 8) * images.height * images.width if images.masked else 8 * max(sizes)
    # Freed memory is fragmented and can rarely be reused for whole maps.
    moving = batches * held + working + compared + planes + reduced
    return images.copied + weights + moving + int(_FRAGMENTATION * moving) + _LIBRARIES


def _held(stream: Stream) -> int:
    """Return the memory of the rows that wait in a stream; a slice keeps its whole storage alive."""
    storages = {piece.untyped_storage()._cdata: piece.untyped_storage().nbytes() for piece in stream.waiting()}
    return sum(storages.values())


def _of_layers(layers: Sequence[Layer], images: Pass, rows: int) -> tuple[int, int]:
    """Return the bytes of the layers' weights, and of the working memory that they share, one after the other."""
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
class _MetaLayer(Layer):
    """A layer on the meta device. It references no weights, so it can be a key of a cache."""

    kind: type[Layer]

    @classmethod
    def of(cls, layer: Layer) -> _MetaLayer:
        """Copy the windows of a layer."""
        attributes = {field.name: getattr(layer, field.name) for field in fields(Layer)}
        return cls(**attributes, kind=type(layer))

    def rows_at_once(self, width: int) -> int | None:
        return self.kind.rows_at_once(self, width)

    def working_bytes(self, height: int, width: int, inputs: int) -> dict[str, int]:
        return self.kind.working_bytes(self, height, width, inputs)

    def bytes_of_weights(self, height: int, width: int) -> int:
        return self.kind.bytes_of_weights(self, height, width)

    def __call__(self, pieces: Sequence[Tensor], *, top: int, bottom: int) -> Tensor:
        count, channels, _, width = pieces[0].shape
        spare = sum(piece.shape[2] for piece in pieces) + top + bottom - self.size
        height = (-(-spare // self.stride) if self.ceil else spare // self.stride) + 1
        shape = (count, self.channels or channels, height, self.outputs(width))
        return torch.empty(shape, dtype=self.dtype or pieces[0].dtype, device="meta")


@dataclass(frozen=True)
class Pairing:
    """Pairs that a metric compares: the reference with index `references[i]` and the image with index `renders[i]`.

    Images are numbered references first, then renders, so that a render equal to a reference need not pass again.
    The masks are `[1, 1, H, W]`, or one per pair.
    """

    network: Network
    references: Sequence[int]
    renders: Sequence[int]
    masks: Tensor | None = None

    def within(self, start: int, count: int, *, among: int) -> list[Pair]:
        """Return the pairs of `count` renders from `start` on; pairs of two of the `among` references come first."""
        pairs = []
        for which, (reference, image) in enumerate(zip(self.references, self.renders, strict=True)):
            if start <= max(image - among, 0) < start + count:
                pairs.append(Pair(which, reference, image if image < among else image - start))
        return pairs


@dataclass(frozen=True)
class Allowed:
    """Bytes that may be used besides the images (None for the free memory), and bytes that their copies already use.

    `masked` means that the distances are upsampled to the size of the images.
    """

    memory: int | None = None
    copied: int = 0
    masked: bool = False


@dataclass(frozen=True)
class Plan:
    """Plan of a pass.

    Attributes:
        layers: layers of the network.
        rows: rows that are fed at a time.
        together: renders that pass side by side with the references.
        at_once: images that go through each layer together.
    """

    layers: Sequence[Layer]
    rows: int
    together: int
    at_once: int


def plan_passes(pairings: Sequence[Pairing], references: Images, renders: Images, allowed: Allowed) -> Plan:
    """Return the fastest plan that fits into memory: as many renders together as fit, or lean layers if none fits.

    Raises:
        ResourceError: not even one render fits into memory.
    """
    planning = _Planning(pairings, references, renders, allowed)
    count = max(len(renders), 1)
    if needs_gradient(*references, *renders):
        images = planning.images(count)
        return Plan(planning.layers(lean=False), images.height, count, images.together)
    plan = planning.fitting(count, lean=False)
    if plan and plan.rows == planning.most_rows(count):
        return plan
    if allowed.memory is None:
        give_back_memory(references[0].device)
    for lean in (False, True):
        for together in _halves(count):
            if plan := planning.fitting(together, lean=lean):
                return plan
    raise planning.too_little()


class _Planning:
    """Search for a plan; `plan_passes` documents the arguments."""

    def __init__(self, pairings: Sequence[Pairing], references: Images, renders: Images, allowed: Allowed) -> None:
        self._pairings = pairings
        self._network = pairings[0].network
        self._references = references
        self._all = [*references, *renders]
        self._allowed = allowed

    def layers(self, *, lean: bool) -> tuple[Layer, ...]:
        return self._network.layers_for(*self._all, lean=lean)

    def images(self, renders: int) -> Pass:
        """Return the images that pass side by side if `renders` renders do."""
        among = len(self._references)
        pairs = Counter(max(image - among, 0) // renders for pairing in self._pairings for image in pairing.renders)
        at_once = _IMAGES_AT_ONCE.get(self._references[0].device.type, among + renders)
        return Pass(
            among,
            renders,
            min(at_once, among + renders),
            *self._references[0].shape[-2:],
            pairs=max(pairs.values(), default=0),
            feature_bytes=sum({p.network.normaliser: p.network.feature_bytes for p in self._pairings}.values()),
            copied=self._allowed.copied,
            masked=self._allowed.masked,
        )

    def most_rows(self, renders: int) -> int:
        """Return the number of rows to feed at a time if memory suffices."""
        images = self.images(renders)
        pixels = _PIXELS_AT_ONCE.get(self._references[0].device.type, 2**20) * self.layers(lean=False)[0].stride
        return min(images.height, max(1, pixels // (images.together * images.width)))

    def fitting(self, renders: int, *, lean: bool) -> Plan | None:
        """Return a plan with `renders` renders together, or None if it does not fit into memory."""
        layers, images, rows = self.layers(lean=lean), self.images(renders), self.most_rows(renders)
        memory = self._memory(layers)
        fitting = rows if memory is None else rows_within(layers, images, rows, memory)
        return None if fitting is None else Plan(layers, fitting, renders, images.together)

    def _memory(self, layers: Sequence[Layer]) -> int | None:
        """Return the bytes that a pass through layers may use; None if unknown."""
        if self._allowed.memory is not None:
            return self._allowed.memory
        free = free_memory(self._references[0].device)
        if free is None:
            return None
        held = {of: size for layer in layers for of, size in layer.held_bytes().items()}
        return int(_SHARE_OF_FREE * (free + self._allowed.copied + sum(held.values())))

    def too_little(self) -> ResourceError:
        """Return the error for a render that does not fit into memory."""
        layers, images = self.layers(lean=True), self.images(1)
        memory = self._memory(layers) or 0
        free = "of the free memory may be used. Stop other programs"
        limit = free if self._allowed.memory is None else "may be used. Raise --max-memory"
        return ResourceError(
            f"{self._network.name} of a render of {images.width}x{images.height} needs "
            f"{math.ceil(bytes_needed(layers, images, 1) / 1e6)} MB besides the images, but only {memory // 10**6} MB "
            f"{limit}, or use a protocol without this {self._network.kind}."
        )


def _halves(number: int) -> Iterator[int]:
    """Yield a number, half of it (rounded up), and so on to 1."""
    while number > 1:
        yield number
        number = -(-number // 2)
    yield 1
