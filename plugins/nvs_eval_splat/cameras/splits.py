"""Which photographs are held out, by the rule of the tool that trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nvs_eval.errors import FileError, InputError, counted, quoted, some
from nvs_eval.system.files import read_small

DEFAULT_HOLD = 8
_FRACTION = 0.9
_LARGEST = 2**24
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Rule:
    """Photographs that are held out.

    Attributes:
        held_out: whether a photograph is held out, by its place in the order and its name.
        words: the rule in words.
        trained_on: whether the held-out photographs were trained on, because the tool holds none out.
        assumed: whether nothing says that the tool held these out.
    """

    held_out: Callable[[int, str], bool]
    words: str
    trained_on: bool = False
    assumed: bool = False

    def split(self, items: Sequence[_Item], names: Sequence[str]) -> dict[str, list[_Item]]:
        """Return the items of the splits test and train, in their order."""
        splits: dict[str, list[_Item]] = {"test": [], "train": []}
        for place, (item, name) in enumerate(zip(items, names, strict=True)):
            splits["test" if self.held_out(place, name) else "train"].append(item)
        return splits


def every(hold: int, words: str = "", *, assumed: bool = False, trained_on: bool = False) -> Rule:
    """Return the rule that holds out the first of every `hold` photographs in the order of their names.

    Args:
        hold: number of photographs of which one is held out; 0 for none.
        words: where the number is from.
        assumed: see `Rule`.
        trained_on: see `Rule`.

    Raises:
        InputError: the number is negative.
    """
    if hold < 0:
        raise InputError(f"--hold must be at least 1, or 0 for no held-out views. Got {hold}.")
    if hold == 0:
        return Rule(lambda place, name: False, f"none: every image is trained on{words}", trained_on, assumed)
    rule = f"interval {hold}: the first of every {hold} images is held out, in the order of their names{words}"
    return Rule(lambda place, name: place % hold == 0, rule, trained_on, assumed)


def of_interval(hold: int | None, trained: int | None, folder: Path | None) -> Rule:
    """Return the rule of COLMAP data.

    Args:
        hold: the user's number, or None.
        trained: the tool's number, or None if its files say nothing.
        folder: folder of the sparse model, which may have a `test.txt`, or None.

    Raises:
        InputError: a number is negative, or `test.txt` cannot be read.
    """
    if hold is not None:
        return every(hold, " (--hold)", trained_on=trained == 0)
    if folder is not None and trained != 0 and (listed := folder / "test.txt").is_file():
        return _of_list(listed)
    if trained is not None:
        return every(trained, " (as the files of the model say)")
    return every(DEFAULT_HOLD, assumed=True)


def _of_list(path: Path) -> Rule:
    try:
        lines = read_small(path, _LARGEST).decode("utf-8", "replace").split("\n")
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from error
    names = {line.strip() for line in lines} - {""}
    if not names:
        raise InputError(f"{path} must name the held-out images. It is empty. Pass `--hold N`, or remove it.")
    stems = {Path(name).stem for name in names if not Path(name).suffix}

    def held_out(place: int, name: str) -> bool:
        return name in names or Path(name).name in names or Path(name).stem in stems

    return Rule(held_out, f"files: {path.name} names the held-out images")


def of_transforms(path: Path, content: Mapping[str, Any], names: Sequence[str], hold: int | None) -> Rule:
    """Return the rule of a transforms.json of nerfstudio: its lists, the user's interval, or nerfstudio's fraction.

    Args:
        path: the file, for messages.
        content: its content.
        names: names of the frames in their order.
        hold: the user's number, or None.

    Raises:
        InputError: the number is negative, or a list is none of names.
    """
    if hold is not None:
        return every(hold, " (--hold)")
    for key in ("test_filenames", "val_filenames"):
        if (listed := content.get(key)) is None:
            continue
        if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            raise FileError(f"{path}: {key} must be a list of names. Got {quoted(listed)}.")
        chosen = set(listed)
        if unknown := chosen - set(names):
            raise FileError(f"{path}: {key} names {counted(len(unknown), 'unknown frame')}: {some(sorted(unknown))}.")
        words = f"files: {key} of {path.name} names the held-out images"
        return Rule(lambda place, name, chosen=chosen: name in chosen, words)
    count = len(names)
    training = math.ceil(count * _FRACTION)
    trained = set(np.linspace(0, count - 1, training, dtype=int).tolist())
    words = (
        f"fraction {_FRACTION}: this fraction of the images ({training} of {count}) is used for training, evenly "
        "spaced in the order of their paths; the rest is held out (nerfstudio's default)"
    )
    return Rule(lambda place, name: place not in trained, words)
