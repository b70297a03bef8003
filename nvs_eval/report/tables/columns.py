"""Columns of tables (texts, scores, counts and costs), and tables made from them. `COUNTS` lists counts and costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import mean, median
from typing import Any

from nvs_eval.records.record import Record, ViewRow
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
    """Make a table from columns. Texts may contain any characters, and are made printable.

    Args:
        title: what the table compares.
        columns: columns with the same number of cells.
        caption: how the numbers were computed.
        signatures: signature of each metric.
        notes: remarks on the rows; repeated ones are printed once.
        **parts: other fields of the table.
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
    """Return a column of names or words."""
    return Column(printable(name), numeric=False, cells=[Cell(printable(text), text) for text in texts])


def number_columns(name: str, values: Sequence[float | None], spec: str) -> list[Column]:
    """Return a column of numbers that are not scores, in a list; an empty list if all values are None.

    Args:
        name: name of the column.
        values: one value per row; None for an empty cell.
        spec: format of the numbers.
    """
    if all(value is None for value in values):
        return []
    return [Column(name, cells=[Cell("" if value is None else format(value, spec), value) for value in values])]


def step_columns(steps: Sequence[int | str | None]) -> list[Column]:
    """Return a column of steps or their names, in a list; an empty list if all are None."""
    if not any(isinstance(step, str) for step in steps):
        return number_columns("step", [step for step in steps if not isinstance(step, str)], "d")
    return [text_column("step", ["" if step is None else str(step) for step in steps])]


# --- Scores ---


def score_cell(value: float | None, digits: int, *, mark: str = "") -> Cell:
    """Return the cell of a score, with its mark."""
    return Cell("") if value is None else Cell(shown(value, digits), value, mark=mark)


def ranks_of(cells: Sequence[Cell], *, higher_is_better: bool) -> list[int | None]:
    """Return the ranks 1 to 3 in a column: one more than the number of better values, as shown.

    Values that are shown as equal share a rank, also if they are equal only to the fewest decimals of the column (a
    published number may have fewer). Empty and marked cells have no rank, and neither has a single value.
    """
    values = [None if cell.mark or not isinstance(cell.value, int | float) else cell.value for cell in cells]
    texts = [cell.text for cell, value in zip(cells, values, strict=True) if value is not None]
    # Infinity does not limit the decimals.
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
    """Return the number of views. Several runs of a scene have the same views, which count once."""
    return sum({record.scene: len(record.views) for record in records}.values())


def _coverage(records: Sequence[Record]) -> float | None:
    known = [row.coverage for record in records for row in record.views if row.coverage is not None]
    return mean(known) if known else None


def _seconds(records: Sequence[Record]) -> float | None:
    """Return the median time to render a view, over the views with a known time."""
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
"""Columns of counts and costs, by name: function of the records of a row, and number format."""


OWN = "own/"
"""Prefix of the names of a model's own metrics, which are shown on request and never ranked."""


def is_count(name: str) -> bool:
    """Return whether a name is one of `COUNTS` or a model's own metric."""
    return name in COUNTS or name.startswith(OWN)


def own_names(records: Sequence[Record]) -> list[str]:
    """Return the names of the models' own metrics in records, with their prefix."""
    return list(dict.fromkeys(OWN + name for record in records for row in record.views for name in row.own or ()))


def _own_mean(records: Sequence[Record], name: str) -> float | None:
    """Return the mean of the records' means of a model's own metric; None if a view lacks it."""
    values = [[(row.own or {}).get(name) for row in record.views] for record in records]
    known = [[value for value in of_record if value is not None] for of_record in values]
    return mean(map(mean, known)) if values == known else None


def own_columns(name: str, rows: Sequence[ViewRow]) -> list[Column]:
    """Return the column of a model's own metric, by view, in a list; an empty list if no view has it."""
    return number_columns(name, [(row.own or {}).get(name.removeprefix(OWN)) for row in rows], _OWN_SPEC)


_OWN_SPEC = ".4g"


def count_columns(name: str, rows: Sequence[Sequence[Record]]) -> list[Column]:
    """Return the column of a name that `is_count`, in a list; an empty list if no row has a value."""
    own = name.removeprefix(OWN)
    count, spec = COUNTS.get(name, (lambda records: _own_mean(records, own), _OWN_SPEC))
    return number_columns(name, [count(records) if records else None for records in rows], spec)
