"""Tables as text in a terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from textwrap import wrap

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Span, Text

from nvs_eval.report.tables.table import Cell, Column, Table
from nvs_eval.report.words import split_signature
from nvs_eval.report.writers.registry import Style

_UNBOUNDED = 100_000
_GAP = 2
# To how many characters names are folded before columns go below the others, and to how many at last.
_READABLE_NAME, _LEAST_NAME = 12, 6
_STYLES = {None: "", 1: "bold", 2: "underline", 3: "italic"}


def write(tables: Sequence[Table], style: Style) -> str:
    """The tables as lines, however long, without any style: there is nothing in a file to mark ranks with."""
    out = io.StringIO()
    console = Console(file=out, width=_UNBOUNDED, force_terminal=False, highlight=False, emoji=False)
    for table in tables:
        print_text(table, console)
    return out.getvalue()


def print_text(table: Table, console: Console, *, ranks: bool = True) -> None:
    """Print a table, with the caption, the metrics' signatures and the notes below.

    Of each column the first is bold, the second underlined, the third in italics. Where the table is wider than the
    terminal, headers go on several lines first; then names are folded; then the last columns go below the others, with
    the names before them again. A number is never cut: rather than that, lines are longer than the terminal is wide.
    Without `ranks` nothing is marked.
    """
    if not ranks:
        unranked = [[replace(cell, rank=None) for cell in column.cells] for column in table.columns]
        columns = zip(table.columns, unranked, strict=True)
        table = replace(table, columns=[replace(column, cells=cells) for column, cells in columns])
    parts = list(_parts(table, console.width))
    width = max(console.width, *map(_width, parts))
    below = [Text(line, style="dim") for line in _signatures(table.signatures, width)]
    wide = Console(
        file=console.file,
        width=width,
        highlight=False,
        force_terminal=console.is_terminal,
        no_color=console.no_color,
    )
    wide.print(Text(table.title))
    for index, part in enumerate(parts):
        if index:
            wide.print()
        # One print for all lines: a print a line would take longer than all the rest.
        wide.print(Text("\n").join(_lines(part, rows=len(table.parts[0]))), soft_wrap=True)
    for line in (Text(table.caption), *below, *map(Text, table.notes), Text()):
        wide.print(line)


@dataclass(frozen=True)
class _Column:
    """A column as it is drawn.

    Attributes:
        heading: on one line or several.
        cells: in their styles, of one width where anything stands beside the numbers.
        width: of the widest line.
        right: whether it is set to the right.
        name: whether it may be folded.
    """

    heading: str
    cells: Sequence[Text]
    width: int
    right: bool
    name: bool


def _parts(table: Table, width: int) -> Iterator[list[_Column]]:
    """The columns as they fit: in one part if they do, else as many a part as do."""
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
    # What is padded to one width already keeps its place.
    right = column.numeric and not any(cell.aside for cell in cells)
    return _Column(heading, texts, width, right, not column.numeric)


def _aligned(cells: Sequence[Cell], fraction: int) -> list[Text]:
    """Numbers by their points, their marks, and what is said beside them, each below each other."""
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
    """The widest names in less room, as much as there is, but no less than some characters each."""
    names = [column for column in columns if column.name]
    if not names or _width(columns) <= width:
        return list(columns)
    room = width - _width([column for column in columns if not column.name]) - _GAP * len(names)
    most = max(column.width for column in names)
    fitting = (each for each in range(most, least, -1) if sum(min(name.width, each) for name in names) <= room)
    each = next(fitting, least)
    return [replace(column, width=min(column.width, each)) if column.name else column for column in columns]


def _width(columns: Sequence[_Column]) -> int:
    return sum(column.width for column in columns) + _GAP * (len(columns) - 1)


def _lines(columns: Sequence[_Column], *, rows: int) -> Iterator[Text]:
    """The heading, a rule, and the rows, with a rule below so many of them where there are more."""
    yield from _row(columns, [Text(column.heading) for column in columns])
    yield Text("─" * _width(columns))
    for place, cells in enumerate(zip(*(column.cells for column in columns), strict=True), start=1):
        yield from _row(columns, cells)
        if place == rows < len(columns[0].cells):
            yield Text("─" * _width(columns))


def _row(columns: Sequence[_Column], cells: Sequence[Text]) -> Iterator[Text]:
    """One line, or as many as a heading or a folded name takes; what takes fewer stands at the bottom."""
    folded = [_folded_cell(cell, column) for column, cell in zip(columns, cells, strict=True)]
    height = max(map(len, folded))
    for index in range(height):
        parts = (each[index - height + len(each)] if index >= height - len(each) else Text() for each in folded)
        yield _joined(columns, parts)


def _joined(columns: Sequence[_Column], parts: Iterable[Text]) -> Text:
    """Parts beside each other; by hand, as rich takes its time over thousands of cells."""
    plain, spans, length = [], [], 0
    for index, (column, part) in enumerate(zip(columns, parts, strict=True)):
        room = " " * (column.width - part.cell_len)
        before, after = (room, "") if column.right else ("", room)
        before = " " * (_GAP if index else 0) + before
        length += len(before)
        spans += [Span(span.start + length, span.end + length, span.style) for span in part.spans]
        if part.style:
            spans.append(Span(length, length + len(part.plain), part.style))
        plain += [before, part.plain, after]
        length += len(part.plain) + len(after)
    return Text("".join(plain).rstrip(), spans=spans)


def _folded_cell(cell: Text, column: _Column) -> list[Text]:
    """On one line, or several: where there are line breaks, or a name is wider than its column."""
    if cell.cell_len <= column.width and "\n" not in cell.plain:
        return [cell]
    lines = [part for line in cell.plain.split("\n") for part in wrap(line, column.width, break_on_hyphens=False)]
    # What has no spaces is cut where the column ends; a wide character takes two places.
    return [Text(part) for line in lines for part in chop_cells(line, column.width)]


def _signatures(signatures: Sequence[str], width: int) -> list[str]:
    """One a line, whole; where one is too long, what they have in common is said once, for all."""
    if len(signatures) < 2 or all(len(signature) <= width for signature in signatures):
        return list(signatures)
    split = [split_signature(signature) for signature in signatures]
    common = [part for part in split[0] if all(part in parts for parts in split)]
    own = ["|".join(part for part in parts if part not in common) for parts in split]
    return [*own, f"each with {'|'.join(common)}"] if common else list(signatures)
