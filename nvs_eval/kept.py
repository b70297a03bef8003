"""Renders that are kept: written beside their record as they are made, found again as files to score.

    <dir>/<scene>/<method>[/<run>]/<step, or final>/renders/<view>.png (or .npy)
    <dir>/<scene>/references/<first 12 of their sha256>/<view>.png (or .npy)

Rendering several checkpoints and scoring them are two stages, so that each reference is decoded and its features are
computed once for all of them. In between lies this folder, with a note of what it holds (`.rendered`, written last), by
which an interrupted command finds what it has rendered already.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch

from nvs_eval.errors import InputError
from nvs_eval.evaluate import relative_path
from nvs_eval.image_files import save_npy, save_png
from nvs_eval.images import quantise, sha256_of_image
from nvs_eval.protocols import Protocol
from nvs_eval.records import Record, record_folder, references_sha256
from nvs_eval.sources.folders import ImageFiles
from nvs_eval.views import Column, Source, View
from nvs_eval.whole_files import write_whole

Keep = Literal["all", "png", "none"]
IDENTITY = ("checkpoint_sha256", "config_sha256", "data_sha256")
"""What in a column's provenance makes its renders what they are."""
_NOTE = ".rendered"


@dataclass
class Kept:
    """The kept renders of one column, with its references.

    Attributes:
        column: what made the renders.
        output_dir: of the command.
        floats: whether float32 renders are written, as `.npy`.
        pngs: whether 8-bit renders are written.
        reference_sha256: of each view written so far.
        seconds: what each render took.
        exact_references: whether every reference is the same in 8 bits.
        temporary: the files among the renders that go once they were scored, unless they are asked for; those of
            earlier commands stay.
        temporary_references: likewise.
    """

    column: Column
    output_dir: Path
    floats: bool
    pngs: bool
    reference_sha256: dict[str, str]
    seconds: dict[str, float | None]
    exact_references: bool = True
    temporary: list[str] = field(default_factory=list)
    temporary_references: list[str] = field(default_factory=list)
    _partial: Path | None = None

    @classmethod
    def empty(cls, column: Column, output_dir: Path, *, floats: bool, pngs: bool) -> Kept:
        """Nothing yet: renders are about to be written."""
        return cls(column, output_dir, floats, pngs, {}, {})

    @property
    def folder(self) -> Path:
        """Where the records of this column lie; the renders are below it."""
        column = self.column
        return record_folder(self.output_dir, column.scene, column.method, column.run, column.step)

    def render_file(self, name: str, extension: str) -> Path:
        """Where the render of a view lies."""
        return self.folder / "renders" / f"{name}{extension}"

    def reference_file(self, name: str) -> Path:
        """Where the reference of a view lies, once `finish` was called: as float32 where 8 bits would change it."""
        digest = references_sha256(self.reference_sha256.values())[:12]
        folder = self._references_above / digest
        exact = folder / f"{name}.npy"
        return exact if exact.is_file() else folder / f"{name}.png"

    @property
    def _references_above(self) -> Path:
        return record_folder(self.output_dir, self.column.scene, "references", None, None).parent

    def write(self, view: View) -> None:
        """Write a view's one render, and its reference, for `finish` to put in their place.

        Raises:
            InputError: they cannot be written.
        """
        (render,) = view.renders
        self.reference_sha256[view.name] = sha256_of_image(view.reference)
        self.seconds[view.name] = render.seconds
        exact = torch.equal(quantise(view.reference.clamp(0, 1), "round"), view.reference)
        self.exact_references &= exact
        if not (self.floats or self.pngs):
            return
        partial = self._start()
        save_png(partial / "references" / f"{view.name}.png", view.reference)
        if self.floats and not exact:
            save_npy(partial / "references" / f"{view.name}.npy", view.reference)
        if self.floats:
            save_npy(partial / "renders" / f"{view.name}.npy", render.image)
        if self.pngs:
            save_png(partial / "renders" / f"{view.name}.png", render.image)

    def _start(self) -> Path:
        """A folder of our own: what an earlier command kept stays whole until there is all of ours."""
        if self._partial is None:
            above = self._references_above.parent
            try:
                above.mkdir(parents=True, exist_ok=True)
                self._partial = Path(tempfile.mkdtemp(dir=above, prefix=".rendering-"))
            except OSError as error:
                raise InputError(
                    f"{self.output_dir} cannot be written: {error}. Say another `--output-dir`."
                ) from error
        return self._partial

    def finish(self) -> None:
        """All views are written: put renders and references in their place."""
        if self._partial is None:
            return
        digest = references_sha256(self.reference_sha256.values())[:12]
        new = _merge(self._partial / "references", self._references_above / digest)
        self.temporary_references = [f"{digest}/{name}" for name in new]
        self.temporary = _merge(self._partial / "renders", self.folder / "renders")
        self.abandon()

    def abandon(self) -> None:
        """Remove what was begun and is of no use."""
        if self._partial is not None:
            shutil.rmtree(self._partial, ignore_errors=True)
        self._partial = None

    def note(self) -> None:
        """Note what was rendered, so that an interrupted command need not do it again."""
        said = {
            "provenance": dict(self.column.provenance),
            "reference_sha256": self.reference_sha256,
            "seconds": self.seconds,
            "floats": self.floats,
            "pngs": self.pngs,
            "exact_references": self.exact_references,
            "temporary": self.temporary,
            "temporary_references": self.temporary_references,
        }
        write_whole(self.folder / "renders" / _NOTE, lambda file: file.write(json.dumps(said).encode()))

    def restore(self, names: Sequence[str]) -> bool:
        """Take up what an interrupted command rendered and noted, where it is what would be rendered now."""
        try:
            said = json.loads((self.folder / "renders" / _NOTE).read_bytes())
            same = all(said["provenance"][key] == self.column.provenance[key] for key in IDENTITY)
            same &= list(said["seconds"]) == list(names)
            same &= said["floats"] >= self.floats and said["pngs"] >= self.pngs
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if same:
            self.reference_sha256, self.seconds = said["reference_sha256"], said["seconds"]
            self.exact_references, self.temporary = said["exact_references"], said["temporary"]
            self.temporary_references = said["temporary_references"]
        return same and all(self.reference_file(name).is_file() for name in names)

    def settle(self, record: Record, protocol: Protocol, keep: Keep) -> Record:
        """The record with the paths of what stays, and a word on whether that is what was scored."""
        extension = {"all": ".npy", "png": ".png", "none": None}[keep]
        rows = [
            replace(
                row,
                render=None if extension is None else f"renders/{row.name}{extension}",
                reference=None if extension is None else relative_path(self.reference_file(row.name), self.folder),
            )
            for row in record.views
        ]
        exact = keep == "all" or (
            protocol.exact_in_png and (self.exact_references or protocol.quantise.reference == "round")
        )
        said = "none" if keep == "none" else "as scored" if exact else "8-bit copies of what was scored"
        return replace(record, views=rows, provenance={**record.provenance, "kept_renders": said})

    def clean(self, keep: Keep) -> None:
        """Remove what was needed in between only."""
        renders = self.folder / "renders"
        (renders / _NOTE).unlink(missing_ok=True)
        going = {"all": (".png",), "png": (".npy",), "none": (".png", ".npy")}[keep]
        for name in self.temporary:
            if name.endswith(going):
                (renders / name).unlink(missing_ok=True)
        if keep == "none":
            for name in self.temporary_references:
                (self._references_above / name).unlink(missing_ok=True)
            _remove_empty(self._references_above)
        _remove_empty(renders)


