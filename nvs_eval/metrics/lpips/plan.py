"""Which images are compared, and how they pass the network in the memory that there is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.metrics.lpips.distance import Comparison
from nvs_eval.metrics.lpips.memory import Pass, bytes_needed, rows_within
from nvs_eval.metrics.lpips.streaming import Layer
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
        """Its pairs of so many renders from one on, which pass together with all the references.

        Args:
            start: the first of the renders; with it go the pairs of two references.
            count: how many.
            among: the number of the references.
        """
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
    """How images pass a network.

    Attributes:
        layers: through which.
        rows: how many are fed at a time.
        together: how many renders pass side by side with the references.
        at_once: how many images go through a layer together.
    """

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
    found = planning.fitting(every, lean=False)
    if found is not None and found.rows == planning.most_rows(every):
        return found
    if allowed.memory is None:
        give_back_memory(references[0].device)
    for lean in (False, True):
        for some in _halves(every):
            found = planning.fitting(some, lean=lean)
            if found is not None:
                return found
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
        if self._allowed.memory is None:
            there = "of what is free may be taken: end what else runs here"
        else:
            there = "may be taken: give --max-memory more"
        return InputError(
            f"LPIPS with {self._lpips.net} of a render of {images.width}x{images.height} needs "
            f"{math.ceil(bytes_needed(layers, images, 1) / 1e6)} MB beside the images, and {memory // 10**6} MB "
            f"{there}, or leave this LPIPS out."
        )


def _halves(number: int) -> Iterator[int]:
    """A number, half of it and so on to 1."""
    while number > 1:
        yield number
        number = -(-number // 2)
    yield 1
