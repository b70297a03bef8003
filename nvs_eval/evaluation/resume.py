"""Existing records: skip work whose records are of the same inputs, by content, and never replace others unasked."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError, counted, listed, some
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.options import RESULTS, ScoringOptions
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record, read_record, record_file, record_name, write_record
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.image_source import ImageFiles, RenderSet, reading_entry, reading_of
from nvs_eval.sources.masks import Masks

_CHECKPOINT = ("checkpoint_sha256", "config_sha256", "data_sha256")
_OTHER = {
    "checkpoint_sha256": "another checkpoint",
    "config_sha256": "another configuration",
    "data_sha256": "other data",
    "renders": "other renders",
    "references": "other references",
}


@dataclass(frozen=True)
class Inputs:
    """Inputs of a result, to compare with those of an existing record.

    Attributes:
        origin: where the renders come from, for messages.
        names: names of the views.
        identity: returns the entries of provenance that identify the images of some views, by the views' names.
        mask_sha256: returns the hash of a view's mask; None without masks.
    """

    origin: str
    names: Sequence[str]
    identity: Callable[[Sequence[str]], Mapping[str, Any]]
    mask_sha256: Callable[[str], str | None] | None = None

    def difference(self, record: Record, protocol: Protocol) -> str:
        """Describe what a record was scored on, as far as it differs from these inputs; "" if it does not."""
        scored = [row.name for row in record.views]
        if views := _other_views(record, self.names):
            return views
        masks = {row.name: row.mask_sha256 for row in record.views} | record.provenance.get("left_out_masks", {})
        mask_sha256 = self.mask_sha256 if protocol.takes_masks else None
        if (masked := any(masks.values())) != (mask_sha256 is not None):
            return f"images {'with' if masked else 'without'} masks"
        if differences := _differences(record, self.identity(scored)):
            return listed(differences)
        if mask_sha256 is not None and any(masks.get(name) != mask_sha256(name) for name in self.names):
            return "other masks"
        return ""


def of_checkpoint(provenance: Mapping[str, Any], names: Sequence[str], masks: Masks | None) -> Inputs:
    """Return the inputs of a checkpoint: the content of checkpoint, configuration, data and masks."""
    identity = {name: provenance.get(name) for name in _CHECKPOINT}
    origin = f"checkpoint {str(identity['checkpoint_sha256'])[:12]}"
    return Inputs(origin, names, lambda _: identity, None if masks is None else masks.sha256)


def of_files(source: ImageFiles, renders: RenderSet) -> Inputs:
    """Return the inputs of a render set: the content of its files, masks and the options of reading them."""

    def identity(names: Sequence[str]) -> dict[str, Any]:
        return {"reading": reading_entry(source.reading), "inputs_sha256": source.inputs_sha256(renders, names)}

    origin = _common(picture.source for picture in renders.renders.values())
    return Inputs(origin, [*renders.references], identity, None if renders.masks is None else renders.masks.sha256)


def of_record(record: Record, file: Path) -> Inputs:
    """Return the inputs that a record states, for records that are made of its kept renders."""
    masks = {row.name: row.mask_sha256 for row in record.views}
    if record.provenance.get("checkpoint_sha256"):
        identity = {name: record.provenance.get(name) for name in _CHECKPOINT}
    else:
        inputs = record.provenance.get("inputs_sha256")
        identity = {"reading": reading_entry(reading_of(record)), "inputs_sha256": inputs}
    return Inputs(_origin(record, file), [*masks], lambda _: identity, masks.get if any(masks.values()) else None)


def same_renders(provenance: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether renders come from the same checkpoint, configuration and data, by sha256."""
    return all(provenance.get(key) == other.get(key) for key in _CHECKPOINT)


def _other_views(record: Record, names: Sequence[str]) -> str:
    """Describe the views of a record, as far as they are others; "" if they are not."""
    scored = {row.name for row in record.views}
    gone = sorted(scored - {*names})
    new = sorted({*names} - scored - record.provenance.get("left_out", {}).keys())
    if gone and new:
        return f"other views ({some(gone, 3)}, not {some(new, 3)})"
    return f"other views ({len(scored)}, not {counted(len(names), 'view')})" if gone or new else ""


