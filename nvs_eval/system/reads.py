"""Files and folders that a command reads, found by an audit hook, and their state, to tell whether any has changed."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from nvs_eval.system.cache import is_settled, stamp_of

_SYSTEM = ("/proc", "/sys")
"""File systems of the kernel, which contain no files of users."""
_MOST_ENTRIES = 200_000
REMEMBERED = "nvs_eval.remembered"
"""Audit event, with the arguments of `open`, of a file whose hash is known, so that it is not opened."""
_EVENTS = ("open", REMEMBERED, "os.listdir", "os.scandir", "tempfile.mkdtemp")
_CODE = (".py", ".pyc", ".so")
_IMPORTING = ("importlib", "_frozen_importlib")
"""Beginnings of names of modules that list the folders of `sys.path`, which a receipt states itself."""
_OF_PACKAGES = (".dist-info", ".egg-info")
Stamp = tuple[int, ...] | None
"""Stamp of a file; None if it does not exist."""


class UnsettledError(Exception):
    """Files have changed just now, or there are so many that checking them takes long."""


class Folder(msgspec.Struct, frozen=True):
    """State of a folder.

    Attributes:
        depth: depth to which folders in it count; None for all.
        stamped: whether changes of files count, not only their names.
        sha256: hash of the names, and of the stamps of the files.
    """

    depth: int | None
    stamped: bool
    sha256: str


class State(msgspec.Struct, frozen=True):
    """State of files and folders.

    Attributes:
        ignored: paths that are skipped, with everything below them.
        files: stamp of each file.
        folders: state of each folder.
    """

    ignored: list[str]
    files: dict[str, Stamp]
    folders: dict[str, Folder]

    def is_current(self) -> bool:
        """Return whether nothing has changed."""
        try:
            return all(_stamp(path) == stamp for path, stamp in self.files.items()) and all(
                _folder(path, known.depth, self.ignored, stamped=known.stamped) == known
                for path, known in self.folders.items()
            )
        except (OSError, UnsettledError):
            return False


class Reads:
    """Files that were opened, with the stamps that they had before, and folders that were listed."""

    def __init__(self) -> None:
        self._started = time.time_ns()
        self._files: dict[str, Stamp] = {}
        self._listed: set[str] = set()
        self._made: set[str] = set()

    def note(self, event: str, args: tuple[Any, ...]) -> None:
        """Note an event of the audit hook."""
        name = os.path.abspath(os.fsdecode(args[0])) if isinstance(args[0], str | bytes) else ""
        if event == "tempfile.mkdtemp":
            self._made |= {name, os.path.realpath(name)}
        elif event.startswith("os."):
            self._listed.add(name or os.getcwd())
        elif name and name not in self._files and not name.endswith(_CODE) and not _writes(*args[1:]):
            if not os.path.isdir(name):  # Removing a folder opens it.
                self._files[name] = _stamp(name)

    def state(self, given: Iterable[Path], ignored: Collection[str]) -> State:
        """Return the state of all that was read.

        Args:
            given: files and folders that the user named. Folders count with all that is in them.
            ignored: paths to skip, with everything below them.

        Raises:
            OSError: something cannot be read any more.
            UnsettledError: something changed meanwhile or just before.
        """
        roots = [os.path.abspath(path) for path in given]
        trees = [root for root in roots if os.path.isdir(root)]
        skipped = (*ignored, *self._made)
        files = {name: stamp for name, stamp in self._files.items() if _is_input(name, skipped)}
        files |= {root: stamp_of(root) for root in roots if root not in trees and root not in files}
        for name, stamp in files.items():
            if _stamp(name) != stamp or (stamp is not None and not is_settled(stamp, self._started)):
                raise UnsettledError
        above = {
            str(one) for path in (os.getcwd(), os.path.expanduser("~")) for one in (Path(path), *Path(path).parents)
        }
        found = [name for name in files if name not in roots and not is_below(name, trees)]
        beside = {os.path.dirname(name) for name in found} - above
        around = {os.path.dirname(folder) for folder in beside} - above - beside
        listed = {name for name in self._listed if not is_below(name, (*skipped, *trees, *_SYSTEM))} - beside - around
        # Images of another size may be in a folder beside those that were read.
        wanted = [(trees, None, True), (beside, 1, True), (around, 1, False), (listed, 0, False)]
        return State(
            list(ignored),
            files,
            {
                folder: _folder(folder, depth, ignored, stamped=stamped, before=self._started)
                for folders, depth, stamped in wanted
                for folder in sorted(folders)
                if os.path.isdir(folder)
            },
        )


_active: list[Reads] = []
_thread = threading.local()


@functools.cache
def _install_hook() -> None:
    """Install the audit hook, once, because it cannot be removed."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if _active and event in _EVENTS and not getattr(_thread, "is_unwatched", False):
            module = sys._getframe(1).f_globals.get("__name__", "")
            if not (event.startswith("os.") and module.startswith(_IMPORTING)):
                _active[-1].note(event, args)

    sys.addaudithook(hook)


