"""Walks of folders that skip nothing in silence, and names of files in messages."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from nvs_eval.errors import InputError

INTERNAL = (".nvs-eval-", ".rendering-", ".partial")
"""Beginnings of the names of our files and folders of work in progress."""


def walk(folder: str | Path, *, follow_links: bool = False) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk a folder like `os.walk`, which would skip a folder that cannot be read. A file has no folders or files.

    Raises:
        InputError: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):  # Another process may have removed it.
            raise InputError(
                f"The folder {shown(Path(error.filename))} cannot be read: {error.strerror}. Make it readable, or move "
                "it away."
            ) from error

    return os.walk(folder, onerror=refuse, followlinks=follow_links)


def files_below(folder: str | Path, suffix: str = "") -> list[Path]:
    """Return the files below a folder whose names end in a suffix, sorted.

    Raises:
        InputError: a folder cannot be read.
    """
    return sorted(Path(base, name) for base, _, names in walk(folder) for name in names if name.endswith(suffix))


def is_too_long(name: str, folder: Path) -> bool:
    """Return whether the file system of a folder, which need not exist, cannot store a file of a name."""
    while not os.path.lexists(folder):
        folder = folder.parent
    try:
        os.lstat(folder / name)
    except UnicodeEncodeError:
        return True
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    return False


def shown(path: Path) -> Path:
    """Return a path without the names of our temporary files and folders, which mean nothing to the user."""
    return Path(*(part for part in path.parts if not part.startswith(INTERNAL)))
