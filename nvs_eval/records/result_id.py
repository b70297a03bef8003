"""Identity of a result, shared by views, records, tables, loggers and file paths."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nvs_eval.errors import InputError


@dataclass(frozen=True)
class ResultId:
    """Identity of a result: the scene, the method, its training run and checkpoint, and the split.

    Attributes:
        scene: name of the scene.
        method: name of the method.
        run: name of the training run, or None.
        step: step of the checkpoint, or None.
        split: split of the rendered views.
    """

    scene: str
    method: str
    run: str | None = None
    step: int | None = None
    split: str = "test"

    @property
    def label(self) -> str:
        """Scene, method, run and step as far as they are set, separated by slashes."""
        return f"{self.scene}/{self.name}"

    @property
    def name(self) -> str:
        """Label without the scene: method, run and step as far as they are set."""
        return "/".join(str(part) for part in (self.method, self.run, self.step) if part not in (None, ""))

    @property
    def folder(self) -> Path:
        """Folder of the result below an output folder: `<scene>/<method>[/<run>]/<step, or final>`."""
        step = "final" if self.step is None else str(self.step)
        parts = [self.scene, self.method, *([self.run] if self.run else []), step]
        return Path(*(safe_name(part) for part in parts))

    def __str__(self) -> str:
        return self.label


def safe_name(name: str) -> str:
    """Turn a name into one part of a path: no separators, never a hidden file or the folder above."""
    cleaned = "".join("_" if character in '/\\:*?"<>|\0' or ord(character) < 32 else character for character in name)
    return f"_{cleaned[1:]}" if cleaned.startswith(".") else cleaned or "_"


def check_distinct(ids: Iterable[ResultId]) -> None:
    """Check that no two results would be written to the same folder.

    Raises:
        InputError: two would be. The message names them.
    """
    seen: dict[Path, ResultId] = {}
    for result in ids:
        if result.folder in seen:
            raise InputError(
                f"Results must have distinct names. Got {seen[result.folder]} twice. Pass it once, or rename one "
                "result with `--method`."
            )
        seen[result.folder] = result
