"""Tables as text in a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from nvs_eval.report.table import Table


def to_text(table: Table) -> RenderableType:
    """A table as rich draws it: the best of each column in bold, the caption below."""
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for header, numeric in zip(table.header, table.numeric, strict=True):
        drawn.add_column(Text(header), justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(cell.text, style="bold" if cell.best else "") for cell in row))
    return Group(Text(table.title), drawn, Text(table.caption), Text())
