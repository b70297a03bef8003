"""Tables as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from nvs_eval.report.tables.table import Cell, Table
from nvs_eval.report.writers.registry import Style
from nvs_eval.system.output import json_text

_VERSION = 1


def write(tables: Sequence[Table], style: Style) -> str:
    """Write `{"nvs_eval_tables": 1, "tables": [...]}`, with the rows of each table as objects by column key.

    A cell has its value in full precision (infinity is the string "inf", an empty cell null), the text as shown, the
    rank (1 to 3, or null) and the mark. Rows that are means of others are listed under `means`.
    """
    return f'{{"nvs_eval_tables": {_VERSION},\n"tables": {joined(map(_table, tables))}}}\n'


def joined(parts: Iterable[str]) -> str:
    """Return a JSON list of parts that are JSON already, one per line."""
    lines = ",\n".join(parts)
    return f"[\n{lines}\n]" if lines else "[]"


def dumped(value: object) -> str:
    """Return a value as JSON on one line."""
    return json_text(value)


def plain_value(value: object) -> object:
    """Return a value that JSON can represent: "inf" for infinity."""
    return "inf" if isinstance(value, float) and math.isinf(value) else value


def _table(table: Table) -> str:
    keys = table.keys
    rows, means = (
        [dumped({key: _cell(cell) for key, cell in zip(keys, row, strict=True)}) for row in part]
        for part in table.parts
    )
    facts = ("metric", "unit", "higher_is_better")
    columns = [
        dumped({"name": key, **{fact: getattr(column, fact) for fact in facts}})
        for key, column in zip(keys, table.columns, strict=True)
    ]
    parts = {
        "title": dumped(table.title),
        "shared": dumped(dict(table.shared)),
        "views": dumped(list(table.views)),
        "columns": joined(columns),
        "rows": joined(rows),
        "means": joined(means),
        "caption": dumped(table.caption),
        "signatures": joined(map(dumped, table.signatures)),
        "notes": joined(map(dumped, table.notes)),
    }
    lines = ",\n".join(f'"{name}": {part}' for name, part in parts.items())
    return f"{{\n{lines}\n}}"


def _cell(cell: Cell) -> dict[str, Any]:
    plain = {"value": plain_value(cell.value), "text": cell.text, "rank": cell.rank, "mark": cell.mark}
    return {**plain, "aside": cell.aside} if cell.aside else plain
