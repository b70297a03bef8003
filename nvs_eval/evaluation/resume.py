"""Existing records: skip work whose records match the current inputs, and never replace others silently."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError
from nvs_eval.evaluation.evaluate import relative_path
from nvs_eval.evaluation.options import ScoringOptions
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record, ViewRow, read_record, record_name
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.image_source import RenderSet
from nvs_eval.sources.masks import Masks

IsCurrent = Callable[[Record, Protocol, Path], bool]
"""Function that returns whether a record of a protocol, read from a file, matches the current inputs."""
_IDENTITY = ("checkpoint_sha256", "config_sha256", "data_sha256")


def up_to_date(
    result: ResultId, protocols: Sequence[Protocol], output_dir: Path, is_current: IsCurrent
) -> list[Record]:
    """Return the up-to-date records of a result, one per protocol; an empty list if any is missing or outdated.

    Args:
        result: identity of the result.
        protocols: protocols of the records.
        output_dir: output folder of the records.
        is_current: compares a record with the inputs, such as `of_checkpoint(...)` or `of_files(...)`.
    """
    records = []
    for protocol in protocols:
        file, record = _existing(result, protocol, output_dir)
        if record is None or record.split != result.split or not is_current(record, protocol, file):
            return []
        records.append(record)
    return records


def check_not_replaced(ids: Sequence[ResultId], protocols: Sequence[Protocol], options: ScoringOptions) -> None:
    """Check that no record with masks would replace one without masks, or the reverse.

    Raises:
        InputError: A record would be replaced; the message names it.
    """
    if options.output_dir is None or options.overwrite:
        return
    for result, protocol in itertools.product(ids, protocols):
        file, record = _existing(result, protocol, options.output_dir)
        masked = record is not None and any(row.coverage is not None for row in record.views)
        if record is not None and masked != (options.masked and protocol.takes_masks):
            raise InputError(
                f"{file} was scored {'with' if masked else 'without'} masks and would be replaced. Use another "
                "`--output-dir`, or `--overwrite`."
            )


def _existing(result: ResultId, protocol: Protocol, output_dir: Path) -> tuple[Path, Record | None]:
    """Return the file of a record, and the record; None if the file is missing or unreadable."""
    file = output_dir / result.folder / record_name(protocol.name, protocol.fingerprint, result.selection)
    try:
        return file, read_record(file)
    except InputError:
        return file, None


def same_renders(provenance: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether renders come from the same checkpoint, configuration and data, by sha256."""
    return all(provenance.get(key) == other.get(key) for key in _IDENTITY)


# --- Trained checkpoints --------------------------------------------------------------------------------------------


def of_checkpoint(provenance: Mapping[str, Any], names: Sequence[str], masks: Masks | None) -> IsCurrent:
    """Return a comparison of records with a checkpoint, by the content of checkpoint, configuration, data and masks."""

    def is_current(record: Record, protocol: Protocol, file: Path) -> bool:
        hashes = {row.name: row.mask_sha256 for row in record.views} | record.provenance.get("left_out_masks", {})
        used_masks = masks if protocol.takes_masks else None
        return (
            same_renders(record.provenance, provenance)
            and _same_names(record, names)
            and all(hashes.get(name) == (used_masks and used_masks.sha256(name)) for name in names)
        )

    return is_current


def _same_names(record: Record, names: Iterable[str]) -> bool:
    skipped = record.provenance.get("left_out", {})
    return [row.name for row in record.views] == [name for name in names if name not in skipped]


# --- Files ----------------------------------------------------------------------------------------------------------


def of_files(renders: RenderSet) -> IsCurrent:
    """Return a comparison of records with image files, by names, paths, masks, reading options and age."""
    # Convert tuples to lists, as in a record read from JSON.
    provenance = json.loads(json.dumps(renders.provenance))

    def is_current(record: Record, protocol: Protocol, file: Path) -> bool:
        masks = renders.masks if protocol.takes_masks else None
        written = file.stat().st_mtime_ns
        return (
            _same_names(record, renders.references)
            and all(record.provenance.get(name) == value for name, value in provenance.items())
            and all(_is_row_of(row, renders, masks, file.parent) for row in record.views)
            and all(used.stat().st_mtime_ns < written for used in _files(renders, masks))
        )

    return is_current


def _is_row_of(row: ViewRow, renders: RenderSet, masks: Masks | None, folder: Path) -> bool:
    mask = None if masks is None else masks.lasting_file(row.name)
    files = (renders.renders[row.name].file, renders.references[row.name].file, mask)
    paths = [relative_path(file, folder) for file in files]
    return (row.coverage is not None) == (masks is not None) and [row.render, row.reference, row.mask] == paths


def _files(renders: RenderSet, masks: Masks | None) -> set[Path]:
    """Return all files that a render set is scored from; for images in an archive, the archive."""
    pictures = [*renders.references.values(), *(renders.renders[name] for name in renders.references)]
    files = {picture.path if picture.archive is None else picture.archive.archive for picture in pictures}
    return files | {masks.files[name] for name in renders.references if masks is not None and masks.lasting}
