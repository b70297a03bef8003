"""The pairs of a batch, scored in blocks that fit into the cache; pairs share the work for a common reference."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from threading import Barrier
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from nvs_eval.metrics.pair import broadcast_shapes, needs_gradient, place_in, widest_float
from nvs_eval.metrics.ssim.formula import Constants, Kernel, Maps, Plain, Planes
from nvs_eval.metrics.ssim.shares import STEP, Share, blur, share_of

Item = TypeVar("Item")
Result = TypeVar("Result")

# Planes of 1 MB, a few of which are in use at a time: smaller ones waste time on calls, larger ones exceed a core's
# cache.
_PIXELS, _WIDEST = 2**17, 1024
_FEWEST = 2**15
# Other devices need large blocks.
_PIXELS_ELSEWHERE = 2**22


@dataclass(frozen=True)
class Block:
    """Part of the map: channels of the images, rows and columns of the map."""

    channels: slice
    rows: slice
    columns: slice

    @property
    def size(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def of_map(self, values: Tensor) -> Tensor:
        """Return this block of a map `[c, h, w]`, which may have a single channel."""
        return values[..., self.rows, self.columns]


def blocks_of(size: tuple[int, int], how: Kernel, device: torch.device, *, whole: bool) -> Sequence[Block]:
    """Return blocks that cover a map of a size; a single block if `whole`."""
    rows, columns = size
    if whole:
        return [Block(slice(0, 3), slice(0, rows), slice(0, columns))]
    pixels, widest = _PIXELS_ELSEWHERE, columns
    if device.type == "cpu":
        # Small enough that no thread is idle while another one works on a large block.
        share = 3 * rows * columns // (2 * torch.get_num_threads())
        pixels, widest = min(_PIXELS, max(_FEWEST, share)), _WIDEST
    across = list(_split(columns, widest))
    reach = len(how.taps) - 1
    down = list(_split(rows, max(pixels // (across[0].stop + reach) - reach, STEP)))
    # All channels of a region are consecutive, so that interleaved images are read only once.
    channels = [slice(0, 3)] if how.grey is not None else [slice(i, i + 1) for i in range(3)]
    return [Block(which, tall, wide) for tall in down for wide in across for which in channels]


def planes_of(image: Tensor, block: Block, how: Kernel) -> Tensor:
    """Return the planes `[c, h, w]` of an image or mask `[..., h, w]` that contain the windows of a block, in float64.

    They are padded at the image's border as the kernel defines, and at the end with zeros to complete the products.
    """
    rows, above, below = _reach(block.rows, image.shape[-2], how)
    columns, left, right = _reach(block.columns, image.shape[-1], how)
    part = image[block.channels if image.shape[0] > 1 else slice(0, 1), rows, columns]
    if how.grey is not None:
        part = in_grey(part.to(widest_float(part.device)), how.grey)
    part = _pad(part, (left, right, above, below), how)
    return _fill(part, [_whole(size) + len(how.taps) - 1 for size in block.size])


def in_grey(image: Tensor, grey: str) -> Tensor:
    """Convert float64 images `[..., 3, h, w]` to the single channel of a kernel for grey images."""
    if grey == "bt709":
        red, green, blue = image.unbind(dim=-3)
        return (0.2126 * red + 0.7152 * green + 0.0722 * blue).unsqueeze(-3)
    red, green, blue = (image * 255).round().unbind(dim=-3)
    return torch.floor((9798 * red + 19235 * green + 3735 * blue + 16384) / 32768).unsqueeze(-3)


def map_in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return the result for each item, in order, computed in as many threads as torch has, without gradients.

    Each thread works on a separate item, and torch does not split the work on an item. Torch would split every
    operation over threads that synchronise at its end. For operations as short as those on a block, that costs more
    than it saves; on a busy machine, where some of the threads are waiting for a core, it costs dozens of times as
    much.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        return list(map(work, items))
    inference = torch.is_inference_mode_enabled()

    def run(item: Item) -> Result:
        # These modes are per thread.
        with torch.inference_mode(inference), torch.no_grad():
            return work(item)

    return list(_pool(threads, os.getpid()).map(run, items))


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Return the thread pool of a process; a forked process has none of its parent's threads."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ssim")
    started = Barrier(threads + 1)

    def start() -> None:
        # The number is per thread, but a thread that has not read it yet gets the one that was set last.
        torch.get_num_threads()
        torch.set_num_threads(1)
        started.wait()

    for _ in range(threads):
        pool.submit(start)
    started.wait()
    torch.set_num_threads(threads)
    return pool


def _split(size: int, largest: int) -> Iterator[slice]:
    """Yield parts of nearly equal size; all but the last consist of whole products."""
    part = _whole(-(-size // -(-size // largest)))
    for start in range(0, size, part):
        yield slice(start, min(start + part, size))


def _whole(size: int) -> int:
    return -(-size // STEP) * STEP


def _reach(places: slice, size: int, how: Kernel) -> tuple[slice, int, int]:
    """Return the pixels along an axis that the windows at `places` read, and the padding before and after them."""
    border = 0 if how.padding == "valid" else how.border
    start, stop = places.start - border, places.stop + len(how.taps) - 1 - border
    return slice(max(start, 0), min(stop, size)), max(-start, 0), max(stop - size, 0)


def _pad(part: Tensor, widths: tuple[int, int, int, int], how: Kernel) -> Tensor:
    """Pad by `widths` on the left, on the right, above and below."""
    if not any(widths):
        return part
    if how.padding == "symmetric":
        for dim, (before, after) in ((-1, widths[:2]), (-2, widths[2:])):
            size = part.shape[dim]
            ends = part.narrow(dim, 0, before).flip(dim), part.narrow(dim, size - after, after).flip(dim)
            part = torch.cat([ends[0], part, ends[1]], dim=dim)
        return part
    mode = "constant" if how.padding == "zero" else "reflect"
    return torch.nn.functional.pad(part[None], widths, mode=mode)[0]


def _fill(part: Tensor, size: Sequence[int]) -> Tensor:
    """Convert to float64 and pad with zeros to a size."""
    dtype = widest_float(part.device)
    height, width = part.shape[-2:]
    if [height, width] == size:
        return part.to(dtype)
    planes = part.new_empty(part.shape[0], *size, dtype=dtype)
    planes[:, :height, :width] = part
    planes[:, height:] = 0
    planes[:, :height, width:] = 0
    return planes


@dataclass(frozen=True)
class Member:
    """A render `[3, h, w]`, the weights of its map `[1, h2, w2]`, and the index of its score in the batch."""

    position: int
    render: Tensor
    weights: Tensor | None


@dataclass(frozen=True)
class _Group:
    """Renders of one reference `[3, h, w]` with one data range; the mask `[1, h, w]` selects pixels for statistics."""

    reference: Tensor
    extent: Tensor
    mask: Tensor | None
    members: list[Member] = field(default_factory=list)


class Pairs:
    """A reference and its renders, or batches of them, with weights of their pixels or maps."""

    def __init__(
        self, reference: Tensor, render: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> None:
        self._reference, self._render, self._mask, self._weights = reference, render, mask, weights
        self._given = [images for images in (reference, render, mask, weights) if images is not None]
        self.batch = broadcast_shapes(*(images.shape[:-3] for images in self._given))

    def score(
        self,
        how: Kernel,
        data_range: float | Literal["pair"],
        consume: Callable[[Member, Block, Mapping[Maps, Tensor]], Result],
        *,
        maps: Sequence[Maps] = ("ssim",),
    ) -> list[list[Result]]:
        """Call `consume` with each block of the maps of each pair, and return the results per pair."""
        centred = data_range == "pair"
        device, graph = self._reference.device, needs_gradient(*self._given)
        if centred:
            extents = self._extents(how)
        else:
            extents = torch.full((1, 1, 1), data_range, dtype=widest_float(device), device=device)
        blocks = blocks_of(map_size(self._reference, how), how, device, whole=graph)
        results: list[list[Result]] = [[] for _ in range(self.batch.numel())]
        for group in self._groups(extents, centred=centred):
            work = partial(_score_block, group=group, how=how, consume=consume, maps=maps, centred=centred, graph=graph)
            # With gradients there is a single block, and other devices process one block at a time.
            serial = graph or device.type != "cpu"
            for block_results in map(work, blocks) if serial else map_in_threads(work, blocks):
                for member, result in zip(group.members, block_results, strict=True):
                    results[member.position].append(result)
        return results

    def _extents(self, how: Kernel) -> Tensor:
        """Return the data range of each pair, `[..., 1, 1, 1]`."""
        extents = torch.maximum(_extent(self._reference, how), _extent(self._render, how))
        # Two flat images have no range, so the result is NaN instead of the quotient of two rounding errors.
        return extents.masked_fill(extents == 0, torch.nan)

    def _groups(self, extents: Tensor, *, centred: bool) -> Iterable[_Group]:
        mask, weights = self._mask, self._weights
        groups: dict[object, _Group] = {}
        for position, index in enumerate(np.ndindex(*self.batch)):
            extent = extents[place_in(extents, index)].reshape(())
            # Ranges of equal value still have separate gradients, and reading one makes another device wait.
            alone = extent.requires_grad or extent.device.type != "cpu"
            which = None if not centred else position if alone else extent.item()
            place, masked = place_in(self._reference, index), None if mask is None else place_in(mask, index)
            if (place, which, masked) not in groups:
                kept = None if mask is None else mask[masked]
                groups[place, which, masked] = _Group(self._reference[place], extent, kept)
            weighed = None if weights is None else weights[place_in(weights, index)]
            member = Member(position, self._render[place_in(self._render, index)], weighed)
            groups[place, which, masked].members.append(member)
        return groups.values()


def _score_block(
    block: Block,
    *,
    group: _Group,
    how: Kernel,
    consume: Callable[[Member, Block, Mapping[Maps, Tensor]], Result],
    maps: Sequence[Maps],
    centred: bool,
    graph: bool,
) -> list[Result]:
    """Score a block of the renders of one reference and return the results of `consume`."""

    def planes(image: Tensor) -> Planes:
        values = planes_of(image, block, how)
        return Planes.centred(values, how.border) if centred and group.mask is None else Planes(values, None)

    x, constants = planes(group.reference), Constants.of(group.extent, how)
    mask = None if group.mask is None else planes_of(group.mask, block, how)
    rows, columns = block.size
    if "contrast" in maps:
        of_render = partial(Plain(x, constants, partial(blur, taps=how.taps)).maps, names=maps)
    else:
        share = share_of(x, constants, how, mask=mask, graph=graph)
        of_render = partial(_only_ssim, share)
    results: list[Result] = []
    for member in group.members:
        made = of_render(planes(member.render))
        results.append(consume(member, block, {name: made[name][:, :rows, :columns] for name in maps}))
    return results


def _only_ssim(share: Share, render: Planes) -> dict[Maps, Tensor]:
    return {"ssim": share.scores(render)}


def _extent(image: Tensor, how: Kernel) -> Tensor:
    wide, ends = widest_float(image.device), (-3, -2, -1)
    if how.grey is not None:
        image = in_grey(image.to(wide), how.grey)
    return (image.amax(dim=ends).to(wide) - image.amin(dim=ends).to(wide))[..., None, None, None]


def map_size(image: Tensor, how: Kernel) -> tuple[int, int]:
    """Return the number of rows and columns of a map."""
    lost = len(how.taps) - 1 if how.padding == "valid" else 0
    return image.shape[-2] - lost, image.shape[-1] - lost
