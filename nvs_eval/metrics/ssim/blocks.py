"""Blocks of images that stay in the cache: their planes in float64, grey and padded as a kernel says, and threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from threading import Barrier
from typing import TypeVar

import torch
from torch import Tensor

from nvs_eval.metrics.pair import widest_float
from nvs_eval.metrics.ssim.kernels import Kernel
from nvs_eval.metrics.ssim.windows import STEP

Item = TypeVar("Item")
Result = TypeVar("Result")

# A plane of 1 MB, of which a few are worked on at a time: less is spent on calls, more is no longer in a core's cache.
_PIXELS, _WIDEST = 2**17, 1024
_FEWEST = 2**15
# Other devices want much at a time.
_PIXELS_ELSEWHERE = 2**22


@dataclass(frozen=True)
class Block:
    """A part of the map: channels of the images, rows and columns of the map."""

    channels: slice
    rows: slice
    columns: slice

    @property
    def size(self) -> tuple[int, int]:
        """Its rows and columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def of_map(self, values: Tensor) -> Tensor:
        """A block of the map `[c, h, w]`, which may have a single channel."""
        return values[..., self.rows, self.columns]


def blocks_of(size: tuple[int, int], how: Kernel, device: torch.device, *, whole: bool) -> Sequence[Block]:
    """Blocks that cover a map of a size; a single one where it is wanted whole."""
    rows, columns = size
    if whole:
        return [Block(slice(0, 3), slice(0, rows), slice(0, columns))]
    pixels, widest = _PIXELS_ELSEWHERE, columns
    if device.type == "cpu":
        # No thread is to be without a block because another has a large one.
        share = 3 * rows * columns // (2 * torch.get_num_threads())
        pixels, widest = min(_PIXELS, max(_FEWEST, share)), _WIDEST
    across = list(_split(columns, widest))
    reach = len(how.taps) - 1
    down = list(_split(rows, max(pixels // (across[0].stop + reach) - reach, STEP)))
    # All channels of a part of the image follow one another: what is read of interleaved images is read once.
    channels = [slice(0, 3)] if how.grey is not None else [slice(i, i + 1) for i in range(3)]
    return [Block(which, tall, wide) for tall in down for wide in across for which in channels]


def planes_of(image: Tensor, block: Block, how: Kernel) -> Tensor:
    """The planes `[c, h, w]` of an image or a mask `[..., h, w]` that the windows of a block lie in, in float64.

    They are padded at the image's border as the kernel says, and at their own ends with zeros, to whole products.
    """
    rows, above, below = _reach(block.rows, image.shape[-2], how)
    columns, left, right = _reach(block.columns, image.shape[-1], how)
    part = image[block.channels if image.shape[0] > 1 else slice(0, 1), rows, columns]
    if how.grey is not None:
        part = in_grey(part.to(widest_float(part.device)), how.grey)
    part = _pad(part, (left, right, above, below), how)
    return _fill(part, [_whole(size) + len(how.taps) - 1 for size in block.size])


def in_grey(image: Tensor, grey: str) -> Tensor:
    """The one channel of a kernel of grey images, of float64 images `[..., 3, h, w]`."""
    if grey == "bt709":
        red, green, blue = image.unbind(dim=-3)
        return (0.2126 * red + 0.7152 * green + 0.0722 * blue).unsqueeze(-3)
    red, green, blue = (image * 255).round().unbind(dim=-3)
    return torch.floor((9798 * red + 19235 * green + 3735 * blue + 16384) / 32768).unsqueeze(-3)


def map_in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return the result for each item, in order, from as many threads as torch has; without gradients.

    Each thread works on an item of its own, within which torch splits nothing. Torch splits each of its steps over
    threads that wait for one another at its end. Of steps as short as those on a block that costs more than it saves,
    and on a machine that does something else beside, where some of them are not running, dozens of times as much.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        return list(map(work, items))
    inference = torch.is_inference_mode_enabled()

    def begin(item: Item) -> Result:
        # These modes are a thread's own.
        with torch.inference_mode(inference), torch.no_grad():
            return work(item)

    return list(_pool(threads, os.getpid()).map(begin, items))


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Of a process: one that was forked has none of its parent's threads."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ssim")
    started = Barrier(threads + 1)

    def start() -> None:
        # The number is a thread's own, but for threads that have not asked yet, which get the one that was set last.
        torch.get_num_threads()
        torch.set_num_threads(1)
        started.wait()

    for _ in range(threads):
        pool.submit(start)
    started.wait()
    torch.set_num_threads(threads)
    return pool


def _split(size: int, largest: int) -> Iterator[slice]:
    """Parts of nearly one size, all but the last of whole products."""
    part = _whole(-(-size // -(-size // largest)))
    for start in range(0, size, part):
        yield slice(start, min(start + part, size))


def _whole(size: int) -> int:
    return -(-size // STEP) * STEP


def _reach(places: slice, size: int, how: Kernel) -> tuple[slice, int, int]:
    """The pixels along an axis that the windows at some places of the map take, and how many before and after."""
    border = 0 if how.padding == "valid" else how.border
    start, stop = places.start - border, places.stop + len(how.taps) - 1 - border
    return slice(max(start, 0), min(stop, size)), max(-start, 0), max(stop - size, 0)


def _pad(part: Tensor, widths: tuple[int, int, int, int], how: Kernel) -> Tensor:
    """Pad by as many on the left, on the right, above and below."""
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
    """In float64, and with zeros to a size."""
    dtype = widest_float(part.device)
    height, width = part.shape[-2:]
    if [height, width] == size:
        return part.to(dtype)
    planes = part.new_empty(part.shape[0], *size, dtype=dtype)
    planes[:, :height, :width] = part
    planes[:, height:] = 0
    planes[:, :height, width:] = 0
    return planes
