"""Files with the records of a suite's scenes: which scenes are finished, and one line more for each that is scored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.evaluation.inputs import Inputs
from nvs_eval.evaluation.resume import Places, partial_file
from nvs_eval.protocols import Protocol
from nvs_eval.records.lines import line_of, read_record_lines
from nvs_eval.records.record import Record, lines_file, record_file
from nvs_eval.records.result_id import ResultId
from nvs_eval.records.schema import NoRecordError
from nvs_eval.system.files import cannot_write, write_whole
from nvs_eval.system.journal import Journal, read_lines
from nvs_eval.system.locks import FolderLock, lock_folder


@dataclass
class LinePlaces:
    """Places of the records of a suite below an output folder: a line each in the file of their method and protocol.

    Attributes:
        places: the output folder, and whether records are replaced.
        suite: name of the suite.
    """

    places: Places
    suite: str
    _records: dict[Path, dict[ResultId, Record]] = field(init=False, default_factory=dict)
    _files: dict[Path, _File] = field(init=False, default_factory=dict)
    _damaged: dict[Path, str] = field(init=False, default_factory=dict)

    def finished(self, result: ResultId, protocols: Sequence[Protocol], inputs: Inputs) -> dict[str, Record]:
        """Return the complete records of the inputs of a result, by fingerprint. Incomplete ones are scored again.

        Raises:
            InputError: a record of other inputs is in the place of a record, or a file is damaged.
        """
        finished = {}
        for protocol in protocols:
            file = lines_file(self.places.output_dir, self.suite, result, protocol.name, protocol.fingerprint)
            record = self._existing(file).get(result)
            if record is None or self.places.overwrite:
                continue
            if difference := inputs.difference(record, protocol):
                raise self.places.refusal(file, record, difference, inputs.origin)
            if not record.failed:
                finished[protocol.fingerprint] = record
        return finished

    def _existing(self, file: Path) -> dict[ResultId, Record]:
        if file in self._damaged:  # Read once, although each scene needs it.
            raise InputError(self._damaged[file])
        if file not in self._records:
            try:
                lines = read_record_lines(file) if file.exists() else {}
            except NoRecordError:
                lines = {}  # Its first scene was not finished.
            except InputError as error:
                remedy = " Remove this line, and its scene is scored again." if f"{file}, line " in str(error) else ""
                self._damaged[file] = f"{error}{remedy}"
                raise InputError(self._damaged[file]) from error
            self._records[file] = {result: record for result, (_, record) in lines.items()}
        return self._records[file]

    def earlier(self, results: Iterable[tuple[ResultId, Protocol]]) -> Iterator[Record]:
        """Yield the existing records of results, whatever their inputs."""
        for result, protocol in results:
            file = lines_file(self.places.output_dir, self.suite, result, protocol.name, protocol.fingerprint)
            if (record := self._existing(file).get(result)) is not None:
                yield record

    def close(self) -> None:
        """Close the files, and remove the lines that later ones replace."""
        files, self._files = self._files, {}
        for file in files.values():
            file.close()

    def add(self, record: Record) -> None:
        """Append the record of a scene to its file.

        Raises:
            InputError: the file cannot be written, or another command writes it.
        """
        path = record_file(record, self.places.output_dir)
        if path not in self._files:
            self._files[path] = _File(path)
        self._files[path].append(line_of(record), replaces=record.id in self._existing(path))


class _File:
    """A file that one process extends. Lines that were there stay until the end."""

    def __init__(self, path: Path) -> None:
        self._path, self._has_replaced = path, False
        self._guard = partial_file(path).with_suffix(".writing")
        self._lock = _locked(self._guard, path)
        try:
            self._journal = Journal(path, read_lines(path))
        except OSError as error:
            self._unlock()
            raise cannot_write(path, error) from error

    def append(self, line: bytes, *, replaces: bool) -> None:
        try:
            self._journal.append(line)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self._has_replaced |= replaces

    def close(self) -> None:
        self._journal.close()
        if self._has_replaced:
            lines = [line for line, _ in read_record_lines(self._path).values()]
            write_whole(self._path, lambda file: file.writelines(line + b"\n" for line in lines), durable=True)
        self._unlock()

    def _unlock(self) -> None:
        for folder in (self._guard, self._guard.parent):
            try:
                folder.rmdir()
            except OSError:  # Files of other protocols are there.
                break
        self._lock.release()


def _locked(guard: Path, path: Path) -> FolderLock:
    """Lock a file against other commands.

    Raises:
        InputError: another command writes it, or its folder cannot be made.
    """
    try:
        guard.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    if (lock := lock_folder(guard)) is None:
        raise InputError(f"{path} is being written by another command. Wait for it, or use another `--output-dir`.")
    return lock
