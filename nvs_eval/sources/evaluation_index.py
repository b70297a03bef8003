"""Evaluation indices, as pixelSplat and its successors publish them: the scenes of a benchmark, and their views."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from nvs_eval.errors import InputError, quoted
from nvs_eval.system.files import read_small
from nvs_eval.system.schema import Name, convert

_MOST_BYTES = 2**27
_FORM = '{"scene": {"context": [0, 50], "target": [10, 25, 40]}, "unused scene": null}'

_Frame = Annotated[int, Meta(ge=0, le=2**31 - 1, description="the number of a frame, of at least 0")]


class _Entry(Struct, frozen=True):
    """A scene of an index. Other fields, such as `overlap`, are ignored.

    Attributes:
        target: numbers of the frames to score, or names of views.
    """

    target: Annotated[tuple[_Frame | Name, ...], Meta(min_length=1, examples=['"target": [10, 25, 40]'])]


@dataclass(frozen=True)
class EvaluationIndex:
    """Scenes of a benchmark, with the views to score.

    Attributes:
        file: the file.
        sha256: hash of its bytes.
        views: names of the views of each scene that the index uses. A frame has the name that the tools write: its
            number in six digits.
        unused: number of scenes that the index lists without views.
    """

    file: Path
    sha256: str
    views: Mapping[str, tuple[str, ...]]
    unused: int


def load_index(file: Path) -> EvaluationIndex:
    """Read an evaluation index.

    Raises:
        InputError: the file cannot be read, or is not an index. The message names the scene.
    """
    try:
        content = read_small(file, _MOST_BYTES, f"The evaluation index {file}")
    except OSError as error:
        raise InputError(f"The evaluation index {file} cannot be read: {error.strerror}.") from error
    try:
        data = json.loads(content, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise InputError(f"The evaluation index {file} is not JSON ({error}).") from error
    if not isinstance(data, dict):
        raise InputError(f"The evaluation index {file} must be a JSON object of scenes, such as {_FORM}.")
    try:
        used = {scene: entry for scene, entry in data.items() if entry is not None}
        entries = convert(used, Mapping[Name, _Entry], "the index")
    except InputError as error:
        raise InputError(f"The evaluation index {file}: {error}") from error
    if not entries:
        raise InputError(f"The evaluation index {file} has no scene with views to score, such as {_FORM}.")
    views = {scene: tuple(dict.fromkeys(map(_view_name, entry.target))) for scene, entry in entries.items()}
    return EvaluationIndex(file, hashlib.sha256(content).hexdigest(), views, len(data) - len(entries))


def _view_name(target: int | str) -> str:
    return target if isinstance(target, str) else f"{target:06d}"


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"{quoted(key)} is given twice")
        values[key] = value
    return values
