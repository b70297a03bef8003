"""Renders that are kept, or that wait to be scored: written as they are made, in a work folder of their own.

    <dir>/<scene>/<method>[/<run>]/<step, or final>/.rendering-<...>/       the work folder of one command
    <dir>/<scene>/<method>[/<run>]/<step, or final>/renders/<view>.png      (or .npy)
    <dir>/<scene>/references/<first 12 of their sha256>/<view>.png          (and .npy, where 8 bits would change it)

Rendering several checkpoints and scoring them are two stages, so that each reference is decoded and its features are
computed once for all of them. In between lies the work folder, with a note of what it holds (`.rendered`, written
last). What is to be kept is moved to its place when it was scored. Whoever has a work folder locks it: so commands that
evaluate one checkpoint at once do not disturb each other, and what an interrupted command rendered serves the next.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch

from nvs_eval.errors import InputError
from nvs_eval.evaluation.evaluate import relative_path
from nvs_eval.evaluation.resume import same_renders
from nvs_eval.images.files import save_npy, save_png
from nvs_eval.images.pixels import RANGE_TOLERANCE, quantise, sha256_of_image
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record, references_sha256
from nvs_eval.records.result_id import ResultId, safe_name
from nvs_eval.sources.image_source import RenderSet
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import Picture
from nvs_eval.sources.views import View
from nvs_eval.system.files import FolderLock, lock_folder, write_whole

Keep = Literal["all", "png", "none"]
_RENDERS: dict[Keep, tuple[str, ...]] = {"all": (".npy",), "png": (".png",), "none": ()}
# A reference kept as floats keeps its PNG too, to be looked at.
_REFERENCES: dict[Keep, tuple[str, ...]] = {"all": (".png", ".npy"), "png": (".png",), "none": ()}
_NOTE, _PREFIX = ".rendered", ".rendering-"


@dataclass(frozen=True)
class Plan:
    """What is written of the renders while checkpoints are evaluated, and what stays.

    Attributes:
        keep: what stays.
        staged: whether all are rendered first, and scored from the files.
        floats: whether float32 renders are written.
        pngs: whether 8-bit renders are written.
        bytes: disk space needed at most.
    """

    keep: Keep
    staged: bool
    floats: bool
    pngs: bool
    bytes: int


class Note(msgspec.Struct):
    """What a work folder holds.

    Attributes:
        provenance: what identifies the renders, and what was measured while they were made.
        floats: whether there are float32 renders.
        pngs: whether there are 8-bit renders.
        reference_sha256: sha256 of each view's reference.
        seconds: time each render took, where known.
        inexact_references: the views whose reference is another in 8 bits, with the sha256 of that copy.
        in_range: whether every render is in [0, 1], which a PNG of it cannot tell.
    """

    provenance: dict[str, Any]
    floats: bool
    pngs: bool
    reference_sha256: dict[str, str] = {}
    seconds: dict[str, float | None] = {}
    inexact_references: dict[str, str] = {}
    in_range: bool = True

    def serves(self, wanted: Note, names: Sequence[str]) -> bool:
        """Whether the renders are those of the wanted checkpoint and views, in every form that is wanted."""
        return (
            same_renders(self.provenance, wanted.provenance)
            and list(self.seconds) == list(self.reference_sha256) == list(names)
            and self.floats >= wanted.floats
            and self.pngs >= wanted.pngs
            and (wanted.floats or self.in_range)
        )


@dataclass
class RenderStore:
    """Writes the renders and references of one result; a context manager as long as they are written and scored.

    Attributes:
        id: identity of the result.
        provenance: what identifies the renders, as the checkpoint says it.
        output_dir: output folder of the command.
        plan: what is written, and what stays.
        masks: masks to score with, or None.
        note: what is known of the renders so far.
    """

    id: ResultId
    provenance: Mapping[str, Any]
    output_dir: Path
    plan: Plan
    masks: Masks | None = None
    note: Note = field(init=False)
    _work: Path | None = field(init=False, default=None)
    _lock: FolderLock | None = field(init=False, default=None)
    _complete: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.note = Note(dict(self.provenance), self.plan.floats, self.plan.pngs)

    @property
    def folder(self) -> Path:
        """Folder of the result's records; the kept renders lie below it."""
        return self.output_dir / self.id.folder

    @property
    def _references(self) -> Path:
        """Folder of the kept references, which all results with the same ones share."""
        digest = references_sha256(self.note.reference_sha256.values())[:12]
        return self.output_dir / safe_name(self.id.scene) / "references" / digest

    def __enter__(self) -> RenderStore:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave complete renders that were not scored for the next command; remove anything less."""
        if self._work is not None and not self._complete:
            shutil.rmtree(self._work, ignore_errors=True)
        if self._lock is not None:
            self._lock.release()
        self._work = self._lock = None

    def keeping(self, views: Iterable[View]) -> Iterator[View]:
        """Write each view, which has one render, before it is yielded.

        Raises:
            InputError: a view cannot be written.
        """
        for view in views:
            self._write(view)
            yield view

    def _write(self, view: View) -> None:
        (render,) = view.renders
        note, plan = self.note, self.plan
        if Path(view.name).is_absolute() or ".." in Path(view.name).parts:
            raise InputError(f"The view {view.name!r} cannot be kept: its name leads out of the folder of renders.")
        note.reference_sha256[view.name] = sha256_of_image(view.reference)
        note.seconds[view.name] = render.seconds
        low, high = view.bounds[1]
        note.in_range &= low >= -RANGE_TOLERANCE and high <= 1 + RANGE_TOLERANCE
        copy = quantise(view.reference.clamp(0, 1), "round")
        if not (exact := torch.equal(copy, view.reference)):
            note.inexact_references[view.name] = sha256_of_image(copy)
        if not (plan.floats or plan.pngs):
            return
        work = self._open_work()
        save_png(work / "references" / f"{view.name}.png", view.reference)
        if not exact and (plan.floats or plan.staged):
            save_npy(work / "references" / f"{view.name}.npy", view.reference)
        if plan.floats:
            save_npy(work / "renders" / f"{view.name}.npy", render.image)
        if plan.pngs:
            save_png(work / "renders" / f"{view.name}.png", render.image)

    def _open_work(self) -> Path:
        if self._work is None:
            self._work = self._new_work()
            # Another command may take a new folder for a leftover before it is locked.
            while (lock := lock_folder(self._work)) is None:
                self._work = self._new_work()
            self._lock = lock
        return self._work

    def _new_work(self) -> Path:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(dir=self.folder, prefix=_PREFIX))
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"{self.output_dir} cannot be written: {error}. Say another `--output-dir`, or make room.")

    def finish_rendering(self, measured: Mapping[str, Any]) -> None:
        """Note that all views are written, so that an interrupted command need not render them again.

        Args:
            measured: what was measured while they were rendered, for the provenance.
        """
        self.note.provenance.update(measured)
        text = msgspec.json.encode(self.note)
        write_whole(self._open_work() / _NOTE, lambda file: file.write(text))
        self._complete = True

    def restore(self, names: Sequence[str]) -> bool:
        """Take over what an interrupted command rendered, where it is what would be rendered now; remove the rest."""
        for work in sorted(self.folder.glob(f"{_PREFIX}*")):
            if (lock := lock_folder(work)) is None:
                continue  # Another command is at work there.
            if not self._complete and self._take_over(work, lock, names):
                continue
            if lock.is_held:  # Without locks nobody knows whether another command is at work there.
                shutil.rmtree(work, ignore_errors=True)
            lock.release()
        return self._complete

    def _take_over(self, work: Path, lock: FolderLock, names: Sequence[str]) -> bool:
        wanted = self.note
        try:
            note = msgspec.json.decode((work / _NOTE).read_bytes(), type=Note)
        except (OSError, ValueError):  # There is none, or none that can be trusted.
            return False
        if not note.serves(wanted, names):
            return False
        self._work, self._lock, self.note = work, lock, note
        files = [*map(self._render_file, names), *map(self._reference_file, names)]
        files += [work / "references" / f"{name}.png" for name in names]
        files += [work / "renders" / f"{name}.png" for name in names if self.plan.pngs]
        self._complete = all(file.is_file() for file in files)
        if not self._complete:
            self._work, self._lock, self.note = None, None, wanted
        return self._complete

    def _render_file(self, name: str) -> Path:
        return self._open_work() / "renders" / f"{name}{'.npy' if self.note.floats else '.png'}"

    def _reference_file(self, name: str) -> Path:
        extension = ".npy" if name in self.note.inexact_references else ".png"
        return self._open_work() / "references" / f"{name}{extension}"

    def render_set(self) -> RenderSet:
        """What was written, as files to score."""
        names = list(self.note.reference_sha256)
        return RenderSet(
            self.id,
            {name: Picture(self._render_file(name)) for name in names},
            {name: Picture(self._reference_file(name)) for name in names},
            self.note.provenance,
            self.note.seconds,
            self.masks,
        )

    def publish(self, records: Sequence[Record], protocols: Mapping[str, Protocol]) -> list[Record]:
        """Move what is kept to its place; without records nothing is kept, as nobody would find it.

        Args:
            records: of this result.
            protocols: the protocols by fingerprint.

        Returns:
            The records with the paths of what is kept, and whether that is what was scored.

        Raises:
            InputError: the files cannot be moved there.
        """
        keep = self.plan.keep if records else "none"
        if self._work is not None:
            try:
                _move(self._work / "references", self._references, _REFERENCES[keep])
                _move(self._work / "renders", self.folder / "renders", _RENDERS[keep])
            except OSError as error:
                raise self._unwritable(error) from error
            shutil.rmtree(self._work, ignore_errors=True)
        return [self._published(record, protocols[record.fingerprint]) for record in records]

    def _published(self, record: Record, protocol: Protocol) -> Record:
        keep, inexact = self.plan.keep, self.note.inexact_references
        exact = keep == "all" or (protocol.exact_in_png and (not inexact or protocol.quantise.reference == "round"))
        kept = "none" if keep == "none" else "as scored" if exact else "8-bit copies of what was scored"
        provenance = {**record.provenance, "kept_renders": kept}
        if keep == "png" and inexact:
            # By these a copy is known from a reference that was changed since.
            provenance["reference_copies"] = inexact
        if self.masks is not None and self.masks.binary and protocol.takes_masks:
            provenance["masks"] = "binary"
        rows = []
        for row in record.views:
            extension = ".npy" if keep == "all" and row.name in inexact else ".png"
            reference = relative_path(self._references / f"{row.name}{extension}", self.folder)
            render = "".join(f"renders/{row.name}{extension}" for extension in _RENDERS[keep]) or None
            rows.append(replace(row, render=render, reference=reference if render else None))
        return replace(record, views=rows, provenance=provenance)


def _move(source: Path, target: Path, extensions: tuple[str, ...]) -> None:
    """Move the files with these extensions below a folder to below another, each at once; all or none."""
    new: list[Path] = []
    try:
        for file in sorted(path for path in source.rglob("*") if path.suffix in extensions and path.is_file()):
            place = target / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                new.append(place)
            os.replace(file, place)
    except OSError:
        for place in new:
            place.unlink(missing_ok=True)
        raise
