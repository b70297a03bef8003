"""A table of records: one block a scene, split and protocol, one row a checkpoint, one column a metric."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import mean, median

from nvs_eval.guard import blocks_of, difference, result_name, usual_of
from nvs_eval.records import MetricInfo, Record, ViewRow

DECIMALS = {"psnr": 2, "ssim": 4, "lpips": 4}
"""How many decimals a metric is shown with, by its name up to the first underscore; 4 for others."""


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table.

    Attributes:
        text: the name or number.
        best: whether no other row of the column is better.
        aside: what is said of a number beside it, such as its difference from another.
    """

    text: str
    best: bool = False
    aside: str = ""


@dataclass(frozen=True)
class Table:
    """One block: rows that may be compared with each other, or are marked where they may not.

    Attributes:
        title: what is compared.
        header: of each column.
        rows: as many cells a row.
        numeric: which columns hold numbers.
        caption: how the numbers were made.
        signatures: of each metric, as the second half of the caption.
        notes: what else must be known of some rows.
        divisible: whether some of the columns may be shown below the others where there is no room beside them.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: list[bool]
    caption: str
    signatures: Sequence[str] = ()
    notes: Sequence[str] = ()
    divisible: bool = False


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
    return [_per_view_table(block) if per_view else _table(block) for block in blocks_of(records)]


def _table(records: Sequence[Record]) -> Table:
    columns = _identity(records, records)
    marked = len(records) > 1 and not _odd(records)
    for name, info in records[0].metrics.items():
        columns.append(_metric_column(name, info, [record.means[name] for record in records], marked=marked))
    columns.append(_Column("views", [Cell(str(len(record.views))) for record in records]))
    columns += _coverage([[row.coverage for row in record.views] for record in records])
    columns += _cost(records)
    return _assemble(records, columns)


def _per_view_table(records: Sequence[Record]) -> Table:
    pairs = [(record, row) for record in records for row in record.views]
    columns = [_Column("view", [Cell(row.name) for _, row in pairs], numeric=False)]
    columns += _identity([record for record, _ in pairs], records)
    for name, info in records[0].metrics.items():
        values = [shown(name, row.scores[name]) for _, row in pairs]
        columns.append(_Column(heading(name, info), [Cell(value) for value in values]))
    columns += _coverage([[row.coverage] for _, row in pairs])
    return _assemble(records, columns)


def _assemble(records: Sequence[Record], columns: Sequence[_Column]) -> Table:
    record = records[0]
    cells = ([replace(cell, text=printable(cell.text)) for cell in column.cells] for column in columns)
    return Table(
        title=printable(f"{record.scene}, {record.split} views"),
        header=[printable(column.header) for column in columns],
        rows=list(zip(*cells, strict=True)),
        numeric=[column.numeric for column in columns],
        caption=printable(f"protocol {record.protocol['name']} ({record.fingerprint})"),
        signatures=[printable(info.signature) for info in record.metrics.values()],
        notes=[printable(note) for note in (*_odd_notes(records), *left_out_notes(records), *_mask_notes(records))],
    )


def _odd(records: Sequence[Record]) -> list[tuple[Record, str]]:
    """The records of a block that were not scored on what most of it were, each with what differs."""
    usual = usual_of(records)
    compared = [(record, difference(usual, record)) for record in records]
    return [(record, said) for record, said in compared if said]


def _odd_notes(records: Sequence[Record]) -> Iterator[str]:
    odd = _odd(records)
    for said in dict.fromkeys(said for _, said in odd):
        names = ", ".join(dict.fromkeys(result_name(record) for record, each in odd if each == said))
        yield f"† {names}: not comparable with {result_name(usual_of(records))}, for {said}"
    if odd:
        yield "As not all rows are of the same images, none is marked as best."


def left_out_notes(records: Sequence[Record]) -> Iterator[str]:
    """How many views were not scored and why, with the name of the result where that is not said of all."""
    said = [_left_out(record) for record in records]
    for note in dict.fromkeys(filter(None, said)):
        names = [result_name(record) for record, each in zip(records, said, strict=True) if each == note]
        yield note if len(names) == len(records) else f"{', '.join(dict.fromkeys(names))}: {note}"


def _mask_notes(records: Sequence[Record]) -> Iterator[str]:
    """Masks that came with renders and were not used, which changes what a protocol with masks is to reproduce."""
    for record in records:
        if isinstance(masks := record.provenance.get("masks_not_used"), str):
            yield f"{result_name(record)}: masks came with the renders ({masks}) and were not used"


def _left_out(record: Record) -> str:
    given = record.provenance.get("left_out")
    reasons = [str(reason) for reason in given.values()] if isinstance(given, dict) else []
    counted = [(reasons.count(reason), reason) for reason in dict.fromkeys(reasons)]
    return "; ".join(f"{count} view{'s' if count > 1 else ''} left out: {reason}" for count, reason in counted)


def printable(text: str) -> str:
    """A text as it can be printed.

    Names come from files of others: what would steer a terminal, or has no glyph, is shown as its escape.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _identity(records: Sequence[Record], block: Sequence[Record]) -> list[_Column]:
    """Method, run and step, as far as any record has them; a dagger where it is not comparable with most of its block.

    Args:
        records: of each row.
        block: of which they are.
    """
    odd = [record for record, _ in _odd(block)]
    methods = [f"{record.method} †" if any(record is each for each in odd) else record.method for record in records]
    columns = [_Column("method", [Cell(method) for method in methods], numeric=False)]
    if any(record.run for record in records):
        columns.append(_Column("run", [Cell(record.run or "") for record in records], numeric=False))
    if any(record.step is not None for record in records):
        columns.append(_Column("step", [Cell("" if r.step is None else str(r.step)) for r in records]))
    return columns


def _metric_column(name: str, info: MetricInfo, values: Sequence[float], *, marked: bool) -> _Column:
    """The values as shown; the best of them marked by what is shown, so that equal numbers are equally good."""
    texts = [shown(name, value) for value in values]
    best = (max if info.higher_is_better else min)(float(text) for text in texts)
    return _Column(heading(name, info), [Cell(text, best=marked and float(text) == best) for text in texts])


def heading(name: str, info: MetricInfo) -> str:
    """A metric's name as the head of its column, with its unit and which way is up."""
    arrow = "↑" if info.higher_is_better else "↓"
    return f"{name} [{info.unit}] {arrow}" if info.unit else f"{name} {arrow}"


def decimals(name: str) -> int:
    """How many decimals a metric is shown with, the same of the colour-corrected render."""
    return DECIMALS.get(name.removeprefix("cc_").partition("_")[0], 4)


def shown(name: str, value: float) -> str:
    """A value of a metric as it is shown."""
    return "inf" if math.isinf(value) else f"{value:.{decimals(name)}f}"


def _coverage(values: Sequence[Sequence[float | None]]) -> list[_Column]:
    """How much of the images the masks keep, on average over some views a row, where there are masks."""
    known = [[value for value in row if value is not None] for row in values]
    if not any(known):
        return []
    return [_Column("coverage", [Cell(f"{mean(row):.3f}" if row else "") for row in known])]


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
