"""Hashes of the contents of files, remembered by size, times and identity of the file, so that each is read once.

    <cache>/nvs-eval/hashes/<hash of the folder>.json      the files of one folder

If two processes write one of these at once, the last wins, and the hashes of the other are computed again.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec

from nvs_eval.errors import InputError
from nvs_eval.system.cache import cache_folder, is_settled, remove_oldest, stamp_of
from nvs_eval.system.files import file_sha256, read_small, write_whole
from nvs_eval.system.reads import REMEMBERED

_MOST_FOLDERS = 2000
_MOST_FILES = 50_000
"""Files of one folder that are remembered."""
_MOST_BYTES = 2**26


class _Known(msgspec.Struct, array_like=True):
    """Hash of a file and the stamp that it had."""

    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    stamp: tuple[int, ...]


class _Folder(msgspec.Struct):
    """Hashes of the files of a folder, by name."""

    folder: str
    files: dict[str, _Known]


class HashCache:
    """Hashes of files of this process, and those that earlier processes stored."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folders: dict[str, _Folder] = {}
        self._changed: set[str] = set()
        self._reads_stored = True

    def forget(self) -> None:
        """Forget all hashes, and those that earlier processes stored."""
        with self._lock:
            self._folders, self._reads_stored = {}, False

    def sha256(self, path: Path) -> str:
        """Return the sha256 of a file's bytes, from memory if the file has not changed since it was read.

        Raises:
            OSError: the file cannot be read.
            InputError: it is a pipe, a device or a socket.
        """
        folder, name = os.path.split(os.path.realpath(path))
        stamp, now = stamp_of(path), time.time_ns()
        with self._lock:
            known = self._of(folder).files.get(name)
        if known is not None and known.stamp == stamp and is_settled(stamp, now):
            sys.audit(REMEMBERED, os.fspath(path), "r", 0)
            return known.sha256
        digest = file_sha256(path)
        # A file that was changed just now can change again without a new stamp.
        if is_settled(stamp, now) and stamp_of(path) == stamp:
            with self._lock:
                self._of(folder).files[name] = _Known(digest, stamp)
                self._changed.add(folder)
        return digest

    def _of(self, folder: str) -> _Folder:
        if folder not in self._folders:
            stored = _stored(folder) if self._reads_stored else None
            self._folders[folder] = stored or _Folder(folder, {})
        return self._folders[folder]

    def save(self) -> None:
        """Store new hashes for later processes. An error of the disk is ignored."""
        with self._lock:
            changed, self._changed = self._changed, set()
            for folder in changed & self._folders.keys():
                # A name that is not Unicode is a ValueError.
                with suppress(OSError, InputError, ValueError):
                    _store(self._folders[folder])
        if changed and (cache := cache_folder("hashes")):
            remove_oldest(cache, _MOST_FOLDERS)


def _store(folder: _Folder) -> None:
    """Store the hashes of the files that the folder still has."""
    names, place = set(os.listdir(folder.folder)), _file_of(folder.folder)
    kept = [name for name in folder.files if name in names][-_MOST_FILES:]
    content = msgspec.json.encode(_Folder(folder.folder, {name: folder.files[name] for name in kept}))
    if place is not None:
        write_whole(place, lambda file: file.write(content))


def _stored(folder: str) -> _Folder | None:
    if (place := _file_of(folder)) is not None:
        with suppress(OSError, ValueError):  # A damaged file is that of no folder.
            stored = msgspec.json.decode(read_small(place, _MOST_BYTES), type=_Folder)
            return stored if stored.folder == folder else None
    return None


def _file_of(folder: str) -> Path | None:
    cache = cache_folder("hashes")
    return cache and cache / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]}.json"


_CACHE = HashCache()
atexit.register(_CACHE.save)


def forget_hashes() -> None:
    """Read all files again, for `--rehash`."""
    _CACHE.forget()


def remembered_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes. A file that has not changed since an earlier call is not read again.

    Raises:
        OSError: the file cannot be read.
        InputError: it is a pipe, a device or a socket.
    """
    return _CACHE.sha256(path)
