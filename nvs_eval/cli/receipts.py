"""Receipts: a finished command that is repeated prints what it found, if nothing that it read has changed since.

    <cache>/nvs-eval/receipts/<hash of the command>.json

A receipt states what the command read, the records that it stands for, and its messages when there is nothing to do. It
only saves time: a command without a receipt, or with one that is not current, checks everything itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import site
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from nvs_eval.errors import InputWarning
from nvs_eval.records.lines import MOST_LINES_BYTES
from nvs_eval.records.schema import read_content
from nvs_eval.system.cache import cache_folder, remove_oldest, stamp_of
from nvs_eval.system.files import read_small, write_whole
from nvs_eval.system.folders import INTERNAL
from nvs_eval.system.reads import Reads, State, UnsettledError, is_below, watched_reads

if TYPE_CHECKING:
    from nvs_eval.evaluation.callbacks import Callbacks
    from nvs_eval.records.record import Record

_MOST, _MOST_BYTES = 1000, 2**27
_WRITTEN = ("output_dir", "log_dir", "output", "weights_dir")
"""Options that are paths but not inputs."""
_NAMES_OR_PATHS = ("records", "protocol")
_OF_SESSION = ("_", "SHLVL", "PWD", "OLDPWD", "TERM", "COLUMNS", "LINES", "WINDOWID", "DISPLAY")
_OF_SESSIONS = ("SSH_", "TMUX", "XDG_SESSION", "SLURM_", "TERM_", "VSCODE_", "PYTEST_", "OMP_", "GOMP_")
"""Environment variables, or their beginnings, that differ between sessions and change no result."""

Records = Sequence[tuple[Path, "Record"]]
"""Records, each with its output folder."""


class _Stored(msgspec.Struct):
    """A receipt as stored.

    Attributes:
        command: the command, for readers.
        code: stamps of the code that does not belong to an installed package.
        state: what the command read.
        records: output folder, file and SHA-256 of each record.
        messages: kind and text of each message of a command that has nothing to do.
    """

    command: str
    code: dict[str, tuple[int, ...]]
    state: State
    records: list[tuple[str, str, str]]
    messages: list[tuple[str, str]]


class Receipt:
    """Receipt of a command. Create it before the command starts, which may change the environment.

    Args:
        command: the options of the command.
    """

    def __init__(self, command: Any) -> None:
        # A command that replaces its records gives a receipt to the next one, which does not.
        self._command = replace(command, overwrite=False, rehash=False)
        self._place = _place(self._command)
        self._is_allowed = command == self._command

    def find(self, callbacks: Callbacks) -> Records | None:
        """Return the records and give the messages again, if nothing has changed since. Imports no torch."""
        if self._place is None or not self._is_allowed:
            return None
        try:
            stored = msgspec.json.decode(read_small(self._place, _MOST_BYTES), type=_Stored)
            same_code = all(stamp_of(file) == stamp for file, stamp in stored.code.items())
            if not stored.records or not same_code or not stored.state.is_current():
                return None
            records = [
                (Path(root), record)
                for root, file, digest in stored.records
                for record in _unchanged(Path(file), digest)
            ]
        except (OSError, ValueError):
            return None
        calls = {"say": callbacks.say, "warn": callbacks.warn, "doubt": callbacks.doubt}
        for kind, text in stored.messages:
            if kind in calls:
                calls[kind](text)
            else:
                warnings.warn(InputWarning(text, kind), stacklevel=2)
        return records

    def write(self, repeat: Callable[[Any, Callbacks], Records], inputs: Iterable[Any] = ()) -> None:
        """Write the receipt after the command has finished. There is none if something changes meanwhile.

        Args:
            repeat: does the command again, which finds nothing to do; returns all its records.
            inputs: further options, whose paths are read.
        """
        if self._place is None:
            return
        with suppress(Exception), watched_reads() as reads:  # The command itself has succeeded.
            with _recorded() as (callbacks, messages):
                records = repeat(self._command, callbacks)
            content = self._content(records, messages, reads, inputs) if records else b""
            write_whole(self._place, lambda file: file.write(content))
            remove_oldest(self._place.parent, _MOST)

    def _content(self, records: Records, messages: list[tuple[str, str]], reads: Reads, inputs: Iterable[Any]) -> bytes:
        from nvs_eval.records.record import record_file

        # The records of a suite's scenes can share a file.
        files = [*dict.fromkeys((str(root), str(record_file(record, root))) for root, record in records)]
        given = {os.path.abspath(path) for options in (self._command, *inputs) for path in _paths(options)}
        ignored = {os.path.abspath(file) for _, file in files}
        written = {os.path.abspath(folder) for kind in ("receipts", "hashes") if (folder := cache_folder(kind))}
        if not hasattr(self._command, "records"):  # The records that `rescore` reads are in the same folder.
            written |= {os.path.dirname(file) for file in ignored}
            own = [(root, record) for root, record in records if record.suite is None]
            written |= {os.path.abspath(root / record.id.folder.parts[0] / "references") for root, record in own}
        # Inputs can be in such a folder, too.
        ignored |= {folder for folder in written if not any(is_below(path, [folder]) for path in given)}
        state = reads.state(map(Path, given), sorted(ignored))
        hashes = [(root, file, _sha256(Path(file))) for root, file in files]
        return msgspec.json.encode(_Stored(repr(self._command), _code(), state, hashes, messages))


@contextmanager
def _recorded() -> Iterator[tuple[Callbacks, list[tuple[str, str]]]]:
    """Record the messages and warnings of a command that prints nothing. It must not begin to work."""
    from nvs_eval.evaluation.callbacks import Callbacks

    messages: list[tuple[str, str]] = []

    @contextmanager
    def progress(title: str, total: int) -> Iterator[Callable[[], None]]:
        del title, total
        raise UnsettledError
        yield lambda: None

    def recorder(kind: str) -> Callable[[str], None]:
        return lambda text: messages.append((kind, text))

    calls = {kind: recorder(kind) for kind in ("say", "warn", "doubt")}

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if isinstance(message, InputWarning):
            messages.append((message.kind, str(message)))

    with warnings.catch_warnings():
        warnings.simplefilter("always", InputWarning)
        warnings.showwarning = show
        yield replace(Callbacks(), progress=progress, **calls), messages


def _paths(options: Any) -> Iterator[Path]:
    """Yield the paths among options that are inputs."""
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name not in _WRITTEN:
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, Path) or (field.name in _NAMES_OR_PATHS and os.path.exists(one)):
                    yield Path(one)


def _place(command: Any) -> Path | None:
    """Return the place of a command's receipt: a hash of its options, folder, version and environment."""
    from importlib.metadata import version

    folder, place = cache_folder("receipts"), _working_folder()
    if folder is None or place is None:
        return None
    environment = {
        name: value
        for name, value in sorted(os.environ.items())
        if name not in _OF_SESSION and not name.startswith(_OF_SESSIONS)
    }
    python = [sys.version, sys.executable, sys.path[1:], _installed()]
    key = json.dumps([version("nvs-eval"), repr(command), place, python, environment])
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _working_folder() -> str | None:
    with suppress(OSError):
        return os.getcwd()
    return None  # It was removed.


