"""Work done ahead of its turn, in threads: while one view is scored, the next are read and decoded.

Decoding a PNG is mostly the inflation of zlib, for which Pillow lets other threads run. The threads call no operations
of torch that would start threads of their own: these would take turns with the ones that score.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

GROUPS_AHEAD = 2
"""Number of groups that are worked on or wait while one is used: they take the memory of so many views."""
_MAX_THREADS = 8


def prefetch(groups: Iterable[Sequence[Callable[[], T]]]) -> Generator[list[T], None, None]:
    """Yield the results of groups of calls, in order, each group done in the background before it is asked for.

    Nothing begins before the first group is asked for, and no more than `GROUPS_AHEAD` groups beyond the one yielded
    last. When this ends, by an error or because it is closed, calls that have not begun never do, and no thread stays.

    Args:
        groups: calls of each group, which run beside each other and in any order.

    Raises:
        Exception: raised by a call, in place of the results of its group; the first call's where several failed.
    """
    upcoming = iter(groups)
    pending: deque[list[Future[T]]] = deque()
    pool = ThreadPoolExecutor(_threads(), thread_name_prefix="nvs-eval-ahead")

    def submit() -> None:
        for group in islice(upcoming, GROUPS_AHEAD - len(pending)):
            pending.append([pool.submit(call) for call in group])

    def next_results() -> list[T]:
        results = [future.result() for future in pending.popleft()]
        submit()
        return results

    try:
        submit()
        while pending:
            yield next_results()  # In no variable: used results must not be kept while the next ones are waited for.
    finally:
        pool.shutdown(cancel_futures=True)


def _threads() -> int:
    """Number of threads that this process may run at once, at most as many as a few views have images."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, _MAX_THREADS)
