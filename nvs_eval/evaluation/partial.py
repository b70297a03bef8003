"""Partial results: the finished views of results that have no record yet, kept in files while the others are scored.

    <dir>/<scene>/<method>[/<run>]/<step or final>/.partial/<protocol>-<fingerprint>[-<selection>].jsonl

The first line states what goes in: the protocol, the software, the device, and the inputs that all views share. Every
other line is a view, with the hash of its own images. A command that is repeated scores the views that have no line of
the same inputs. The file is removed when the record is written.
"""

from __future__ import annotations

import json
import os
import time
from collections import UserDict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from nvs_eval.errors import InputError, counted, some
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.inputs import Inputs
from nvs_eval.evaluation.provenance import scoring_provenance
from nvs_eval.evaluation.resume import Places, partial_file
from nvs_eval.evaluation.rows import Entries, Entry
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.protocols import Protocol
from nvs_eval.records.plain import plain_row
from nvs_eval.records.record import Record, record_name
from nvs_eval.records.result_id import ResultId, sha256_of_lines
from nvs_eval.records.schema import ViewRow, read_infinities
from nvs_eval.system.folders import shown
from nvs_eval.system.journal import Journal, read_lines

_LAYOUT = 1
_OF_VIEWS = "inputs_sha256"
_LONGEST_KEPT = 30 * 24 * 60 * 60
"""Seconds after which partial results that nobody continued are removed."""


@dataclass(frozen=True)
class Partial:
    """Entries of several results under several protocols. Without files they are kept in memory only.

    Attributes:
        names: names of all views, in the order of the records; empty if unknown.
        files: files of entries, by result and fingerprint of the protocol.
    """

    names: Sequence[str] = ()
    files: Mapping[tuple[ResultId, str], PartialFile] = field(default_factory=dict)

    def entries(self, result: ResultId, protocol: Protocol) -> Entries:
        """Return the entries of a result under a protocol, which grow while views are scored."""
        return self.files.get((result, protocol.fingerprint), {})

    @property
    def finished(self) -> set[str]:
        """Names of the views that have entries of all results under all protocols."""
        files = list(self.files.values())
        return {name for name in self.names if files and all(name in file for file in files)}

    @property
    def failed(self) -> set[str]:
        """Names of the views without a row of any result."""
        return {name for name in self.finished if all(file[name].failed for file in self.files.values())}

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self.files.values():
            file.close()

    def finish(self, record: Record) -> None:
        """Remove the file of a record that is written."""
        if file := self.files.get((record.id, record.fingerprint)):
            file.remove()

    def remove(self) -> None:
        """Remove the files, after the records are written."""
        for file in self.files.values():
            file.remove()


class PartialFile(UserDict[str, Entry]):
    """Entries of one result under one protocol, in a file.

    Args:
        path: file of the entries.
        header: what goes into all views, as plain JSON values.
        inputs: inputs of the result.
        masked: whether the protocol uses masks and there are masks.
        warn: called if the file cannot be written. The entries are then kept in memory only.
    """

    def __init__(
        self, path: Path, header: Any, inputs: Inputs, warn: Callable[[str], None], *, masked: bool = False
    ) -> None:
        super().__init__()
        self._path, self._inputs, self._warn, self._masked = path, inputs, warn, masked
        self._lines = [_encoded(header)]
        self._journal: Journal | None = None
        self._is_written = True

    def restore(self) -> int:
        """Read the entries that an earlier command left. Return the number of those that are of other inputs."""
        header, *lines = read_lines(self._path) or [b""]
        if header != self._lines[0]:
            return len(lines)
        names, others = {*self._inputs.names}, 0
        for line in lines:
            with suppress(ValueError):
                entry = _decode(line)
                if entry.name in self.data:
                    continue
                same = (
                    entry.name in names
                    and self._images_sha256(entry.name, self._mask_sha256(entry.name)) == entry.images
                )
                others += not same
                if same:
                    self.data[entry.name] = entry.entry()
                    self._lines.append(line)
        return others

    def keep_only(self, names: Collection[str]) -> None:
        """Drop the restored entries of other views."""
        restored, header = zip(list(self.data), self._lines[1:], strict=True), self._lines[0]
        self._lines = [header, *(line for name, line in restored if name in names)]
        self.data = {name: entry for name, entry in self.data.items() if name in names}

    def __setitem__(self, name: str, entry: Entry) -> None:
        super().__setitem__(name, entry)
        if not self._is_written or (self._masked and entry.failed):
            return  # A mask that cannot be read has no hash to tell whether it has changed.
        mask = entry.mask_sha256 if entry.row is None else entry.row.mask_sha256
        try:
            images = self._images_sha256(name, mask if self._masked else None)
        except InputError:
            return  # A file is gone, so that nothing tells whether it has changed.
        line = _encoded(_plain(name, images, entry))
        try:
            if self._journal is None:
                _remove_old(self._path.parent)
                self._journal = Journal(self._path, self._lines)
            self._journal.append(line)
        except OSError as error:
            self._is_written = False
            self._warn(
                f"{shown(self._path)} cannot be written: {error.strerror}. The scores are kept in memory until the "
                "record is written; an interrupted command would score them again."
            )

    def _images_sha256(self, name: str, mask: str | None) -> str:
        """Return a hash of the files of a view, as far as they identify it, of their paths, and of its mask."""
        images = self._inputs.identity((name,)).get(_OF_VIEWS)
        paths = [None if file is None else os.path.realpath(file) for file in self._inputs.files(name)]
        return sha256_of_lines([json.dumps([images, paths, mask], sort_keys=True)])

    def _mask_sha256(self, name: str) -> str | None:
        mask_sha256 = self._inputs.mask_sha256 if self._masked else None
        return None if mask_sha256 is None else mask_sha256(name)

    def close(self) -> None:
        """Close the file, which stays for the next command."""
        if self._journal is not None:
            self._journal.close()
        self._journal, self._is_written = None, False

    def remove(self) -> None:
        """Remove the file."""
        self.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            self._path.parent.rmdir()  # Fails if there are files of other protocols.


