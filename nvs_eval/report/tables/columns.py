"""The columns of tables, and tables made of them. Counts and costs (views, GB) are listed in `blocks.COUNTS`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from nvs_eval.records.groups import Contender
from nvs_eval.records.record import Record, ViewRow
from nvs_eval.report.tables.blocks import COUNTS, Block, Row, value_mark
from nvs_eval.report.tables.table import TIED, Cell, Column, Table, printable, shown

_LAST_RANK = 3
_MOST_DECIMALS = 99


def table_from(title: str, columns: Sequence[Column], *, notes: Iterable[str] = (), **parts: Any) -> Table:
    """A table of columns.

    Args:
        title: as it is printed.
        columns: all of as many cells.
        notes: what else must be known, in any characters.
        **parts: the other fields of the table.
    """
    return Table(printable(title), columns, notes=[printable(note) for note in dict.fromkeys(notes)], **parts)


def text_column(name: str, texts: Iterable[str]) -> Column:
    """A column of names or words."""
    return Column(printable(name), numeric=False, cells=[Cell(printable(text), text) for text in texts])


def identity_columns(block: Block, rows: Sequence[Row]) -> list[Column]:
    """Method, run and step, as far as any row has them."""
    methods = [Cell(printable(row.method), row.method, mark=block.mark(row)) for row in rows]
    columns = [Column("method", numeric=False, cells=methods)]
    if any(row.run for row in rows):
        columns.append(text_column("run", [row.run or "" for row in rows]))
    if any(row.step is not None for row in rows):
        cells = [Cell("" if row.step is None else str(row.step), row.step) for row in rows]
        columns.append(Column("step", cells=cells))
    return columns


# --- Scores ---


def score_cell(value: float | None, digits: int) -> Cell:
    """A value as it is shown."""
    return Cell("") if value is None else Cell(shown(value, digits), value)


def score_column(column: Column, block: Block, rows: Sequence[Row], scenes: Sequence[str]) -> Column:
    """A column of a metric, filled with the means of rows over some scenes: as shown, with ranks and ties.

    Args:
        column: of the metric, without cells.
        block: that the rows are of.
        rows: of the table.
        scenes: one, or several of which the mean is taken.
    """
    metric = column.metric or ""
    over = block.layout.options.mean
    digits = block.decimals(metric)
    means = [row.mean(metric, scenes, over) for row in rows]
    texts, marks = [], []
    for row, value in zip(rows, means, strict=True):
        # A number has no more decimals than were published.
        most = digits if isinstance(row, Contender) or value is None else row.decimals(metric, scenes, over)
        texts.append("" if value is None else shown(value, min(digits, most)))
        marks.append("" if value is None else value_mark(row, metric))
    ranks: list[int | None] = [None] * len(rows)
    if block.ranks(rows):
        ranked = [None if mark else value for value, mark in zip(means, marks, strict=True)]
        ranks = ranks_of(ranked, texts, higher_is_better=block.infos[metric].higher_is_better)
        contenders = {
            place: row for place, row in enumerate(rows) if isinstance(row, Contender) and means[place] is not None
        }
        tied, places = block.layout.tied, list(contenders)
        # Where the best is a published row there is nothing to tell others from it with.
        if tied and len(places) > 1 and any(ranks[place] == 1 for place in places):
            for place in (places[index] for index in tied(list(contenders.values()), scenes, metric)):
                marks[place] += TIED if ranks[place] != 1 else ""
    cells = [
        Cell(text, value, rank, mark=mark) for text, value, rank, mark in zip(texts, means, ranks, marks, strict=True)
    ]
    return replace(column, cells=cells)


def ranks_of(values: Sequence[float | None], texts: Sequence[str], *, higher_is_better: bool) -> list[int | None]:
    """First, second and third of a column, by what is shown: as many rows as are better, and one.

    What is shown as equal is equally good, and shares a rank; so does what cannot be told apart because some number of
    the column was published with fewer decimals. None has no rank, nor has a value to which there is no other.

    Args:
        values: in full; None where there is none, or it has no rank.
        texts: as they are shown.
        higher_is_better: which way is up.
    """
    ranked = [text for value, text in zip(values, texts, strict=True) if value is not None]
    # Infinity has as many decimals as anybody.
    digits = min((len(text.partition(".")[2]) for text in ranked if text != "inf"), default=_MOST_DECIMALS)
    rounded = [None if value is None else round(value, digits) for value in values]
    ordered = sorted((value for value in rounded if value is not None), reverse=higher_is_better)
    if len(ordered) < 2:
        return [None] * len(values)
    ranks: dict[float | None, int] = {}
    for rank, value in enumerate(ordered, start=1):
        if rank <= _LAST_RANK:
            ranks.setdefault(value, rank)
    return [ranks.get(value) for value in rounded]


# --- Counts ---


def count_column(name: str, rows: Sequence[Sequence[Record]]) -> Column | None:
    """How many views, how much of them masks keep, and what rendering took; None where nothing of it is known.

    Args:
        name: "views", "coverage", "s/view" or "GB".
        rows: the records of each row.
    """
    count, digits = COUNTS[name]
    values = [count(records) if records else None for records in rows]
    if all(value is None for value in values):
        return None
    return Column(name, cells=[Cell("" if value is None else format(value, digits), value) for value in values])


def coverage_column(rows: Sequence[ViewRow]) -> Column | None:
    """Of single views, how much of each its mask keeps; None where there are no masks."""
    if all(row.coverage is None for row in rows):
        return None
    cells = [Cell("" if row.coverage is None else f"{row.coverage:.3f}", row.coverage) for row in rows]
    return Column("coverage", cells=cells)
