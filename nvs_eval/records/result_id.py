"""Identity of a result, shared by views, records, tables, loggers and file paths."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nvs_eval.errors import InputError

_LONGEST_NAME = 255
"""Bytes of the longest file name on common file systems."""
_SHOWN = 40
"""Characters of a longer name that an error shows."""


@dataclass(frozen=True)
class ResultId:
    """Identity of a result: the scene, the method, its training run and checkpoint, the split, and the views of it.

    Attributes:
        scene: name of the scene.
        method: name of the method.
        run: name of the training run, or None.
        step: step of the checkpoint, or None.
        split: split of the rendered views.
        selection: identifier of the views (see `selection_of`) if they are a part of the split; None for all of them.
        step_name: name of a checkpoint that has no step number, such as "best"; None otherwise.
    """

    scene: str
    method: str
    run: str | None = None
    step: int | None = None
    split: str = "test"
    selection: str | None = None
    step_name: str | None = None

    @property
    def label(self) -> str:
        """Scene, method, run and step (or its name) as far as they are set, separated by slashes."""
        return f"{self.scene}/{self.name}"

    @property
    def name(self) -> str:
        """Label without the scene: method, run and step (or its name) as far as they are set."""
        parts = (self.method, self.run, self.step, self.step_name)
        return "/".join(str(part) for part in parts if part not in (None, ""))

    @property
    def folder(self) -> Path:
        """Folder of the result below an output folder: `<scene>/<method>[/<run>]/<step, its name, or final>`.

        A split other than test is appended: `30000-train`. All selections of a split share the folder.
        """
        step = (self.step_name or "final") if self.step is None else str(self.step)
        step = step if self.split == "test" else f"{step}-{self.split}"
        parts = [self.scene, self.method, *([self.run] if self.run else []), step]
        return Path(*(safe_name(part) for part in parts))

    def folder_in(self, suite: str | None) -> Path:
        """Return the folder of the result if it is kept with the other scenes of a suite: `<suite>/<method>/...`.

        Args:
            suite: name of the suite; None for a result with a folder of its own.
        """
        return self.folder if suite is None else Path(safe_name(suite), *self.folder.parts[1:])

    def __str__(self) -> str:
        return self.label


def selection_of(names: Collection[str], all_names: Collection[str]) -> str | None:
    """Return the identifier of a selection of views: 8 hexadecimal digits that depend on the names, not their order.

    Args:
        names: names of the selected views.
        all_names: names of all views of the split.

    Returns:
        None if all views are selected.
    """
    return None if set(names) >= set(all_names) else sha256_of_lines(sorted(names))[:8]


def sha256_of_lines(lines: Iterable[str]) -> str:
    """Return the SHA-256 of lines in hexadecimal."""
    return hashlib.sha256("\n".join([*lines, ""]).encode("utf-8", "surrogatepass")).hexdigest()


def safe_name(name: str) -> str:
    """Turn a name into one part of a path: no separators, never a hidden file or the folder above."""
    cleaned = "".join("_" if character in '/\\:*?"<>|\0' or ord(character) < 32 else character for character in name)
    return f"_{cleaned[1:]}" if cleaned.startswith(".") else cleaned or "_"


def can_be_file_name(name: str) -> bool:
    """Return whether file systems can store a name: text that UTF-8 can encode, in up to 255 bytes."""
    try:
        return len(name.encode()) <= _LONGEST_NAME
    except UnicodeEncodeError:
        return False


def check_distinct(ids: Iterable[ResultId]) -> None:
    """Check that each result has a folder to be written to, of its own even on a disk that ignores case.

    Raises:
        InputError: a name cannot be that of a folder, or two results have the same folder. The message names them.
    """
    seen: dict[str, ResultId] = {}
    for result in ids:
        check_names(result)
        folder = result.folder.as_posix().casefold()
        if folder in seen:
            other = str(seen[folder])
            clash = f"{result} twice. Pass it once" if other == str(result) else f"{other} and {result} for one folder"
            raise InputError(f"Results must have distinct names. Got {clash}, or rename one result with `--method`.")
        seen[folder] = result


def check_names(result: ResultId) -> None:
    """Check that each name of a result can be that of a folder.

    Raises:
        InputError: a name cannot. The message says how to choose another.
    """
    for kind, name, remedy in (
        ("scene", result.scene, "Choose another with `--scene`."),
        ("method", result.method, "Choose another with `--method`."),
        ("run", result.run or "", "Rename its folder."),
        ("step", result.folder.name, "Rename its folder."),
    ):
        if not can_be_file_name(name):
            shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
            raise InputError(
                f"The name of a {kind} becomes that of a folder, so it must be valid Unicode of up to {_LONGEST_NAME} "
                f"bytes. Got {shown!a}. {remedy}"
            )


def short_names(ids: Sequence[ResultId]) -> list[str]:
    """Return short names of results, which differ within each scene: the method, and its step and run as needed."""
    for without in ({"run": None, "step": None, "step_name": None}, {"run": None}, {"step": None, "step_name": None}):
        shorter = [replace(one, **without) for one in ids]
        if len({(one.scene, one.name) for one in shorter}) == len(ids):
            return [one.name for one in shorter]
    return [one.name for one in ids]
