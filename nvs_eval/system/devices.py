"""Devices to compute on, and memory: what is free, what a user allows, and what to do when none is left.

Nothing here imports torch before a device is asked for.
"""

from __future__ import annotations

import ctypes
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

from nvs_eval.errors import InputError

if TYPE_CHECKING:
    import torch


def find_device(name: str) -> torch.device:
    """Return the device of a name; `auto` is the graphics card where there is one.

    Raises:
        InputError: this machine has no such device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"The device {name!r} cannot be used here: {reason} Say `--device cpu`, or auto.") from error
    return device


def free_memory(device: torch.device) -> int | None:
    """Bytes that can be allocated on a device, within the limits of control groups; None where that is unknown."""
    if device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type != "cpu":
        return None
    free, left = psutil.virtual_memory().available, memory_left()
    return free if left is None else min(free, left)


def give_back_memory(device: torch.device) -> None:
    """Return memory that is free within this process to the system, which counts it as free (on a CPU only)."""
    if device.type == "cpu" and sys.platform == "linux":
        with suppress(OSError, AttributeError):  # Other C libraries have no such function.
            ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def memory_advice() -> Iterator[None]:
    """Turn an out-of-memory error into an InputError that says what to lower."""
    import torch

    try:
        yield
    except torch.cuda.OutOfMemoryError as error:  # Its name in every torch; torch.OutOfMemoryError came with 2.5.
        raise InputError(_advice("the graphics card", error)) from error
    except MemoryError as error:
        raise InputError(_advice("this machine", error)) from error
    except RuntimeError as error:
        if "not enough memory" in str(error) or "can't allocate memory" in str(error):
            raise InputError(_advice("this machine", error)) from error
        raise


def _advice(where: str, error: BaseException) -> str:
    reason = (str(error).splitlines() or [""])[0]
    return (
        f"Out of memory on {where}: {reason} Lower `--eval-num-rays-per-chunk` where it happened in rendering; score "
        "fewer folders, steps or configs at once where it happened in scoring; or say `--device cpu`."
    )


# --- Amounts of memory, and what the control groups of Linux leave this process: containers, jobs on a cluster ---

_PREFIXES = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SIZE = re.compile(r"(\d+\.?\d*|\.\d+)\s*(b|([kmgt])(b|ib)?)", re.IGNORECASE)


def parse_memory(text: str) -> int:
    """Number of bytes, at least 1: `2GB` and `1500MB` use powers of 1000, `0.5GiB` and `512M` powers of 1024.

    A number without a unit is refused: some tools take it for bytes, others for megabytes.

    Raises:
        InputError: the text is no such size, or 0.
    """
    match = _SIZE.fullmatch(text.strip())
    size = _bytes(match) if match else 0
    if size < 1:
        raise InputError(
            f"--max-memory is {text!r}, and a size above 0 with its unit is needed, such as 2GB, 1500MB or 0.5GiB."
        )
    return size


def _bytes(match: re.Match[str]) -> int:
    prefix, ending = (match[3] or "").lower(), (match[4] or "").lower()
    # A letter alone is a power of 1024, as to dd, docker and Slurm.
    base = 1000 if ending == "b" else 1024
    return math.floor(Fraction(match[1]) * base ** _PREFIXES[prefix])


@dataclass(frozen=True)
class _Version:
    """Folder and file names of a version of control groups."""

    mount: str
    limit: str
    used: str
    reclaimable: str  # The line of memory.stat.


_V1 = _Version("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Version("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")


def memory_left(*, root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take: the least over its control groups and those above them.

    Files that the system keeps in memory and can drop count as free, although the groups count them as used.

    Args:
        root: folder that holds `proc` and `sys`.

    Returns:
        At least 0. None where nothing limits it, or where no limit can be read.
    """
    amounts = []
    for version, group in _groups(root):
        # A container may see its own group at the mount's root, while the path is the host's: groups that do not exist
        # are skipped, and so are those without a limit. No path leads out of the mount.
        inside = PurePosixPath() if ".." in group.parts else group
        for ancestor in (inside, *inside.parents):
            with suppress(OSError, ValueError):
                amounts.append(_left(root / version.mount / ancestor, version))
    return min(amounts, default=None)


def _groups(root: Path) -> Iterator[tuple[_Version, PurePosixPath]]:
    """Control groups of this process that may limit its memory, relative to their version's mount."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", maxsplit=2)
            if number == "0" and not controllers:
                yield _V2, PurePosixPath(path.lstrip("/"))
            elif "memory" in controllers.split(","):
                yield _V1, PurePosixPath(path.lstrip("/"))


def _left(folder: Path, version: _Version) -> int:
    """Bytes that one group has left; a ValueError where its limit is "max", which is none."""
    limit, used = (int((folder / name).read_text()) for name in (version.limit, version.used))
    statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    needed = max(0, used - int(statistics.get(version.reclaimable, 0)))
    return max(0, limit - needed)
