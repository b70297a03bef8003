"""Our cache folder: files that only save time. A file that is lost or damaged there changes no result."""

from __future__ import annotations

import functools
import os
from contextlib import suppress
from pathlib import Path


def cache_folder(kind: str) -> Path | None:
    """Return a part of our cache, or None if there is none.

    It is in ``$NVS_EVAL_CACHE``, else in ``nvs-eval`` in ``$XDG_CACHE_HOME`` or ``~/.cache``. If the first of these
    variables is empty, nothing is remembered.
    """
    if (folder := os.environ.get("NVS_EVAL_CACHE")) is not None:
        return Path(folder) / kind if folder else None
    root = cache_root()
    return root and root / kind


def cache_root() -> Path | None:
    """Return ``nvs-eval`` in ``$XDG_CACHE_HOME`` or ``~/.cache``; None if there is no home folder."""
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder) / "nvs-eval"
    home = os.path.expanduser("~")
    return Path(home) / ".cache" / "nvs-eval" if os.path.isabs(home) else None


def stamp_of(path: Path | str) -> tuple[int, ...]:
    """Return size, times of change in nanoseconds, and identity of a file, which differ after each change.

    Raises:
        OSError: the file does not exist.
    """
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev


def is_settled(stamp: tuple[int, ...], time_ns: int) -> bool:
    """Return whether a file was last changed so long before a time that a later change has another stamp.

    Some file systems store times with a resolution of two seconds. A file in memory can change through a mapping
    without a new time, so it never counts.
    """
    return max(stamp[1], stamp[2]) < time_ns - RESOLUTION_NS and stamp[4] not in _devices_in_memory()


RESOLUTION_NS = 2_000_000_000


@functools.cache
def _devices_in_memory() -> frozenset[int]:
    """Return the devices of file systems in memory; none on a system that does not list them."""
    devices = set()
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
            mount, _, kind = line.partition(" - ")
            if kind.startswith(("tmpfs ", "ramfs ")):
                devices.add(os.makedev(*map(int, mount.split()[2].split(":"))))
    return frozenset(devices)


def remove_oldest(folder: Path, most: int) -> None:
    """Remove the files of a folder that were written first, so that at most this number is left. Ignores errors."""
    with suppress(OSError):
        with os.scandir(folder) as entries:
            files = [entry for entry in entries if not entry.name.startswith(".")]
        if len(files) > most:
            for entry in sorted(files, key=lambda entry: entry.stat().st_mtime)[: len(files) - most]:
                os.unlink(entry.path)
