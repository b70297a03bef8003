"""Locks of folders against other processes, as far as the file system has them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nvs_eval.system.files import cannot_write


@dataclass(frozen=True)
class FolderLock:
    """A lock of a folder, which lasts until it is released or the process ends.

    Attributes:
        descriptor: file descriptor of the locked folder; None if the file system has no locks.
    """

    descriptor: int | None

    @property
    def is_held(self) -> bool:
        """Whether other processes are excluded."""
        return self.descriptor is not None

    def release(self) -> None:
        """Release the lock."""
        if self.descriptor is not None:
            os.close(self.descriptor)


@contextmanager
def folder_locked(folder: Path) -> Iterator[None]:
    """Exclude other processes from a folder, which is created, as far as the file system has locks. Waits for others.

    Raises:
        InputError: the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    lock = lock_folder(folder, wait=True)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def lock_folder(folder: Path, *, wait: bool = False) -> FolderLock | None:
    """Lock a folder against other processes; return None if another one has locked or removed the folder.

    With `wait`, wait for the lock instead.
    """
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except (ImportError, OSError):  # Windows has no locks of folders. Too many files may be open.
        return FolderLock(None)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
            return FolderLock(descriptor)
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(descriptor)
        return FolderLock(None)
    os.close(descriptor)
    return None
