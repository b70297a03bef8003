"""What a layout found in a folder, and what several layouts need to find it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nvs_eval.sources.pictures import Picture


@dataclass(frozen=True)
class Part:
    """The renders of one column.

    Attributes:
        renders: by view name.
        references: likewise, or the folder of them.
        step: of the checkpoint, or None.
        split: which views these are.
        variant: what is added to the method's name, where the tool renders one training in several ways.
    """

    renders: Mapping[str, Picture]
    references: Mapping[str, Picture] | Path
    step: int | None = None
    split: str = "test"
    variant: str = ""


@dataclass(frozen=True)
class Found:
    """What a layout found in a folder.

    Attributes:
        parts: its columns, in the order of their steps.
        named_after: the folder, as the user would name it, that the method has its name of.
        scene: its name.
        method: its name, where the layout itself says it.
        masks: a folder of masks that belongs to the renders, if there is one.
    """

    parts: Sequence[Part]
    named_after: Path
    scene: str
    method: str | None = None
    masks: Path | None = None


def read_text(file: Path) -> str:
    """What a file says; nothing where it is missing or no text."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def scene_name(said: str, named_after: Path) -> str:
    """The scene: what the tool says of its data (a path, of which the name counts), else the folder above."""
    return Path(said).name or named_after.parent.name
