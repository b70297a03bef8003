"""Storage of renders that are kept or that wait to be scored. They are written to a work folder as they are rendered.

    <dir>/<scene>/<method>[/<run>]/<step or final>/.rendering-<...>/        work folder of one command
    <dir>/<scene>/<method>[/<run>]/<step or final>/renders/<view>.png       (or .npy; renders-<hash>/ beside others)
    <dir>/<scene>/references/<first 12 digits of their sha256>/<view>.png   (and .npy, if 8 bits would change it)

Several checkpoints are first rendered and then scored together, so that each reference is decoded and its features are
computed once for all of them. Until then the renders are in the work folder. After scoring, the files to keep are moved
to their final place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch

from nvs_eval.errors import InputError, quoted
from nvs_eval.evaluation.kept_files import kept_files, move_files, place_of_renders
from nvs_eval.evaluation.prepare import is_in_range
from nvs_eval.evaluation.rows import relative_path
from nvs_eval.evaluation.work_folder import Note, WorkFolder, leftovers
from nvs_eval.images.files import load_image, save_npy, save_png
from nvs_eval.images.pixels import quantise, sha256_of_image
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record, record_files, references_sha256
from nvs_eval.records.result_id import ResultId, safe_name
from nvs_eval.sources.checkpoints import Checkpoint
from nvs_eval.sources.image_source import RenderSet
from nvs_eval.sources.masks import Masks
from nvs_eval.sources.pictures import Picture
from nvs_eval.sources.views import FailedView, View
from nvs_eval.system.files import file_sha256, space_needed

Keep = Literal["all", "png", "none"]
_RENDERS: dict[Keep, tuple[str, ...]] = {"all": (".npy",), "png": (".png",), "none": ()}
# A reference kept as floats also keeps its PNG, for viewing.
_REFERENCES: dict[Keep, tuple[str, ...]] = {"all": (".png", ".npy"), "png": (".png",), "none": ()}


@dataclass(frozen=True, eq=False)
class Job:
    """A checkpoint to evaluate.

    Attributes:
        checkpoint: checkpoint that renders the views.
        id: identity of the result, with the names given by the user.
        masks: masks to score with, or None.
    """

    checkpoint: Checkpoint
    id: ResultId
    masks: Masks | None = None


@dataclass(frozen=True)
class Plan:
    """Files to write while checkpoints are evaluated, and files to keep.

    Attributes:
        keep: renders to keep.
        staged: whether all checkpoints are rendered first and then scored from files.
        floats: whether float32 renders are written.
        pngs: whether 8-bit renders are written.
        protocols: fingerprints of the protocols to score under.
    """

    keep: Keep
    staged: bool
    floats: bool
    pngs: bool
    protocols: tuple[str, ...]


def plan_renders(jobs: Sequence[Job], protocols: Sequence[Protocol], keep: Keep) -> Plan:
    """Choose the files to write: protocols that round to 8 bits are scored from PNGs, all others from floats."""
    staged = len(jobs) > 1
    through_png = all(protocol.exact_in_png for protocol in protocols)
    floats = keep == "all" or (staged and not through_png)
    pngs = keep == "png" or (staged and not floats)
    return Plan(keep, staged, floats, pngs, tuple(protocol.fingerprint for protocol in protocols))


@dataclass
class RenderStore:
    """Writer of the renders and references of one result; a context manager around rendering and scoring.

    On entry it takes over the renders of an interrupted command if they match this job, and removes other leftovers. On
    exit, complete renders that were not scored stay for the next command.

    Attributes:
        job: checkpoint, identity of the result, and masks.
        output_dir: output folder of the command.
        plan: files to write and to keep.
        overwrite: whether to ignore renders of an interrupted command.
        note: description of the renders so far.
        is_rendered: whether all views are written.
        failed: errors of the views that could not be rendered, by name.
    """

    job: Job
    output_dir: Path
    plan: Plan
    overwrite: bool = False
    note: Note = field(init=False)
    is_rendered: bool = field(init=False, default=False)
    failed: dict[str, InputError] = field(init=False, default_factory=dict)
    _work: WorkFolder | None = field(init=False, default=None)
    _is_leftover: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.note = self._new_note()

    def _new_note(self) -> Note:
        plan = self.plan
        return Note(dict(self.job.checkpoint.provenance), plan.floats, plan.pngs, plan.protocols)

    @property
    def bytes_needed(self) -> int:
        """Maximum disk space of the renders still to be written, in bytes."""
        plan, sizes = self.plan, self.job.checkpoint.sizes
        return 0 if self.is_rendered else space_needed(sizes, floats=plan.floats, pngs=plan.pngs, staged=plan.staged)

    @property
    def folder(self) -> Path:
        """Folder of the result's records and kept renders."""
        return self.output_dir / self.job.id.folder

    @property
    def _references(self) -> Path:
        """Folder of the kept references, shared by all results with the same references."""
        digest = references_sha256(self.note.reference_sha256.values())[:12]
        return self.output_dir / safe_name(self.job.id.scene) / "references" / digest

    def __enter__(self) -> RenderStore:
        for work in leftovers(self.folder):
            note = work.read_note()
            if note is not None and not (self.overwrite or self.is_rendered) and self._can_use(work, note):
                self.note, self._work, self.is_rendered, self._is_leftover = note, work, True, True
            elif note is None or set(note.reference_sha256) <= set(self.job.checkpoint.names):
                work.remove()
            else:  # Renders of other views still wait to be scored.
                work.lock.release()
        return self

    def _can_use(self, work: WorkFolder, note: Note) -> bool:
        files = work.files(note, pngs=self.plan.pngs)
        return note.serves(self.note, self.job.checkpoint.names) and all(file.is_file() for file in files)

    def __exit__(self, *_: object) -> None:
        if self._work is not None and self.is_rendered:
            self._work.lock.release()
        elif self._work is not None:
            self._work.remove()
        self._work = None

    @property
    def is_damaged(self) -> bool:
        """Whether a file left by an interrupted command is unreadable. Reads all of them."""
        if self._work is None or not self._is_leftover:
            return False
        try:
            for file in self._work.files(self.note, pngs=self.plan.pngs):
                load_image(file)
        except InputError:
            return True
        return False

    def discard(self) -> None:
        """Remove the renders, so that they can be rendered again."""
        if self._work is not None:
            self._work.remove()
        self.note, self._work, self.is_rendered, self._is_leftover = self._new_note(), None, False, False

    def views(self) -> Iterator[View | FailedView]:
        """Render the views, and write each before yielding it.

        Raises:
            InputError: A view cannot be written, or no view can be rendered.
        """
        for view in self.job.checkpoint:
            if isinstance(view, View):
                self._write(view)
            else:
                self.failed[view.name] = view.failed[0]
            yield view

    def _write(self, view: View) -> None:
        (render,) = view.renders
        note, plan = self.note, self.plan
        if Path(view.name).is_absolute() or ".." in Path(view.name).parts:
            raise InputError(
                f"View {quoted(view.name)} cannot be written: its name points outside the folder of renders."
            )
        note.reference_sha256[view.name] = sha256_of_image(view.reference)
        note.seconds[view.name] = render.seconds
        note.own[view.name] = dict(render.own)
        rounded = quantise(view.reference.clamp(0, 1), "round")
        if not (exact := torch.equal(rounded, view.reference)):
            note.inexact_references[view.name] = sha256_of_image(rounded)
        if not (plan.floats or plan.pngs):
            return
        work = self._open_work().path
        save_png(work / "references" / f"{view.name}.png", view.reference)
        if not exact and (plan.floats or plan.staged):
            save_npy(work / "references" / f"{view.name}.npy", view.reference)
        clipped = plan.staged and not is_in_range(view.bounds[1])
        if clipped:
            note.clipped_renders.append(view.name)  # An 8-bit file cannot show that the range was exceeded.
        if plan.floats or clipped:
            save_npy(work / "renders" / f"{view.name}.npy", render.image)
        if plan.pngs:
            save_png(work / "renders" / f"{view.name}.png", render.image)

    def _open_work(self) -> WorkFolder:
        if self._work is None:
            try:
                self._work = WorkFolder.new(self.folder)
            except OSError as error:
                raise self._unwritable(error) from error
        return self._work

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"{self.output_dir} cannot be written: {error}. Use another `--output-dir`, or free space.")

    def finish_rendering(self) -> None:
        """Record that all views are written, so that they are not rendered again after an interruption."""
        self.note.peak_memory_bytes = self.job.checkpoint.peak_memory_bytes
        self._open_work().write_note(self.note)
        self.is_rendered = True

    def render_set(self) -> RenderSet:
        """Return the written files as a render set to score."""
        work = self._open_work()
        return RenderSet(
            self.job.id,
            {name: Picture(file) for name, file in work.renders(self.note).items()},
            {name: Picture(file) for name, file in work.references(self.note).items()},
            # Anyone can edit the note, so only values with checked types are copied from it into a record.
            {**self.job.checkpoint.provenance, "peak_memory_bytes": self.note.peak_memory_bytes},
            self.note.seconds,
            self.job.masks,
            self.note.own,
            failed=self.failed,
        )

    def publish(self, records: Sequence[Record], protocols: Sequence[Protocol]) -> list[Record]:
        """Move the files to keep to their final place. Without records, nothing is kept.

        Args:
            records: records of this result.
            protocols: protocols of the records.

        Returns:
            The records, with the paths of the kept files and whether these are the images that were scored.

        Raises:
            InputError: The files cannot be moved.
        """
        keep = self.plan.keep if records else "none"
        renders, sha256 = self.folder / "renders", {}
        if self._work is not None:
            try:
                references = kept_files(self._work.path / "references", _REFERENCES[keep])
                move_files(references, self._references)
                files = kept_files(self._work.path / "renders", _RENDERS[keep])
                replaced = {file for record in records for file in record_files(record, self.output_dir)}
                sha256 = {name: file_sha256(file) for name, file in files.items()}
                renders = place_of_renders(sha256, self.folder, replaced if self.overwrite else None)
                move_files(files, renders)
            except OSError as error:
                raise self._unwritable(error) from error
            self._work.remove()
            self._work = None
        by_fingerprint = {protocol.fingerprint: protocol for protocol in protocols}
        hashes = {name.with_suffix("").as_posix(): digest for name, digest in sha256.items()}
        return [self._published(r, by_fingerprint[r.fingerprint], renders.name, hashes) for r in records]

    def _published(self, record: Record, protocol: Protocol, folder: str, hashes: Mapping[str, str]) -> Record:
        keep, inexact = self.plan.keep, self.note.inexact_references
        exact = keep == "all" or (protocol.exact_in_png and (not inexact or protocol.quantise.reference == "round"))
        kept = "none" if keep == "none" else "as scored" if exact else "8-bit copies of what was scored"
        provenance = {**record.provenance, "kept_renders": kept}
        if hashes:
            provenance["kept_sha256"] = hashes  # Another command may replace the files of an old record.
        if keep == "png" and inexact:
            # These hashes distinguish an 8-bit copy from a reference that was changed later.
            provenance["reference_copies"] = inexact
        if self.job.masks is not None and self.job.masks.binary and protocol.takes_masks:
            provenance["masks"] = "binary"
        rows = []
        for row in record.views:
            extension = ".npy" if keep == "all" and row.name in inexact else ".png"
            reference = relative_path(self._references / f"{row.name}{extension}", self.folder)
            render = "".join(f"{folder}/{row.name}{extension}" for extension in _RENDERS[keep]) or None
            rows.append(replace(row, render=render, reference=reference if render else None))
        return replace(record, views=rows, provenance=provenance)
