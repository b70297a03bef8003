"""Files are written whole or not at all, and known by all their bytes."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from nvs_eval.errors import InputError

_PREFIX = ".nvs-eval-"


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name beside it and rename it, so that it is there whole or not at all.

    Args:
        path: where the file is to be; its folder is made where it is missing. Of a link, the file that it leads to.
        write: is called with the open binary file.

    Raises:
        InputError: it cannot be written there, or something is there that is no file, such as a device.
    """
    try:
        target = _target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        # A short name: that of the file may be as long as names can be.
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=_PREFIX)
    except OSError as error:
        raise _cannot(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        raise _cannot(path, error) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Check, before any long work, that `write_whole` could begin to write a file. Nothing is left of it.

    Raises:
        InputError: it could not.
    """
    try:
        folder = _target(path).parent
        while not folder.exists():
            folder = folder.parent
        tempfile.TemporaryFile(dir=folder, prefix=_PREFIX).close()
    except OSError as error:
        raise _cannot(path, error) from error


def _target(path: Path) -> Path:
    """Where a file is written: a link stays, and what it leads to is replaced."""
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return target
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, a pipe or the like"
        raise InputError(f"{path} cannot be written: it is {kind}, and no file. Choose another name.")
    return target


def _cannot(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} cannot be written: {error}. Choose another folder, or make room.")


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, which are not all read into memory at once.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
