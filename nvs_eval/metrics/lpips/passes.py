"""Passes of images through a network: each image passes once, even if several LPIPS compare it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.metrics.lpips.distance import Comparison
from nvs_eval.metrics.lpips.plan import Allowed, Images, Pair, Pairing, Pass, Plan, bytes_needed, plan_passes
from nvs_eval.metrics.lpips.precision import exact_arithmetic
from nvs_eval.metrics.lpips.streaming import Layer, Stream, tap_sizes


@dataclass(frozen=True)
class Wanted:
    """Request for one LPIPS of `[K, 3, H, W]` renders against a reference `[3, H, W]`, optionally with a mask."""

    lpips: Comparison
    reference: Tensor
    renders: Tensor
    mask: Tensor | None


def score_together(wanted: Sequence[Wanted], max_memory: int | None = None) -> list[Tensor | InputError]:
    """Compute the `[K]` values of each request; an image with the same input in several requests passes only once.

    Args:
        wanted: requests.
        max_memory: bytes that a pass may use besides the images (default: the free memory).

    Returns:
        For each request, its values, or an error: its images are too small for the network, or do not fit into memory.
    """
    groups: dict[Hashable, list[int]] = {}
    for index, request in enumerate(wanted):
        groups.setdefault((request.lpips.feed, request.reference.shape), []).append(index)
    values: dict[int, Tensor | InputError] = {}
    for group in groups.values():
        try:
            values.update(zip(group, _score_group([wanted[index] for index in group], max_memory), strict=True))
        except InputError as error:
            values.update(dict.fromkeys(group, error))
    return [values[index] for index in range(len(wanted))]


def _score_group(wanted: Sequence[Wanted], max_memory: int | None) -> list[Tensor]:
    """Compute the values of requests with images of one size and the same network.

    Raises:
        InputError: the images do not fit into memory, or are too small.
    """
    fed = [request.lpips.fed(request.reference, request.renders, request.mask) for request in wanted]
    images: list[Tensor] = []
    owners = [_place(images, reference) for reference, _ in fed]
    count = len(images)
    pairings = []
    for request, owner, (_, renders) in zip(wanted, owners, fed, strict=True):
        places = [_place(images, render) for render in renders]
        pairings.append(Pairing(request.lpips, [owner] * len(places), places))
    copied = sum(
        tensor.nbytes
        for request, pair in zip(wanted, fed, strict=True)
        for tensor, original in zip(pair, (request.reference, request.renders), strict=True)
        if tensor is not original
    )
    allowed = Allowed(max_memory, copied=copied, masked=any(request.mask is not None for request in wanted))
    scores: list[dict[int, Tensor]] = [{} for _ in wanted]
    for parts in distances(pairings, images[:count], images[count:], allowed):
        for request, values, part in zip(wanted, scores, parts, strict=True):
            # One pair at a time, so that neither memory nor a value's last digit depends on the number of pairs.
            for place, pair in enumerate(part.pairs):
                planes = [plane[place] for plane in part.planes]
                values[pair.which] = request.lpips.reduce(planes, request.reference.shape[-2:], request.mask)
    return [
        torch.stack([values[which] for which in range(len(request.renders))])
        for request, values in zip(wanted, scores, strict=True)
    ]


def memory_of(
    lpips: Comparison, size: tuple[int, int], renders: int, device: torch.device, max_memory: int | None = None
) -> int:
    """Return the bytes that LPIPS takes for the renders of a reference, in addition to the images.

    Args:
        lpips: the metric.
        size: width and height of the images.
        renders: number of renders.
        device: device of the images.
        max_memory: bytes that may be used (default: the free memory).

    Raises:
        InputError: the images are too small for the network, or do not fit into memory.
    """
    width, height = size
    image = torch.zeros(1, device=device).expand(3, height, width)  # It takes no memory.
    lpips.check_size(image)
    pairing = Pairing(lpips, [0] * renders, range(1, 1 + renders))
    plan = plan_passes([pairing], [image], [image] * renders, Allowed(max_memory))
    images = Pass(1, plan.together, plan.at_once, height, width, pairs=plan.together)
    return bytes_needed(plan.layers, images, plan.rows)


def _place(images: list[Tensor], image: Tensor) -> int:
    """Return the index of an image in the list, appending it if it is new."""
    for place, candidate in enumerate(images):
        if candidate is image or torch.equal(candidate, image):
            return place
    images.append(image)
    return len(images) - 1


def distances(
    pairings: Sequence[Pairing], references: Images, renders: Images, allowed: Allowed
) -> Iterator[list[Distances]]:
    """Yield the distances of the pairs of each pairing, for as many renders at a time as fit into memory.

    All images pass through the network side by side, a few rows at a time. The activations of these rows at the taps
    are compared at once, and only the differences are kept. The differences use memory that is allocated beforehand,
    because small blocks between freed ones would keep the freed memory from being reused.

    The LPIPS of all pairings must have the same `feed`, and the images the same size. There may be no renders.

    Raises:
        InputError: the images are too small for the network, or do not fit into memory.
    """
    pairings[0].lpips.check_size(references[0])
    plan = plan_passes(pairings, references, renders, allowed)
    sizes = list(tap_sizes(plan.layers, *references[0].shape[-2:]))
    for start in range(0, max(len(renders), 1), plan.together):
        batch = renders[start : start + plan.together]
        parts = [
            Distances(p.lpips, p.within(start, plan.together, among=len(references)), sizes, references[0])
            for p in pairings
        ]
        with exact_arithmetic():
            _pass(parts, [*references, *batch], plan)
        yield parts


def _pass(parts: Sequence[Distances], images: Images, plan: Plan) -> None:
    """Pass images through the network and compare them."""
    lpips = parts[0].lpips
    batches = [
        _Batch(images[start : start + plan.at_once], plan.layers) for start in range(0, len(images), plan.at_once)
    ]
    for start in range(0, images[0].shape[-2], plan.rows):
        fed = slice(start, start + plan.rows)
        # Side by side from tap to tap, so that only the features of one tap are in memory.
        for features in zip(*(batch.features(lpips, fed) for batch in batches), strict=True):
            rows = _Rows(features[0].tap, features[0].top, [image for part in features for image in part.images])
            for part in parts:
                part.add(rows)


class _Features:
    """Activations of an image's rows at a tap, normalised once per normaliser."""

    def __init__(self, activations: Tensor) -> None:
        self._activations = activations
        self._normalised: dict[str, Tensor] = {}

    def of(self, lpips: Comparison) -> Tensor:
        if lpips.normaliser not in self._normalised:
            self._normalised[lpips.normaliser] = lpips.normalised(self._activations)
        return self._normalised[lpips.normaliser]


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of several images at a tap; `top` is the index of the first row."""

    tap: int
    top: int
    images: Sequence[_Features]


class _Batch:
    """Images that pass through the network together."""

    def __init__(self, images: Images, layers: Sequence[Layer]) -> None:
        self._images = images
        self._stream = Stream(layers, images[0].shape[-2])

    def features(self, lpips: Comparison, rows: slice) -> Iterator[_Rows]:
        """Yield the features that the next rows of the images produce."""
        # Only a few rows are stacked at a time, because whole images would be copied.
        fed = torch.stack([image[:, rows] for image in self._images])
        for tapped in self._stream.feed(lpips.scaled(fed)):
            yield _Rows(tapped.tap, tapped.top, [_Features(image) for image in tapped.rows.split(1)])


class Distances:
    """Weighted squared differences of some pairs of a pairing: planes `[pairs, 1, h, w]` at each tap."""

    def __init__(
        self, lpips: Comparison, pairs: Sequence[Pair], sizes: Sequence[tuple[int, int]], like: Tensor
    ) -> None:
        self.lpips = lpips
        self.pairs = pairs
        self.planes = [like.new_empty(len(pairs), 1, *size) for size in sizes]

    def add(self, features: _Rows) -> None:
        """Compare the features of some rows of all images that pass together."""
        compared: dict[tuple[int, int], Tensor] = {}
        images, tap = features.images, features.tap
        for place, pair in enumerate(self.pairs):
            key = (pair.reference, pair.render)
            if key not in compared:
                difference = images[pair.reference].of(self.lpips) - images[pair.render].of(self.lpips)
                head = self.lpips.heads_for(difference)[tap]
                compared[key] = torch.nn.functional.conv2d(difference.square(), head)
            rows = slice(features.top, features.top + compared[key].shape[2])
            self.planes[tap][place, :, rows] = compared[key][0]
