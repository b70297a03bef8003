"""Layout of a folder: the function that reads it, the files of each result, and the names that the tool recorded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from nvs_eval.errors import InputError
from nvs_eval.records.result_id import can_be_file_name
from nvs_eval.sources.pictures import Picture, image_files


class IncompleteError(InputError):
    """Raised for a folder that has a known layout, but lacks renders or references."""


@dataclass(frozen=True)
class RenderFiles:
    """Files of the renders and references of one result.

    Attributes:
        renders: render of each view, by view name, or the folder that contains them.
        references: reference of each view, by view name, or the folder that contains them; None if the tool writes
            none, so that `--reference` is required.
        step: step of the checkpoint, or None.
        split: split of the views: "test", "train" or "val".
        variant: suffix of the method's name, for tools that render one training in several ways.
        step_name: name of the checkpoint if it is not a number, such as "best".
        scale: factor by which the images are smaller than the data. Another scale is another scene, `garden@2`.
    """

    renders: Mapping[str, Picture] | Path
    references: Mapping[str, Picture] | Path | None
    step: int | None = None
    split: str = "test"
    variant: str = ""
    step_name: str | None = None
    scale: int = 1


@dataclass(frozen=True)
class Contents:
    """Contents of a folder of renders.

    Attributes:
        results: files of each result, in the order of their steps.
        named_after: folder that the method is named after, as the user refers to it.
        scene: name of the scene, if the layout records it (default: the name of the folder above).
        method: name of the method, if the layout records it.
        masks: folder of masks that belongs to the renders, if it exists.
        run: name of the training run, if the layout records it.
        warnings: sentences on folders that are not read, and on what was assumed.
    """

    results: Sequence[RenderFiles]
    named_after: Path
    scene: str | None = None
    method: str | None = None
    masks: Path | None = None
    run: str | None = None
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Layout:
    """Layout of a folder, and the function that reads it.

    Attributes:
        tool: tool that writes the layout.
        looks_like: files by which the layout is recognised.
        read: returns the contents of a folder, or None if it has another layout. Called with the folder and the path by
            which the user knows it (the folder itself, or for an unpacked archive the archive without its suffix).
        notes: names of files that it reads besides images, which are unpacked from archives, too.
        incomplete: returns what a folder that the tool has written lacks and what to do, or None. Called for folders
            that no layout reads, if the user gives no references.
    """

    tool: str
    looks_like: str
    read: Callable[[Path, Path], Contents | None]
    notes: Sequence[str] = ()
    incomplete: Callable[[Path], str | None] = lambda folder: None


def has_images(files: Mapping[str, Picture] | Path | None) -> bool:
    """Return whether there is any image, in a mapping or below a folder, which may not exist."""
    return next(image_files(files), None) is not None if isinstance(files, Path) else bool(files)


def read_text(file: Path) -> str:
    """Return the text of a file, or an empty string if it is missing or not UTF-8."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def last_part(path: str) -> str | None:
    """Return the last part of a path that a tool recorded on Windows or another system.

    None if it is empty or cannot be the name of a folder.
    """
    name = PureWindowsPath(path).name
    return name if name and can_be_file_name(name) else None


def matching(folder: Path, pattern: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
    """Return the files in a folder whose names match a pattern, sorted; empty if the folder does not exist."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    matches = [(path, pattern.fullmatch(path.name)) for path in files]
    return [(path, match) for path, match in matches if match]


def from_canvases(
    canvases: Mapping[str, Path], *, parts: int = 2, step: int | None = None, variant: str = ""
) -> RenderFiles:
    """Take the first image of each canvas as the reference and the last as the render.

    Args:
        canvases: file of each canvas, by view name.
        parts: number of images in a canvas.
        step: step of the checkpoint.
        variant: suffix of the method's name.
    """
    renders = {name: Picture(path, parts - 1, parts) for name, path in canvases.items()}
    references = {name: Picture(path, 0, parts) for name, path in canvases.items()}
    return RenderFiles(renders, references, step, variant=variant)
