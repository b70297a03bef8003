"""Images through a network, each once, whatever number of LPIPS compare them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nvs_eval.devices import free_memory
from nvs_eval.errors import InputError
from nvs_eval.metrics._exact import exact_arithmetic
from nvs_eval.metrics._lpips_comparison import Comparison
from nvs_eval.metrics._memory import Pass, bytes_needed, rows_within
from nvs_eval.metrics._shapes import needs_gradient
from nvs_eval.metrics._streaming import Layer, Stream, tap_sizes

# How many pixels are fed to a network at once, times the stride of its first layer: enough to keep a device busy, few
# enough that memory stays flat.
_PIXELS_AT_ONCE = {"cpu": 2**16, "cuda": 2**23}
# A CPU is busy with one image; and one at a time its value is to the last bit the same, whatever else is scored with
# it, so that an audit writes the records that each protocol alone would.
_IMAGES_AT_ONCE = {"cpu": 1}

Images = Sequence[Tensor]
"""Of one size, each `[3, H, W]`."""


@dataclass(frozen=True)
class Pairing:
    """Which images an LPIPS compares: `references[i]` of all references with `renders[i]` of all images.

    All images are the references first, then the renders, so that a render that equals a reference need not pass again.
    """

    lpips: Comparison
    references: Sequence[int]
    renders: Sequence[int]


@dataclass(frozen=True)
class Wanted:
    """One LPIPS of `[K, 3, H, W]` renders against a reference `[3, H, W]`, under a mask `[1, H, W]` or none."""

    lpips: Comparison
    reference: Tensor
    renders: Tensor
    mask: Tensor | None


def score_together(wanted: Sequence[Wanted], max_memory: int | None = None) -> list[Tensor]:
    """The `[K]` values of each; an image that several feed to a network in the same way passes it once.

    Args:
        wanted: what to compute.
        max_memory: the bytes that a pass may take beside the images; what is free if it is None.

    Raises:
        InputError: the images are smaller than a network can take, or there is no memory for them.
    """
    groups: dict[Hashable, list[int]] = {}
    for index, each in enumerate(wanted):
        groups.setdefault((each.lpips.feed, each.reference.shape), []).append(index)
    values: dict[int, Tensor] = {}
    for group in groups.values():
        values.update(zip(group, _score_group([wanted[index] for index in group], max_memory), strict=True))
    return [values[index] for index in range(len(wanted))]


def _score_group(wanted: Sequence[Wanted], max_memory: int | None) -> list[Tensor]:
    """Likewise of images of one size for one network."""
    fed = [each.lpips.fed(each.reference, each.renders, each.mask) for each in wanted]
    images: list[Tensor] = []
    owners = [_place(images, reference) for reference, _ in fed]
    count = len(images)
    pairings = []
    for each, owner, (_, renders) in zip(wanted, owners, fed, strict=True):
        places = [_place(images, render) for render in renders]
        pairings.append(Pairing(each.lpips, [owner] * len(places), places))
    found = distances(pairings, images[:count], images[count:], max_memory)
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


def distances(
    pairings: Sequence[Pairing], references: Images, renders: Images, max_memory: int | None = None
) -> list[list[Tensor]]:
    """For each pairing, the weighted squared difference at each tap, `[n, 1, h, w]`.

    All images pass the network side by side, some rows at a time; what the taps make of the rows is compared at once,
    and only the differences are kept: in memory that is taken beforehand, as small pieces of it between what is freed
    would keep that from being used again.

    Args:
        pairings: of LPIPS of one feed.
        references: each `[3, H, W]`.
        renders: likewise, of the same size; there may be none.
        max_memory: the bytes that may be taken beside the images; what is free if it is None.

    Raises:
        InputError: the images are smaller than the network can take, or there is no memory for them.
    """
    lpips = pairings[0].lpips
    lpips.check_size(references[0])
    plan = _plan(lpips, references, renders, max_memory)
    sizes = list(tap_sizes(plan.layers, *references[0].shape[-2:]))
    found = [_Distances(pairing, sizes, references[0]) for pairing in pairings]
    with exact_arithmetic():
        _pass(found, references, renders[: plan.together], plan, place=0)
        for start in range(plan.together, len(renders), plan.together):
            _pass(found, references, renders[start : start + plan.together], plan, place=len(references) + start)
    return [each.planes for each in found]


def _pass(found: Sequence[_Distances], references: Images, renders: Images, plan: _Plan, *, place: int) -> None:
    """Compare references with renders, the first of which has a place among all images; with themselves if it is 0."""
    lpips = found[0].pairing.lpips
    owners, others = _batches(references), _batches(renders)
    batches = [_Batch(part, plan.layers) for part in (*owners, *others)]
    for start in range(0, references[0].shape[-2], plan.rows):
        fed = slice(start, start + plan.rows)
        # Side by side from tap to tap, so that only the features that are compared are there.
        for made in zip(*(batch.features(lpips, fed) for batch in batches), strict=True):
            images = [image for part in made[: len(owners)] for image in part.images]
            own = _Rows(made[0].tap, made[0].top, images)
            if place == 0:
                _compare(found, own, own, place=0)
            first = place or len(references)
            for their in made[len(owners) :]:
                _compare(found, own, their, place=first)
                first += len(their.images)


class _Features:
    """The activations of an image's rows at a tap, normalised once a normaliser."""

    def __init__(self, activations: Tensor) -> None:
        self._activations = activations
        self._normalised: dict[str, Tensor] = {}

    def of(self, lpips: Comparison) -> Tensor:
        if lpips.normaliser not in self._normalised:
            self._normalised[lpips.normaliser] = lpips.normalised(self._activations)
        return self._normalised[lpips.normaliser]


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of a tap, the first of which has this place, of each of some images."""

    tap: int
    top: int
    images: Sequence[_Features]


class _Batch:
    """Images that pass the network together."""

    def __init__(self, images: Images, layers: Sequence[Layer]) -> None:
        self._images = images
        self._stream = Stream(layers, images[0].shape[-2])

    def features(self, lpips: Comparison, rows: slice) -> Iterator[_Rows]:
        """What the next rows make."""
        # Put together some rows at a time: whole images would be copied beside those that are there.
        fed = torch.stack([image[:, rows] for image in self._images])
        for made in self._stream.feed(lpips.scaled(fed)):
            yield _Rows(made.tap, made.top, [_Features(image) for image in made.rows.split(1)])


class _Distances:
    """The distances of a pairing: a plane of each of its pairs at each tap.

    Args:
        pairing: which.
        sizes: of the taps.
        like: of the planes' device and dtype.
    """

    def __init__(self, pairing: Pairing, sizes: Sequence[tuple[int, int]], like: Tensor) -> None:
        self.pairing = pairing
        self.planes = [like.new_empty(len(pairing.renders), 1, *size) for size in sizes]

    def add(self, own: _Rows, their: _Rows, place: int) -> None:
        """Compare rows of references with the same rows of images, the first of which has this place among all."""
        lpips = self.pairing.lpips
        done: dict[tuple[int, int], Tensor] = {}
        for which, pair in enumerate(zip(self.pairing.references, self.pairing.renders, strict=True)):
            if 0 <= pair[1] - place < len(their.images):
                if pair not in done:
                    difference = own.images[pair[0]].of(lpips) - their.images[pair[1] - place].of(lpips)
                    head = lpips.heads_for(difference)[own.tap]
                    done[pair] = torch.nn.functional.conv2d(difference.square(), head)
                rows = slice(own.top, own.top + done[pair].shape[2])
                self.planes[own.tap][which, :, rows] = done[pair][0]


def _compare(found: Sequence[_Distances], own: _Rows, their: _Rows, place: int) -> None:
    for each in found:
        each.add(own, their, place)


def _batches(images: Images) -> Sequence[Images]:
    """The images in as many as pass the network together."""
    if not images:
        return []
    at_once = _IMAGES_AT_ONCE.get(images[0].device.type, len(images))
    return [images[start : start + at_once] for start in range(0, len(images), at_once)]


@dataclass(frozen=True)
class _Plan:
    """How images pass a network: through which layers, so many rows at a time, of so many renders."""

    layers: Sequence[Layer]
    rows: int
    together: int


def _plan(lpips: Comparison, references: Images, renders: Images, max_memory: int | None) -> _Plan:
    """The quickest way that there is room for: as many renders together as fit, and lean layers if none does.

    Raises:
        InputError: there is no room for one render.
    """
    height, width = references[0].shape[-2:]
    layers, together = lpips.layers_for(*references, *renders), max(len(renders), 1)
    if needs_gradient(*references, *renders):
        return _Plan(layers, height, together)
    device = references[0].device
    most = _PIXELS_AT_ONCE.get(device.type, 2**20) * layers[0].stride
    memory = free_memory(device) if max_memory is None else max_memory
    lean = lpips.layers_for(*references, *renders, lean=True)
    for each in (layers, lean):
        for some in _halves(together):
            images = _images(references, some)
            rows = min(height, max(1, most // (images.together * width)))
            fitting = rows if memory is None else rows_within(each, images, rows, memory)
            if fitting is not None:
                return _Plan(each, fitting, some)
    one = _images(references, 1)
    raise InputError(_too_little(lpips, one, bytes_needed(lean, one, 1), memory or 0, given=max_memory is not None))


def _images(references: Images, renders: int) -> Pass:
    """References and so many renders."""
    count = len(references) + renders
    together = min(count, _IMAGES_AT_ONCE.get(references[0].device.type, count))
    return Pass(len(references), renders, together, *references[0].shape[-2:])


def _halves(number: int) -> Iterator[int]:
    """A number, half of it and so on to 1."""
    while number > 1:
        yield number
        number = -(-number // 2)
    yield 1


def _too_little(lpips: Comparison, images: Pass, least: int, memory: int, *, given: bool) -> str:
    there = "may be taken: give --max-memory more" if given else "are free: end what else runs here"
    return (
        f"LPIPS with {lpips.net} of a render of {images.width}x{images.height} needs {math.ceil(least / 1e6)} MB "
        f"beside the images, and {memory / 1e6:.3g} MB {there}, or leave this LPIPS out."
    )
