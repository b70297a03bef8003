"""Storage of renders that are kept or that wait to be scored. They are written to a work folder as they are rendered.

    <dir>/<scene>/<method>[/<run>]/<step or final>/.rendering-<...>/        work folder of one command
    <dir>/<scene>/<method>[/<run>]/<step or final>/renders/<view>.png       (or .npy; renders-<hash>/ beside others)
    <dir>/<scene>/references/<first 12 digits of their sha256>/<view>.png   (and .npy, if 8 bits would change it)

Several checkpoints are first rendered and then scored together, so that each reference is decoded and its features are
computed once for all of them. Until then the renders are in the work folder. After scoring, the files to keep are moved
to their final place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from nvs_eval.errors import InputError, quoted
from nvs_eval.evaluation.kept_files import REFERENCES, RENDERS, KeptFiles, kept_files, move_files, place_of_renders
from nvs_eval.evaluation.plan import Job, Plan
from nvs_eval.evaluation.prepare import is_in_range
from nvs_eval.evaluation.work_folder import Note, Rendered, WorkFolder, leftovers
from nvs_eval.images.files import load_image, save_npy, save_png
from nvs_eval.images.pixels import quantise, sha256_of_image
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record, record_files, references_sha256
from nvs_eval.records.result_id import safe_name
from nvs_eval.sources.image_source import ImageFiles, RenderSet
from nvs_eval.sources.pictures import Picture
from nvs_eval.sources.views import FailedView, View
from nvs_eval.system.files import file_sha256
from nvs_eval.system.space import space_needed


@dataclass
class RenderStore:
    """Writer of the renders and references of one result; a context manager around rendering and scoring.

    On entry it takes over the renders of an interrupted command if they match this job, and removes other leftovers. On
    exit, renders that were not scored stay for the next command.

    Attributes:
        job: checkpoint, identity of the result, and masks.
        output_dir: output folder of the command.
        plan: files to write and to keep.
        overwrite: whether to ignore renders of an interrupted command.
        is_rendered: whether all views are written.
        failed: errors of the views that could not be rendered, by name.
    """

    job: Job
    output_dir: Path
    plan: Plan
    overwrite: bool = False
    is_rendered: bool = field(init=False, default=False)
    failed: dict[str, InputError] = field(init=False, default_factory=dict)
    _work: WorkFolder | None = field(init=False, default=None)
    _leftover: list[str] = field(init=False, default_factory=list)

    @property
    def _note(self) -> Note:
        plan = self.plan
        return Note(dict(self.job.checkpoint.provenance), plan.floats, plan.pngs, plan.protocols)

    @property
    def rendered(self) -> dict[str, Rendered]:
        """Views whose files are written, by name, in the order of the views."""
        views = {} if self._work is None else self._work.views
        return {name: views[name] for name in self.job.checkpoint.names if name in views}

    @property
    def writes_files(self) -> bool:
        """Whether renders are written to files."""
        return self.plan.floats or self.plan.pngs

    @property
    def bytes_needed(self) -> int:
        """Maximum disk space of the renders still to be written, in bytes."""
        plan, checkpoint, rendered = self.plan, self.job.checkpoint, self.rendered
        sizes = [size for name, size in zip(checkpoint.names, checkpoint.sizes, strict=True) if name not in rendered]
        return space_needed(sizes, floats=plan.floats, pngs=plan.pngs, staged=plan.staged)

    @property
    def folder(self) -> Path:
        """Folder of the result's records and kept renders."""
        return self.output_dir / self.job.id.folder

    @property
    def reference_sha256(self) -> dict[str, str]:
        """SHA-256 of the reference of each rendered view, by name."""
        return {name: view.reference_sha256 for name, view in self.rendered.items()}

    @property
    def _copied_references(self) -> dict[str, str]:
        """SHA-256 of the 8-bit copy of each reference that changes in 8 bits, by name of the view."""
        return {name: view.reference_copy for name, view in self.rendered.items() if view.reference_copy}

    @property
    def peak_memory_bytes(self) -> int | None:
        """Peak memory while rendering, if known."""
        measured = self.job.checkpoint.peak_memory_bytes
        return measured if measured is not None or self._work is None else self._work.peak_memory_bytes

    @property
    def found(self) -> dict[str, Any]:
        """Entries of the record's provenance that are known only after rendering."""
        return {**getattr(self.job.checkpoint, "found", {}), "peak_memory_bytes": self.peak_memory_bytes}

    def __enter__(self) -> RenderStore:
        names = set(self.job.checkpoint.names)
        for work in leftovers(self.folder):
            if work.note is not None and not set(work.views) <= names:
                work.close()  # Renders of other views still wait to be scored.
            elif work.note is None or self.overwrite or self._work or not work.note.serves(self._note):
                work.remove()
            else:
                self._take_over(work)
        return self

    def _take_over(self, work: WorkFolder) -> None:
        """Use the views of an interrupted command whose files exist."""
        for name, view in list(work.views.items()):
            if not all(file.is_file() for file in self._files(work, view)):
                del work.views[name]
        self._work, self._leftover = work, list(work.views)
        self.is_rendered = len(work.views) == len(self.job.checkpoint.names)

    def _files(self, work: WorkFolder, view: Rendered) -> set[Path]:
        """Return the files of a view that are needed to go on: those to keep, and those to score.

        One checkpoint that is scored at once may lack the latter.
        """
        scored = {work.render(view), work.reference(view)}
        needed = scored if self.plan.staged else {file for file in scored if file.is_file()}
        return needed | work.copies(view, pngs=self.plan.pngs)

    def __exit__(self, *_: object) -> None:
        if self._work is not None and self._work.views:
            self._work.close()
        elif self._work is not None:
            self._work.remove()
        self._work = None

    def drop_damaged(self) -> int:
        """Drop the views of an interrupted command that have an unreadable file, and return their number."""
        work, leftover = self._work, self._leftover
        if work is None:
            return 0
        damaged = [name for name in leftover if _is_damaged(self._files(work, work.views[name]))]
        for name in damaged:
            del work.views[name]
        self._leftover, self.is_rendered = [], self.is_rendered and not damaged
        return len(damaged)

    def discard(self) -> None:
        """Remove the work folder, after the records are written or to render the views again."""
        if self._work is not None:
            self._work.remove()
        self._work, self.is_rendered = None, False

    def scorable(self, protocols: Sequence[Protocol]) -> ImageFiles | None:
        """Return the rendered views as files that score like the renders under all protocols; None without any."""
        work = self._work
        if work is None or not (work.has_floats or all(protocol.exact_in_png for protocol in protocols)):
            return None
        lacking = [
            name
            for name, view in self.rendered.items()
            if not (work.render(view).is_file() and work.reference(view).is_file())
        ]
        return ImageFiles([replace(self.render_set(), masks=None, failed={})]).without(lacking)

    def render(self, names: Collection[str]) -> Iterator[View | FailedView]:
        """Render views, and write each before yielding it.

        Raises:
            InputError: A view cannot be written, or no view can be rendered.
        """
        for view in self.job.checkpoint.render(names):
            if isinstance(view, View):
                self._write(view)
            else:
                self.failed[view.name] = view.failed[0]
            yield view

    def _write(self, view: View) -> None:
        (render,) = view.renders
        plan = self.plan
        if Path(view.name).is_absolute() or ".." in Path(view.name).parts:
            raise InputError(
                f"View {quoted(view.name)} cannot be written: its name points outside the folder of renders."
            )
        if not self.writes_files:
            return
        rounded = quantise(view.reference.clamp(0, 1), "round")
        copy = None if torch.equal(rounded, view.reference) else sha256_of_image(rounded)
        work = self._open_work()
        save_png(work.path / "references" / f"{view.name}.png", view.reference)
        if copy and (plan.floats or plan.staged):
            save_npy(work.path / "references" / f"{view.name}.npy", view.reference)
        clipped = not is_in_range(view.bounds[1])
        if plan.floats or clipped:
            save_npy(work.path / "renders" / f"{view.name}.npy", render.image)
        if plan.pngs:
            save_png(work.path / "renders" / f"{view.name}.png", render.image)
        digest = sha256_of_image(view.reference)
        rendered = Rendered(view.name, digest, render.seconds, dict(render.own), copy, clipped)
        try:
            work.add(rendered)
        except OSError as error:
            raise self._unwritable(error) from error

    def _open_work(self) -> WorkFolder:
        if self._work is None:
            try:
                self._work = WorkFolder.new(self.folder, self._note)
            except OSError as error:
                raise self._unwritable(error) from error
        return self._work

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(
            f"{self.output_dir} cannot be written: {error.strerror}. Use another `--output-dir`, or free space."
        )

    def finish_rendering(self) -> None:
        """Record that all views are written, with what is known only now."""
        try:
            self._open_work().finish(self.peak_memory_bytes)
        except OSError as error:
            raise self._unwritable(error) from error
        self.is_rendered = True

    def render_set(self) -> RenderSet:
        """Return the written files as a render set to score."""
        work, views = self._open_work(), self.rendered
        return RenderSet(
            self.job.id,
            {name: Picture(work.render(view)) for name, view in views.items()},
            {name: Picture(work.reference(view)) for name, view in views.items()},
            # Anyone can edit the note, so only values with checked types are copied from it into a record.
            {**self.job.checkpoint.provenance, **self.found},
            {name: view.seconds for name, view in views.items()},
            self.job.masks,
            {name: view.own for name, view in views.items()},
            failed=self.failed,
        )

    @property
    def _references(self) -> Path:
        """Folder of the kept references, shared by all results with the same references."""
        digest = references_sha256(self.reference_sha256.values())[:12]
        return self.output_dir / safe_name(self.job.id.scene) / "references" / digest

    def publish(self, records: Sequence[Record], protocols: Sequence[Protocol]) -> list[Record]:
        """Put the files to keep into their final place. Without records, nothing is kept.

        The renders also stay in the work folder until `discard`, after the records are written.

        Args:
            records: records of this result.
            protocols: protocols of the records.

        Returns:
            The records, with the paths of the kept files and whether these are the images that were scored.

        Raises:
            InputError: The files cannot be moved.
        """
        keep = self.plan.keep if records else "none"
        kept = KeptFiles(keep, self.folder, self._references, self._copied_references)
        if self._work is not None:
            try:
                move_files(kept_files(self._work.path / "references", REFERENCES[keep]), kept.references)
                files = kept_files(self._work.path / "renders", RENDERS[keep])
                replaced = {file for record in records for file in record_files(record, self.output_dir)}
                sha256 = {name: file_sha256(file) for name, file in files.items()}
                renders = place_of_renders(sha256, self.folder, replaced if self.overwrite else None)
                move_files(files, renders)
            except OSError as error:
                raise self._unwritable(error) from error
            hashes = {name.with_suffix("").as_posix(): digest for name, digest in sha256.items()}
            kept = replace(kept, renders=renders.name, sha256=hashes)
        by_fingerprint = {protocol.fingerprint: protocol for protocol in protocols}
        stated = [kept.stated_in(record, by_fingerprint[record.fingerprint]) for record in records]
        if self.job.masks is None or not self.job.masks.binary:
            return stated
        masked = {protocol.fingerprint for protocol in protocols if protocol.takes_masks}
        binary = {"masks": "binary"}
        return [replace(r, provenance={**r.provenance, **(binary if r.fingerprint in masked else {})}) for r in stated]


def _is_damaged(files: Collection[Path]) -> bool:
    try:
        for file in files:
            load_image(file)
    except InputError:
        return True
    return False
