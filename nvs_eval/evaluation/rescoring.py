"""Kept renders as sources again: another protocol for what was rendered before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError
from nvs_eval.evaluation.render_note import IDENTITY
from nvs_eval.images.files import load_image
from nvs_eval.images.pixels import sha256_of_image
from nvs_eval.protocols.protocol import Protocol
from nvs_eval.records.files import output_dir_of
from nvs_eval.records.record import Record
from nvs_eval.sources.image_source import ImageFiles, RenderSet, reading_of
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import Picture

_FROM_RUN = "kept_renders"
_CARRIED = (
    *("checkpoint_sha256", "config_sha256", "data_sha256", "peak_memory_bytes", "reading"),
    *("reference_copies", "masks", "masks_not_used"),
)


@dataclass(frozen=True)
class Result:
    """A record and the file that it was read from."""

    file: Path
    record: Record

    @property
    def from_run(self) -> bool:
        """Whether nvs-eval rendered what was scored: PNGs that it kept are then 8-bit copies."""
        return _FROM_RUN in self.record.provenance

    @property
    def masked(self) -> bool:
        """Whether masks were scored with."""
        return any(row.mask is not None for row in self.record.views)

    def made_with(self, other: Record) -> bool:
        """Whether a record is of the same checkpoint and data: of one rendered since, the renders are others."""
        return all(self.record.provenance.get(key) == other.provenance.get(key) for key in IDENTITY)

    def path(self, below: str | None, what: str, view: str) -> Path:
        """Where a file of a view lies.

        Raises:
            InputError: it was not kept, or is not there.
        """
        if below is None:
            origin = self.record.provenance.get("renders_from")
            said = f"they came from {origin}: score that again" if origin else "run it again with `--keep-renders png`"
            raise InputError(f"{self.file}: the {what} of view {view!r} was not kept; {said}.")
        path = self.file.parent / below
        if not path.is_file():
            raise InputError(f"{self.file}: the {what} of view {view!r} is not at {path} any more.")
        return path


def root_of(result: Result) -> Path:
    """The output folder that a record lies in, relative where the record's path is.

    Raises:
        InputError: it does not lie where a record of its scene, method, run and step does.
    """
    root = output_dir_of(result.file, result.record)
    if root is None:
        raise InputError(
            f"{result.file} does not lie in {result.record.id.folder.as_posix()}, where its scene, method, run and "
            "step belong: say with `--output-dir` where the new records go."
        )
    return root


def sources_of(results: Sequence[Result], protocols: Sequence[Protocol]) -> list[ImageFiles]:
    """The kept renders of records as sources: those of the same references and masks together.

    Args:
        results: one a scene, method, run and step, of which `check_serves` has nothing to say.
        protocols: to score them under.

    Raises:
        InputError: renders were not kept, or a file is not there any more or not an image of its view.
    """
    groups: dict[tuple, list[Result]] = {}
    for result in results:
        rows = result.record.views
        provenance = result.record.provenance
        files = [(row.name, result.path(row.reference, "reference", row.name).resolve()) for row in rows]
        key = (result.record.scene, str(provenance.get("reading")), *files, *_masks(result).items(), _binary(result))
        groups.setdefault(key, []).append(result)
    sources = [_source(group) for group in groups.values()]
    for source in sources:
        source.check({protocol.alpha for protocol in protocols})
    return sources


def check_serves(result: Result, protocol: Protocol) -> None:
    """Check that renders were kept, and give the numbers that the renders themselves would.

    Raises:
        InputError: they were not kept; or they are 8-bit copies, and the protocol would see the difference.
    """
    for row in result.record.views:
        result.path(row.render, "render", row.name)
    if not result.from_run or all(str(row.render).endswith(".npy") for row in result.record.views):
        return
    # A protocol that makes it an error has seen that every render is in range, so that its PNG lost nothing there.
    in_range = result.record.protocol["definition"].get("out_of_range") == "error"
    rounds = protocol.quantise.render == "round" and protocol.colour_correction == "none"
    if rounds and (in_range or protocol.out_of_range == "clamp"):
        return
    raise InputError(
        f"{result.file}: what was kept of its renders are 8-bit copies, and {protocol.name!r} scores floats, or "
        f"renders beyond [0, 1]: run the checkpoint again under {protocol.name}, or with `--keep-renders all`."
    )


def _source(group: Sequence[Result]) -> ImageFiles:
    first = group[0]
    files = _masks(first)
    masks = Masks(files, binary=_binary(first)) if files else None
    return ImageFiles([_render_set(result, first, masks) for result in group], reading_of(first.record))


def _render_set(result: Result, first: Result, masks: Masks | None) -> RenderSet:
    """The kept files of a result; the references of the first of a group serve all, as they are the same files."""
    rows = result.record.views
    return RenderSet(
        result.record.id,
        {row.name: Picture(result.path(row.render, "render", row.name)) for row in rows},
        {row.name: Picture(first.path(row.reference, "reference", row.name)) for row in first.record.views},
        _provenance(result),
        {row.name: row.render_seconds for row in rows},
        masks,
    )


def _masks(result: Result) -> dict[str, Path]:
    """The files of the masks that a result was scored with."""
    rows = [row for row in result.record.views if row.mask is not None]
    return {row.name: result.path(row.mask, "mask", row.name).resolve() for row in rows}


def _binary(result: Result) -> bool:
    return result.record.provenance.get("masks") == "binary"


def check_masks_unchanged(result: Result) -> None:
    """Check that the masks are what they were.

    Raises:
        InputError: one is not, or is gone.
    """
    files = _masks(result)
    masks = Masks(files, binary=_binary(result))
    for row in result.record.views:
        if row.name in files and masks.sha256(row.name) != row.mask_sha256:
            raise InputError(f"The mask {files[row.name]} has changed since {result.file} was made: score it anew.")


def _provenance(result: Result) -> dict[str, Any]:
    record = result.record
    provenance = {name: record.provenance[name] for name in _CARRIED if name in record.provenance}
    if result.from_run:
        provenance[_FROM_RUN] = "as scored"
    provenance["rescored_from"] = result.file.name
    return provenance


def copied_references(result: Result, protocols: Sequence[Protocol]) -> frozenset[str]:
    """The views whose kept reference is an 8-bit copy of what was scored; the others' are what was scored.

    Raises:
        InputError: a reference is not what it was, or a protocol would see the difference.
    """
    copies, reading = set(), reading_of(result.record)
    known = result.record.provenance.get("reference_copies", {})
    for row in result.record.views:
        path = result.path(row.reference, "reference", row.name)
        found = sha256_of_image(load_image(path, reading))
        if found == row.reference_sha256:
            continue
        if found != known.get(row.name):
            raise InputError(f"The reference {path} has changed since {result.file} was made: score it anew.")
        exact = [protocol.name for protocol in protocols if protocol.quantise.reference != "round"]
        if exact:
            raise InputError(
                f"The reference {path} is an 8-bit copy of what was scored, and {', '.join(exact)} would see the "
                "difference: run the checkpoint again under it."
            )
        copies.add(row.name)
    return frozenset(copies)


def with_known_references(record: Record, before: Result, copies: frozenset[str]) -> Record:
    """A new record whose references that were copies are known by the sha256 of what they are copies of.

    Views that were left out before are said to be, for they are here too.
    """
    known = {row.name: row.reference_sha256 for row in before.record.views}
    rows = [replace(row, reference_sha256=known[row.name]) if row.name in copies else row for row in record.views]
    provenance = dict(record.provenance)
    for key in ("left_out", "left_out_masks"):
        if both := {**before.record.provenance.get(key, {}), **provenance.get(key, {})}:
            provenance[key] = both
    return replace(record, views=rows, provenance=provenance)
