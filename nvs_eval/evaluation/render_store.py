"""Renders that are kept: written beside their record as they are made, found again as files to score.

    <dir>/<scene>/<method>[/<run>]/<step, or final>/renders/<view>.png (or .npy)
    <dir>/<scene>/references/<first 12 of their sha256>/<view>.png (and .npy, where 8 bits would change it)

Rendering several checkpoints and scoring them are two stages, so that each reference is decoded and its features are
computed once for all of them. In between lies this folder, with a note of what it holds (`.rendered`, written last), by
which an interrupted command finds what it has rendered already.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.evaluation import render_note as rendered_note
from nvs_eval.evaluation.render_note import Note, is_below
from nvs_eval.evaluation.view_rows import relative_path
from nvs_eval.images.files import save_npy, save_png
from nvs_eval.images.pixels import RANGE_TOLERANCE, quantise, sha256_of_image
from nvs_eval.protocols.protocol import Protocol
from nvs_eval.records.record import Record, read_record, references_sha256
from nvs_eval.records.result_id import ResultId, safe_name
from nvs_eval.sources.image_source import ImageFiles, RenderSet
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import Picture
from nvs_eval.sources.views import View

Keep = Literal["all", "png", "none"]


@dataclass
class Kept:
    """The kept renders of one result, with its references; a context manager while they are written.

    Attributes:
        id: identity of the result.
        identity: what identifies the renders, as the checkpoint says it.
        output_dir: of the command.
        floats: whether float32 renders are written, as `.npy`.
        pngs: whether 8-bit renders are written.
        staged: whether they are scored from here, so that references are written as they are.
        masks: that they are scored with, if there are any.
        note: what is known of them.
    """

    id: ResultId
    identity: Mapping[str, Any]
    output_dir: Path
    floats: bool
    pngs: bool
    staged: bool
    masks: Masks | None = None
    note: Note = field(init=False)
    _partial: Path | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.note = Note(dict(self.identity), self.floats, self.pngs)

    @property
    def folder(self) -> Path:
        """Where the records of this result lie; the renders are below it."""
        return self.output_dir / self.id.folder

    @property
    def renders(self) -> Path:
        """The folder of renders."""
        return self.folder / "renders"

    def render_file(self, name: str) -> Path:
        """The render of a view that is scored, once all are written."""
        return self.renders / f"{name}{'.npy' if self.floats else '.png'}"

    def reference_file(self, name: str) -> Path:
        """The reference of a view that is scored, likewise: as float32 where 8 bits would change it."""
        inexact = name in self.note.inexact_references and (self.floats or self.staged)
        return self._reference(name, ".npy" if inexact else ".png")

    def _reference(self, name: str, extension: str) -> Path:
        return self._references_above / self._digest / f"{name}{extension}"

    @property
    def _digest(self) -> str:
        return references_sha256(self.note.reference_sha256.values())[:12]

    @property
    def _references_above(self) -> Path:
        return self.output_dir / safe_name(self.id.scene) / "references"

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what was begun and, if `finish` was not reached, is of no use."""
        if self._partial is not None:
            shutil.rmtree(self._partial, ignore_errors=True)
        self._partial = None

    def write(self, view: View) -> None:
        """Write a view's one render, and its reference, for `finish` to put in their place.

        Raises:
            InputError: they cannot be written, or what they would be scored from would not be all of the view.
        """
        (render,) = view.renders
        self._check(view)
        self.note.reference_sha256[view.name] = sha256_of_image(view.reference)
        self.note.seconds[view.name] = render.seconds
        self.note.in_range &= _in_range(render.image)
        copy = quantise(view.reference.clamp(0, 1), "round")
        if not (exact := torch.equal(copy, view.reference)):
            self.note.inexact_references[view.name] = sha256_of_image(copy)
        if not (self.floats or self.pngs):
            return
        partial = self._start()
        save_png(partial / "references" / f"{view.name}.png", view.reference)
        if not exact and (self.floats or self.staged):
            save_npy(partial / "references" / f"{view.name}.npy", view.reference)
        if self.floats:
            save_npy(partial / "renders" / f"{view.name}.npy", render.image)
        if self.pngs:
            save_png(partial / "renders" / f"{view.name}.png", render.image)

    def _check(self, view: View) -> None:
        if not is_below(view.name):
            raise InputError(f"The view {view.name!r} cannot be kept: its name leads out of the folder of renders.")

    def _start(self) -> Path:
        """A folder of our own: what an earlier command kept stays whole until there is all of ours."""
        if self._partial is None:
            above = self._references_above.parent
            try:
                above.mkdir(parents=True, exist_ok=True)
                self._partial = Path(tempfile.mkdtemp(dir=above, prefix=".rendering-"))
            except OSError as error:
                raise self._unwritable(error) from error
        return self._partial

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"{self.output_dir} cannot be written: {error}. Say another `--output-dir`, or make room.")

    def finish(self) -> None:
        """All views are written: put renders and references in their place.

        Raises:
            InputError: they cannot be put there.
        """
        if before := Note.read(self.renders):
            # What an interrupted command left behind is as temporary as what this one adds.
            self.note.temporary, self.note.temporary_references = before.temporary, before.temporary_references
        if self._partial is None:
            return
        try:
            new = _merge(self._partial / "references", self._references_above / self._digest)
            self.note.temporary_references += [f"{self._digest}/{name}" for name in new]
            self.note.temporary += _merge(self._partial / "renders", self.renders)
        except OSError as error:
            raise self._unwritable(error) from error

    def write_note(self) -> None:
        """Note what was rendered, so that an interrupted command need not do it again."""
        self.note.write(self.renders)

    def restore(self, names: Sequence[str]) -> bool:
        """Take up what an interrupted command rendered and noted, where it is what would be rendered now."""
        note, wanted = Note.read(self.renders), self.note
        if note is None or not note.serves(wanted, names):
            return False
        self.note = note
        files = [*map(self.render_file, names), *map(self.reference_file, names)]
        files += [self._reference(name, ".png") for name in names]
        files += [self.renders / f"{name}.png" for name in names if self.pngs]
        if not all(file.is_file() for file in files):
            self.note = wanted
            return False
        return True

    def settle(self, record: Record, protocol: Protocol, keep: Keep) -> Record:
        """The record with the paths of what stays, and a word on whether that is what was scored."""
        rows = [replace(row, **self._paths(row.name, keep)) for row in record.views]
        exact_references = not self.note.inexact_references or protocol.quantise.reference == "round"
        exact = keep == "all" or (protocol.exact_in_png and exact_references)
        said = "none" if keep == "none" else "as scored" if exact else "8-bit copies of what was scored"
        provenance = {**record.provenance, "kept_renders": said}
        if keep == "png" and self.note.inexact_references:
            # By these a copy is known from a reference that was changed since.
            provenance["reference_copies"] = self.note.inexact_references
        if self.masks is not None and self.masks.binary and protocol.takes_masks:
            provenance["masks"] = "binary"
        return replace(record, views=rows, provenance=provenance)

    def render_set(self) -> RenderSet:
        """What was written, as files to score."""
        names = list(self.note.reference_sha256)
        return RenderSet(
            self.id,
            {name: Picture(self.render_file(name)) for name in names},
            {name: Picture(self.reference_file(name)) for name in names},
            self.note.provenance,
            self.note.seconds,
            self.masks,
        )

    def _paths(self, name: str, keep: Keep) -> dict[str, str | None]:
        if keep == "none":
            return {"render": None, "reference": None}
        reference = self._reference(name, ".png") if keep == "png" else self.reference_file(name)
        render = f"renders/{name}{'.png' if keep == 'png' else '.npy'}"
        return {"render": render, "reference": relative_path(reference, self.folder)}

    def clean(self, keep: Keep) -> None:
        """Remove what was needed in between only."""
        (self.renders / rendered_note.NAME).unlink(missing_ok=True)
        going = {"all": (".png",), "png": (".npy",), "none": (".png", ".npy")}[keep]
        _remove(self.renders, self.note.temporary, going)
        # A reference kept as floats keeps its PNG too: it is written in either case, to be looked at.
        going = {"all": (), "png": (".npy",), "none": (".png", ".npy")}[keep]
        _remove(self._references_above, self.note.temporary_references, going)


