"""The columns of tables, and tables made of them: texts, scores, and counts and costs, which `COUNTS` lists."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import mean, median
from typing import TYPE_CHECKING, Any

from nvs_eval.records.groups import Contender
from nvs_eval.records.record import Record
from nvs_eval.report.tables.published_rows import Row
from nvs_eval.report.tables.table import DIFFERS, TIED, Cell, Column, Table, printable, shown

if TYPE_CHECKING:
    from nvs_eval.report.tables.blocks import Block

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


def identity_columns(block: Block, rows: Sequence[Row]) -> list[Column]:
    """Method, run and step, as far as any row has them."""
    methods = [Cell(printable(row.method), row.method, mark=block.mark(row)) for row in rows]
    runs = [text_column("run", [row.run or "" for row in rows])] if any(row.run for row in rows) else []
    return [
        Column("method", numeric=False, cells=methods),
        *runs,
        *number_columns("step", [row.step for row in rows], "d"),
    ]


# --- Scores ---


def score_cell(value: float | None, digits: int, *, mark: str = "") -> Cell:
    """A value as it is shown, with its mark."""
    return Cell("") if value is None else Cell(shown(value, digits), value, mark=mark)


def mean_cell(block: Block, row: Row, scenes: Sequence[str], metric: str) -> Cell:
    """The mean of a row over one scene or several, with no more decimals than were published."""
    over, digits = block.layout.options.mean, block.decimals[metric]
    value = row.mean(metric, scenes, over)
    if value is None or isinstance(row, Contender):
        return score_cell(value, digits)
    mark = DIFFERS if metric in row.published.differs else ""
    return score_cell(value, min(digits, row.decimals(metric, scenes, over)), mark=mark)


def score_column(column: Column, block: Block, rows: Sequence[Row], scenes: Sequence[str]) -> Column:
    """A column of a metric, filled with the means of rows over some scenes: as shown, with ranks and ties.

    Args:
        column: of the metric, without cells.
        block: that the rows are of.
        rows: of the table.
        scenes: one, or several of which the mean is taken.
    """
    metric = column.metric or ""
    cells = [mean_cell(block, row, scenes, metric) for row in rows]
    if block.ranks(rows):
        ranks = ranks_of(cells, higher_is_better=block.infos[metric].higher_is_better)
        cells = [replace(cell, rank=rank) if rank else cell for cell, rank in zip(cells, ranks, strict=True)]
        for place in _tied(block, rows, cells, scenes, metric):
            cells[place] = replace(cells[place], mark=cells[place].mark + TIED)
    return replace(column, cells=cells)


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


def _tied(
    block: Block, rows: Sequence[Row], cells: Sequence[Cell], scenes: Sequence[str], metric: str
) -> Collection[int]:
    """The places that cannot be told from the best: where that is a published row, there is nothing to tell by."""
    contenders = {
        place: row for place, row in enumerate(rows) if isinstance(row, Contender) and cells[place].value is not None
    }
    places, tied = list(contenders), block.layout.tied
    if tied is None or len(places) < 2 or all(cells[place].rank != 1 for place in places):
        return ()
    tied_places = [places[index] for index in tied(list(contenders.values()), scenes, metric)]
    return [place for place in tied_places if cells[place].rank != 1]


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
