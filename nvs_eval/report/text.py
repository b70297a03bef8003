"""Tables as text in a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from nvs_eval.report.phrases import split_signature
from nvs_eval.report.table import Cell, Table

_LEAST_TEXT = 6


def print_text(table: Table, console: Console) -> None:
    """Print a table: the best of each column in bold, the caption with the metrics' signatures and the notes below.

    Where it is wider than the terminal, headers go on several lines first; then, of a table that is divisible, the last
    columns go below the others; then names are folded. A number is never cut: rather than that, the lines are longer
    than the terminal is wide.
    """
    parts = list(_parts(table, console.width)) if table.divisible else [table]
    drawn = [_fitting(part, console.width) for part in parts]
    width = max(console.width, *map(_width, drawn))
    below = [Text(line, style="dim") for line in _signatures(table.signatures, width)]
    notes = [Text(note) for note in table.notes]
    wide = Console(
        file=console.file,
        width=width,
        highlight=False,
        force_terminal=console.is_terminal,
        no_color=console.no_color,
    )
    wide.print(Group(Text(table.title), *_with_gaps(drawn), Text(table.caption), *below, *notes, Text()))


def _fitting(table: Table, width: int) -> RichTable:
    drawn = _draw(table)
    if _width(drawn) > width:
        drawn = _draw(table, stacked=True)
    if _width(drawn) > width:
        drawn = _draw(table, stacked=True, text_width=_room_for_text(table, width))
    return drawn


def _draw(table: Table, *, stacked: bool = False, text_width: int | None = None) -> RichTable:
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    columns = [_texts([row[index] for row in table.rows]) for index in range(len(table.header))]
    for index, (header, numeric) in enumerate(zip(table.header, table.numeric, strict=True)):
        shown = re.sub(r"_| (?=\[)", "\n", header) if stacked else header
        width = None if numeric else text_width
        # What is padded to one width already keeps its place.
        right = numeric and not any(row[index].aside for row in table.rows)
        drawn.add_column(
            Text(shown), justify="right" if right else "left", vertical="bottom", overflow="fold",
            max_width=width, no_wrap=width is None,
        )  # fmt: skip
    for row in zip(*columns, strict=True):
        drawn.add_row(*row)
    return drawn


def _texts(cells: Sequence[Cell]) -> list[Text]:
    """The cells of a column; where anything stands beside a number, numbers and asides are each below each other."""
    number = max((cell_len(cell.text) for cell in cells if cell.aside), default=0)
    aside = max((cell_len(cell.aside) for cell in cells), default=0)
    if not aside:
        return [Text(cell.text, style="bold" if cell.best else "") for cell in cells]
    number = max(number, *(cell_len(cell.text) for cell in cells))
    return [Text(f"{cell.text:>{number}} {cell.aside:>{aside}}", style="bold" if cell.best else "") for cell in cells]


def _parts(table: Table, width: int) -> Iterator[Table]:
    """As many columns as fit, the first before each part; all of them in one part where there is room."""
    part = [0]
    for index in range(1, len(table.header)):
        if len(part) > 1 and _width(_draw(_columns(table, [*part, index]))) > width:
            yield _columns(table, part)
            part = [0]
        part.append(index)
    yield _columns(table, part)


def _columns(table: Table, indices: Sequence[int]) -> Table:
    return replace(
        table,
        header=[table.header[index] for index in indices],
        rows=[[row[index] for index in indices] for row in table.rows],
        numeric=[table.numeric[index] for index in indices],
    )


def _with_gaps(drawn: Sequence[RichTable]) -> Iterator[RichTable | Text]:
    for index, part in enumerate(drawn):
        if index:
            yield Text()
        yield part


def _signatures(signatures: Sequence[str], width: int) -> list[str]:
    """One a line, whole; where one is too long, what they have in common is said once, for all."""
    if all(len(signature) <= width for signature in signatures):
        return list(signatures)
    split = [split_signature(signature) for signature in signatures]
    common = [part for part in split[0] if all(part in parts for parts in split)]
    own = ["|".join(part for part in parts if part not in common) for parts in split]
    return [*own, f"each with {'|'.join(common)}"] if common else list(signatures)


def _room_for_text(table: Table, width: int) -> int:
    """The width of each column of names, so that all columns fit, if they can."""
    names = table.numeric.count(False)
    taken = _width(_draw(table, stacked=True, text_width=_LEAST_TEXT)) - names * _LEAST_TEXT
    return max(_LEAST_TEXT, (width - taken) // names)


def _width(drawn: RichTable) -> int:
    unbounded = Console(width=100_000)
    return Measurement.get(unbounded, unbounded.options, drawn).maximum
