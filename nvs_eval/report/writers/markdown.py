"""Tables as Markdown, as GitHub renders it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from nvs_eval.report.tables.table import Cell, Column, Table
from nvs_eval.report.writers.registry import Style

# GitHub allows <ins>, but not <u>.
_RANKED: Mapping[int | None, str] = {None: "{}", 1: "**{}**", 2: "<ins>{}</ins>", 3: "*{}*"}


def write(tables: Sequence[Table], style: Style) -> str:
    """Write each table with its title above, and caption, notes and collapsed signatures below.

    Markdown has no colours: the best of each column is bold, the second underlined and the third italic, unless
    `mark` is `none`.
    """
    ranks = _RANKED if style.mark != "none" else {rank: "{}" for rank in _RANKED}
    return "\n".join(line for table in tables for line in _lines(table, ranks))


def _lines(table: Table, ranks: Mapping[int | None, str]) -> Iterator[str]:
    yield f"### {escape(table.title)}\n"
    yield _row(escape(column.heading) for column in table.columns)
    yield _row("--:" if column.numeric else ":--" for column in table.columns)
    for row in table.rows:
        yield _row(_cell(cell, column, ranks) for cell, column in zip(row, table.columns, strict=True))
    yield f"\n{escape(table.full_caption)}\n"
    if table.notes:
        yield "".join(f"- {escape(note)}\n" for note in table.notes)
    if table.signatures:
        # GitHub needs the empty lines to render Markdown inside <details>.
        listed = "".join(f"- {code(signature)}\n" for signature in table.signatures)
        yield f"<details>\n<summary>Signatures of the metrics</summary>\n\n{listed}\n</details>\n"


def escape(text: str) -> str:
    """Escape a text for Markdown, including dollar signs, which GitHub reads as mathematics."""
    escaped = re.sub(r"([\\`*_\[\]#|~$<>&])", r"\\\1", text)
    # At the start of a line, these begin a list or make a rule.
    escaped = re.sub(r"^(\d*)([.)](?=\s)|[-+=](?!\d))", r"\1\\\2", escaped)
    # These would make links of addresses.
    return re.sub(r"(?i)(?<=www)\.|(?<=http):|(?<=https):|(?<=ftp):|@", lambda match: f"&#{ord(match[0])};", escaped)


def code(text: str) -> str:
    """Return a text as code, in more backticks than its longest run of them."""
    most = max((len(run) for run in re.findall("`+", text)), default=0)
    fence, gap = "`" * (most + 1), " " if most else ""
    return f"{fence}{gap}{text}{gap}{fence}"


def _row(cells: Iterator[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell, column: Column, ranks: Mapping[int | None, str]) -> str:
    text = ranks[cell.rank].format(escape(cell.text))
    mark = cell.mark if column.numeric else f" {cell.mark}".rstrip()
    return f"{text}{mark}{f' {escape(cell.aside)}' if cell.aside else ''}"