def _in_range(image: Tensor) -> bool:
    low, high = image.aminmax()
    return bool(low >= -RANGE_TOLERANCE) and bool(high <= 1 + RANGE_TOLERANCE)


def _remove(folder: Path, names: Sequence[str], extensions: tuple[str, ...]) -> None:
    """Remove the files of these names that have one of the extensions, and what folders that empties."""
    for name in names:
        if name.endswith(extensions):
            (folder / name).unlink(missing_ok=True)
    for path in [*sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True), folder]:
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _merge(source: Path, target: Path) -> list[str]:
    """Move the files below a folder to below another, each at once; gives those that were not there before."""
    new = []
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        name = file.relative_to(source).as_posix()
        place = target / name
        if not place.exists():
            new.append(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, place)
    return new


def keeping(views: Iterable[View], kept: Kept) -> Iterator[View]:
    """Write each view, which has one render, before it is yielded."""
    for view in views:
        kept.write(view)
        yield view
    kept.finish()


def as_sources(kept: Sequence[Kept]) -> list[tuple[ImageFiles, list[Kept]]]:
    """Group rendered results with the same references and masks, each group with the source of its files."""
    groups: dict[tuple, list[Kept]] = {}
    for one in kept:
        masks = None if one.masks is None else (one.masks.binary, *one.masks.files.items())
        groups.setdefault((one.id.scene, masks, *one.note.reference_sha256.items()), []).append(one)
    # The first one's references serve all: they are the same images.
    return [
        (ImageFiles([replace(one.render_set(), references=group[0].render_set().references) for one in group]), group)
        for group in groups.values()
    ]


def check_not_copies(folder: Path, protocol: Protocol) -> None:
    """Check that a folder does not hold 8-bit copies of float renders where a protocol scores floats.

    Raises:
        InputError: it lies beside a record that says so: the numbers would pass for those of the renders.
    """
    if protocol.exact_in_png or not any(folder.rglob("*.png")):
        return
    for file in sorted(folder.resolve().parent.glob("*.json")):
        try:
            copies = "kept_renders" in read_record(file).provenance
        except InputError:
            continue
        if copies:
            raise InputError(
                f"{folder} holds 8-bit copies of renders that were made as floats ({file.name} beside it says so), and "
                f"{protocol.name} scores floats: run the checkpoint again under it, or with `--keep-renders all`."
            )
