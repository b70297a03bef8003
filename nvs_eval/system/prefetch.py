"""Work that is done ahead of its turn, in threads: while one view is scored, the next are read and decoded.

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
"""How many groups are worked on or wait while one is used: what they need of memory is that of so many views."""
_MOST_THREADS = 8


def ahead(groups: Iterable[Sequence[Callable[[], T]]]) -> Generator[list[T], None, None]:
    """The results of groups of work, in order, each of them done in the background before it is asked for.

    Nothing is begun before the first is asked for, and no more than `GROUPS_AHEAD` groups beyond the one that was
    given last. When this ends, by an error or because nobody wants the rest (close it), what was not begun never is,
    and no thread is left.

    Args:
        groups: the work of each; the calls of a group run beside each other, and in any order.

    Raises:
        Exception: whatever a call raised, in place of the results of its group; the first call's where several did.
    """
    coming = iter(groups)
    waiting: deque[list[Future[T]]] = deque()
    pool = ThreadPoolExecutor(_threads(), thread_name_prefix="nvs-eval-ahead")

    def fill() -> None:
        for group in islice(coming, GROUPS_AHEAD - len(waiting)):
            waiting.append([pool.submit(call) for call in group])

    def first() -> list[T]:
        results = [done.result() for done in waiting.popleft()]
        fill()
        return results

    try:
        fill()
        while waiting:
            yield first()  # In no variable: what is done with must not be held on to while the next is waited for.
    finally:
        pool.shutdown(cancel_futures=True)


def _threads() -> int:
    """As many as this process may run at once, and no more than images of a few views are."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, _MOST_THREADS)
