"""What of images in files is scored already: its records are there, of these files, none of which has changed since.

No image is decoded to tell: files are compared by their names, their places and when they were last written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.evaluation.view_rows import relative_path
from nvs_eval.protocols.protocol import Protocol
from nvs_eval.records.record import Record, ViewRow, read_record, record_folder, record_name
from nvs_eval.sources.image_source import ImageFiles
from nvs_eval.sources.pictures import Picture
from nvs_eval.sources.views import Column


def scored_records(source: ImageFiles, protocols: Sequence[Protocol], output_dir: Path) -> list[list[Record]]:
    """The records that each column of a source has already: one for each protocol, or none at all.

    A record is of a column as it is now if it is of the same views, files, masks and way to read them, and was written
    after all of the files.
    """
    return [_of_column(source, index, protocols, output_dir) for index in range(len(source.columns))]


def only_columns(source: ImageFiles, chosen: Sequence[int]) -> ImageFiles:
    """The source with some of its columns."""

    def pick(values: Sequence) -> list:
        return [values[index] for index in chosen]

    return replace(
        source,
        columns=pick(source.columns),
        renders=pick(source.renders),
        seconds=None if source.seconds is None else pick(source.seconds),
    )


def _of_column(source: ImageFiles, index: int, protocols: Sequence[Protocol], output_dir: Path) -> list[Record]:
    column = source.columns[index]
    folder = record_folder(output_dir, column.scene, column.method, column.run, column.step)
    found = []
    for protocol in protocols:
        file = folder / record_name(protocol.name, protocol.fingerprint)
        try:
            record = read_record(file)
        except InputError:
            return []
        masked = source.masks is not None and protocol.takes_masks
        if not (_is_of(record, source, index, masked, folder) and _is_newer(file, _files(source, index, masked))):
            return []
        found.append(record)
    return found


def _is_of(record: Record, source: ImageFiles, index: int, masked: bool, folder: Path) -> bool:
    """Whether a record is of the views of a column, of these files, read in this way."""
    left_out = record.provenance.get("left_out", {})
    rows = {row.name: row for row in record.views}
    if list(rows) != [name for name in source.references if name not in left_out]:
        return False
    column = source.columns[index]
    return (
        record.split == column.split
        and _says(record, column)
        and all(_row_is_of(row, source, index, masked, folder) for row in rows.values())
    )


def _says(record: Record, column: Column) -> bool:
    """Whether the record says of itself what the column does: how files were read, which archive they were in."""
    plain = json.loads(json.dumps(column.provenance))
    return all(record.provenance.get(name) == value for name, value in plain.items())


def _row_is_of(row: ViewRow, source: ImageFiles, index: int, masked: bool, folder: Path) -> bool:
    def same(said: str | None, file: Path | None) -> bool:
        return said == relative_path(file, folder)

    mask = source.masks.files[row.name] if masked and source.masks and source.masks.lasting else None
    return (
        (row.coverage is not None) == masked
        and same(row.render, _picture(source.renders[index], row.name).file)
        and same(row.reference, _picture(source.references, row.name).file)
        and same(row.mask, mask)
    )


def _picture(files: Mapping[str, Picture] | Mapping[str, Path], name: str) -> Picture:
    file = files[name]
    return file if isinstance(file, Picture) else Picture(file)


def _files(source: ImageFiles, index: int, masked: bool) -> Iterable[Path]:
    """All files that a column would be scored from; of an archive it."""
    for name in source.references:
        for picture in (_picture(source.references, name), _picture(source.renders[index], name)):
            yield picture.path if picture.archive is None else picture.archive.archive
        if masked and source.masks and source.masks.lasting:
            yield source.masks.files[name]


def _is_newer(record: Path, files: Iterable[Path]) -> bool:
    written = record.stat().st_mtime_ns
    return all(file.stat().st_mtime_ns < written for file in set(files))
