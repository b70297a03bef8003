"""The columns of tables: who, how good, how many views, at what cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import mean, median

from nvs_eval.records.record import Record, ViewRow
from nvs_eval.report.tables.lines import Line, Score
from nvs_eval.report.tables.numbers import printable, shown
from nvs_eval.report.tables.ranks import ranked
from nvs_eval.report.tables.table import Cell, Column, Table

_IDENTITY = ("view", "scene", "method", "run", "step", "protocol", "metric")
TIED = "≈"
"""Marks what cannot be told from the best."""


@dataclass(frozen=True)
class Filled:
    """A column and what stands in it."""

    column: Column
    cells: Sequence[Cell]


def table_from(title: str, filled: Sequence[Filled], *, notes: Sequence[str], **parts: object) -> Table:
    """A table of columns.

    Args:
        title: as it is printed.
        filled: the columns, all of as many cells.
        notes: what else must be known, in any characters.
        **parts: the other fields of the table.
    """
    return Table(
        title=printable(title),
        columns=[each.column for each in filled],
        identity=sum(each.column.name in _IDENTITY and each.column.metric is None for each in filled),
        rows=list(zip(*(each.cells for each in filled), strict=True)),
        notes=[printable(note) for note in dict.fromkeys([*notes, *_tied_notes(filled)])],
        **parts,  # pyright: ignore[reportArgumentType]
    )


def _tied_notes(filled: Sequence[Filled]) -> list[str]:
    tied = any(TIED in cell.mark for each in filled for cell in each.cells)
    return [f"{TIED}: cannot be told from the best with the views there are"] if tied else []


def text_cell(text: str) -> Cell:
    """A name."""
    return Cell(printable(text), text)


def identity(lines: Sequence[Line]) -> list[Filled]:
    """Method, run and step, as far as any line has them."""
    methods = [replace(text_cell(line.method), mark=line.mark) for line in lines]
    found = [Filled(Column("method", numeric=False), methods)]
    if any(line.run for line in lines):
        found.append(Filled(Column("run", numeric=False), [text_cell(line.run or "") for line in lines]))
    if any(line.step is not None for line in lines):
        cells = [Cell("" if line.step is None else str(line.step), line.step) for line in lines]
        found.append(Filled(Column("step"), cells))
    return found


def score_cells(scores: Sequence[Score | None], digits: int, *, higher_is_better: bool | None) -> list[Cell]:
    """The values as shown, with their ranks.

    Args:
        scores: None where there is none.
        digits: decimals.
        higher_is_better: which way is up, or None where nothing is to be ranked.
    """
    cells = [score_cell(score, digits) for score in scores]
    return cells if higher_is_better is None else ranked(cells, higher_is_better=higher_is_better)


def score_cell(score: Score | None, digits: int) -> Cell:
    """One value as shown, with no more decimals than it has."""
    if score is None:
        return Cell("")
    known = digits if score.digits is None else min(digits, score.digits)
    return Cell(shown(score.value, known), score.value, mark=score.mark)


def count_column(name: str, rows: Sequence[Sequence[Record]]) -> Filled | None:
    """How many views, how much of them masks keep, and what rendering took; None where nothing of it is known.

    Args:
        name: "views", "coverage", "s/view" or "GB".
        rows: the records of each row.
    """
    say, digits = _COUNTS[name]
    values = [say(records) if records else None for records in rows]
    if all(value is None for value in values):
        return None
    cells = [Cell("" if value is None else format(value, digits), value) for value in values]
    return Filled(Column(name), cells)


def median_seconds(rows: Sequence[ViewRow]) -> float | None:
    """The median time to render a view, over those whose time is known; None if there are none."""
    known = [row.render_seconds for row in rows if row.render_seconds is not None]
    return median(known) if known else None


def coverage_cells(rows: Sequence[ViewRow]) -> Filled | None:
    """Of single views, how much of each its mask keeps; None where there are no masks."""
    if all(row.coverage is None for row in rows):
        return None
    cells = [Cell("" if row.coverage is None else f"{row.coverage:.3f}", row.coverage) for row in rows]
    return Filled(Column("coverage"), cells)


def view_count(records: Sequence[Record]) -> int:
    """How many views: of each scene once: several runs are of the same views."""
    return sum({record.scene: len(record.views) for record in records}.values())


def _coverage(records: Sequence[Record]) -> float | None:
    known = [row.coverage for record in records for row in record.views if row.coverage is not None]
    return mean(known) if known else None


def _seconds(records: Sequence[Record]) -> float | None:
    return median_seconds([row for record in records for row in record.views])


def _memory(records: Sequence[Record]) -> float | None:
    said = [record.provenance.get("peak_memory_bytes") for record in records]
    known = [value for value in said if isinstance(value, int | float)]
    return max(known) / 1e9 if known else None


_COUNTS: dict[str, tuple[Callable[[Sequence[Record]], float | None], str]] = {
    "views": (view_count, "d"),
    "coverage": (_coverage, ".3f"),
    "s/view": (_seconds, ".3g"),
    "GB": (_memory, ".2f"),
}
