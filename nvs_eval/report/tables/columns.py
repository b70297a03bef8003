"""The columns of tables, and tables made of them: texts, scores, and counts and costs, which `COUNTS` lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import mean, median
from typing import Any

from nvs_eval.records.record import Record
from nvs_eval.report.tables.table import Cell, Column, Table, printable, shown

_LAST_RANK = 3
_MOST_DECIMALS = 99


def table_from(
    title: str,
    columns: Sequence[Column],
    *,
    caption: str,
    signatures: Iterable[str] = (),
    notes: Iterable[str] = (),
    **parts: Any,
) -> Table:
    """A table of columns, whose texts may be of any characters.

    Args:
        title: what is compared.
        columns: all of as many cells.
        caption: how the numbers were made.
        signatures: of each metric.
        notes: what else must be known; each is given once.
        **parts: the other fields of the table.
    """
    return Table(
        printable(title),
        columns,
        printable(caption),
        signatures=list(map(printable, signatures)),
        notes=[printable(note) for note in dict.fromkeys(notes)],
        **parts,
    )


def text_column(name: str, texts: Iterable[str]) -> Column:
    """A column of names or words."""
    return Column(printable(name), numeric=False, cells=[Cell(printable(text), text) for text in texts])


def number_columns(name: str, values: Sequence[float | None], spec: str) -> list[Column]:
    """The column of numbers that are neither ranked nor of a metric; none where no number is known.

    Args:
        name: its heading.
        values: one a row; None for an empty cell.
        spec: how a number is formatted.
    """
    if all(value is None for value in values):
        return []
    return [Column(name, cells=[Cell("" if value is None else format(value, spec), value) for value in values])]


# --- Scores ---


def score_cell(value: float | None, digits: int, *, mark: str = "") -> Cell:
    """A value as it is shown, with its mark."""
    return Cell("") if value is None else Cell(shown(value, digits), value, mark=mark)


def ranks_of(cells: Sequence[Cell], *, higher_is_better: bool) -> list[int | None]:
    """First, second and third of a column, by what is shown: as many rows as are better, and one.

    What is shown as equal is equally good, and shares a rank; so does what cannot be told apart because some number of
    the column was published with fewer decimals. What is empty or marked has no rank, nor has a value to which there
    is no other.
    """
    values = [None if cell.mark or not isinstance(cell.value, int | float) else cell.value for cell in cells]
    texts = [cell.text for cell, value in zip(cells, values, strict=True) if value is not None]
    # Infinity has as many decimals as anybody.
    digits = min((len(text.partition(".")[2]) for text in texts if text != "inf"), default=_MOST_DECIMALS)
    rounded = [None if value is None else round(value, digits) for value in values]
    ordered = sorted((value for value in rounded if value is not None), reverse=higher_is_better)
    ranks: dict[float | None, int] = {}
    if len(ordered) > 1:
        for rank, value in enumerate(ordered[:_LAST_RANK], start=1):
            ranks.setdefault(value, rank)
    return [ranks.get(value) for value in rounded]


# --- Counts and costs ---


def view_count(records: Sequence[Record]) -> int:
    """How many views: of each scene once: several runs are of the same views."""
    return sum({record.scene: len(record.views) for record in records}.values())


def _coverage(records: Sequence[Record]) -> float | None:
    known = [row.coverage for record in records for row in record.views if row.coverage is not None]
    return mean(known) if known else None


def _seconds(records: Sequence[Record]) -> float | None:
    """The median time to render a view, over those whose time is known."""
    known = [row.render_seconds for record in records for row in record.views if row.render_seconds is not None]
    return median(known) if known else None


def _memory(records: Sequence[Record]) -> float | None:
    peaks = [record.provenance.get("peak_memory_bytes") for record in records]
    known = [value for value in peaks if isinstance(value, int | float)]
    return max(known) / 1e9 if known else None


COUNTS: Mapping[str, tuple[Callable[[Sequence[Record]], float | None], str]] = {
    "views": (view_count, "d"),
    "coverage": (_coverage, ".3f"),
    "s/view": (_seconds, ".3g"),
    "GB": (_memory, ".2f"),
}
"""The columns by name: the count of some records, and how it is formatted."""


def count_columns(name: str, rows: Sequence[Sequence[Record]]) -> list[Column]:
    """The column of a count, one of `COUNTS`, of the records of each row; none where nothing of it is known."""
    count, spec = COUNTS[name]
    return number_columns(name, [count(records) if records else None for records in rows], spec)
