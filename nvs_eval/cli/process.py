"""Memory and thread settings of a scoring process, applied once at its start."""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import sys
from contextlib import suppress

# Constants of <malloc.h>, and the amount of freed memory that the process may keep.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENAS = -1, -3, -8
_MOST_KEPT = 2**30
# Largest blocks to keep, in order of preference. Older versions of glibc refuse more than 32 MiB.
_LARGEST_KEPT = (2**27, 2**25)
# How idle OpenMP threads wait: by the standard, and number of spins for GNU. Intel uses KMP_BLOCKTIME, a time.
_WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "3000"}
_SET_BY_USER = {*_WAITING, "KMP_BLOCKTIME"}


@functools.cache
def make_ready() -> None:
    """Reuse the memory of freed images, import torch without garbage collection, and let idle threads sleep soon."""
    _keep_freed_memory()
    if "torch" in sys.modules:
        return  # Another program imported it; its garbage collector is not ours to change.
    collecting = gc.isenabled()
    gc.disable()  # The import makes a million permanent objects.
    _let_waiting_threads_sleep()
    try:
        import torch  # noqa: F401
    finally:
        if collecting:
            gc.enable()
    gc.freeze()  # Later collections and the exit of the process skip them.


def _let_waiting_threads_sleep() -> None:
    """Let idle OpenMP threads sleep soon, unless the user's environment sets how they wait.

    By default they spin for milliseconds. If other threads or processes need the cores, the working thread then waits
    for a core many times longer than its work takes. Sleeping at once would be slower on idle cores, because the next
    piece of work is often microseconds away.
    """
    if not _SET_BY_USER & os.environ.keys():
        os.environ.update(_WAITING)


def _keep_freed_memory() -> None:
    """Let glibc keep freed blocks for the next allocation instead of returning them to the system.

    Blocks of up to 128 MiB are kept (32 MiB with older versions). Pages from the system are cleared on first use; for
    images of 25 MB that live for one operation, this takes longer than the operation. Larger blocks, and free memory
    beyond 1 GiB, are returned, which limits fragmentation. Other C libraries and systems are not changed.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        choose = ctypes.CDLL(None).mallopt
        # Without this setting the others would do harm: they stop glibc from raising the threshold by itself.
        if not any(choose(_MMAP_THRESHOLD, largest) for largest in _LARGEST_KEPT):
            return
        choose(_TRIM_THRESHOLD, _MOST_KEPT)
        choose(_ARENAS, 1)
