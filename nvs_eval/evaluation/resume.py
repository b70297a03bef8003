"""Existing records: skip work whose records are of the same inputs, by content, and never replace others unasked."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from nvs_eval.errors import InputError, quoted
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.inputs import Inputs, origin_of
from nvs_eval.evaluation.options import RESULTS, ScoringOptions
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import PARTIAL, Record, read_record, record_file, record_files, record_name, write_record
from nvs_eval.records.result_id import ResultId
from nvs_eval.system.files import check_folder_writable, clean
from nvs_eval.system.folders import is_too_long


def partial_file(record: Path) -> Path:
    """Return the file of the views that are finished before a record is written."""
    return record.parent / PARTIAL / record.with_suffix(".jsonl").name


def _remove_leftovers(record: Path) -> None:
    """Remove what an interrupted command left beside a record that is finished."""
    partial = partial_file(record)
    for folder in (partial.parent, record.parent):
        clean(folder)
    with suppress(OSError):
        partial.unlink(missing_ok=True)
        partial.parent.rmdir()  # Fails if there are files of other protocols.


@dataclass(frozen=True)
class Places:
    """Places of records below an output folder.

    Attributes:
        output_dir: output folder.
        overwrite: whether records are replaced, whatever they are of.
        renamable: whether the command has the option `--method`.
    """

    output_dir: Path
    overwrite: bool
    renamable: bool = True

    @classmethod
    def of(cls, options: ScoringOptions) -> Places:
        """Return the places of the records of `score` or `run`."""
        return cls(options.output_dir or RESULTS, options.overwrite)

    def finished(self, result: ResultId, protocols: Sequence[Protocol], inputs: Inputs) -> dict[str, Record]:
        """Return the complete records of the inputs of a result, by fingerprint. Incomplete ones are scored again.

        Raises:
            InputError: a record of other inputs, or another file, is in the place of a record, or a missing one cannot
                be written there.
        """
        records = {p.fingerprint: self._finished(result, p, inputs) for p in protocols}
        folder = self.output_dir / result.folder
        for protocol in protocols:
            name = record_name(protocol.name, protocol.fingerprint, result.selection, incomplete=True)
            if any("\ud800" <= char <= "\udfff" for char in protocol.name):
                raise InputError(
                    f"The name of a protocol must be Unicode, because it becomes that of a file. Got "
                    f"{quoted(protocol.name)}. Choose another name."
                )
            if is_too_long(name, folder):
                raise InputError(
                    f"The name of a protocol becomes that of a file. Got {quoted(protocol.name)}, which is too long "
                    f"for the disk of {self.output_dir}. Choose a shorter name."
                )
        if None in records.values():
            check_folder_writable(folder)
        return {fingerprint: record for fingerprint, record in records.items() if record is not None}

    def _finished(self, result: ResultId, protocol: Protocol, inputs: Inputs) -> Record | None:
        for incomplete in (False, True):
            name = record_name(protocol.name, protocol.fingerprint, result.selection, incomplete=incomplete)
            file = self.output_dir / result.folder / name
            record = self._existing(file, result)
            if record is None or self.overwrite:
                continue
            if difference := inputs.difference(record, protocol):
                raise self.refusal(file, record, difference, inputs.origin)
            if not incomplete:
                _remove_leftovers(file)
                return record
        return None

    def _existing(self, file: Path, result: ResultId) -> Record | None:
        """Return the record in the place of a result; None if there is none, or one that may be replaced unread.

        Raises:
            InputError: the file is a record of another result, or is damaged and may not be replaced.
        """
        if not os.path.lexists(file):
            return None
        try:
            record = read_record(file)
        except InputError as error:
            if self.overwrite:
                return None
            raise InputError(
                f"A record would replace {file}, which is not readable ({str(error).rstrip('.')}). Use another "
                "`--output-dir`, or `--overwrite`."
            ) from error
        wanted = replace(result, run=result.run or None)
        if replace(record.id, selection=wanted.selection) != wanted:
            raise InputError(
                f"{file} is the record of another result, {_full_name(record.id)}, whose name leads to the same file "
                f"as {_full_name(result)}. It is never replaced. Use another {self._names}`--output-dir`."
            )
        own_name = record_file(record, self.output_dir).name
        if own_name != file.name and not self.overwrite:
            raise InputError(
                f"{file} must have the name of its record, {own_name}. It was copied or edited, and would be replaced. "
                "Rename it, or use another `--output-dir` or `--overwrite`."
            )
        return record

    @property
    def _names(self) -> str:
        return "`--method` or " if self.renamable else ""

    def refusal(self, file: Path, record: Record, difference: str, given: str) -> InputError:
        """Return the error for a record of other inputs that would be replaced."""
        origin = origin_of(record, file)
        origins = origin if origin == given else f"{origin}, not {given}"
        return InputError(
            f"{file} was scored on {difference} ({origins}), and would be replaced. Keep both with another "
            f"{self._names}`--output-dir`, or replace it with `--overwrite`."
        )

    def write(
        self,
        records: Iterable[Record],
        protocols: Sequence[Protocol],
        inputs: Mapping[ResultId, Inputs],
        callbacks: Callbacks,
        on_written: Callable[[Record], object] = lambda record: None,
    ) -> list[Record]:
        """Write records and report their paths.

        Args:
            records: new records.
            protocols: protocols of the records.
            inputs: inputs of each result.
            callbacks: callbacks for messages.
            on_written: called with each record after it is written.

        Returns:
            The records, with the existing one of the same inputs, where another command wrote one in the meantime.

        Raises:
            InputError: a record cannot be written, or one of other inputs is in its place. The others are written.
        """
        by_fingerprint = {protocol.fingerprint: protocol for protocol in protocols}
        written, errors = [], []
        for record in records:
            try:
                protocol, of_result = by_fingerprint[record.fingerprint], inputs[record.id]
                written.append(self._write(record, protocol, of_result, callbacks))
                on_written(record)
            except InputError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return written

    def _write(self, record: Record, protocol: Protocol, inputs: Inputs, callbacks: Callbacks) -> Record:
        """Write a record in place of the incomplete one of the same inputs; with `overwrite`, of any record."""
        path = record_file(record, self.output_dir)
        if kept := self._finished(record.id, protocol, inputs):
            callbacks.say(f"{path} is a record of the same inputs. It is kept.")
            return kept
        if not write_record(path, record, replace=self.overwrite or bool(record.failed)):
            return self._write(record, protocol, inputs, callbacks)  # Another command has just written it.
        callbacks.say(f"Record: {shlex.quote(str(path))}")
        if self.overwrite or not record.failed:
            (other,) = {*record_files(record, self.output_dir)} - {path}
            try:
                other.unlink(missing_ok=True)
            except OSError as error:
                raise InputError(f"The earlier record {other} cannot be removed: {error.strerror}.") from error
        return record


def _full_name(result: ResultId) -> str:
    views = f", {result.split} views" if result.split != "test" else ""
    return f"{quoted(result.scene)}, {quoted(result.name)}{views}"