def _installed() -> list[str]:
    """Return the installed distributions and their dates, without reading any."""
    found = []
    for folder in sys.path[1:]:
        with suppress(OSError), os.scandir(folder) as entries:
            suffixes = (".dist-info", ".egg-info", ".egg-link", ".pth")
            found += [f"{one.path} {one.stat().st_mtime_ns}" for one in entries if one.name.endswith(suffixes)]
    return sorted(found)


def _code() -> dict[str, tuple[int, ...]]:
    """Return the stamps of the loaded modules that belong to no installed package, such as a clone of nvs-eval."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    installed = [os.path.dirname(os.__file__), *site.getsitepackages()]
    own = (file for file in files if file and not is_below(file, installed))
    return {file: stamp_of(file) for file in own if os.path.isfile(file)}


def _unchanged(file: Path, digest: str) -> list[Record]:
    """Read the records of a file that has a SHA-256, whose images are there, and that no killed command left files by.

    The images of a file with many records are among the inputs, which are checked.

    Raises:
        ValueError: it is another file, or incomplete.
        OSError: it cannot be read.
    """
    from nvs_eval.records.files import read_file

    folder = file.parent
    if _sha256(file) == digest and not any(name.startswith(INTERNAL) for name in os.listdir(folder)):
        records = read_file(file)
        rows = [row for record in records if record.suite is None for row in record.views]
        images = [path for row in rows for path in (row.render, row.reference) if path is not None]
        if all(os.path.exists(os.path.join(folder, path)) for path in images):
            return records
    raise ValueError


def _sha256(file: Path) -> str:
    return hashlib.sha256(read_content(file, MOST_LINES_BYTES)).hexdigest()
