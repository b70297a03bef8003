"""What writers of several formats say alike."""

from __future__ import annotations

from collections.abc import Sequence

from nvs_eval.report.tables.table import Cell, Table


def caption_of(table: Table) -> str:
    """How the numbers were made, and of how many views: "protocol standard (f3d12c27), 7 views"."""
    if not table.views:
        return table.caption
    numbers = " or ".join(map(str, table.views))
    return f"{table.caption}, {numbers} view{'' if numbers == '1' else 's'}"


def keys_of(table: Table) -> list[str]:
    """The names of the columns, each another, and none that of what the rows share.

    A scene may be called "method" or "split": it is "method (2)" then.
    """
    identity = {column.name for column in table.columns[: table.identity]}
    used = set(table.shared) - identity
    keys = []
    for column in table.columns:
        key, count = column.name, 1
        while key in used:
            count += 1
            key = f"{column.name} ({count})"
        used.add(key)
        keys.append(key)
    return keys


def split_means(table: Table) -> tuple[Sequence[Sequence[Cell]], Sequence[Sequence[Cell]]]:
    """The rows, and those that are means of them."""
    count = len(table.rows) - table.means
    return table.rows[:count], table.rows[count:]
