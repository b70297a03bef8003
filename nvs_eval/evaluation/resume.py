"""Which records exist already, of the inputs as they are now: so that finished work is not done again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError
from nvs_eval.evaluation.evaluate import relative_path
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record, ViewRow, read_record, record_name
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.image_source import RenderSet
from nvs_eval.sources.masks import Masks

IsCurrent = Callable[[Record, Protocol, Path], bool]
"""Whether a record, of a protocol and read from a file, is of the inputs as they are now."""
_IDENTITY = ("checkpoint_sha256", "config_sha256", "data_sha256")


def up_to_date(
    result: ResultId, protocols: Sequence[Protocol], output_dir: Path, is_current: IsCurrent
) -> list[Record]:
    """Return the records of a result that need not be made again: one for each protocol, or none.

    Args:
        result: identity of the result.
        protocols: the protocols, one record each.
        output_dir: where the records lie.
        is_current: compares a record with the inputs: `of_checkpoint`, `of_files`, or another.
    """
    records = []
    for protocol in protocols:
        file = output_dir / result.folder / record_name(protocol.name, protocol.fingerprint)
        try:
            record = read_record(file)
        except InputError:
            return []
        if record.split != result.split or not is_current(record, protocol, file):
            return []
        records.append(record)
    return records


def same_renders(provenance: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether renders come from the same checkpoint, configuration and data, by their sha256."""
    return all(provenance.get(key) == other.get(key) for key in _IDENTITY)


# --- Trained checkpoints --------------------------------------------------------------------------------------------


def of_checkpoint(provenance: Mapping[str, Any], names: Sequence[str], masks: Masks | None) -> IsCurrent:
    """Compare records with a checkpoint, by content: checkpoint, configuration, data, views and masks."""

    def is_current(record: Record, protocol: Protocol, file: Path) -> bool:
        masks_taken = masks if protocol.takes_masks else None
        return same_renders(record.provenance, provenance) and _has_views(record, names, masks_taken)

    return is_current


def _has_views(record: Record, names: Sequence[str], masks: Masks | None) -> bool:
    """Whether a record is of these views under these masks."""
    if not _same_names(record, names):
        return False
    hashes = {row.name: row.mask_sha256 for row in record.views} | record.provenance.get("left_out_masks", {})
    return all(hashes.get(name) == (masks and masks.sha256(name)) for name in names)


def _same_names(record: Record, names: Iterable[str]) -> bool:
    skipped = record.provenance.get("left_out", {})
    return [row.name for row in record.views] == [name for name in names if name not in skipped]


# --- Files ----------------------------------------------------------------------------------------------------------


def of_files(renders: RenderSet) -> IsCurrent:
    """Compare records with image files: by names, places, masks and the way they are read; none is newer."""
    return partial(_is_of_files, renders)


def _is_of_files(renders: RenderSet, record: Record, protocol: Protocol, file: Path) -> bool:
    masks = renders.masks if renders.masks is not None and protocol.takes_masks else None
    # Plain, as the record was read: JSON has lists for tuples.
    provenance = json.loads(json.dumps(renders.provenance))
    return (
        _same_names(record, renders.references)
        and all(record.provenance.get(name) == value for name, value in provenance.items())
        and all(_is_row_of(row, renders, masks, file.parent) for row in record.views)
        and _is_newest(file, _files(renders, masks))
    )


def _is_row_of(row: ViewRow, renders: RenderSet, masks: Masks | None, folder: Path) -> bool:
    mask = masks.files[row.name] if masks is not None and masks.lasting else None
    files = (renders.renders[row.name].file, renders.references[row.name].file, mask)
    paths = [relative_path(file, folder) for file in files]
    return (row.coverage is not None) == (masks is not None) and [row.render, row.reference, row.mask] == paths


def _files(renders: RenderSet, masks: Masks | None) -> Iterable[Path]:
    """All files that a render set would be scored from; an archive for what is in it."""
    for name, reference in renders.references.items():
        for picture in (reference, renders.renders[name]):
            yield picture.path if picture.archive is None else picture.archive.archive
        if masks is not None and masks.lasting:
            yield masks.files[name]


def _is_newest(record: Path, files: Iterable[Path]) -> bool:
    written = record.stat().st_mtime_ns
    return all(file.stat().st_mtime_ns < written for file in set(files))
