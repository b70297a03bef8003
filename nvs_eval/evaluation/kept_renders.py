"""Renders that a record kept: where they lie, and whether they still give the numbers of the renders themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.images.files import load_image
from nvs_eval.images.pixels import sha256_of_image
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record
from nvs_eval.sources.image_source import RenderSet, reading_of
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

    @property
    def masks(self) -> Masks | None:
        """The masks that were scored with.

        Raises:
            InputError: one does not exist.
        """
        rows = [row for row in self.record.views if row.mask is not None]
        files = {row.name: self.path(row.mask, "mask", row.name).resolve() for row in rows}
        return Masks(files, binary=self.record.provenance.get("masks") == "binary") if files else None

    def render_set(self, references: Mapping[str, Picture]) -> RenderSet:
        """The kept renders, with references that may lie elsewhere.

        Raises:
            InputError: a file was not kept, or does not exist.
        """
        rows, provenance = self.record.views, self.record.provenance
        carried = {name: provenance[name] for name in _CARRIED if name in provenance}
        scored = {_FROM_RUN: "as scored"} if self.from_run else {}
        return RenderSet(
            self.record.id,
            {row.name: Picture(self.path(row.render, "render", row.name)) for row in rows},
            references,
            {**carried, **scored, "rescored_from": self.file.name},
            {row.name: row.render_seconds for row in rows},
            self.masks,
        )

    def references(self) -> dict[str, Picture]:
        """The kept references.

        Raises:
            InputError: a file was not kept, or does not exist.
        """
        return {row.name: Picture(self.path(row.reference, "reference", row.name)) for row in self.record.views}

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


def check_masks_unchanged(result: Result) -> None:
    """Check that the masks are what they were.

    Raises:
        InputError: one is not, or is gone.
    """
    masks = result.masks
    if masks is None:
        return
    for row in result.record.views:
        if row.name in masks.files and masks.sha256(row.name) != row.mask_sha256:
            mask = masks.files[row.name]
            raise InputError(f"The mask {mask} has changed since {result.file} was made: score it anew.")


def copied_references(result: Result, protocols: Sequence[Protocol]) -> frozenset[str]:
    """The views whose kept reference is an 8-bit copy of what was scored; the others' are what was scored.

    Raises:
        InputError: a reference is not what it was, or a protocol would see the difference.
    """
    copies, reading = set(), reading_of(result.record)
    known_copies = result.record.provenance.get("reference_copies", {})
    exact = [protocol.name for protocol in protocols if protocol.quantise.reference != "round"]
    for row in result.record.views:
        path = result.path(row.reference, "reference", row.name)
        digest = sha256_of_image(load_image(path, reading))
        if digest == row.reference_sha256:
            continue
        if digest != known_copies.get(row.name):
            raise InputError(f"The reference {path} has changed since {result.file} was made: score it anew.")
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
