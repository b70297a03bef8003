"""Tables to try writers on: with names that every format could take for its own, and with all marks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nvs_eval.report.tables.table import Cell, Column, Table

NAMES = (
    "a_b & 50% $x$ #1",
    "{}~^\\<>|\"'`",
    "[ours] *new* ![x](y)",
    "*starred --- ''quoted'' ,,x`` ?` !`",
    "é ü ñ ç ø ß ł ą ś ő ť ď ż í ǰ ḑ İ ẽ̱",
    "αβΩες µ 花园 😀 п → ≠ ©",
    "<script>alert(1)</script>",
    "\\input{gone}% \\\\",
    "www.example.com https://example.com a@example.com <b@example.com>",
    "-0.5",
    "1. one, `code`",
    "=1+1",
    "",
)
COLUMNS = (
    Column("method", numeric=False),
    Column("step"),
    Column("psnr", "psnr", "dB", True),
    Column("ssim", "ssim", "", True),
    Column("lpips_vgg", "lpips_vgg", "", False),
    Column("cc_lpips_alex", "cc_lpips_alex", "", False),
    Column("my_metric%", "my_metric%", "%", None),
)
MARKS = ("", "†", "‡", "§", "≈", "‡†")


def hostile_table(names: Sequence[str] = NAMES, *, means: int = 1) -> Table:
    """A table with a row a name: an infinity, empty cells, numbers of fewer decimals, all ranks and marks."""
    rows = [_row(index, name) for index, name in enumerate(names)]
    return Table(
        "fox_#1 & co, test views",
        COLUMNS,
        rows,
        "protocol in_ria (12345678)",
        shared={"scene": "fox_#1 & co", "split": "test", "protocol": "in_ria", "fingerprint": "12345678"},
        signatures=["psnr|range:1|q:`x`", "50% # $ \\ { </code>"],
        notes=["† [ours]: not comparable with a_b, for 50%", "‡ published in X & Y", "§ ≈ ∞ ↑ <b>"],
        means=means,
        identity=2,
        views=[7, 9],
    )


def _row(index: int, name: str) -> list[Cell]:
    rank = (1, 2, 3, None)[index % 4]
    psnr = 27.123456789 + index
    return [
        Cell(name, name, mark=MARKS[index % 6]),
        Cell("30000", 30000) if index % 2 else Cell(""),
        Cell("inf", math.inf, rank=1) if index == 0 else Cell(f"{psnr:.{2 - index % 3}f}", psnr, rank=rank),
        Cell("0.812", 0.8123, rank=rank, mark=MARKS[index % 6]),
        Cell("0.300", 0.1 + 0.2, rank=rank),
        Cell(""),
        Cell("12", 12, aside="(+0.1)"),
    ]
