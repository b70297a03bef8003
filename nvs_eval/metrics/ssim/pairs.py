"""The pairs of a batch, those of one reference together, so that its share of the work is done once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor


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
class Group:
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


def groups_of(
    batch: tuple[int, ...],
    reference: Tensor,
    render: Tensor,
    extents: Tensor,
    *,
    mask: Tensor | None,
    weights: Tensor | None,
) -> Iterable[Group]:
    """The pairs of a batch, in groups.

    Args:
        batch: the leading dimensions of the scores, to which those of all others broadcast.
        reference: `[..., 3, h, w]`.
        render: `[..., 3, h, w]`.
        extents: the data range of each pair, `[..., 1, 1, 1]`, or `[1, 1, 1]`.
        mask: which pixels the statistics are formed of, `[..., 1, h, w]`.
        weights: of the map, `[..., 1, h2, w2]`.
    """
    groups: dict[object, Group] = {}
    for position, index in enumerate(np.ndindex(*batch)):
        extent = extents[_place(extents, index)].reshape(())
        # Two ranges of the same value have gradients of their own.
        which = position if extent.requires_grad else extent.item()
        key = (_place(reference, index), which, None if mask is None else _place(mask, index))
        if key not in groups:
            groups[key] = Group(reference[key[0]], extent, None if mask is None else mask[_place(mask, index)])
        weighed = None if weights is None else weights[_place(weights, index)]
        groups[key].members.append(Member(position, render[_place(render, index)], weighed))
    return groups.values()


def _place(images: Tensor, index: tuple[int, ...]) -> tuple[int, ...]:
    """Where among images that broadcast the one of an index is."""
    batch = images.shape[:-3]
    return tuple(0 if n == 1 else i for i, n in zip(index[len(index) - len(batch) :], batch, strict=True))
