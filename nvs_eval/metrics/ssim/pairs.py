"""The pairs of a batch, scored block by block; those of one reference together, whose share is made once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from nvs_eval.metrics.pair import broadcast_shapes, widest_float
from nvs_eval.metrics.ssim.blocks import Block, blocks_of, in_grey, map_in_threads, planes_of
from nvs_eval.metrics.ssim.formula import Constants, Planes
from nvs_eval.metrics.ssim.kernels import Kernel
from nvs_eval.metrics.ssim.shares import share_of

Result = TypeVar("Result")


@dataclass(frozen=True)
class Member:
    """A render of a reference.

    Attributes:
        position: of its score, among those of the batch.
        render: `[3, h, w]`.
        weights: of its map, `[1, h2, w2]`; None where all count.
    """

    position: int
    render: Tensor
    weights: Tensor | None


@dataclass(frozen=True)
class _Group:
    """Renders of one reference, over one data range.

    Attributes:
        reference: `[3, h, w]`.
        extent: the data range, of no dimension.
        mask: which pixels the statistics are formed of, `[1, h, w]`; None for all.
        members: the renders.
    """

    reference: Tensor
    extent: Tensor
    mask: Tensor | None
    members: list[Member] = field(default_factory=list)


class Pairs:
    """A reference and its renders, or batches of them, with what weighs their pixels or their maps."""

    def __init__(
        self, reference: Tensor, render: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> None:
        self._reference, self._render, self._mask, self._weights = reference, render, mask, weights
        self._given = [images for images in (reference, render, mask, weights) if images is not None]
        self.batch = broadcast_shapes(*(images.shape[:-3] for images in self._given))

    def score(
        self, how: Kernel, data_range: float | Literal["pair"], consume: Callable[[Member, Block, Tensor], Result]
    ) -> list[list[Result]]:
        """What is made of the map of each pair, block by block."""
        centred = data_range == "pair"
        extents = (
            _pair_extent(self._reference, self._render, how) if centred else _constant(data_range, self._reference)
        )
        groups = _groups_of(self.batch, self._reference, self._render, extents, mask=self._mask, weights=self._weights)
        graph = torch.is_grad_enabled() and any(images.requires_grad for images in self._given)
        blocks = blocks_of(map_size(self._reference, how), how, self._reference.device, whole=graph)
        results: list[list[Result]] = [[] for _ in range(self.batch.numel())]
        for group in groups:
            work = partial(_score_block, group=group, how=how, consume=consume, centred=centred, graph=graph)
            # Gradients are of one block, and other devices work on one at a time.
            alone = graph or self._reference.device.type != "cpu"
            for of_block in map(work, blocks) if alone else map_in_threads(work, blocks):
                for member, result in zip(group.members, of_block, strict=True):
                    results[member.position].append(result)
        return results


def _score_block(
    block: Block,
    *,
    group: _Group,
    how: Kernel,
    consume: Callable[[Member, Block, Tensor], Result],
    centred: bool,
    graph: bool,
) -> list[Result]:
    """What is made of a block of the maps of a reference's renders."""

    def planes(image: Tensor) -> Planes:
        values = planes_of(image, block, how)
        return Planes.centred(values, how.border) if centred and group.mask is None else Planes(values, None)

    x, constants = planes(group.reference), Constants.of(group.extent, how)
    mask = None if group.mask is None else planes_of(group.mask, block, how)
    share = share_of(x, constants, how, mask=mask, graph=graph)
    rows, columns = block.size
    return [consume(m, block, share.scores(planes(m.render))[:, :rows, :columns]) for m in group.members]


def _constant(extent: float, like: Tensor) -> Tensor:
    return torch.full((1, 1, 1), extent, dtype=widest_float(like.device), device=like.device)


def _pair_extent(reference: Tensor, render: Tensor, how: Kernel) -> Tensor:
    extent = torch.maximum(_extent(reference, how), _extent(render, how))
    # Two flat images have no range: NaN, and not the 0 / 0 of two rounding errors.
    return extent.masked_fill(extent == 0, torch.nan)


def _extent(image: Tensor, how: Kernel) -> Tensor:
    wide, ends = widest_float(image.device), (-3, -2, -1)
    if how.grey is not None:
        image = in_grey(image.to(wide), how.grey)
    return (image.amax(dim=ends).to(wide) - image.amin(dim=ends).to(wide))[..., None, None, None]


def map_size(image: Tensor, how: Kernel) -> tuple[int, int]:
    """The rows and columns of a map."""
    lost = len(how.taps) - 1 if how.padding == "valid" else 0
    return image.shape[-2] - lost, image.shape[-1] - lost


def _groups_of(
    batch: tuple[int, ...],
    reference: Tensor,
    render: Tensor,
    extents: Tensor,
    *,
    mask: Tensor | None,
    weights: Tensor | None,
) -> Iterable[_Group]:
    """The pairs of a batch, in groups.

    Args:
        batch: the leading dimensions of the scores, to which those of all others broadcast.
        reference: `[..., 3, h, w]`.
        render: `[..., 3, h, w]`.
        extents: the data range of each pair, `[..., 1, 1, 1]`, or `[1, 1, 1]`.
        mask: which pixels the statistics are formed of, `[..., 1, h, w]`.
        weights: of the map, `[..., 1, h2, w2]`.
    """
    groups: dict[object, _Group] = {}
    for position, index in enumerate(np.ndindex(*batch)):
        extent = extents[_place(extents, index)].reshape(())
        # Two ranges of the same value have gradients of their own.
        which = position if extent.requires_grad else extent.item()
        key = (_place(reference, index), which, None if mask is None else _place(mask, index))
        if key not in groups:
            groups[key] = _Group(reference[key[0]], extent, None if mask is None else mask[_place(mask, index)])
        weighed = None if weights is None else weights[_place(weights, index)]
        groups[key].members.append(Member(position, render[_place(render, index)], weighed))
    return groups.values()


def _place(images: Tensor, index: tuple[int, ...]) -> tuple[int, ...]:
    """Where among images that broadcast the one of an index is."""
    batch = images.shape[:-3]
    return tuple(0 if n == 1 else i for i, n in zip(index[len(index) - len(batch) :], batch, strict=True))