class _Line(msgspec.Struct):
    """A view in a file."""

    name: str
    images: str
    row: ViewRow | None = None
    failed: str | None = None
    skipped: str | None = None
    mask_sha256: str | None = None
    neutral: frozenset[str] = frozenset()

    def entry(self) -> Entry:
        failed = None if self.failed is None else InputError(self.failed)
        return Entry(self.row, failed, self.skipped, self.mask_sha256, self.neutral)


def _plain(name: str, images: str, entry: Entry) -> dict[str, Any]:
    reasons = {"failed": entry.failed and str(entry.failed), "skipped": entry.skipped, "mask_sha256": entry.mask_sha256}
    row = None if entry.row is None else plain_row(asdict(entry.row))
    plain = {"row": row, "neutral": sorted(entry.neutral) or None, **reasons}
    return {"name": name, "images": images, **{key: value for key, value in plain.items() if value is not None}}


def _encoded(plain: Any) -> bytes:
    return json.dumps(plain, allow_nan=False).encode()


def _decode(line: bytes) -> _Line:
    """Decode a line.

    Raises:
        ValueError: the line is damaged.
    """
    entry = msgspec.json.decode(line, type=_Line)
    if entry.row is not None:
        read_infinities(entry.row.scores)
    return entry


def _remove_old(folder: Path) -> None:
    for path in folder.glob("*.jsonl"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _LONGEST_KEPT:
                path.unlink()


def open_partial(places: Places, inputs: Mapping[ResultId, Inputs], scorer: Scorer, callbacks: Callbacks) -> Partial:
    """Open the partial results of results that are scored together, and report what an earlier command left.

    Args:
        places: places of the records; with `overwrite`, earlier partial results are not used.
        inputs: inputs of each result. All have the same views.
        scorer: scorer of the views.
        callbacks: callbacks for messages.
    """
    files, others = {}, 0
    names = next(iter(inputs.values())).names
    for result, of_result in inputs.items():
        for protocol in scorer.protocols:
            name = record_name(protocol.name, protocol.fingerprint, result.selection)
            path = partial_file(places.output_dir / result.folder / name)
            header = {
                "partial": _LAYOUT,
                "result": asdict(result),
                "protocol": protocol.stamp,
                "inputs": {key: value for key, value in of_result.identity(()).items() if key != _OF_VIEWS},
                **scoring_provenance(scorer, protocol),
            }
            masked = protocol.takes_masks and of_result.mask_sha256 is not None
            file = PartialFile(path, header, of_result, callbacks.warn, masked=masked)
            others += 0 if places.overwrite else file.restore()
            files[result, protocol.fingerprint] = file
    partial = Partial(names, files)
    finished = partial.finished
    for file in files.values():
        file.keep_only(finished)
    _report(partial, list(inputs), others, callbacks)
    return partial


def _report(partial: Partial, results: Sequence[ResultId], others: int, callbacks: Callbacks) -> None:
    names = some(map(str, results), 3)
    if finished := len(partial.finished):
        verb = "was" if finished == 1 else "were"
        views = f"{finished} of {counted(len(partial.names), 'view')}"
        callbacks.say(f"{names}: {views} {verb} scored before an interruption. Only the others are scored.")
    if others:
        verb = "is" if others == 1 else "are"
        scores = counted(others, "partial result")
        callbacks.say(f"{names}: {scores} of an interrupted command {verb} of other inputs. Scoring again.")
