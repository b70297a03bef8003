"""Records by the names of their files, of folders of them, and of patterns."""

from __future__ import annotations

import gc
import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nvs_eval.errors import InputError, some
from nvs_eval.records.comparable import check_distinct_cells
from nvs_eval.records.groups import of_protocols
from nvs_eval.records.record import Record, read_record
from nvs_eval.records.schema import NoRecordError
from nvs_eval.system.arguments import checked

FilePath = str | os.PathLike[str]


@checked
def read_records(*names: FilePath | Sequence[FilePath], protocol: str | Sequence[str] = ()) -> list[Record]:
    """Read the records that are named, and sort them by scene, protocol, method, run and step.

    Args:
        names: of files, of folders (all records below), or patterns such as `results/**/standard-*.json`, or lists of
            these. A file that is named several times, also through a link, is one. Below folders and among what
            patterns match, JSON files without a schema_version are no records, and passed over.
        protocol: only records of these protocols, by name or fingerprint (default: all).

    Raises:
        InputError: nothing is there, something is not a record, two files are of the same cell, or a protocol has no
            record.
    """
    lists = [[name] if isinstance(name, str | os.PathLike) else name for name in names]
    protocols = [protocol] if isinstance(protocol, str) else protocol
    files = read_record_files([name for several in lists for name in several], protocol=protocols)
    return [record for _, record in files]


def read_record_files(
    names: Sequence[FilePath], *, protocol: Sequence[str] = (), copies: bool = False
) -> list[tuple[Path, Record]]:
    """Read the records that are named, each with its file, in the order of `read_records`.

    Args:
        names: of files, folders or patterns.
        protocol: only records of these protocols, by name or fingerprint (default: all).
        copies: let several files be of the same cell, for what is done with each file by itself.

    Raises:
        InputError: nothing is there, something is not a record, two files are of the same cell, or a protocol has no
            record.
    """
    if not names:
        raise InputError("No record was named: say which files, folders or patterns.")
    read: dict[object, tuple[Path, Record] | None] = {}
    with _no_collection():
        for name in names:
            _read_into(read, os.fspath(name))
    records = sorted(filter(None, read.values()), key=lambda file_and_record: _order(file_and_record[1]))
    if not copies:
        check_distinct_cells([record for _, record in records], [path for path, _ in records])
    chosen = {id(record) for record in of_protocols([record for _, record in records], protocol)}
    return [(path, record) for path, record in records if id(record) in chosen]


def output_dir_of(file: Path, record: Record) -> Path | None:
    """Return the output folder that a record lies in, relative where the file is; None if it is not in its place.

    Args:
        file: of the record.
        record: as it was read.
    """
    below = record.id.folder.parts
    folder = file.resolve().parent
    if folder.parts[-len(below) :] != below:
        return None
    root = folder.parents[len(below) - 1]
    return root if file.is_absolute() else Path(os.path.relpath(root))


@contextmanager
def _no_collection() -> Iterator[None]:
    """No search for garbage: among many rows, all of which are kept, it takes as long as reading them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            # As old objects, they are not searched at once. What someone else has frozen stays so.
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def _read_into(read: dict[object, tuple[Path, Record] | None], name: str) -> None:
    """Read the files of a name, except those that were read. None stands for a file that is no record."""
    if os.path.isfile(name):
        file = Path(name)
        read[_file_key(file)] = read.get(_file_key(file)) or (file, read_record(file))
        return
    paths = {_file_key(path): path for path in _find(name)}
    for key, path in paths.items():
        if key not in read:
            read[key] = _read_if_record(path)
    if not any(read[key] for key in paths):
        others = f" What is there has no schema_version: {some(map(str, paths.values()), 3)}." if paths else ""
        raise InputError(
            f"There is no record at {name!r}: give record files (.json), a folder of them, or a pattern.{others}"
        )


def _read_if_record(path: Path) -> tuple[Path, Record] | None:
    try:
        return path, read_record(path)
    except NoRecordError:
        return None


def _find(name: str) -> list[Path]:
    """The files below a folder or of a pattern that may be records."""
    # A name with brackets in it is a folder where there is one, else a pattern.
    matches = [name] if os.path.isdir(name) else sorted(glob.glob(name, recursive=True))
    files = []
    for match in matches:
        below = sorted(os.path.join(parent, file) for parent, _, names in os.walk(match) for file in names)
        files += below if os.path.isdir(match) else [match]
    return [Path(file) for file in files if file.endswith(".json")]


def _file_key(path: Path) -> object:
    """Return what all names and links of a file have in common."""
    try:
        status = path.stat()
    except OSError:
        return path  # Reading it says what is wrong.
    return status.st_dev, status.st_ino


def _order(record: Record) -> tuple[str, str, str, str, int]:
    step = -1 if record.step is None else record.step
    return record.scene, record.protocol_title, record.method, record.run or "", step
