"""A table of records: one block a scene, split and protocol, one row a checkpoint, one column a metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from nvs_eval.records import MetricInfo, Record, ViewRow

DECIMALS = {"psnr": 2, "ssim": 4, "lpips": 4}
"""How many decimals a metric is shown with, by its name up to the first underscore; 4 for others."""


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table; `best` where no other row of the column is better."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """One block: rows that may be compared with each other.

    Attributes:
        title: what is compared.
        header: of each column.
        rows: as many cells a row.
        numeric: which columns hold numbers.
        caption: how the numbers were made.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: list[bool]
    caption: str


@dataclass(frozen=True)
class _Column:
    header: str
    cells: Sequence[Cell]
    numeric: bool = True


def tables_of(records: Sequence[Record], *, per_view: bool = False) -> list[Table]:
    """The tables of records: those of one scene and split under one protocol in one block, in the order given.

    Args:
        records: any number.
        per_view: one row a view and record, in place of one a record.
    """
    blocks: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        blocks.setdefault((record.scene, record.split, record.fingerprint, *record.metrics), []).append(record)
    return [_per_view_table(block) if per_view else _table(block) for block in blocks.values()]


def _table(records: Sequence[Record]) -> Table:
    columns = _identity(records)
    marked = len(records) > 1 and _same_views(records)
    for name, info in records[0].metrics.items():
        columns.append(_metric_column(name, info, [record.means[name] for record in records], marked=marked))
    columns.append(_Column("views", [Cell(str(len(record.views))) for record in records]))
    columns += _cost(records)
    return _assemble(records, columns)


def _per_view_table(records: Sequence[Record]) -> Table:
    pairs = [(record, row) for record in records for row in record.views]
    columns = [_Column("view", [Cell(row.name) for _, row in pairs], numeric=False)]
    columns += _identity([record for record, _ in pairs])
    for name, info in records[0].metrics.items():
        values = [_shown(name, row.scores[name]) for _, row in pairs]
        columns.append(_Column(_heading(name, info), [Cell(value) for value in values]))
    return _assemble(records, columns)


def _assemble(records: Sequence[Record], columns: Sequence[_Column]) -> Table:
    record = records[0]
    cells = ([replace(cell, text=_printable(cell.text)) for cell in column.cells] for column in columns)
    caption = f"protocol {record.protocol['name']} ({record.fingerprint})"
    if not _same_views(records):
        caption += "; the rows are of different views, so that none is the best"
    elif len({frozenset((row.name, row.reference_sha256) for row in record.views) for record in records}) > 1:
        caption += "; the references differ between rows"
    return Table(
        title=_printable(f"{record.scene}, {record.split} views"),
        header=[_printable(column.header) for column in columns],
        rows=list(zip(*cells, strict=True)),
        numeric=[column.numeric for column in columns],
        caption=_printable(caption),
    )


def _same_views(records: Sequence[Record]) -> bool:
    return len({frozenset(row.name for row in record.views) for record in records}) == 1


def _printable(text: str) -> str:
    """Names come from files of others: what would steer a terminal, or has no glyph, is shown as its escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _identity(records: Sequence[Record]) -> list[_Column]:
    """Method, run and step, as far as any record has them."""
    columns = [_Column("method", [Cell(record.method) for record in records], numeric=False)]
    if any(record.run for record in records):
        columns.append(_Column("run", [Cell(record.run or "") for record in records], numeric=False))
    if any(record.step is not None for record in records):
        columns.append(_Column("step", [Cell("" if r.step is None else str(r.step)) for r in records]))
    return columns


def _metric_column(name: str, info: MetricInfo, values: Sequence[float], *, marked: bool) -> _Column:
    """The values as shown; the best of them marked by what is shown, so that equal numbers are equally good."""
    shown = [_shown(name, value) for value in values]
    best = (max if info.higher_is_better else min)(float(text) for text in shown)
    return _Column(_heading(name, info), [Cell(text, best=marked and float(text) == best) for text in shown])


def _heading(name: str, info: MetricInfo) -> str:
    arrow = "↑" if info.higher_is_better else "↓"
    return f"{name} [{info.unit}] {arrow}" if info.unit else f"{name} {arrow}"


def _shown(name: str, value: float) -> str:
    return "inf" if math.isinf(value) else f"{value:.{DECIMALS.get(name.partition('_')[0], 4)}f}"


def _cost(records: Sequence[Record]) -> list[_Column]:
    """What rendering took, where that is known: the median time a view, and the most memory."""
    seconds = [median_seconds(record.views) for record in records]
    said = [record.provenance.get("peak_memory_bytes") for record in records]
    memory = [value if isinstance(value, int | float) else None for value in said]
    columns = []
    if any(value is not None for value in seconds):
        columns.append(_Column("s/view", [Cell("" if value is None else f"{value:.3g}") for value in seconds]))
    if any(value is not None for value in memory):
        columns.append(_Column("GB", [Cell("" if value is None else f"{value / 1e9:.2f}") for value in memory]))
    return columns


def median_seconds(rows: Sequence[ViewRow]) -> float | None:
    """The median time to render a view, over those whose time is known; None if there are none."""
    known = [row.render_seconds for row in rows if row.render_seconds is not None]
    return median(known) if known else None
