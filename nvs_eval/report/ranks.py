"""First, second and third of a column, by what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nvs_eval.report.table import Cell

LAST_RANK = 3


def ranked(cells: Sequence[Cell], *, higher_is_better: bool) -> list[Cell]:
    """The cells with their ranks: as many rows as are better, and one.

    What is shown as equal is equally good, and shares a rank. Empty cells and those with a mark of their own have none,
    nor has a cell to which there is no other.
    """
    shown = [float(cell.text) if cell.value is not None and not cell.mark else None for cell in cells]
    known = [value for value in shown if value is not None]
    if len(known) < 2:
        return list(cells)
    better = (lambda a, b: a > b) if higher_is_better else (lambda a, b: a < b)
    ranks = {value: 1 + sum(better(other, value) for other in known) for value in set(known)}
    return [
        replace(cell, rank=ranks[value]) if value is not None and ranks[value] <= LAST_RANK else cell
        for cell, value in zip(cells, shown, strict=True)
    ]
