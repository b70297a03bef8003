"""Settings of a process that scores, made once, before anything else."""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import sys
from contextlib import suppress

# Of <malloc.h>, and how much memory that was freed the process may keep.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENAS = -1, -3, -8
_MOST_KEPT = 2**30
# Older versions of glibc refuse more than 32 MiB.
_LARGEST_KEPT = (2**27, 2**25)
# Of OpenMP, and of GNU's: how often a thread looks before it sleeps. Intel's knows it as a time.
_WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "3000"}
_SET_BY_USER = {*_WAITING, "KMP_BLOCKTIME"}


@functools.cache
def make_ready() -> None:
    """Keep the memory of freed images for the next ones, and import torch as suits a process that scores.

    No garbage is collected during the import, and threads that wait for each other soon sleep.
    """
    _keep_freed_memory()
    if "torch" in sys.modules:
        return  # Within another program, whose garbage is none of ours.
    collecting = gc.isenabled()
    gc.disable()  # An import makes a million objects that stay.
    _let_waiting_threads_sleep()
    try:
        import torch  # noqa: F401
    finally:
        if collecting:
            gc.enable()
    gc.freeze()  # Neither a later collection nor the end of the process need walk through them.


def _let_waiting_threads_sleep() -> None:
    """Let OpenMP's threads sleep soon after there is nothing to do, unless the user has set how they wait.

    By default they keep their core busy for milliseconds. Where files are read beside them, or somebody else computes,
    the one that is waited for then waits for a core, which takes many times longer than the work. To sleep at once
    would be slower where the cores are theirs: the next piece of work is often microseconds away.
    """
    if not _SET_BY_USER & os.environ.keys():
        os.environ.update(_WAITING)


def _keep_freed_memory() -> None:
    """Let glibc keep freed blocks for the next allocation instead of returning them to the system.

    It keeps blocks of up to 128 MiB, 32 where the C library takes no more. What comes from the system is cleared page
    by page at its first use: for images of 25 MB, each of which lives for one operation, that takes longer than the
    operations. Larger blocks, and what is more than 1 GiB free, go back, so that gaps between what is in use stay
    small. Other C libraries, and systems, are left as they are.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        choose = ctypes.CDLL(None).mallopt
        # The other settings alone would be worse than none: they switch off that glibc raises the threshold by itself.
        if not any(choose(_MMAP_THRESHOLD, largest) for largest in _LARGEST_KEPT):
            return
        choose(_TRIM_THRESHOLD, _MOST_KEPT)
        choose(_ARENAS, 1)
