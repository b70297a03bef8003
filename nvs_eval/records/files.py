"""Reading records from files, folders and patterns."""

from __future__ import annotations

import gc
import glob
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nvs_eval.errors import InputError, quoted, some
from nvs_eval.records.comparable import check_distinct_cells, main_records
from nvs_eval.records.groups import of_protocols
from nvs_eval.records.lines import read_record_lines
from nvs_eval.records.record import LINES, PARTIAL, Record, read_record
from nvs_eval.records.schema import NoRecordError
from nvs_eval.system.arguments import checked
from nvs_eval.system.folders import files_below

FilePath = str | os.PathLike[str]


@checked
def read_records(*names: FilePath | Sequence[FilePath], protocol: str | Sequence[str] = ()) -> list[Record]:
    """Read records, and sort them by scene, protocol, method, run and step.

    Args:
        names: files, folders (all records below), patterns such as `results/**/standard-*.json`, or lists of these.
            A file that is named several times, also through a link, is read once. Below folders and among the
            matches of patterns, JSON files without a schema_version are skipped, and of several records of one
            result that of all its views is read; without one, that of most views.
        protocol: only records of these protocols, by name or fingerprint (default: all).

    Raises:
        InputError: a name matches no record, a file is not a record, two files are of the same cell, or a protocol
            has no record.
    """
    lists = [[name] if isinstance(name, str | os.PathLike) else name for name in names]
    protocols = [protocol] if isinstance(protocol, str) else protocol
    files = read_record_files([name for several in lists for name in several], protocol=protocols)
    return [record for _, record in files]


def read_record_files(
    names: Sequence[FilePath],
    *,
    protocol: Sequence[str] = (),
    copies: bool = False,
    on_note: Callable[[str], object] = lambda note: None,
) -> list[tuple[Path, Record]]:
    """Read records with their files, in the order of `read_records`.

    Args:
        names: files, folders or patterns.
        protocol: only records of these protocols, by name or fingerprint (default: all).
        copies: accept several files of the same cell, for commands that treat each file on its own.
        on_note: called with a note on each result of which records of other selections of views are not used.

    Raises:
        InputError: a name matches no record, a file is not a record, two files are of the same cell, or a protocol
            has no record.
    """
    if not names:
        raise InputError("No records given. Name files, folders or patterns.")
    read: dict[object, list[tuple[Path, Record]]] = {}
    named: set[object] = set()
    with _no_collection():
        for name in names:
            _read_into(read, named, os.fspath(name))
    records = sorted(
        (one for several in read.values() for one in several), key=lambda file_and_record: _order(file_and_record[1])
    )
    chosen = {id(record) for record in of_protocols([record for _, record in records], protocol)}
    records = [(path, record) for path, record in records if id(record) in chosen]
    if not copies:
        records, notes = main_records(records, named={file for key in named for file, _ in read[key]})
        for note in notes:
            on_note(note)
        check_distinct_cells([record for _, record in records], [path for path, _ in records])
    return records


def output_dir_of(file: Path, record: Record) -> Path | None:
    """Return the output folder of a record, relative if the path of its file is; None if the file was moved.

    Args:
        file: file of the record.
        record: the record that was read from it.
    """
    below = record.id.folder_in(record.suite).parts
    folder = file.resolve().parent
    if folder.parts[-len(below) :] != below:
        return None
    root = folder.parents[len(below) - 1]
    return root if file.is_absolute() else Path(os.path.relpath(root))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause garbage collection: with many rows, all of which are kept, it takes as long as reading them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            # Move the rows to the oldest generation, which is rarely searched. Objects frozen by others stay frozen.
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def _read_into(read: dict[object, list[tuple[Path, Record]]], named: set[object], name: str) -> None:
    """Read the files of a name that were not read yet; a file that is not a record has an empty list.

    The key of a file that is itself the name is added to `named`.
    """
    if os.path.exists(name) and not os.path.isdir(name):
        file = Path(name)
        key = _file_key(file)
        read[key] = read.get(key) or _records_in(file)
        named.add(key)
        return
    paths = {_file_key(path): path for path in _find(name)}
    for key, path in paths.items():
        if key not in read:
            read[key] = _read_if_records(path)
    if not any(read[key] for key in paths):
        others = f" The JSON files there lack a schema_version: {some(paths.values(), 3)}." if paths else ""
        raise InputError(
            f"There is no record at {quoted(name)}. Name record files (.json or .jsonl), folders of them, or "
            f"patterns.{others}"
        )


def read_file(file: Path) -> list[Record]:
    """Return the records of a file: one, or those of a suite's scenes in a file with one record per line.

    Raises:
        NoRecordError: the file has no record.
        InputError: the file cannot be read, or a record is damaged.
    """
    if file.suffix == LINES:
        return [record for _, record in read_record_lines(file).values()]
    return [read_record(file)]


def _records_in(file: Path) -> list[tuple[Path, Record]]:
    return [(file, record) for record in read_file(file)]


def _read_if_records(file: Path) -> list[tuple[Path, Record]]:
    try:
        return _records_in(file)
    except NoRecordError:
        return []


def _find(name: str) -> list[Path]:
    """Find the files below a folder, or matching a pattern, that may be records."""
    # A name with brackets may be an existing folder; otherwise it is a pattern.
    matches = [name] if os.path.isdir(name) else sorted(glob.glob(name, recursive=True))
    files: list[Path] = []
    for match in matches:
        if os.path.isdir(match):
            lines = [file for file in files_below(match, LINES) if file.parent.name != PARTIAL]
            files += sorted([*files_below(match, ".json"), *lines])
        else:
            files.append(Path(match))
    return [file for file in files if file.suffix in (".json", LINES)]


def _file_key(path: Path) -> object:
    """Return a key that is the same for all names and links of a file."""
    try:
        status = path.stat()
    except OSError:
        return path  # Reading the file raises the error.
    return status.st_dev, status.st_ino


def _order(record: Record) -> tuple[str, str, str, str, int, str]:
    step = -1 if record.step is None else record.step
    return record.scene, record.protocol_title, record.method, record.run or "", step, record.step_name or ""
