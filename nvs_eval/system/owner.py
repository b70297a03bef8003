"""Owners of temporary files: the process named in a file's name, and whether it has ended and left the file behind."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path

from nvs_eval.system.reads import unwatched

_TAG = re.compile(r"([0-9a-f]{8})-(\d+)-(\d+)-")
_LONGEST_PAUSE = 24 * 60 * 60
"""Seconds without a write after which files of a process that cannot be observed are taken for abandoned."""

_UNKNOWN = "0"
"""Start of a process on a system that does not tell it."""


def owner_tag() -> str:
    """Return the part of a temporary name that identifies this process: host, process id and start of the process."""
    return f"{_host()}-{os.getpid()}-{_start(os.getpid())}-"


def has_ended(name: str) -> bool | None:
    """Return whether the process of an owner's tag, which a name contains, has ended; None if it cannot be observed."""
    if (tag := _TAG.search(name)) and tag[1] == _host() and tag[3] != _UNKNOWN:
        return _start(int(tag[2])) != tag[3]
    return None


def is_abandoned(path: Path) -> bool:
    """Return whether the process that made a temporary file or folder has ended.

    A process that cannot be observed, such as one of another host, has ended if it has written nothing for a day.
    """
    if (ended := has_ended(path.name)) is not None:
        return ended
    try:
        written = max(entry.stat().st_mtime for entry in (path, *(path.iterdir() if path.is_dir() else ())))
    except OSError:
        return False  # It is being removed, or cannot be read.
    return time.time() - written > _LONGEST_PAUSE


def remove_abandoned(folder: Path, prefix: str) -> None:
    """Remove the temporary files and folders with a prefix whose process has ended. Errors are ignored."""
    with suppress(OSError), unwatched():
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(prefix)]
        for path in (folder / name for name in names):
            if is_abandoned(path):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


@functools.cache
def _host() -> str:
    """Return an identifier of the host since its last start, and of the container in which process ids count."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _start(process: int) -> str:
    """Return when a process of this host started, in units of its system; "" if it does not run."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(errors="replace")
    except OSError:
        return "" if Path("/proc/self/stat").exists() else _UNKNOWN
    # The name in parentheses may contain anything. A zombie has ended.
    state, *fields = status.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]
