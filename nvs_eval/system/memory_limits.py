"""What the control groups of Linux leave a process of the memory: containers and jobs on a cluster are limited so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class _Version:
    """Where a version of control groups keeps its files, and their names."""

    mount: str
    limit: str
    used: str
    reclaimable: str  # The line of memory.stat.


_V1 = _Version("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Version("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")


def memory_left(*, root: Path = Path("/")) -> int | None:
    """The bytes that the control groups of this process still let it have, the least over a group and those above it.

    Files that the system keeps in memory and can drop count as free, although the groups count them as used.

    Args:
        root: the folder that holds `proc` and `sys`.

    Returns:
        At least 0. None where nothing limits it, or where nothing of it can be read.
    """
    left = []
    for version, group in _groups(root):
        mount = root / version.mount
        # A container may see its own group at the mount's root, while the path is the host's: what is not there is
        # passed over, and so are groups without a limit. No path leads out of the mount.
        inside = PurePosixPath() if ".." in group.parts else group
        for above in (inside, *inside.parents):
            with suppress(OSError, ValueError):
                left.append(_left(mount / above, version))
    return min(left, default=None)


def _groups(root: Path) -> Iterator[tuple[_Version, PurePosixPath]]:
    """The groups of this process that may limit its memory, relative to where their version is mounted."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", maxsplit=2)
            if number == "0" and not controllers:
                yield _V2, PurePosixPath(path.lstrip("/"))
            elif "memory" in controllers.split(","):
                yield _V1, PurePosixPath(path.lstrip("/"))


def _left(folder: Path, version: _Version) -> int:
    """The bytes that one group has left; a ValueError where its limit is "max", which is none."""
    limit, used = (int((folder / name).read_text()) for name in (version.limit, version.used))
    statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    needed = max(0, used - int(statistics.get(version.reclaimable, 0)))
    return max(0, limit - needed)
