"""Open the folders and archives that the user names: which results a known layout has there, and which lack files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nvs_eval.errors import InputError, some
from nvs_eval.sources.archives import Unpacked, is_archive, naming, unpack, without_suffix
from nvs_eval.sources.layouts.layout import Contents, IncompleteError, RenderFiles, has_images
from nvs_eval.sources.layouts.registry import known_layouts, layouts, read_layout, why_incomplete
from nvs_eval.sources.matching import Pictures

_OR_SKIP = "Otherwise name only the others, or add `--allow-missing` to skip it."


@dataclass(frozen=True)
class Opened:
    """A folder or archive of renders, with the path that the user gave, and its contents.

    Attributes:
        path: path of the folder or archive.
        contents: contents of it, or of one of the folders in it.
        unpacked: unpacked files of an archive.
        plain: whether the folder has no known layout.
    """

    path: Path
    contents: Contents
    unpacked: Unpacked | None
    plain: bool = False

    @property
    def scene(self) -> str:
        """Name of the scene: the one that the layout records, or that of the folder above."""
        return self.contents.scene or self.contents.named_after.parent.name


@dataclass(frozen=True)
class Opener:
    """Opens folders and archives by their layout, or as plain folders beside the user's references.

    Attributes:
        reference: folder of the user's references.
        references: references in it.
        allow_missing: skip results that lack their renders or references (default: raise an error).
        warn: called with a sentence on each folder that is skipped.
    """

    reference: Path | None
    references: Pictures
    allow_missing: bool
    warn: Callable[[str], None]

    def open(self, path: Path) -> list[Opened]:
        """Read a folder or archive by its layout; match folders without a known layout with the references.

        Raises:
            InputError: there are no references, or a result lacks its renders or references.
        """
        unpacked = None
        if is_archive(path):
            unpacked = unpack(path, also=[note for layout in layouts() for note in layout.notes])
        place = path.resolve() if unpacked is None else without_suffix(path.resolve())
        # Archives often wrap everything in a single folder.
        levels = [path if unpacked is None else unpacked.folder]
        while unpacked and len(below := list(levels[-1].iterdir())) == 1 and below[0].is_dir():
            levels.append(below[0])
        reference = self.reference
        with naming(unpacked):
            for level in levels:
                contents = read_layout(level, place)
                if contents is not None and not _canvas_names(contents) & set(self.references):
                    self._check_references(path, contents)
                    scene = contents.scene or (reference and reference.resolve().parent.name)
                    complete, lacking = self._complete(contents)
                    self._skip(lacking, others=bool(complete.results))
                    return [Opened(path, replace(complete, scene=scene), unpacked)]
            if reference is None:
                return [Opened(path, contents, unpacked) for contents in self._scenes(path, levels[-1], place)]
            files = RenderFiles(levels[-1], self.references)
        return [Opened(path, Contents([files], place, reference.resolve().parent.name), unpacked, plain=True)]

    def _check_references(self, path: Path, contents: Contents) -> None:
        if self.reference is None and any(files.references is None for files in contents.results):
            raise InputError(f"{path} has no references, because its tool writes renders only. Add `--reference DIR`.")

    def _complete(self, contents: Contents) -> tuple[Contents, list[str]]:
        """Return the contents without results that lack renders or references, and what each of those lacks."""
        for sentence in contents.warnings:
            self.warn(sentence)
        reasons = [self._lack(files) for files in contents.results]
        complete = [files for files, reason in zip(contents.results, reasons, strict=True) if reason is None]
        return replace(contents, results=complete), [reason for reason in reasons if reason]

    def _skip(self, problems: Sequence[str], *, others: bool) -> None:
        """Warn of the results that are skipped.

        Args:
            problems: what each of them lacks.
            others: whether there are complete results.

        Raises:
            IncompleteError: there are no others, or results may not be skipped.
        """
        if problems and not (self.allow_missing and others):
            raise IncompleteError(f"{problems[0]} {_OR_SKIP if others else ''}".rstrip())
        for problem in problems:
            self.warn(f"Skipped: {problem}")

    def _lack(self, files: RenderFiles) -> str | None:
        """Return which renders or references a result lacks and what to do, or None."""
        for kind, side in (("renders", files.renders), ("references", None if self.reference else files.references)):
            if isinstance(side, Path) and not has_images(side):
                state = "empty" if side.is_dir() else "missing"
                return f"{side.parent} has no {kind} ({side.name}/ is {state}). Render it again."
        return None

    def _scenes(self, path: Path, folder: Path, place: Path) -> Sequence[Contents]:
        """Return the contents of the folders in a folder, or in `images` in it, that have a known layout.

        Raises:
            InputError: there are none, or one lacks its renders or references.
        """
        if problem := why_incomplete(folder):
            raise IncompleteError(problem)
        for base, base_place in ((folder, place), (folder / "images", place / "images")):
            if scenes := self._scenes_in(base, base_place):
                return scenes
        raise InputError(
            f"{path} has no references. Add `--reference DIR`. These tools write references: {known_layouts()}."
        )

    def _scenes_in(self, folder: Path, place: Path) -> list[Contents]:
        """Return the contents of the folders in a folder that have a known layout.

        A scene that the layout does not record is the name of its folder, and the method that of the folder above.
        """
        scenes: list[Contents] = []
        problems: list[str] = []
        others: list[str] = []
        for child in sorted(folder.iterdir()) if folder.is_dir() else ():
            if not child.is_dir() or child.name.startswith("."):
                continue
            try:
                contents = read_layout(child, place / child.name)
                if contents is not None and all(files.references is not None for files in contents.results):
                    complete, lacking = self._complete(contents)
                    problems += lacking
                    if complete.results:
                        scenes.append(replace(complete, scene=contents.scene or child.name))
                elif problem := why_incomplete(child):
                    problems.append(problem)
                else:
                    others.append(child.name)
            except IncompleteError as error:
                problems.append(str(error))
        self._skip(problems, others=bool(scenes))
        if scenes and others:
            self.warn(f"{folder}: folders without a known layout are not read: {some(others)}.")
        return scenes


def _canvas_names(contents: Contents) -> set[str]:
    """Return the names of the canvases. Files with the name of a reference are plain images, not canvases."""
    renders = [files.renders for files in contents.results if not isinstance(files.renders, Path)]
    return {picture.path.stem for files in renders for picture in files.values() if picture.parts > 1}
