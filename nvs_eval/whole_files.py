"""Files are written whole or not at all, and known by all their bytes."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from nvs_eval.errors import InputError


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name beside it and rename it, so that it is there whole or not at all.

    Args:
        path: where the file is to be; its folder is made where it is missing.
        write: is called with the open binary file.

    Raises:
        InputError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A short name: that of the file may be as long as names can be.
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".nvs-eval-")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}. Choose another folder, or make room.") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}. Choose another folder, or make room.") from error
    finally:
        Path(temporary).unlink(missing_ok=True)


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
