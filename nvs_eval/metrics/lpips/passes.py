"""Passes of images through a network: each image passes once, even if several LPIPS compare it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import torch
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.metrics.lpips.network import Comparing, Features, Network, Rows
from nvs_eval.metrics.lpips.plan import Allowed, Images, Pairing, Pass, Plan, bytes_needed, plan_passes
from nvs_eval.metrics.lpips.precision import exact_arithmetic
from nvs_eval.metrics.lpips.streaming import Layer, Stream, tap_sizes
from nvs_eval.metrics.together import Request
from nvs_eval.system.tensors import equal


def score_together(wanted: Sequence[Request], max_memory: int | None = None) -> list[Tensor | InputError]:
    """Compute the `[K]` values of each request; an image with the same input in several requests passes only once.

    Args:
        wanted: requests.
        max_memory: bytes that a pass may use besides the images (default: the free memory).

    Returns:
        For each request, its values, or an error: its images are too small for the network, or do not fit into memory.
    """
    groups: dict[Hashable, list[int]] = {}
    for index, request in enumerate(wanted):
        groups.setdefault((request.function.feed, request.reference.shape), []).append(index)
    values: dict[int, Tensor | InputError] = {}
    for group in groups.values():
        try:
            values.update(zip(group, _score_group([wanted[index] for index in group], max_memory), strict=True))
        except InputError as error:
            values.update(dict.fromkeys(group, error))
    return [values[index] for index in range(len(wanted))]


def _score_group(wanted: Sequence[Request], max_memory: int | None) -> list[Tensor]:
    """Compute the values of requests with images of one size and the same network.

    Raises:
        InputError: the images do not fit into memory, or are too small.
    """
    fed = [request.function.fed(request.reference, request.renders, request.mask) for request in wanted]
    images: list[Tensor] = []
    owners = [_place(images, reference) for reference, _ in fed]
    count = len(images)
    pairings = []
    for request, owner, (_, renders) in zip(wanted, owners, fed, strict=True):
        places = [_place(images, render) for render in renders]
        masks = None if request.mask is None else request.mask[None]
        pairings.append(Pairing(request.function, [owner] * len(places), places, masks))
    copied = sum(
        tensor.nbytes
        for request, pair in zip(wanted, fed, strict=True)
        for tensor, original in zip(pair, (request.reference, request.renders), strict=True)
        if tensor is not original
    )
    allowed = Allowed(max_memory, copied=copied, masked=any(request.mask is not None for request in wanted))
    scores: list[dict[int, Tensor]] = [{} for _ in wanted]
    for parts in compare(pairings, images[:count], images[count:], allowed):
        for values, part in zip(scores, parts, strict=True):
            # One pair at a time, so that neither memory nor a value's last digit depends on the number of pairs.
            for place, pair in enumerate(part.pairs):
                values[pair.which] = part.value(place)
    return [
        torch.stack([values[which] for which in range(len(request.renders))])
        for request, values in zip(wanted, scores, strict=True)
    ]


def memory_of(
    network: Network, size: tuple[int, int], renders: int, device: torch.device, max_memory: int | None = None
) -> int:
    """Return the bytes that a metric takes for the renders of a reference, in addition to the images.

    Args:
        network: the metric.
        size: width and height of the images.
        renders: number of renders.
        device: device of the images.
        max_memory: bytes that may be used (default: the free memory).

    Raises:
        InputError: the images are too small for the network, or do not fit into memory.
    """
    width, height = size
    image = torch.zeros(1, device=device).expand(3, height, width)  # It takes no memory.
    _check_size(network, image)
    pairing = Pairing(network, [0] * renders, range(1, 1 + renders))
    plan = plan_passes([pairing], [image], [image] * renders, Allowed(max_memory))
    features = network.feature_bytes
    images = Pass(1, plan.together, plan.at_once, height, width, pairs=plan.together, feature_bytes=features)
    return bytes_needed(plan.layers, images, plan.rows)


def _place(images: list[Tensor], image: Tensor) -> int:
    """Return the index of an image in the list, appending it if it is new."""
    for place, candidate in enumerate(images):
        if candidate is image or equal(candidate, image):
            return place
    images.append(image)
    return len(images) - 1


def compare(
    pairings: Sequence[Pairing], references: Images, renders: Images, allowed: Allowed
) -> Iterator[list[Comparing]]:
    """Yield the comparisons of the pairs of each pairing, for as many renders at a time as fit into memory.

    All images pass through the network side by side, a few rows at a time. The activations of these rows at the taps
    are compared at once, and only the results are kept. The differences of LPIPS use memory that is allocated
    beforehand, because small blocks between freed ones would keep the freed memory from being reused.

    The metrics of all pairings must have the same `feed`, and the images the same size. There may be no renders.

    Raises:
        InputError: the images are too small for the network, or do not fit into memory.
    """
    _check_size(pairings[0].network, references[0])
    plan = plan_passes(pairings, references, renders, allowed)
    sizes = list(tap_sizes(plan.layers, *references[0].shape[-2:]))
    for start in range(0, max(len(renders), 1), plan.together):
        batch = renders[start : start + plan.together]
        parts = [
            p.network.comparing(p.within(start, plan.together, among=len(references)), sizes, references[0], p.masks)
            for p in pairings
        ]
        with exact_arithmetic():
            _pass(pairings[0].network, parts, [*references, *batch], plan)
        yield parts


def _check_size(network: Network, image: Tensor) -> None:
    height, width = image.shape[-2:]
    if min(height, width) < network.smallest:
        raise InputError(
            f"{network.name} requires images of at least {network.smallest}x{network.smallest} pixels. "
            f"Got {width}x{height}."
        )


def _pass(network: Network, parts: Sequence[Comparing], images: Images, plan: Plan) -> None:
    """Pass images through the network and compare them."""
    batches = [
        _Batch(images[start : start + plan.at_once], plan.layers) for start in range(0, len(images), plan.at_once)
    ]
    for start in range(0, images[0].shape[-2], plan.rows):
        fed = slice(start, start + plan.rows)
        # Side by side from tap to tap, so that only the features of one tap are in memory.
        for features in zip(*(batch.features(network, fed) for batch in batches), strict=True):
            rows = Rows(features[0].tap, features[0].top, [image for part in features for image in part.images])
            for part in parts:
                part.add(rows)


class _Batch:
    """Images that pass through the network together."""

    def __init__(self, images: Images, layers: Sequence[Layer]) -> None:
        self._images = images
        self._stream = Stream(layers, images[0].shape[-2])

    def features(self, network: Network, rows: slice) -> Iterator[Rows]:
        """Yield the features that the next rows of the images produce."""
        # Only a few rows are stacked at a time, because whole images would be copied.
        fed = torch.stack([image[:, rows] for image in self._images])
        for tapped in self._stream.feed(network.scaled(fed)):
            yield Rows(tapped.tap, tapped.top, [Features(image) for image in tapped.rows.split(1)])
