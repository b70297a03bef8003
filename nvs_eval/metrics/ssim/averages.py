"""Means of the maps of SSIM: over pixels and channels, and of each channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from nvs_eval.metrics.pair import MaskMeaning, widest_float
from nvs_eval.metrics.ssim.formula import Kernel, Maps
from nvs_eval.metrics.ssim.pairs import Block, Member, Pairs, map_size

Extent = float | Literal["pair"]


class Windows(NamedTuple):
    """Definition of the windowed means of a pair: kernel, data range, and meaning of a mask."""

    how: Kernel
    extent: Extent
    mask_meaning: MaskMeaning = "valid-pixels"


class Averages(NamedTuple):
    """Means of the maps of each pair, in float64.

    Attributes:
        whole: mean of the first map over channels and pixels, `[...]`.
        channels: mean of each channel of each map, `[..., c]`.
    """

    whole: Tensor
    channels: Mapping[Maps, Tensor]


def averages(
    reference: Tensor,
    render: Tensor,
    mask: Tensor | None,
    windows: Windows,
    *,
    maps: Sequence[Maps],
) -> Averages:
    """Return the means of the maps of pairs that were checked.

    `contrast`, the map of contrast and structure alone, has values for kernels without clamps.
    """
    how, meaning, weights = windows.how, windows.mask_meaning, None
    if mask is not None and meaning != "dycheck":
        weights = _whole_windows(mask, how) if meaning == "windows" else _centre(mask, map_size(reference, how))
        mask = None

    def add_up(member: Member, block: Block, values: Mapping[Maps, Tensor]) -> list[Sequence[Tensor | float]]:
        return [_sums(values[name], member, block) for name in maps]

    pairs = Pairs(reference, render, mask, weights)
    parts = pairs.score(how, windows.extent, add_up, maps=maps)
    wide, channels = widest_float(reference.device), 3 if how.grey is None else 1
    if weights is None:
        pixels = torch.Size(map_size(reference, how)).numel()
        count = torch.full((), pixels, dtype=wide, device=reference.device)
    else:
        count = weights.sum(dim=(-3, -2, -1), dtype=wide)
    if not parts:
        empty = reference.new_empty(pairs.batch, dtype=wide)
        return Averages(empty, {name: empty[..., None].expand(*pairs.batch, channels) for name in maps})

    def gathered(totals: Sequence[Tensor | float], *shape: int) -> Tensor:
        made = [torch.as_tensor(total, dtype=wide, device=reference.device) for total in totals]
        return torch.stack(made).reshape((*pairs.batch, *shape))

    whole = gathered([sum(sum(sums[0], start=0.0) for sums in blocks) for blocks in parts]) / (channels * count)
    means = {}
    for place, name in enumerate(maps):
        # Blocks have one channel after the other, or all of them.
        sums = [[total for block in blocks for total in block[place]] for blocks in parts]
        totals = [sum(of_pair[channel::channels]) for of_pair in sums for channel in range(channels)]
        means[name] = gathered(totals, channels) / count[..., None]
    return Averages(whole, means)


def _sums(values: Tensor, member: Member, block: Block) -> Sequence[Tensor | float]:
    """Return the sum of each channel of a block of a map.

    With float64 sums, the value does not depend on the number of blocks, to far below any tolerance.
    """
    weighed = values if member.weights is None else values * block.of_map(member.weights)
    totals = [channel.sum() for channel in weighed]
    # Small tensors kept between the planes of blocks would fragment memory, which would grow with the image.
    return totals if totals[0].requires_grad or values.device.type != "cpu" else [total.item() for total in totals]


def _centre(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the part of a mask that the map covers."""
    top, left = (mask.shape[-2] - size[0]) // 2, (mask.shape[-1] - size[1]) // 2
    return mask[..., top : top + size[0], left : left + size[1]]


def _whole_windows(mask: Tensor, how: Kernel) -> Tensor:
    """Return 1 for each window whose pixels all have weight 1, and 0 otherwise."""
    inside = (mask >= 1).to(torch.float32)
    if how.padding != "valid":
        inside = torch.nn.functional.pad(inside, (how.border,) * 4, value=1.0)
    size = len(how.taps)
    for dim in (-2, -1):
        inside = inside.unfold(dim, size, 1).amin(dim=-1)
    return inside
