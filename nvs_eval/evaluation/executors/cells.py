"""Cells of a suite, one method on one scene each: their order, the choice of `--only` and `--shard`, and commands.

Imports no torch, so that `nvs-eval suite --status` is fast.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import fields
from typing import NamedTuple

from nvs_eval.errors import InputError, quoted, unknown_name
from nvs_eval.evaluation.options import SuiteOptions
from nvs_eval.evaluation.suite_file import SuiteFile

_SHARD = re.compile(r"([1-9]\d{0,5})/([1-9]\d{0,5})")


class Cell(NamedTuple):
    """All results of a method on a scene. They are evaluated together, so that references and networks are shared."""

    method: str
    scene: str

    def __str__(self) -> str:
        return f"{self.method}, {self.scene}"


def chosen_cells(file: SuiteFile, only: Sequence[str] = (), shard: str | None = None) -> list[Cell]:
    """Return the cells of some methods and scenes, in the order of the file: all methods of a scene, then the next.

    Args:
        file: the suite file.
        only: names of methods and scenes (default: all).
        shard: part of these cells, such as "2/4": every fourth, from the second on. The parts of one choice are
            disjoint and together complete, on any machine.

    Raises:
        InputError: a name is unknown, or the shard is not `i/n` with 1 <= i <= n.
    """
    methods = [method.name for method in file.methods]
    scenes = {name: scene.name for name in only if (scene := file.suite.scene(name))}
    for name in only:
        if name not in methods and name not in scenes:
            raise unknown_name("method or scene", name, {*methods, *file.suite.names})
    of_methods, of_scenes = {*methods} & {*only} or {*methods}, {*scenes.values()} or {*file.suite.names}
    cells = [
        Cell(method, scene)
        for scene in file.suite.names
        for method in methods
        if method in of_methods and scene in of_scenes
    ]
    if shard is None:
        return cells
    index, count = _parsed(shard)
    return cells[index - 1 :: count]


def _parsed(shard: str) -> tuple[int, int]:
    """Return the number and the count of a shard.

    Raises:
        InputError: it is not `i/n` with 1 <= i <= n.
    """
    match = _SHARD.fullmatch(shard)
    if match is None or int(match[1]) > int(match[2]):
        raise InputError(f"--shard must be i/n, such as 1/4 to 4/4. Got {quoted(shard)}.")
    return int(match[1]), int(match[2])


def command_of(options: SuiteOptions, cell: Cell) -> str:
    """Return the command that evaluates one cell alone, with the options of the suite."""
    words = ["nvs-eval", "suite", str(options.file), "--only", cell.method, cell.scene]
    for field in fields(SuiteOptions):
        value = getattr(options, field.name)
        if field.name in ("file", "only", "shard") or value in (None, False):
            continue
        words.append(f"--{field.name.replace('_', '-')}")
        words += [] if value is True else [str(value)]
    return shlex.join(words)
