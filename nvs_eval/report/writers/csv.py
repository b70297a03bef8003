"""Tables as CSV: UTF-8, RFC 4180 but for line ends, which are a line feed, and values in full."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from nvs_eval.report.table import Table
from nvs_eval.report.writers import Style
from nvs_eval.report.writers._words import keys_of, split_means

SHARED = ("scene", "method", "split", "protocol", "fingerprint", "metric")
"""What rows may share, in the order of the columns."""


def write(tables: Sequence[Table], style: Style) -> str:
    """All tables as one: first what the rows of a table share, then its own columns, those of all tables united.

    Rows that are means of others are left out: in a data frame they would count as one more observation. Columns that
    are means stay. Where a row has a sign that a table's notes explain, such as that it was published, a last column
    `mark` says so; notes, ranks and signatures are in the other formats. Names are as they are, also those that begin
    with `=`, `+`, `-` or `@`: this is data, and no sheet.
    """
    rows = [row for table in tables for row in _rows(table)]
    there = {name for table in tables for name in table.shared}
    shared = [name for name in SHARED if name in there]
    keys = [(table.identity, keys_of(table)) for table in tables]
    whose = [key for identity, each in keys for key in each[:identity]]
    others = [key for identity, each in keys for key in each[identity:]]
    marked = ["mark"] if any(row["mark"] for row in rows) else []
    columns = list(dict.fromkeys([*shared, *whose, *others, *marked]))
    lines = [csv_line(columns), *(csv_line(row.get(column) for column in columns) for row in rows)]
    return "".join(f"{line}\n" for line in lines)


def csv_line(values: Iterable[object]) -> str:
    """Values as a line of CSV, without its end; None is empty, infinity `inf`, a truth value `true` or `false`."""
    return ",".join(map(_field, values))


def _rows(table: Table) -> list[dict[str, object]]:
    rows, _ = split_means(table)
    keys = keys_of(table)
    return [
        {
            "mark": "".join(cell.mark for cell in row[: table.identity]),
            **table.shared,
            **{key: cell.value for key, cell in zip(keys, row, strict=True)},
        }
        for row in rows
    ]


def _field(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    text = str(value)
    # The csv module of older Pythons leaves a carriage return unquoted, at which pandas begins a new row.
    return '"{}"'.format(text.replace('"', '""')) if re.search(r'[,"\r\n]|^\s|\s$', text) else text
