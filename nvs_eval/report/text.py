"""Tables as text in a terminal."""

from __future__ import annotations

import re

from rich import box
from rich.console import Console, Group
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from nvs_eval.report.table import Table

_LEAST_TEXT = 6


def print_text(table: Table, console: Console) -> None:
    """Print a table: the best of each column in bold, the caption below.

    Where it is wider than the terminal, headers go on several lines first, then names are folded. A number is never
    cut: rather than that, the lines are longer than the terminal is wide.
    """
    drawn = _draw(table)
    if _width(drawn) > console.width:
        drawn = _draw(table, stacked=True)
    if _width(drawn) > console.width:
        drawn = _draw(table, stacked=True, text_width=_room_for_text(table, console.width))
    wide = Console(
        file=console.file,
        width=max(console.width, _width(drawn)),
        highlight=False,
        force_terminal=console.is_terminal,
        no_color=console.no_color,
    )
    wide.print(Group(Text(table.title), drawn, Text(table.caption), Text()))


def _draw(table: Table, *, stacked: bool = False, text_width: int | None = None) -> RichTable:
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for header, numeric in zip(table.header, table.numeric, strict=True):
        shown = re.sub(r"_| (?=\[)", "\n", header) if stacked else header
        width = None if numeric else text_width
        drawn.add_column(
            Text(shown), justify="right" if numeric else "left", vertical="bottom", overflow="fold",
            max_width=width, no_wrap=width is None,
        )  # fmt: skip
    for row in table.rows:
        drawn.add_row(*(Text(cell.text, style="bold" if cell.best else "") for cell in row))
    return drawn


def _room_for_text(table: Table, width: int) -> int:
    """The width of each column of names, so that all columns fit, if they can."""
    names = table.numeric.count(False)
    taken = _width(_draw(table, stacked=True, text_width=_LEAST_TEXT)) - names * _LEAST_TEXT
    return max(_LEAST_TEXT, (width - taken) // names)


def _width(drawn: RichTable) -> int:
    unbounded = Console(width=100_000)
    return Measurement.get(unbounded, unbounded.options, drawn).maximum
