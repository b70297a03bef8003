"""Images through a network, each once, whatever number of LPIPS compare them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.metrics.lpips.distance import Comparison
from nvs_eval.metrics.lpips.plan import Allowed, Images, Pair, Pairing, Plan, plan_passes
from nvs_eval.metrics.lpips.precision import exact_arithmetic
from nvs_eval.metrics.lpips.streaming import Layer, Stream, tap_sizes


@dataclass(frozen=True)
class Wanted:
    """One LPIPS of `[K, 3, H, W]` renders against a reference `[3, H, W]`, under a mask `[1, H, W]` or none."""

    lpips: Comparison
    reference: Tensor
    renders: Tensor
    mask: Tensor | None


def score_together(wanted: Sequence[Wanted], max_memory: int | None = None) -> list[Tensor | InputError]:
    """The `[K]` values of each; an image that several feed to a network in the same way passes it once.

    Args:
        wanted: what to compute.
        max_memory: the bytes that a pass may take beside the images; what is free if it is None.

    Returns:
        For each its values, or what is wrong with it: its images are smaller than its network can take, or there is no
        memory for them.
    """
    groups: dict[Hashable, list[int]] = {}
    for index, each in enumerate(wanted):
        groups.setdefault((each.lpips.feed, each.reference.shape), []).append(index)
    values: dict[int, Tensor | InputError] = {}
    for group in groups.values():
        try:
            values.update(zip(group, _score_group([wanted[index] for index in group], max_memory), strict=True))
        except InputError as error:
            values.update(dict.fromkeys(group, error))
    return [values[index] for index in range(len(wanted))]


def _score_group(wanted: Sequence[Wanted], max_memory: int | None) -> list[Tensor]:
    """Likewise of images of one size for one network.

    Raises:
        InputError: there is no memory for them, or they are too small.
    """
    fed = [each.lpips.fed(each.reference, each.renders, each.mask) for each in wanted]
    images: list[Tensor] = []
    owners = [_place(images, reference) for reference, _ in fed]
    count = len(images)
    pairings = []
    for each, owner, (_, renders) in zip(wanted, owners, fed, strict=True):
        places = [_place(images, render) for render in renders]
        pairings.append(Pairing(each.lpips, [owner] * len(places), places))
    copied = sum(
        made.nbytes
        for each, pair in zip(wanted, fed, strict=True)
        for made, given in zip(pair, (each.reference, each.renders), strict=True)
        if made is not given
    )
    allowed = Allowed(max_memory, copied=copied, masked=any(each.mask is not None for each in wanted))
    scores: list[dict[int, Tensor]] = [{} for _ in wanted]
    for parts in distances(pairings, images[:count], images[count:], allowed):
        for each, found, part in zip(wanted, scores, parts, strict=True):
            # One by one: neither memory nor a value's last digit grows with their number.
            for place, pair in enumerate(part.pairs):
                planes = [plane[place] for plane in part.planes]
                found[pair.which] = each.lpips.reduce(planes, each.reference.shape[-2:], each.mask)
    return [
        torch.stack([found[which] for which in range(len(each.renders))])
        for each, found in zip(wanted, scores, strict=True)
    ]


def _place(images: list[Tensor], image: Tensor) -> int:
    """Where an image is among those that are known, put at their end if it is not."""
    for place, known in enumerate(images):
        if known is image or torch.equal(known, image):
            return place
    images.append(image)
    return len(images) - 1


def distances(
    pairings: Sequence[Pairing], references: Images, renders: Images, allowed: Allowed
) -> Iterator[list[Distances]]:
    """For each pairing the distances of its pairs, of so many renders at a time as there is room for.

    All images pass the network side by side, some rows at a time; what the taps make of the rows is compared at once,
    and only the differences are kept: in memory that is taken beforehand, as small pieces of it between what is freed
    would keep that from being used again.

    The pairings are of LPIPS of one feed, the images of one size; there may be no renders.

    Raises:
        InputError: the images are smaller than the network can take, or there is no memory for them.
    """
    pairings[0].lpips.check_size(references[0])
    plan = plan_passes(pairings, references, renders, allowed)
    sizes = list(tap_sizes(plan.layers, *references[0].shape[-2:]))
    for start in range(0, max(len(renders), 1), plan.together):
        some = renders[start : start + plan.together]
        parts = [
            Distances(p.lpips, p.within(start, plan.together, among=len(references)), sizes, references[0])
            for p in pairings
        ]
        with exact_arithmetic():
            _pass(parts, [*references, *some], plan)
        yield parts


def _pass(parts: Sequence[Distances], images: Images, plan: Plan) -> None:
    """Take images through the network and compare them."""
    lpips = parts[0].lpips
    batches = [
        _Batch(images[start : start + plan.at_once], plan.layers) for start in range(0, len(images), plan.at_once)
    ]
    for start in range(0, images[0].shape[-2], plan.rows):
        fed = slice(start, start + plan.rows)
        # Side by side from tap to tap, so that only the features that are compared are there.
        for made in zip(*(batch.features(lpips, fed) for batch in batches), strict=True):
            rows = _Rows(made[0].tap, made[0].top, [image for batch in made for image in batch.images])
            for part in parts:
                part.add(rows)


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


class Distances:
    """The weighted squared differences of some pairs of a pairing: at each tap planes `[pairs, 1, h, w]`."""

    def __init__(
        self, lpips: Comparison, pairs: Sequence[Pair], sizes: Sequence[tuple[int, int]], like: Tensor
    ) -> None:
        self.lpips = lpips
        self.pairs = pairs
        self.planes = [like.new_empty(len(pairs), 1, *size) for size in sizes]

    def add(self, made: _Rows) -> None:
        """Compare rows of all images that pass together."""
        done: dict[tuple[int, int], Tensor] = {}
        for place, pair in enumerate(self.pairs):
            key = (pair.reference, pair.render)
            if key not in done:
                difference = made.images[pair.reference].of(self.lpips) - made.images[pair.render].of(self.lpips)
                head = self.lpips.heads_for(difference)[made.tap]
                done[key] = torch.nn.functional.conv2d(difference.square(), head)
            rows = slice(made.top, made.top + done[key].shape[2])
            self.planes[made.tap][place, :, rows] = done[key][0]
