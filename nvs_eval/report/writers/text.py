"""Tables as text in a terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from textwrap import wrap

from rich.cells import cell_len, chop_cells
from rich.text import Span, Text

from nvs_eval.records.signatures import split_signature
from nvs_eval.report.tables.table import Cell, Column, Table
from nvs_eval.report.writers.registry import Style
from nvs_eval.system.terminal import SafeConsole

_GAP = 2
# Width of folded names before columns are moved below the others, and the minimum after that.
_READABLE_NAME, _LEAST_NAME = 12, 6
_STYLES = {None: "", 1: "bold", 2: "underline", 3: "italic"}


def write(tables: Sequence[Table], style: Style) -> str:
    """Write tables as plain lines of any length. Text files cannot mark ranks."""
    out = io.StringIO()
    console = SafeConsole(out, terminal=False)
    for table in tables:
        print_text(table, console)
    return out.getvalue()


def print_text(table: Table, console: SafeConsole, *, ranks: bool = True) -> None:
    """Print a table, with caption, signatures and notes below.

    With `ranks`, the best of each column is bold, the second underlined and the third italic. If the table is wider
    than the terminal, headings are broken into lines first. Then names are folded. Then the last columns are moved
    below the others, with the names repeated. Numbers are never cut, even if lines get longer than the terminal.
    """
    if not ranks:
        unranked = [[replace(cell, rank=None) for cell in column.cells] for column in table.columns]
        columns = zip(table.columns, unranked, strict=True)
        table = replace(table, columns=[replace(column, cells=cells) for column, cells in columns])
    parts = list(_parts(table, console.width))
    width = max(console.width, *map(_width, parts))
    below = [Text(line, style="dim") for line in _signatures(table.signatures, width)]
    wide = SafeConsole(console.file, width=width, terminal=console.is_terminal)
    wide.print(Text(table.title))
    for index, part in enumerate(parts):
        if index:
            wide.print()
        # One call for all lines: printing line by line would take longer than everything else.
        wide.print(Text("\n").join(_lines(part, rows=len(table.parts[0]))), soft_wrap=True)
    for line in (Text(table.caption), *below, *map(Text, table.notes), Text()):
        wide.print(line)


@dataclass(frozen=True)
class _Column:
    """A column as printed.

    Attributes:
        heading: heading, on one or several lines.
        cells: styled cells, padded to one width if any number has text beside it.
        width: width of the widest line, in characters.
        right: whether the column is aligned to the right.
        name: whether the column has names, which may be folded.
    """

    heading: str
    cells: Sequence[Text]
    width: int
    right: bool
    name: bool


def _parts(table: Table, width: int) -> Iterator[list[_Column]]:
    """Yield the columns in as few parts as fit the width."""
    columns = [_column(column, stacked=False) for column in table.columns]
    if _width(columns) <= width:
        yield columns
        return
    stacked = [_column(column, stacked=True) for column in table.columns]
    for fitting in (stacked, _folded(stacked, width, _READABLE_NAME)):
        if _width(fitting) <= width:
            yield fitting
            return
    names, others = stacked[: table.identity], stacked[table.identity :]
    part: list[_Column] = []
    for column in others:
        if part and _width(_folded([*names, *part, column], width, _READABLE_NAME)) > width:
            yield _folded([*names, *part], width, _LEAST_NAME)
            part = []
        part.append(column)
    yield _folded([*names, *part], width, _LEAST_NAME)


def _column(column: Column, *, stacked: bool) -> _Column:
    cells = column.cells
    heading = re.sub(r"_| (?=[\[(])| (?=of )", "\n", column.heading) if stacked else column.heading
    fractions = {len(cell.text.partition(".")[2]) for cell in cells if "." in cell.text}
    if not column.numeric:
        texts = [Text(f"{cell.text} {cell.mark}" if cell.mark else cell.text) for cell in cells]
    elif len(fractions) > 1 or any(cell.aside or cell.mark for cell in cells):
        texts = _aligned(cells, max(fractions, default=0))
    else:
        texts = [Text(cell.text, style=_STYLES[cell.rank]) for cell in cells]
    width = max(cell_len(line) for line in (*heading.split("\n"), *(text.plain for text in texts)))
    # Padded cells are aligned already.
    right = column.numeric and not any(cell.aside for cell in cells)
    return _Column(heading, texts, width, right, not column.numeric)


def _aligned(cells: Sequence[Cell], fraction: int) -> list[Text]:
    """Align numbers at their decimal points, with marks and asides in columns."""
    short = [fraction - len(cell.text.partition(".")[2]) if "." in cell.text else 0 for cell in cells]
    number = max(cell_len(cell.text) + missing for cell, missing in zip(cells, short, strict=True))
    mark, aside = (max(cell_len(getattr(cell, part)) for cell in cells) for part in ("mark", "aside"))
    return [
        Text.assemble(
            " " * (number - cell_len(cell.text) - missing),
            (cell.text, _STYLES[cell.rank]),
            f"{cell.mark:<{mark}}{' ' * missing}",
            f" {cell.aside:>{aside}}" if aside else "",
        )
        for cell, missing in zip(cells, short, strict=True)
    ]


def _folded(columns: Sequence[_Column], width: int, least: int) -> list[_Column]:
    """Fold the widest names so that the columns fit a width, but not below a minimum width of names."""
    names = [column for column in columns if column.name]
    if not names or _width(columns) <= width:
        return list(columns)
    room = width - _width([column for column in columns if not column.name]) - _GAP * len(names)
    most = max(column.width for column in names)
    fitting = (limit for limit in range(most, least, -1) if sum(min(name.width, limit) for name in names) <= room)
    limit = next(fitting, least)
    return [replace(column, width=min(column.width, limit)) if column.name else column for column in columns]


def _width(columns: Sequence[_Column]) -> int:
    return sum(column.width for column in columns) + _GAP * (len(columns) - 1)


def _lines(columns: Sequence[_Column], *, rows: int) -> Iterator[Text]:
    """Yield the heading, a rule and the rows, with a second rule after the first `rows` of them if there are more."""
    yield from _row(columns, [Text(column.heading) for column in columns])
    yield Text("─" * _width(columns))
    for place, cells in enumerate(zip(*(column.cells for column in columns), strict=True), start=1):
        yield from _row(columns, cells)
        if place == rows < len(columns[0].cells):
            yield Text("─" * _width(columns))


def _row(columns: Sequence[_Column], cells: Sequence[Text]) -> Iterator[Text]:
    """Yield the lines of a row; cells with fewer lines are aligned at the bottom."""
    folded = [_folded_cell(cell, column) for column, cell in zip(columns, cells, strict=True)]
    height = max(map(len, folded))
    for index in range(height):
        parts = (lines[index - height + len(lines)] if index >= height - len(lines) else Text() for lines in folded)
        yield _joined(columns, parts)


def _joined(columns: Sequence[_Column], parts: Iterable[Text]) -> Text:
    """Join cells into a line. Rich would be slow for thousands of cells."""
    plain, spans, length = [], [], 0
    for index, (column, part) in enumerate(zip(columns, parts, strict=True)):
        padding = " " * (column.width - part.cell_len)
        before, after = (padding, "") if column.right else ("", padding)
        before = " " * (_GAP if index else 0) + before
        length += len(before)
        spans += [Span(span.start + length, span.end + length, span.style) for span in part.spans]
        if part.style:
            spans.append(Span(length, length + len(part.plain), part.style))
        plain += [before, part.plain, after]
        length += len(part.plain) + len(after)
    return Text("".join(plain).rstrip(), spans=spans)


def _folded_cell(cell: Text, column: _Column) -> list[Text]:
    """Break a cell at line breaks, and a name at the width of its column."""
    if cell.cell_len <= column.width and "\n" not in cell.plain:
        return [cell]
    lines = [part for line in cell.plain.split("\n") for part in wrap(line, column.width, break_on_hyphens=False)]
    # Words longer than the column are cut at its width. Wide characters count as two.
    return [Text(part) for line in lines for part in chop_cells(line, column.width)]


def _signatures(signatures: Sequence[str], width: int) -> list[str]:
    """Return one signature per line. If one is too long, parts shared by all are listed once, in a last line."""
    if len(signatures) < 2 or all(len(signature) <= width for signature in signatures):
        return list(signatures)
    split = [split_signature(signature) for signature in signatures]
    common = [part for part in split[0] if all(part in parts for parts in split)]
    distinct = ["|".join(part for part in parts if part not in common) for parts in split]
    return [*distinct, f"each with {'|'.join(common)}"] if common else list(signatures)
