"""Tables as CSV: UTF-8, RFC 4180 but for line ends, which are a line feed, and values in full."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from nvs_eval.report.tables.table import Table
from nvs_eval.report.writers.registry import Style

SHARED = ("scene", "method", "split", "protocol", "fingerprint", "metric")
"""What rows may share, in the order of the columns."""


def write(tables: Sequence[Table], style: Style) -> str:
    """All tables as one: first what the rows of a table share, then its own columns, those of all tables united.

    Rows that are means of others are left out: in a data frame they would count as one more observation. Columns that
    are means stay. Where a number has a sign that a table's notes explain, such as that it differs from the protocol, a
    column `psnr_mark` beside its own says so; where a row has one, such as that it was published, a last column `mark`.
    Notes, ranks and signatures are in the other formats. Names are as they are, also those that begin with `=`, `+`,
    `-` or `@`: this is data, and no sheet.
    """
    rows = [row for table in tables for row in _rows(table)]
    shared = [name for name in SHARED if any(name in table.shared for table in tables)]
    keys = [(table.identity, table.keys) for table in tables]
    whose = [key for identity, own in keys for key in own[:identity]]
    others = [key for identity, own in keys for key in own[identity:]]
    names = list(dict.fromkeys([*shared, *whose, *others]))
    marked = {key for _, row_marks in rows for key in row_marks}
    marks = {key: _mark_name(key, names) for key in (*names, None) if key in marked}
    header = [column for name in (*names, None) for column in (name, marks.get(name)) if column is not None]
    lines = [csv_line(header)]
    for values, row_marks in rows:
        with_marks = {**values, **{name: row_marks.get(key) for key, name in marks.items()}}
        lines.append(csv_line(with_marks.get(name) for name in header))
    return "".join(f"{line}\n" for line in lines)


def _mark_name(key: str | None, taken: Sequence[str]) -> str:
    """What the column is called that has the marks of another, or of whole rows; no other is called so."""
    name = "mark" if key is None else f"{key}_mark"
    while name in taken:
        name += "_"
    return name


def csv_line(values: Iterable[object]) -> str:
    """Values as a line of CSV, without its end; None is empty, infinity `inf`, a truth value `true` or `false`."""
    return ",".join(map(_field, values))


def _rows(table: Table) -> Iterator[tuple[Mapping[str, object], Mapping[str | None, str]]]:
    """Of each row its values in full, and the marks that there are of its numbers, under None of the whole row."""
    rows, _ = table.parts
    keys = table.keys
    for row in rows:
        own, numbers = row[: table.identity], row[table.identity :]
        marks: dict[str | None, str] = {None: "".join(cell.mark for cell in own)}
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
    # The csv module of older Pythons leaves a carriage return unquoted, at which pandas begins a new row.
    return '"{}"'.format(text.replace('"', '""')) if re.search(r'[,"\r\n]|^\s|\s$', text) else text
