"""Tables as CSV: UTF-8, RFC 4180 except that lines end in a line feed, with values in full precision."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from nvs_eval.report.tables.table import Table
from nvs_eval.report.writers.registry import Style

SHARED = ("scene", "method", "split", "protocol", "fingerprint", "metric")
"""Names of values that rows may share, in the order of the columns."""


def write(tables: Sequence[Table], style: Style) -> str:
    """Write all tables as a single one: columns of shared values first, then the columns of all tables.

    Rows that are means of others are omitted, because in a data frame they would count as observations. Columns of
    means are kept. Marks of numbers (such as "differs from the protocol") are in a column `psnr_mark` beside the
    number, and marks of rows (such as "published") in a last column `mark`. Notes, ranks and signatures are only in the
    other formats. Names are not escaped, even if they begin with `=`, `+`, `-` or `@`: this is data, not a spreadsheet.
    """
    rows = [row for table in tables for row in _rows(table)]
    shared = [name for name in SHARED if any(name in table.shared for table in tables)]
    identity = [key for table in tables for key in table.keys[: table.identity]]
    others = [key for table in tables for key in table.keys[table.identity :]]
    names = list(dict.fromkeys([*shared, *identity, *others]))
    marked = {key for _, row_marks in rows for key in row_marks}
    marks = {key: _mark_name(key, names) for key in (*names, None) if key in marked}
    header = [column for name in (*names, None) for column in (name, marks.get(name)) if column is not None]
    lines = [csv_line(header)]
    for values, row_marks in rows:
        with_marks = {**values, **{name: row_marks.get(key) for key, name in marks.items()}}
        lines.append(csv_line(with_marks.get(name) for name in header))
    return "".join(f"{line}\n" for line in lines)


def _mark_name(key: str | None, taken: Sequence[str]) -> str:
    """Return a unique name for the column with the marks of another column, or of rows (None)."""
    name = "mark" if key is None else f"{key}_mark"
    while name in taken:
        name += "_"
    return name


def csv_line(values: Iterable[object]) -> str:
    """Return values as a line of CSV, without its end. None is empty, infinity `inf`, a bool `true` or `false`."""
    return ",".join(map(_field, values))


def _rows(table: Table) -> Iterator[tuple[Mapping[str, object], Mapping[str | None, str]]]:
    """Yield the values of each row in full, with its marks by key (None for the row itself)."""
    rows, _ = table.parts
    keys = table.keys
    for row in rows:
        identity, numbers = row[: table.identity], row[table.identity :]
        marks: dict[str | None, str] = {None: "".join(cell.mark for cell in identity)}
        marks |= {key: cell.mark for key, cell in zip(keys[table.identity :], numbers, strict=True)}
        values = {**table.shared, **{key: cell.value for key, cell in zip(keys, row, strict=True)}}
        yield values, {key: mark for key, mark in marks.items() if mark}


def _field(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    text = str(value)
    # Older versions of csv do not quote a carriage return, at which pandas begins a new row.
    return '"{}"'.format(text.replace('"', '""')) if re.search(r'[,"\r\n]|^\s|\s$', text) else text
