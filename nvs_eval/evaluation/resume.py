"""Records that exist already: those of the inputs as they are now are not made again, others are not lost unseen."""

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
        file, record = _existing(result, protocol, output_dir)
        if record is None or record.split != result.split or not is_current(record, protocol, file):
            return []
        records.append(record)
    return records


def check_not_replaced(ids: Sequence[ResultId], protocols: Sequence[Protocol], options: ScoringOptions) -> None:
    """Check that no record with masks would replace one without, or the reverse.

    Raises:
        InputError: a record would be replaced; the message names it.
    """
    if options.output_dir is None or options.overwrite:
        return
    for result, protocol in itertools.product(ids, protocols):
        file, record = _existing(result, protocol, options.output_dir)
        masked = record is not None and any(row.coverage is not None for row in record.views)
        if record is not None and masked != (options.masked and protocol.takes_masks):
            raise InputError(
                f"{file} was scored {'with' if masked else 'without'} masks, and would be replaced: say another "
                "`--output-dir`, or `--overwrite`."
            )


def _existing(result: ResultId, protocol: Protocol, output_dir: Path) -> tuple[Path, Record | None]:
    """The file of a record, and the record; None where there is none, or none that can be read."""
    file = output_dir / result.folder / record_name(protocol.name, protocol.fingerprint)
    try:
        return file, read_record(file)
    except InputError:
        return file, None


def same_renders(provenance: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether renders come from the same checkpoint, configuration and data, by their sha256."""
    return all(provenance.get(key) == other.get(key) for key in _IDENTITY)


# --- Trained checkpoints --------------------------------------------------------------------------------------------


def of_checkpoint(provenance: Mapping[str, Any], names: Sequence[str], masks: Masks | None) -> IsCurrent:
    """Compare records with a checkpoint, by content: checkpoint, configuration, data, views and masks."""

    def is_current(record: Record, protocol: Protocol, file: Path) -> bool:
        hashes = {row.name: row.mask_sha256 for row in record.views} | record.provenance.get("left_out_masks", {})
        taken = masks if protocol.takes_masks else None
        return (
            same_renders(record.provenance, provenance)
            and _same_names(record, names)
            and all(hashes.get(name) == (taken and taken.sha256(name)) for name in names)
        )

    return is_current


def _same_names(record: Record, names: Iterable[str]) -> bool:
    skipped = record.provenance.get("left_out", {})
    return [row.name for row in record.views] == [name for name in names if name not in skipped]


# --- Files ----------------------------------------------------------------------------------------------------------


def of_files(renders: RenderSet) -> IsCurrent:
    """Compare records with image files: by names, places, masks and the way they are read; none is newer."""
    # Plain, as a record is read: JSON has lists for tuples.
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
    """All files that a render set would be scored from; an archive for what is in it."""
    pictures = [*renders.references.values(), *(renders.renders[name] for name in renders.references)]
    files = {picture.path if picture.archive is None else picture.archive.archive for picture in pictures}
    return files | {masks.files[name] for name in renders.references if masks is not None and masks.lasting}
