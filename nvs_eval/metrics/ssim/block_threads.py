"""Threads that each work on a block of their own, within which torch splits nothing.

Torch splits each of its steps over threads that wait for one another at its end. Of steps as short as those on a block
that costs more than it saves, and on a machine that does something else beside, where some of them are not running,
dozens of times as much.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(items: Sequence[Item], work: Callable[[Item], Result]) -> list[Result]:
    """The results of some work on each item, in their order, by as many threads as torch has; without gradients."""
    threads = torch.get_num_threads()
    if threads == 1:
        return [work(item) for item in items]
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
