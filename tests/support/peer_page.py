"""The table of docs/agreement.md: protocol, metric, peer and largest deviation. `make agreement` writes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from support.peer_lines import Line

PAGE = Path(__file__).resolve().parents[2] / "docs" / "agreement.md"
BEGIN, END = "<!-- agreement: begin (made by `make agreement`) -->", "<!-- agreement: end -->"
HEADER = ("protocol", "metric", "peer", "8-bit images", "float images", "masks", "peer in float32")
_PEERS = ("scikit-image", "pytorch-msssim", "torchmetrics", "lpips", "flip-evaluator", "dists-pytorch")


def insert(page: str, lines: Iterable[Line]) -> str:
    """Return the page with the rows of some protocols between its markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, "docs/agreement.md lacks its markers"
    packages = ", ".join(f"{name} {version(name)}" for name in _PEERS)
    rows = [HEADER, (":--",) * 3 + ("--:",) * 4]
    rows += [(f"`{name}`", f"`{metric}`", *others) for line in lines for name, metric, *others in line.rows]
    table = [f"| {' | '.join(row)} |" for row in rows]
    return before + "\n".join([BEGIN, f"With {packages}.", "", *table, "", END]) + after


def rows_of(page: str) -> list[Sequence[str]]:
    """Return the cells of each row between the markers, without the header."""
    text = page.partition(BEGIN)[2].partition(END)[0]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in rows]
