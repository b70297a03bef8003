"""Inputs of results, by content, and their differences from those that a record was scored on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError, counted, listed, some
from nvs_eval.images.stored import warn
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record
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


def _no_files(name: str) -> Sequence[Path | None]:
    del name
    return ()


@dataclass(frozen=True)
class Inputs:
    """Inputs of a result, to compare with those of an existing record.

    Attributes:
        origin: where the renders come from, for messages.
        names: names of the views.
        identity: returns the entries of provenance that identify the images of some views, by the views' names.
        mask_sha256: returns the hash of a view's mask, or None if it is damaged; None without masks.
        files: returns the files of a view that the row of a record names.
    """

    origin: str
    names: Sequence[str]
    identity: Callable[[Sequence[str]], Mapping[str, Any]]
    mask_sha256: Callable[[str], str | None] | None = None
    files: Callable[[str], Sequence[Path | None]] = _no_files

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
    files = _no_files if masks is None else lambda name: [masks.lasting_file(name)]
    return Inputs(origin, names, lambda _: identity, _sha256_of(masks), files)


def of_files(source: ImageFiles, renders: RenderSet) -> Inputs:
    """Return the inputs of a render set: the content of its files, masks and the options of reading them."""

    def identity(names: Sequence[str]) -> dict[str, Any]:
        return {"reading": reading_entry(source.reading), "inputs_sha256": source.inputs_sha256(renders, names)}

    def files(name: str) -> list[Path | None]:
        mask = None if renders.masks is None else renders.masks.lasting_file(name)
        return [renders.renders[name].file, source.references[name].file, mask]

    origin = _common(picture.source for picture in renders.renders.values())
    return Inputs(origin, [*renders.references], identity, _sha256_of(renders.masks), files)


def of_record(record: Record, file: Path) -> Inputs:
    """Return the inputs that a record states, for records that are made of its kept renders."""
    masks = {row.name: row.mask_sha256 for row in record.views}
    if record.provenance.get("checkpoint_sha256"):
        identity = {name: record.provenance.get(name) for name in _CHECKPOINT}
    else:
        inputs = record.provenance.get("inputs_sha256")
        identity = {"reading": reading_entry(reading_of(record)), "inputs_sha256": inputs}
    names = [*masks, *record.failed]
    rows = {row.name: [row.render, row.reference, row.mask] for row in record.views}

    def files(name: str) -> list[Path | None]:
        return [None if path is None else file.parent / path for path in rows[name]]

    mask_sha256 = masks.get if any(masks.values()) else None
    return Inputs(origin_of(record, file), names, lambda _: identity, mask_sha256, files)


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


def origin_of(record: Record, file: Path) -> str:
    """Return where the renders of a record came from."""
    if checkpoint := record.provenance.get("checkpoint_sha256"):
        return f"checkpoint {checkpoint[:12]}"
    if origin := record.provenance.get("renders_from"):
        return _common([str(origin)])
    folders = [(file.parent / row.render).parent for row in record.views if row.render]
    return _common(folders) if folders else "renders that were not kept"


def _common(paths: Iterable[str | Path]) -> str:
    """Return the common folder of paths, relative to the current folder if it is in it."""
    common = Path(os.path.commonpath({os.path.realpath(path) for path in paths}))
    here = Path.cwd().resolve()
    return str(common.relative_to(here) if here in common.parents else common)
