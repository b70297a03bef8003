"""Prefetching in threads: while one view is scored, the next ones are read and decoded.

Decoding a PNG is mostly zlib decompression, during which its decoder releases the GIL. The prefetching threads avoid
torch operations that start threads, because those would compete with the threads that score.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from nvs_eval.errors import ResourceError

T = TypeVar("T")

GROUPS_AHEAD = 2
"""Number of groups that are in progress or ready while one is used. It bounds the memory to that of as many views."""
_MAX_THREADS = 8


def prefetch(groups: Iterable[Sequence[Callable[[], T]]]) -> Generator[list[T], None, None]:
    """Yield the results of groups of calls, in order; each group runs in the background before it is requested.

    Nothing starts before the first group is requested, and at most `GROUPS_AHEAD` groups run ahead of the last one
    yielded. When the generator ends, by an error or by `close`, pending calls are cancelled and all threads have ended.

    Args:
        groups: calls of each group, which run in parallel and in any order.

    Raises:
        Exception: raised by a call, instead of the results of its group; if several calls fail, the first one's. A
            call that lacks memory is repeated when its group is requested.
    """
    upcoming = iter(groups)
    pending: deque[list[tuple[Callable[[], T], Future[T]]]] = deque()
    pool = ThreadPoolExecutor(_threads(), thread_name_prefix="nvs-eval-ahead")

    def submit() -> None:
        for group in islice(upcoming, GROUPS_AHEAD - len(pending)):
            pending.append([(call, pool.submit(call)) for call in group])

    def next_results() -> list[T]:
        results = [_result(call, future) for call, future in pending.popleft()]
        submit()
        return results

    try:
        submit()
        while pending:
            yield next_results()  # Not in a variable, which would keep used results alive during the next wait.
    finally:
        pool.shutdown(cancel_futures=True)


def _result(call: Callable[[], T], future: Future[T]) -> T:
    try:
        return future.result()
    except ResourceError:
        return call()  # The groups before it have given back their memory.


def _threads() -> int:
    """Return the number of CPUs of this process, at most `_MAX_THREADS`, which suffices for a few views."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, _MAX_THREADS)
