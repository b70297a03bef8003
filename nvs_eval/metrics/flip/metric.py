"""FLIP: how different two images look when one flips between them, for images of low dynamic range."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from numbers import Real
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError, quoted
from nvs_eval.metrics.describe import Described, Positive, all_digits
from nvs_eval.metrics.flip.formula import Filters, Seen, difference, filters_for, seen
from nvs_eval.metrics.pair import (
    Mask,
    MaskMeaning,
    broadcast_shapes,
    checked_pair,
    needs_gradient,
    place_in,
    widest_float,
)
from nvs_eval.metrics.ssim.pairs import map_in_threads
from nvs_eval.metrics.ssim.shares import STEP

Result = TypeVar("Result")

PIXELS_PER_DEGREE = 0.7 * 3840 / 0.7 * math.pi / 180
"""Pixels per degree of a display of 3840 pixels and 0.7 m width, seen from 0.7 m: 67.02."""

# Height and width of a tile. Its working memory is about 40 MB.
_TILE = (256, 512)
_ELSEWHERE = (2048, 2048)


def flip(
    reference: Float[Tensor, "*#batch 3 h w"],
    render: Float[Tensor, "*#batch 3 h w"],
    *,
    mask: Mask | None = None,
    pixels_per_degree: float = PIXELS_PER_DEGREE,
) -> Float[Tensor, "*batch_out"]:
    """Mean FLIP of two sRGB images, one value per image, as `flip-evaluator` for low dynamic range.

    Args:
        reference: `[..., 3, H, W]` in [0, 1]; values outside are clamped.
        render: `[..., 3, H, W]`; the leading dimensions broadcast against the reference's.
        mask: `[..., 1, H, W]`, bool or weights in [0, 1]; weights of the mean over the map.
        pixels_per_degree: pixels per degree of visual angle, from 1 to 1000 (default: 67.02, a display of 3840 pixels
            and 0.7 m width, seen from 0.7 m).

    Returns:
        `[...]` float64 in [0, 1]; lower is better.

    Raises:
        InputError: the shapes or dtypes do not fit, or the number of pixels per degree is not from 1 to 1000.
    """
    reference, render = checked_pair(reference, render, mask)

    def add_up(_: _Tile, values: Tensor, weights: Tensor | None) -> Tensor | float:
        total = (values if weights is None else values * weights).sum()
        return total if total.requires_grad or total.device.type != "cpu" else total.item()

    batch, sums = _score(reference, render, mask, _filters(pixels_per_degree), add_up)
    wide = widest_float(reference.device)
    count = reference.shape[-2] * reference.shape[-1] if mask is None else mask.sum(dim=(-3, -2, -1), dtype=wide)
    totals = [torch.as_tensor(sum(parts), dtype=wide, device=reference.device) for parts in sums]
    return torch.stack(totals).reshape(batch) / count if totals else reference.new_empty(batch, dtype=wide)


def flip_map(
    reference: Float[Tensor, "*#batch 3 h w"],
    render: Float[Tensor, "*#batch 3 h w"],
    *,
    pixels_per_degree: float = PIXELS_PER_DEGREE,
) -> Float[Tensor, "*batch_out h w"]:
    """Return the map that `flip` averages, `[..., H, W]` float64 in [0, 1].

    Raises:
        InputError: `flip` would raise it.
    """
    reference, render = checked_pair(reference, render)

    def keep(tile: _Tile, values: Tensor, _: Tensor | None) -> tuple[_Tile, Tensor]:
        return tile, values

    batch, parts = _score(reference, render, None, _filters(pixels_per_degree), keep)
    size = reference.shape[-2:]
    maps = [reference.new_zeros(size, dtype=widest_float(reference.device)) for _ in parts]
    for of_pair, pieces in zip(maps, parts, strict=True):
        for tile, values in pieces:
            of_pair[tile.rows, tile.columns] = values
    return torch.stack(maps).reshape(*batch, *size) if maps else reference.new_empty(*batch, *size)


def describe(name: str, mask: MaskMeaning, *, pixels_per_degree: Positive = PIXELS_PER_DEGREE) -> Described:
    """Describe the FLIP of a protocol.

    Raises:
        InputError: FLIP does not support the meaning of the mask, or the number of pixels per degree is not valid.
    """
    if mask != "valid-pixels":
        raise InputError(
            f"{name} filters the whole image, so it does not support `mask: {mask}`. Use valid-pixels, multiply, fill "
            "or bbox, or remove it from the protocol."
        )
    _filters(pixels_per_degree)
    function = partial(flip, pixels_per_degree=pixels_per_degree)
    return Described(signature=f"flip|ppd:{all_digits(pixels_per_degree)}|v1", load=lambda _: function)


def _filters(pixels_per_degree: object) -> Filters:
    number = pixels_per_degree
    if isinstance(number, bool) or not isinstance(number, Real) or not 1 <= float(number) <= 1000:
        raise InputError(
            f"pixels_per_degree must be from 1 to 1000. Got {quoted(number)}. The default is {PIXELS_PER_DEGREE:.2f}."
        )
    return filters_for(float(number))


class _Tile(NamedTuple):
    rows: slice
    columns: slice


class _Member(NamedTuple):
    """A render `[3, H, W]` of a reference, its weights `[H, W]`, and the index of its value in the batch."""

    position: int
    render: Tensor
    weights: Tensor | None


def _score(
    reference: Tensor,
    render: Tensor,
    mask: Tensor | None,
    filters: Filters,
    consume: Callable[[_Tile, Tensor, Tensor | None], Result],
) -> tuple[torch.Size, list[list[Result]]]:
    """Call `consume` with the map and the weights of each tile of each pair, and return the results per pair.

    The appearance of a tile of a reference is computed once for all its renders.
    """
    given = [images for images in (reference, render, mask) if images is not None]
    batch, graph = broadcast_shapes(*(images.shape[:-3] for images in given)), needs_gradient(*given)
    groups: dict[tuple[int, ...], list[_Member]] = {}
    for position, index in enumerate(np.ndindex(*batch)):
        weights = None if mask is None else mask[place_in(mask, index)][0]
        member = _Member(position, render[place_in(render, index)], weights)
        groups.setdefault(place_in(reference, index), []).append(member)
    tiles = list(_tiles(reference, whole=graph))
    results: list[list[Result]] = [[] for _ in range(batch.numel())]
    for place, group in groups.items():
        work = partial(_score_tile, reference=reference[place], group=group, filters=filters, consume=consume)
        serial = graph or reference.device.type != "cpu"
        for of_tile in map(work, tiles) if serial else map_in_threads(work, tiles):
            for member, result in zip(group, of_tile, strict=True):
                results[member.position].append(result)
    return batch, results


def _score_tile(
    tile: _Tile,
    *,
    reference: Tensor,
    group: list[_Member],
    filters: Filters,
    consume: Callable[[_Tile, Tensor, Tensor | None], Result],
) -> list[Result]:
    of_reference, made = _seen(reference, tile, filters), []
    for member in group:
        values = difference(of_reference, _seen(member.render, tile, filters))
        weights = None if member.weights is None else member.weights[tile.rows, tile.columns].to(values)
        made.append(consume(tile, values, weights))
    return made


def _seen(image: Tensor, tile: _Tile, filters: Filters) -> Seen:
    """Return the appearance of a tile of an image `[3, H, W]`, whose border pixels are repeated outside."""
    places = []
    for part, size in zip(tile, image.shape[-2:], strict=True):
        # Whole products: the number of outputs along each axis is a multiple of their step.
        stop = part.start + -(-(part.stop - part.start) // STEP) * STEP
        reached = torch.arange(part.start - filters.reach, stop + filters.reach, device=image.device)
        places.append(reached.clamp(0, size - 1))
    wide = image[:, places[0][:, None], places[1]].to(widest_float(image.device)).clamp(0, 1)
    height, width = (part.stop - part.start for part in tile)
    colours, edges, points = seen(wide, filters)
    return Seen(colours[:, :height, :width], edges[:height, :width], points[:height, :width])


def _tiles(image: Tensor, *, whole: bool) -> Iterator[_Tile]:
    """Yield tiles that cover an image; a single one if `whole`."""
    height, width = image.shape[-2:]
    tall, wide = _TILE if image.device.type == "cpu" else _ELSEWHERE
    if whole:
        tall, wide = height, width
    for row in range(0, height, tall):
        for column in range(0, width, wide):
            yield _Tile(slice(row, min(row + tall, height)), slice(column, min(column + wide, width)))
