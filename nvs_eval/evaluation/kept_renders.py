"""Kept renders of a record: their files, and whether these still score like the original renders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from nvs_eval.errors import LONGEST_PATH, InputError, quoted, shortened
from nvs_eval.images.files import load_image
from nvs_eval.images.pixels import sha256_of_image
from nvs_eval.protocols import Protocol
from nvs_eval.records.files import output_dir_of
from nvs_eval.records.record import Record
from nvs_eval.records.schema import ViewRow
from nvs_eval.sources.image_source import ImageFiles, RenderSet, reading_of
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import Picture
from nvs_eval.system.files import is_file
from nvs_eval.system.hashes import remembered_sha256

_FROM_RUN = "kept_renders"
_CARRIED = (
    *("checkpoint_sha256", "config_sha256", "data_sha256", "peak_memory_bytes", "reading"),
    *("kept_sha256", "reference_copies", "masks", "masks_not_used", "index_sha256"),
)


@dataclass(frozen=True)
class Result:
    """Record and the file it was read from."""

    file: Path
    record: Record

    @property
    def root(self) -> Path:
        """Output folder of the record; relative if the record's path is.

        Raises:
            InputError: The record is not in the folder of its scene, method, run and step.
        """
        root = output_dir_of(self.file, self.record)
        if root is None:
            raise InputError(
                f"{self.file} must be in {self.record.id.folder.as_posix()}, the folder of its scene, method, run and "
                "step. Name a folder for the new records with `--output-dir`."
            )
        return root

    @property
    def masked(self) -> bool:
        """Whether the record was scored with masks."""
        return any(row.mask is not None for row in self.record.views)

    @property
    def masks(self) -> Masks | None:
        """Masks that the record was scored with.

        Raises:
            InputError: A mask does not exist.
        """
        rows = [row for row in self.record.views if row.mask is not None]
        files = {row.name: self.file_of(row.mask, "mask", row.name).resolve() for row in rows}
        return Masks(files, binary=self.record.provenance.get("masks") == "binary") if files else None

    def references(self) -> dict[str, Picture]:
        """Return the kept references.

        Raises:
            InputError: A file was not kept or does not exist.
        """
        return {row.name: Picture(self.file_of(row.reference, "reference", row.name)) for row in self.record.views}

    def render_set(self, references: Mapping[str, Picture]) -> RenderSet:
        """Return the kept renders, together with references that may be in another folder.

        Raises:
            InputError: A file was not kept or does not exist.
        """
        rows, provenance = self.record.views, self.record.provenance
        carried = {name: provenance[name] for name in _CARRIED if name in provenance}
        scored = {_FROM_RUN: "as scored"} if _FROM_RUN in provenance else {}
        return RenderSet(
            self.record.id,
            {row.name: Picture(self.file_of(row.render, "render", row.name)) for row in rows},
            references,
            {**carried, **scored, "rescored_from": self.file.name},
            {row.name: row.render_seconds for row in rows},
            self.masks,
            {row.name: row.own or {} for row in rows},
        )

    def file_of(self, relative: str | None, kind: str, view: str) -> Path:
        """Return the path of a view's render, reference or mask.

        Raises:
            InputError: The file was not kept or does not exist.
        """
        if relative is None:
            origin = self.record.provenance.get("renders_from")
            advice = (
                f"It came from {shortened(str(origin), LONGEST_PATH)}: score that again"
                if origin
                else "Run it again with `--keep-renders png`"
            )
            raise InputError(f"{self.file}: the {kind} of view {quoted(view)} was not kept. {advice}.")
        path = self.file.parent / relative
        try:
            exists = is_file(path)
        except OSError as error:
            raise InputError(
                f"{self.file}: the {kind} of view {quoted(view)} cannot be read at {path}: {error.strerror}."
            ) from error
        if not exists:
            where = shortened(str(path), LONGEST_PATH)
            raise InputError(f"{self.file}: the {kind} of view {quoted(view)} is no longer at {where}.")
        return path

    def check_serves(self, protocol: Protocol) -> None:
        """Check that renders were kept and score like the original renders under a protocol.

        Raises:
            InputError: They were not kept, or they are 8-bit copies, which changes the scores under this protocol.
        """
        renders = [self.file_of(row.render, "render", row.name) for row in self.record.views]
        # PNGs written by `nvs-eval run` are 8-bit copies of float renders.
        if _FROM_RUN not in self.record.provenance or all(render.suffix == ".npy" for render in renders):
            return
        rounds = protocol.quantise.render == "round" and protocol.colour_correction == "none"
        if not (rounds and (self._was_in_range or protocol.out_of_range == "clamp")):
            raise InputError(
                f"{self.file}: the kept renders are 8-bit copies, but {quoted(protocol.name)} scores floats or values "
                f"outside [0, 1]. Run the checkpoint again under {protocol.name}, or with `--keep-renders all`."
            )

    @property
    def _was_in_range(self) -> bool:
        """Whether the original renders were in [0, 1], so that nothing was clamped in 8-bit copies."""
        return "range" in self.record.neutral or self.record.protocol["definition"].get("out_of_range") == "error"

    @property
    def _changed_in_copies(self) -> set[str]:
        """Steps that may have changed the original renders, although they do not change the kept ones."""
        if _FROM_RUN not in self.record.provenance:
            return set()
        return {"q-render"} if self._was_in_range else {"q-render", "range"}

    def check_renders(self, source: ImageFiles, renders: RenderSet) -> None:
        """Check that renders have not changed since the record was written, if it has hashes of their files.

        A kept render that is damaged costs its view when it is scored.

        Raises:
            InputError: They have changed, or cannot be read.
        """
        recorded = self.record.provenance.get("inputs_sha256")
        names = [row.name for row in self.record.views]
        if isinstance(recorded, dict) and recorded.get("renders") != source.inputs_sha256(renders, names)["renders"]:
            raise InputError(f"The renders of {self.file} have changed since it was written. Score them again.")
        for name, picture in renders.renders.items():
            self.check_render(name, picture.path)

    def check_render(self, name: str, path: Path) -> None:
        """Check that the kept render of a view has not changed, if the record has the hash of its file.

        Raises:
            InputError: It has changed.
        """
        kept = self.record.provenance.get("kept_sha256")
        digest = _sha256_if_readable(partial(remembered_sha256, path))
        changed = digest and isinstance(kept, dict) and kept.get(name) not in (None, digest)
        if changed and _sha256_if_readable(lambda: sha256_of_image(load_image(path))):
            raise InputError(f"The render {path} has changed since {self.file} was written. Run the checkpoint again.")

    def check_unchanged(self, protocols: Sequence[Protocol]) -> None:
        """Check that masks and references have not changed since the record was written.

        Files that cannot be read are checked by `carry_over`, if they can be scored.

        Raises:
            InputError: A file has changed or is gone, or an 8-bit copy changes the scores under a protocol.
        """
        masks, reading = self.masks, reading_of(self.record)
        for row in self.record.views:
            if masks is not None and row.name in masks.files:
                self._check_mask(row, _sha256_if_readable(partial(masks.sha256, row.name)))
            path = self.file_of(row.reference, "reference", row.name)
            digest = _sha256_if_readable(lambda path=path: sha256_of_image(load_image(path, reading)))
            self.check_reference(row, digest, protocols)

    def _check_mask(self, row: ViewRow, digest: str | None) -> None:
        if digest not in (None, row.mask_sha256):
            path = self.file_of(row.mask, "mask", row.name).resolve()
            raise InputError(f"The mask {path} has changed since {self.file} was written. Score the renders again.")

    def check_reference(self, row: ViewRow, digest: str | None, protocols: Sequence[Protocol]) -> None:
        """Check the hash of a view's reference, which is exact or an 8-bit copy of the scored one."""
        if digest in (None, row.reference_sha256):
            return
        path = self.file_of(row.reference, "reference", row.name)
        if digest != self.record.provenance.get("reference_copies", {}).get(row.name):
            raise InputError(
                f"The reference {path} has changed since {self.file} was written. Score the renders again."
            )
        if exact := [protocol.name for protocol in protocols if protocol.quantise.reference != "round"]:
            raise InputError(
                f"The reference {path} is an 8-bit copy of the scored one, which changes the scores under "
                f"{', '.join(exact)}. Run the checkpoint again under it."
            )

    def carry_over(self, record: Record, protocols: Sequence[Protocol]) -> Record:
        """Return a new record with the original sha256 of copied references, and with the views missing before.

        Raises:
            InputError: A scored mask or reference is not that of the earlier record.
        """
        before = {row.name: row for row in self.record.views}
        old, provenance, rows = self.record.provenance, dict(record.provenance), list(record.views)
        copies = old.get("reference_copies", {})
        # Another rule for alpha changes the colours, and so the hash, of a reference with alpha. Copies have none.
        comparable = reading_of(record).alpha == reading_of(self.record).alpha
        for index, row in enumerate(record.views):
            self._check_mask(before[row.name], row.mask_sha256)
            copied = row.reference_sha256 == copies.get(row.name)
            if copied or comparable:
                self.check_reference(before[row.name], row.reference_sha256, protocols)
            if copied:
                rows[index] = replace(row, reference_sha256=before[row.name].reference_sha256)
        earlier = {
            "left_out": old.get("left_out", {}),
            "left_out_masks": old.get("left_out_masks", {}),
            "failed": self.record.failed,
        }
        for key, entries in earlier.items():
            if merged := {**entries, **provenance.get(key, {})}:
                provenance[key] = merged
        lost = self._changed_in_copies | ({"q-reference"} if rows != record.views else set())
        neutral = tuple(step for step in record.neutral if step not in lost)
        return replace(record, views=rows, provenance=provenance, neutral=neutral)


def _sha256_if_readable(sha256: Callable[[], str]) -> str | None:
    """Return the hash of a file, or None if it cannot be read, which costs its view when it is scored."""
    try:
        return sha256()
    except (InputError, OSError):
        return None
