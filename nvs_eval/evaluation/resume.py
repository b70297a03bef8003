"""What of images in files is scored already: its records exist, of these files, none of which has changed since.

No image is decoded to tell: files are compared by their names, their places and when they were last written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.evaluation.view_rows import relative_path
from nvs_eval.protocols.protocol import Protocol
from nvs_eval.records.record import Record, ViewRow, read_record, record_name
from nvs_eval.sources.image_source import RenderSet


def scored_records(renders: RenderSet, protocols: Sequence[Protocol], output_dir: Path) -> list[Record]:
    """The records that a render set has already: one for each protocol, or none at all.

    A record is of the set as it is now if it is of the same views, files, masks and way to read them, and was written
    after all of the files.
    """
    folder = output_dir / renders.id.folder
    records = []
    for protocol in protocols:
        file = folder / record_name(protocol.name, protocol.fingerprint)
        try:
            record = read_record(file)
        except InputError:
            return []
        masked = renders.masks is not None and protocol.takes_masks
        if not (_is_of(record, renders, masked, folder) and _is_newer(file, _files(renders, masked))):
            return []
        records.append(record)
    return records


def _is_of(record: Record, renders: RenderSet, masked: bool, folder: Path) -> bool:
    """Whether a record is of the views of a render set, of these files, read in this way."""
    skipped = record.provenance.get("left_out", {})
    return (
        [row.name for row in record.views] == [name for name in renders.references if name not in skipped]
        and record.split == renders.id.split
        and _has_provenance(record, renders)
        and all(_row_is_of(row, renders, masked, folder) for row in record.views)
    )


def _has_provenance(record: Record, renders: RenderSet) -> bool:
    """Whether the record says of its images what the render set does: how they are read, which archive they were in."""
    plain = json.loads(json.dumps(renders.provenance))
    return all(record.provenance.get(name) == value for name, value in plain.items())


def _row_is_of(row: ViewRow, renders: RenderSet, masked: bool, folder: Path) -> bool:
    mask = renders.masks.files[row.name] if masked and renders.masks and renders.masks.lasting else None
    files = (renders.renders[row.name].file, renders.references[row.name].file, mask)
    return (row.coverage is not None) == masked and [row.render, row.reference, row.mask] == [
        relative_path(file, folder) for file in files
    ]


def _files(renders: RenderSet, masked: bool) -> Iterable[Path]:
    """All files that a render set would be scored from; an archive for what is in it."""
    for name, reference in renders.references.items():
        for picture in (reference, renders.renders[name]):
            yield picture.path if picture.archive is None else picture.archive.archive
        if masked and renders.masks and renders.masks.lasting:
            yield renders.masks.files[name]


def _is_newer(record: Path, files: Iterable[Path]) -> bool:
    written = record.stat().st_mtime_ns
    return all(file.stat().st_mtime_ns < written for file in set(files))