@contextmanager
def watched_reads() -> Iterator[Reads]:
    """Watch which files this process opens and which folders it lists."""
    _install_hook()
    _active.append(Reads())
    try:
        yield _active[-1]
    finally:
        _active.pop()


@contextmanager
def unwatched() -> Iterator[None]:
    """Let this thread read and list what is no input, such as files to remove."""
    _thread.is_unwatched = True
    try:
        yield
    finally:
        _thread.is_unwatched = False


def _writes(mode: str | None, flags: int) -> bool:
    return any(letter in mode for letter in "wxa+") if mode else bool(flags & (os.O_WRONLY | os.O_RDWR))


def _stamp(path: str) -> Stamp:
    with suppress(OSError, ValueError):
        return stamp_of(path)
    return None


def _is_input(name: str, skipped: Collection[str]) -> bool:
    """Return whether a file that was opened can be an input, not one of the kernel or the metadata of a package."""
    if name in sys.path or os.path.dirname(name).endswith(_OF_PACKAGES) or is_below(name, skipped):
        return False
    return (os.path.isfile(name) or not os.path.exists(name)) and not is_below(os.path.realpath(name), _SYSTEM)


def is_below(path: str, folders: Iterable[str]) -> bool:
    """Return whether a path is one of some folders or below it."""
    return any(path == folder or path.startswith(folder.rstrip(os.sep) + os.sep) for folder in folders)


def _folder(
    folder: str, depth: int | None, ignored: Collection[str], *, stamped: bool, before: int | None = None
) -> Folder:
    """Return the state of a folder. Links are followed.

    Args:
        folder: path of the folder.
        depth: depth to which folders in it count.
        ignored: paths to skip.
        stamped: whether changes of files count.
        before: time before which the files must have settled (default: any).

    Raises:
        OSError: the folder cannot be read.
        UnsettledError: a file has changed just now, or there are too many.
    """
    digest, seen, count = hashlib.sha256(), set(), 0
    pending = [(folder, 0)]
    while pending:
        path, level = pending.pop()
        identity = os.path.realpath(path)
        if identity in seen:
            continue
        seen.add(identity)
        with os.scandir(path) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            if is_below(entry.path, ignored):
                continue
            stamp = None if entry.is_dir() or not stamped else _stamp(entry.path)
            if stamp is not None and before is not None and not is_settled(stamp, before):
                raise UnsettledError
            digest.update(f"{entry.path}\0{entry.is_dir()}\0{stamp}\n".encode("utf-8", "surrogateescape"))
            if entry.is_dir() and (depth is None or level < depth):
                pending.append((entry.path, level + 1))
        if (count := count + len(found)) > _MOST_ENTRIES:
            raise UnsettledError
    return Folder(depth, stamped, digest.hexdigest())
