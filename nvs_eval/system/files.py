"""Files are written whole or not at all, and known by all their bytes; is there room for them?"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from nvs_eval.errors import InputError

_PREFIX = ".nvs-eval-"


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name beside it and rename it, so that it is there whole or not at all.

    Args:
        path: file to write; its folder is made where it is missing. A link stays, and the file it leads to is replaced.
        write: called with the open binary file.

    Raises:
        InputError: the file cannot be written, or something else (a folder, a device) has its name.
    """
    try:
        target = _target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        # A short name, because that of the file may be as long as names can be.
        temporary = target.with_name(f"{_PREFIX}{os.urandom(8).hex()}")
        # Mode x never opens what exists, and the kernel applies the umask, which belongs to all threads.
        file = temporary.open("xb")
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with file:
            write(file)
        temporary.replace(target)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Check, before any long work, that `write_whole` could begin to write a file; leave nothing behind.

    Raises:
        InputError: it could not.
    """
    try:
        _probe(_target(path).parent)
    except OSError as error:
        raise _cannot_write(path, error) from error


def check_folder_writable(folder: Path) -> None:
    """Check, before any long work, that files could be written into a folder, which need not exist.

    Nothing is left behind and no folder is made or removed, so that many processes may check one folder at once.

    Raises:
        InputError: they could not.
    """
    try:
        _probe(folder)
    except OSError as error:
        # Without the name of the probe, which is another each time.
        raise _cannot_write(folder, OSError(error.errno, error.strerror)) from error


def _probe(folder: Path) -> None:
    """Open a nameless file in a folder, or in the nearest one above it that exists."""
    while not os.path.lexists(folder):  # A link that leads nowhere cannot become a folder.
        folder = folder.parent
    tempfile.TemporaryFile(dir=folder, prefix=_PREFIX).close()


def _target(path: Path) -> Path:
    """The file that is written: a link stays, and what it leads to is replaced."""
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return target
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, a pipe or the like"
        raise InputError(f"{path} cannot be written: it is {kind}, and no file. Choose another name.")
    return target


def _cannot_write(path: Path, error: OSError) -> InputError:
    # Without the name of the temporary file, of which a user knows nothing.
    return InputError(f"{path} cannot be written: {error.strerror or error}. Choose another folder, or make room.")


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes, read a block at a time.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True)
class FolderLock:
    """A lock of a folder, which lasts until it is released or this process ends.

    Attributes:
        descriptor: of the folder that is locked; None where the file system has no locks.
    """

    descriptor: int | None

    @property
    def is_held(self) -> bool:
        """Whether no other process can have the lock."""
        return self.descriptor is not None

    def release(self) -> None:
        """Give the lock back."""
        if self.descriptor is not None:
            os.close(self.descriptor)


def lock_folder(folder: Path) -> FolderLock | None:
    """Lock a folder against other processes; None where another one has the lock, or removed the folder."""
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, PermissionError):  # Windows has neither.
        return FolderLock(None)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
            return FolderLock(descriptor)
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(descriptor)
        return FolderLock(None)
    os.close(descriptor)
    return None


def space_needed(sizes: Sequence[tuple[int, int]], *, floats: bool, pngs: bool, staged: bool) -> int:
    """The bytes that the renders of one column, and their references, take at most.

    Args:
        sizes: width and height of each view.
        floats: whether float32 renders are written.
        pngs: whether 8-bit renders are written.
        staged: whether they are scored from there, so that references are written as they are.
    """
    pixels = sum(width * height for width, height in sizes)
    renders = 4 * floats + pngs
    references = (4 * (floats or staged) + 1) * (floats or pngs)
    return pixels * 3 * (renders + references)


def in_units(size: int) -> str:
    """A number of bytes as a person reads it."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def check_space(needed: int, output_dir: Path) -> None:
    """Check that there is room.

    Raises:
        InputError: there is not; nothing was rendered yet.
    """
    existing = next(path for path in [output_dir.resolve(), *output_dir.resolve().parents] if path.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise InputError(
            f"The renders need up to {in_units(needed)} in {output_dir}, and {in_units(free)} are free: make "
            "room, say another `--output-dir`, evaluate fewer `--steps` or `--views`, or say `--keep-renders none`."
        )
