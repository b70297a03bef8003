"""Existing records: skip work whose records are of the same inputs, by content, and never replace others unasked."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError, counted, listed, quoted, some
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.options import RESULTS, ScoringOptions
from nvs_eval.images.stored import warn
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record, read_record, record_file, record_files, record_name, write_record
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
        mask_sha256: returns the hash of a view's mask, or None if it is damaged; None without masks.
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
        compared = [name for name in self.names if name not in record.failed]
        mask_sha256 = self.mask_sha256 if protocol.takes_masks else None
        if (masked := any(masks.values())) != (mask_sha256 is not None):
            return f"images {'with' if masked else 'without'} masks"
        if differences := _differences(record, self.identity(scored)):
            return listed(differences)
        if mask_sha256 is not None and any(mask_sha256(name) not in (None, masks.get(name)) for name in compared):
            return "other masks"
        return ""


def of_checkpoint(provenance: Mapping[str, Any], names: Sequence[str], masks: Masks | None) -> Inputs:
    """Return the inputs of a checkpoint: the content of checkpoint, configuration, data and masks."""
    identity = {name: provenance.get(name) for name in _CHECKPOINT}
    origin = f"checkpoint {str(identity['checkpoint_sha256'])[:12]}"
    return Inputs(origin, names, lambda _: identity, _sha256_of(masks))


def of_files(source: ImageFiles, renders: RenderSet) -> Inputs:
    """Return the inputs of a render set: the content of its files, masks and the options of reading them."""

    def identity(names: Sequence[str]) -> dict[str, Any]:
        return {"reading": reading_entry(source.reading), "inputs_sha256": source.inputs_sha256(renders, names)}

    origin = _common(picture.source for picture in renders.renders.values())
    return Inputs(origin, [*renders.references], identity, _sha256_of(renders.masks))


def of_record(record: Record, file: Path) -> Inputs:
    """Return the inputs that a record states, for records that are made of its kept renders."""
    masks = {row.name: row.mask_sha256 for row in record.views}
    if record.provenance.get("checkpoint_sha256"):
        identity = {name: record.provenance.get(name) for name in _CHECKPOINT}
    else:
        inputs = record.provenance.get("inputs_sha256")
        identity = {"reading": reading_entry(reading_of(record)), "inputs_sha256": inputs}
    names = [*masks, *record.failed]
    return Inputs(_origin(record, file), names, lambda _: identity, masks.get if any(masks.values()) else None)


def _sha256_of(masks: Masks | None) -> Callable[[str], str | None] | None:
    """Return a function that hashes the mask of a view, or warns if it is damaged, which costs its view when scored."""
    if masks is None:
        return None

    def sha256(name: str) -> str | None:
        try:
            return masks.sha256(name)
        except InputError:
            kind = "is damaged, and was not compared with the mask of an existing record"
            warn(masks.files[name], kind, "Replace it and run the command again.")
            return None

    return sha256


def same_renders(provenance: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether renders come from the same checkpoint, configuration and data, by sha256."""
    return all(provenance.get(key) == other.get(key) for key in _CHECKPOINT)


def _other_views(record: Record, names: Sequence[str]) -> str:
    """Describe the views of a record, as far as they are others; "" if they are not."""
    intended = {*(row.name for row in record.views), *record.failed}
    gone = sorted(intended - {*names})
    new = sorted({*names} - intended - record.left_out.keys())
    if gone and new:
        return f"{'view' if len(gone) == 1 else 'views'} {some(gone, 3)}, not {some(new, 3)}"
    return f"{counted(len(intended), 'view')}, not {len(names)}" if gone or new else ""


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
        return _common([str(origin)])
    folders = [(file.parent / row.render).parent for row in record.views if row.render]
    return _common(folders) if folders else "renders that were not kept"


def _common(paths: Iterable[str | Path]) -> str:
    """Return the common folder of paths, relative to the current folder if it is below it."""
    common = Path(os.path.commonpath({os.path.realpath(path) for path in paths}))
    here = Path.cwd().resolve()
    return str(common.relative_to(here) if common.is_relative_to(here) else common)


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
        """Return the complete records of the inputs of a result, by fingerprint. Incomplete ones are scored again.

        Raises:
            InputError: a record of other inputs, or another file, is in the place of a record.
        """
        records = {p.fingerprint: self._finished(result, p, inputs) for p in protocols}
        return {fingerprint: record for fingerprint, record in records.items() if record is not None}

    def _finished(self, result: ResultId, protocol: Protocol, inputs: Inputs) -> Record | None:
        for incomplete in (False, True):
            name = record_name(protocol.name, protocol.fingerprint, result.selection, incomplete=incomplete)
            file = self.output_dir / result.folder / name
            record = self._existing(file, result)
            if record is None or self.overwrite:
                continue
            if difference := inputs.difference(record, protocol):
                raise self._refusal(file, record, difference, inputs.origin)
            if not incomplete:
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

    def _refusal(self, file: Path, record: Record, difference: str, given: str) -> InputError:
        origin = _origin(record, file)
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
    ) -> list[Record]:
        """Write records and report their paths.

        Args:
            records: new records.
            protocols: protocols of the records.
            inputs: inputs of each result.
            callbacks: callbacks for messages.

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