def _remove_empty(folder: Path) -> None:
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


@dataclass(frozen=True)
class Keeping:
    """A source whose views are written as they are yielded; each has one render."""

    source: Source
    kept: Kept

    @property
    def columns(self) -> Sequence[Column]:
        """Those of the source."""
        return self.source.columns

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[View]:
        try:
            for view in self.source:
                self.kept.write(view)
                yield view
            self.kept.finish()
        finally:
            self.kept.abandon()


def as_sources(kept: Sequence[Kept]) -> list[tuple[ImageFiles, list[Kept]]]:
    """Rendered columns as sources to score, those with the same references together."""
    groups: dict[tuple, list[Kept]] = {}
    for column in kept:
        groups.setdefault((column.column.scene, *column.reference_sha256.items()), []).append(column)
    return [(_as_source(group), group) for group in groups.values()]


def _as_source(group: Sequence[Kept]) -> ImageFiles:
    names = list(group[0].reference_sha256)

    def renders(column: Kept) -> Mapping[str, Path]:
        return {name: column.render_file(name, ".npy" if column.floats else ".png") for name in names}

    return ImageFiles(
        [column.column for column in group],
        {name: group[0].reference_file(name) for name in names},
        [renders(column) for column in group],
        seconds=[column.seconds for column in group],
    )


def space_needed(sizes: Sequence[tuple[int, int]], *, floats: bool, pngs: bool) -> int:
    """The bytes that the renders of one column, and their references, take at most; sizes are width and height."""
    pixels = sum(width * height for width, height in sizes)
    return pixels * 3 * ((4 + 4) * floats + (1 + 1) * (floats or pngs))


def check_space(needed: int, output_dir: Path) -> None:
    """Check that there is room.

    Raises:
        InputError: there is not; nothing was rendered yet.
    """
    existing = next(path for path in [output_dir.resolve(), *output_dir.resolve().parents] if path.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise InputError(
            f"The renders need up to {needed / 1e9:.1f} GB in {output_dir}, and {free / 1e9:.1f} GB are free: make "
            "room, say another `--output-dir`, evaluate fewer `--steps` or `--views`, or say `--keep-renders none`."
        )
