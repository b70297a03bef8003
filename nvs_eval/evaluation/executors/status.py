"""State of a suite, from its output folder alone: what is done, running, failed and left. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.evaluation.executors.cells import Cell, chosen_cells
from nvs_eval.evaluation.executors.claims import Claim, Claims, Failure
from nvs_eval.evaluation.options import AUTO, SuiteOptions
from nvs_eval.evaluation.suite_file import Method, SuiteFile, load_suite_file
from nvs_eval.records.record import LINES
from nvs_eval.records.result_id import safe_name
from nvs_eval.system.folders import files_below

_DEFAULT = ("standard",)


@dataclass(frozen=True)
class Status:
    """State of the cells of a suite.

    Attributes:
        title: title of the suite.
        done: cells with records.
        running: cells that a worker evaluates.
        failed: cells that failed when they were last evaluated.
        left: all others, also those that were interrupted.
    """

    title: str
    done: Sequence[Cell]
    running: dict[Cell, Claim]
    failed: dict[Cell, Failure]
    left: Sequence[Cell]


def status_of(options: SuiteOptions) -> Status:
    """Return the state of the chosen cells of a suite. Reads the names of the records, and none of the inputs.

    Raises:
        InputError: the file or the choice is invalid, or the output folder cannot be read.
    """
    file = load_suite_file(options.file)
    cells = chosen_cells(file, options.only, options.shard)
    output_dir = options.output_dir or file.output_dir
    claims = Claims(output_dir, owner="")
    methods = {method.name: method for method in file.methods}
    running, failed, done, left = {}, {}, [], []
    in_lines = {*_in_lines(file, output_dir)}
    for cell in cells:
        if (claim := claims.running(cell)) is not None:
            running[cell] = claim
        elif (failure := claims.failure(cell)) is not None:
            failed[cell] = failure
        elif not claims.is_interrupted(cell) and (
            cell in in_lines or _has_records(methods[cell.method], cell, output_dir)
        ):
            done.append(cell)
        else:
            left.append(cell)
    return Status(file.suite.title, done, running, failed, left)


def _has_records(method: Method, cell: Cell, output_dir: Path) -> bool:
    """Return whether a cell has a complete record under each of its protocols, by their names."""
    folder = output_dir / safe_name(cell.scene) / safe_name(cell.method)
    names = [path.name for path in files_below(folder, ".json") if not path.stem.endswith("-incomplete")]
    given = method.options.get("protocol", _DEFAULT)
    protocols = [given] if isinstance(given, str) else [*given]
    # The name in a protocol file need not be that of the file.
    known = [safe_name(name) for name in protocols if name != AUTO and not name.endswith((".yaml", ".yml"))]
    kinds = {name.rpartition("-")[0] for name in names}
    return len(kinds) >= len({*protocols}) and all(
        any(f"{kind}-".startswith(f"{name}-") for kind in kinds) for name in known
    )


def _in_lines(file: SuiteFile, output_dir: Path) -> Iterator[Cell]:
    """Yield the cells whose records are lines of one file."""
    from nvs_eval.records.files import read_file

    folder = output_dir / safe_name(file.suite.name)
    for path in files_below(folder, LINES) if folder.is_dir() else ():
        try:
            yield from (Cell(record.method, record.scene) for record in read_file(path) if record.suite is not None)
        except InputError:
            continue  # Unreadable; a command that scores reports it.
