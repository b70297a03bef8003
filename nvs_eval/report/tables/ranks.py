"""First, second and third of a column, by what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nvs_eval.report.tables.table import Cell

LAST_RANK = 3
MOST_DECIMALS = 99


def ranked(cells: Sequence[Cell], *, higher_is_better: bool) -> list[Cell]:
    """The cells with their ranks: as many rows as are better, and one.

    What is shown as equal is equally good, and shares a rank; so does what cannot be told apart because some number of
    the column was published with fewer decimals. Empty cells and those with a mark of their own have none, nor has a
    cell to which there is no other.
    """
    values = [cell.value if isinstance(cell.value, int | float) and not cell.mark else None for cell in cells]
    digits = min((_decimals(c.text) for c, v in zip(cells, values, strict=True) if v is not None), default=0)
    shown = [None if value is None else round(value, digits) for value in values]
    known = [value for value in shown if value is not None]
    if len(known) < 2:
        return list(cells)
    better = (lambda a, b: a > b) if higher_is_better else (lambda a, b: a < b)
    ranks = {value: 1 + sum(better(other, value) for other in known) for value in set(known)}
    return [
        replace(cell, rank=ranks[value]) if value is not None and ranks[value] <= LAST_RANK else cell
        for cell, value in zip(cells, shown, strict=True)
    ]


def _decimals(text: str) -> int:
    """How many a number is shown with; infinity has as many as anybody."""
    return MOST_DECIMALS if text == "inf" else len(text.partition(".")[2])