def _differences(record: Record, identity: Mapping[str, Any]) -> list[str]:
    """Return the differences of a record from the entries of provenance that identify images."""
    provenance = record.provenance
    if "inputs_sha256" not in identity:
        if not provenance.get("checkpoint_sha256"):
            return ["image files, not a checkpoint"]
        return [_OTHER[key] for key in _CHECKPOINT if provenance.get(key) != identity.get(key)]
    if provenance.get("checkpoint_sha256"):
        return ["renders of a checkpoint, not image files"]
    inputs, given = provenance.get("inputs_sha256"), identity["inputs_sha256"]
    if not isinstance(inputs, dict) or not isinstance(given, dict):
        return ["images whose hashes an earlier version did not record"]
    others = [_OTHER[key] for key in ("renders", "references") if inputs.get(key) != given.get(key)]
    recorded, reading = reading_entry(reading_of(record)), identity["reading"]
    names = [name for name in recorded | reading if not name.startswith("ignore_")]  # Those change no pixel.
    options = [name for name in names if recorded.get(name) != reading.get(name)]
    return others + [f"images read with another {name.replace('_', ' ')}" for name in options]


def _origin(record: Record, file: Path) -> str:
    """Return where the renders of a record came from."""
    if checkpoint := record.provenance.get("checkpoint_sha256"):
        return f"checkpoint {checkpoint[:12]}"
    if origin := record.provenance.get("renders_from"):
        return str(origin)
    folders = [(file.parent / row.render).parent for row in record.views if row.render]
    return _common(folders) if folders else "renders that were not kept"


def _common(paths: Iterable[Path]) -> str:
    return os.path.commonpath({os.path.normpath(path) for path in paths})


# --- Records in their places ------------------------------------------------------------------------------------------


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
        """Return the existing records of the inputs of a result, by fingerprint.

        Raises:
            InputError: a record of other inputs, or another file, is in the place of a record.
        """
        records = {}
        for protocol in protocols:
            name = record_name(protocol.name, protocol.fingerprint, result.selection)
            file = self.output_dir / result.folder / name
            record = self._existing(file, result)
            if record is None or self.overwrite:
                continue
            if difference := inputs.difference(record, protocol):
                raise self._refusal(file, record, difference, inputs.origin)
            records[protocol.fingerprint] = record
        return records

    def _existing(self, file: Path, result: ResultId) -> Record | None:
        """Return the record in the place of a result; None if there is none, or one that may be replaced unread.

        Raises:
            InputError: the file is a record of another result, or is not readable and may not be replaced.
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
        if record.id != replace(result, run=result.run or None):
            raise InputError(
                f"{file} is the record of another result, {_full_name(record.id)}, whose name leads to the same file "
                f"as {_full_name(result)}. It is never replaced. Use another {self._names}`--output-dir`."
            )
        return record

    @property
    def _names(self) -> str:
        return "`--method` or " if self.renamable else ""

    def _refusal(self, file: Path, record: Record, difference: str, given: str) -> InputError:
        origin = _origin(record, file)
        given = "" if given == origin else f", by a record of {given}"
        return InputError(
            f"{file} was scored on {difference} ({origin}), and would be replaced{given}. Keep both with another "
            f"{self._names}`--output-dir`, or replace it with `--overwrite`."
        )

    def write(self, records: Iterable[Record], callbacks: Callbacks) -> list[Record]:
        """Write records and report their paths. The selection of a record with failed views is known only now.

        Returns:
            The records, with the existing one of the same inputs, where another command wrote one in the meantime.

        Raises:
            InputError: a record cannot be written, or one of other inputs is in its place. The others are written.
        """
        written, errors = [], []
        for record in records:
            path = record_file(record, self.output_dir)
            try:
                if write_record(path, record, replace=self.overwrite):
                    callbacks.say(f"Record: {shlex.quote(str(path))}")
                    written.append(record)
                else:
                    written.append(self._of_another(path, record))
                    callbacks.say(f"{path} is a record of the same inputs. It is kept.")
            except InputError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return written

    def _of_another(self, path: Path, record: Record) -> Record:
        """Return the record that another command has just written.

        Raises:
            InputError: it is of other inputs.
        """
        other, inputs = self._existing(path, record.id), of_record(record, path)
        if other is None:
            raise InputError(f"{path} was written and removed by another command in the meantime. Score again.")
        differences = _differences(other, inputs.identity(()))
        if other.images_sha256 != record.images_sha256:
            differences.append("other views, references or masks")
        if differences:
            raise self._refusal(path, other, listed(differences), inputs.origin)
        return other


def _full_name(result: ResultId) -> str:
    views = f", {result.split} views" if result.split != "test" else ""
    return f"{result.scene!r}, {result.name!r}{views}"
