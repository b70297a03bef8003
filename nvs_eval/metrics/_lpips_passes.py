"""Images through a network, each once, whatever number of LPIPS compare them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor

from nvs_eval.metrics._exact import exact_arithmetic

# How many pixels go through the network at once: enough to keep a device busy, few enough that memory stays flat. A CPU
# is busy with one image; and one at a time its value is to the last bit the same, whatever else is scored with it, so
# that an audit writes the records that each protocol alone would.
_PIXELS_A_PASS = {"cpu": 1, "cuda": 2**23}


class Comparing(Protocol):
    """An LPIPS, as far as it matters here; `nvs_eval.metrics.lpips.Lpips` says what each does."""

    @property
    def normaliser(self) -> str: ...

    @property
    def feed(self) -> Hashable: ...

    def fed(self, reference: Tensor, render: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]: ...

    def activations(self, images: Tensor) -> Iterator[Tensor]: ...

    def divisor(self, activation: Tensor) -> Tensor: ...

    def heads_for(self, images: Tensor) -> Sequence[Tensor]: ...

    def reduce(self, distances: Sequence[Tensor], size: torch.Size, mask: Tensor | None) -> Tensor: ...


@dataclass(frozen=True)
class Pairing:
    """Which images an LPIPS compares: `references[i]` of all references with `renders[i]` of all images.

    All images are the references first, then the renders, so that a render that equals a reference need not pass again.
    """

    lpips: Comparing
    references: Tensor
    renders: Tensor


@dataclass(frozen=True)
class Wanted:
    """One LPIPS of `[K, 3, H, W]` renders against a reference `[3, H, W]`, under a mask `[1, H, W]` or none."""

    lpips: Comparing
    reference: Tensor
    renders: Tensor
    mask: Tensor | None


def score_together(wanted: Sequence[Wanted]) -> list[Tensor]:
    """The `[K]` values of each; an image that several feed to a network in the same way passes it once.

    Raises:
        InputError: the images are smaller than a network can take.
    """
    groups: dict[Hashable, list[int]] = {}
    for index, each in enumerate(wanted):
        groups.setdefault((each.lpips.feed, each.reference.shape), []).append(index)
    values: dict[int, Tensor] = {}
    for group in groups.values():
        values.update(zip(group, _score_group([wanted[index] for index in group]), strict=True))
    return [values[index] for index in range(len(wanted))]


def _score_group(wanted: Sequence[Wanted]) -> list[Tensor]:
    """Likewise of images of one size for one network."""
    fed = [each.lpips.fed(each.reference, each.renders, each.mask) for each in wanted]
    images: list[Tensor] = []
    owners = [_place(images, reference) for reference, _ in fed]
    count = len(images)
    pairings = []
    for each, owner, (_, renders) in zip(wanted, owners, fed, strict=True):
        places = torch.tensor([_place(images, render) for render in renders])
        pairings.append(Pairing(each.lpips, torch.full_like(places, owner), places))
    everything = torch.stack(images)
    found = distances(pairings, everything[:count], everything[count:])
    return [
        each.lpips.reduce(rows, each.reference.shape[-2:], each.mask) for each, rows in zip(wanted, found, strict=True)
    ]


def _place(images: list[Tensor], image: Tensor) -> int:
    """Where an image is among those that are known, put at their end if it is not."""
    for place, known in enumerate(images):
        if known is image or torch.equal(known, image):
            return place
    images.append(image)
    return len(images) - 1


def distances(pairings: Sequence[Pairing], references: Tensor, renders: Tensor) -> list[list[Tensor]]:
    """For each pairing, the weighted squared difference at each tap, `[n, 1, h, w]`.

    Args:
        pairings: of LPIPS of one feed.
        references: `[R, 3, H, W]`; their features are computed once and kept.
        renders: `[N, 3, H, W]`, N may be 0; they pass the network once, some at a time, and their features are not
            kept.

    Raises:
        InputError: the images are smaller than the network can take.
    """
    network = pairings[0].lpips
    with exact_arithmetic():
        known = [list(network.activations(part)) for part in _passes(references)]
        kept = [_Features(_joined(parts)) for parts in zip(*known, strict=True)]
        passed = ((len(part), map(_Features, network.activations(part))) for part in _passes(renders))
        rows: list[list[list[Tensor]]] = [[[] for _ in kept] for _ in pairings]
        order: list[list[Tensor]] = [[] for _ in pairings]
        start = 0
        for count, taps in chain([(len(references), iter(kept))], passed):
            end = start + count
            inside = [((p.renders >= start) & (p.renders < end)).nonzero()[:, 0] for p in pairings]
            for tap, features in enumerate(taps):
                for pairing, which, row in zip(pairings, inside, rows, strict=True):
                    if len(which):
                        own = kept[tap].of(pairing.references[which], pairing.lpips)
                        their = features.of(pairing.renders[which] - start, pairing.lpips)
                        head = pairing.lpips.heads_for(renders)[tap]
                        distance = torch.nn.functional.conv2d((own - their).square(), head)
                        # Of renders that are all one image, there is one row.
                        row[tap].append(distance.expand(len(which), -1, -1, -1))
            for which, done in zip(inside, order, strict=True):
                done.append(which)
            start = end
    return [
        [_joined(row)[torch.cat(done).argsort()] if len(row) > 1 else row[0] for row in each]
        for each, done in zip(rows, order, strict=True)
    ]


class _Features:
    """The activations of some images at one tap, and what they are divided by, computed once a normaliser."""

    def __init__(self, activations: Tensor) -> None:
        self._activations = activations
        self._divisors: dict[str, Tensor] = {}

    def of(self, which: Tensor, lpips: Comparing) -> Tensor:
        """The normalised activations of images; a single row where all are the same one."""
        if lpips.normaliser not in self._divisors:
            self._divisors[lpips.normaliser] = lpips.divisor(self._activations)
        return _rows(self._activations, which) / _rows(self._divisors[lpips.normaliser], which)


def _rows(values: Tensor, which: Tensor) -> Tensor:
    if bool((which == which[0]).all()):
        return values[int(which[0]) : int(which[0]) + 1]
    return values if torch.equal(which, torch.arange(len(values))) else values[which.to(values.device)]


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _passes(images: Tensor) -> Iterator[Tensor]:
    """The images in as many as go through the network at once."""
    if not len(images):
        return
    pixels = images.shape[-2] * images.shape[-1]
    yield from images.split(max(1, _PIXELS_A_PASS.get(images.device.type, 2**20) // pixels))
