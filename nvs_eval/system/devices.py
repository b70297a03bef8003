"""Devices, and memory: the free amount, the user's limit, and advice when memory runs out.

torch is imported only when a function needs it.
"""

from __future__ import annotations

import ctypes
import gc
import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import psutil

from nvs_eval.errors import InputError, quoted, shortened

if TYPE_CHECKING:
    import torch

_LONGEST_REASON = 150


def find_device(name: str) -> torch.device:
    """Return the device with a name; `auto` is the graphics card if there is one.

    Raises:
        InputError: the device is not available on this machine.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = shortened(str(error).splitlines()[0], _LONGEST_REASON)
        raise InputError(
            f"The device {quoted(name)} cannot be used here: {reason} Use `--device cpu` or auto."
        ) from error
    return device


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that can be allocated on a device, within all limits of this process; None if unknown."""
    if device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type != "cpu":
        return None
    limits = (psutil.virtual_memory().available, memory_left(), _address_space_left())
    return min(limit for limit in limits if limit is not None)


def _address_space_left() -> int | None:
    """Return the bytes left of the limit on this process's address space (`ulimit -v`); None if there is no limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else max(0, limit - psutil.Process().memory_info().vms)


def peak_memory(device: torch.device) -> int | None:
    """Return the peak memory of a GPU since its statistics were reset, or on a CPU of the process; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows does not have this module.
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def give_back_memory(device: torch.device) -> None:
    """Return this process's unused memory to the system, so that it counts as free (CPU only)."""
    if device.type == "cpu" and sys.platform == "linux":
        with suppress(OSError, AttributeError):  # Not all C libraries have malloc_trim.
            ctypes.CDLL(None).malloc_trim(0)


def empty_caches(device: torch.device) -> None:
    """Free what a failed computation left behind, including the memory that torch keeps for later."""
    import torch

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    give_back_memory(device)


def out_of_memory(error: BaseException) -> str:
    """Return where memory ran out ("the graphics card" or "this machine"), or "" if an error has another cause."""
    import torch

    if isinstance(error, torch.cuda.OutOfMemoryError):  # torch.OutOfMemoryError exists only since torch 2.5.
        return "the graphics card"
    of_torch = isinstance(error, RuntimeError) and _LACK.search(str(error))
    return "this machine" if of_torch or isinstance(error, MemoryError) else ""


@contextmanager
def memory_advice() -> Iterator[None]:
    """Turn an out-of-memory error into an InputError with advice on which option to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if where := out_of_memory(error):
            raise InputError(_advice(where, error)) from error
        raise


def _advice(where: str, error: BaseException) -> str:
    reason = next(iter(str(error).splitlines()), "").strip().rstrip(".")
    return (
        f"Out of memory on {where}{f': {reason}' if reason else ''}. Lower `--eval-num-rays-per-chunk` if it happened "
        "while rendering; score fewer folders, steps or configs at once if it happened while scoring; or use "
        "`--device cpu`. If the size is absurd, correct the number in the run that asks for it (such as "
        "num_nerf_samples_per_ray or log2_hashmap_size in its config.yml, or a count in its data)."
    )


_LACK = re.compile("not enough memory|can't allocate memory")

# --- Sizes, and the memory limits of Linux control groups (containers, jobs on a cluster) ---

_PREFIXES = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SIZE = re.compile(r"(\d+\.?\d*|\.\d+)\s*(b|([kmgt])(b|ib)?)", re.IGNORECASE)


def parse_memory(text: str) -> int:
    """Return a number of bytes, at least 1: `2GB` and `1500MB` use powers of 1000, `0.5GiB` and `512M` powers of 1024.

    A number without a unit is refused, because some tools mean bytes and others megabytes.

    Raises:
        InputError: the text is not a size, or is 0.
    """
    match = _SIZE.fullmatch(text.strip())
    size = _bytes(match) if match else 0
    if size < 1:
        raise InputError(
            f"--max-memory must be a size above 0 with a unit, such as 2GB, 1500MB or 0.5GiB. Got {quoted(text)}."
        )
    return size


def _bytes(match: re.Match[str]) -> int:
    prefix, ending = (match[3] or "").lower(), (match[4] or "").lower()
    # A single letter is a power of 1024, as in dd, docker and Slurm.
    base = 1000 if ending == "b" else 1024
    return math.floor(Fraction(match[1]) * base ** _PREFIXES[prefix])


@dataclass(frozen=True)
class _Version:
    """Folder and file names of one version of control groups."""

    mount: str
    limit: str
    used: str
    reclaimable: str  # Key in memory.stat.


_V1 = _Version("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Version("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")


def memory_left(*, root: Path = Path("/")) -> int | None:
    """Return the bytes that this process may still allocate: the minimum over its control groups and their ancestors.

    Cached files that the system can drop count as free, although the groups count them as used.

    Args:
        root: folder that contains `proc` and `sys`.

    Returns:
        At least 0. None if there is no limit, or if no limit can be read.
    """
    amounts = []
    for version, group in _groups(root):
        # A container may see its own group at the root of the mount, while the path is the host's. Groups that do not
        # exist or have no limit are skipped. Paths never leave the mount.
        inside = PurePosixPath() if ".." in group.parts else group
        for ancestor in (inside, *inside.parents):
            with suppress(OSError, ValueError):
                amounts.append(_left(root / version.mount / ancestor, version))
    return min(amounts, default=None)


def _groups(root: Path) -> Iterator[tuple[_Version, PurePosixPath]]:
    """Yield the control groups that may limit this process's memory, relative to their version's mount."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", maxsplit=2)
            if number == "0" and not controllers:
                yield _V2, PurePosixPath(path.lstrip("/"))
            elif "memory" in controllers.split(","):
                yield _V1, PurePosixPath(path.lstrip("/"))


def _left(folder: Path, version: _Version) -> int:
    """Return the bytes that one group has left; raise ValueError if its limit is "max" (no limit)."""
    limit, used = (int((folder / name).read_text()) for name in (version.limit, version.used))
    statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    occupied = max(0, used - int(statistics.get(version.reclaimable, 0)))
    return max(0, limit - occupied)
