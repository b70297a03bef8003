"""Tables for tests of writers, with names that contain the syntax of every format, and with all marks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from nvs_eval.report.benchmarks import Published, Suite
from nvs_eval.report.tables.layout import Layout, Tied
from nvs_eval.report.tables.options import TableOptions
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


def table_of_rows(
    title: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], caption: str, **parts: Any
) -> Table:
    """Return a table from rows of cells."""
    cells = [[row[place] for row in rows] for place in range(len(columns))]
    filled = [replace(column, cells=below) for column, below in zip(columns, cells, strict=True)]
    return Table(title, filled, caption, **parts)


def with_rows(table: Table, rows: Sequence[Sequence[Cell]]) -> Table:
    """Return a copy of a table with other rows."""
    filled = table_of_rows("", table.columns[: len(rows[0])], rows, "")
    return replace(table, columns=filled.columns)


def layout(
    *,
    suite: Suite | None = None,
    published: Sequence[Published] = (),
    decimals: Mapping[str, int] = MappingProxyType({}),
    tied: Tied | None = None,
    **options: Any,
) -> Layout:
    """Return a layout. Keywords are its fields, or fields of its options."""
    return Layout(options=TableOptions(**options), suite=suite, published=published, decimals=decimals, tied=tied)


def hostile_table(names: Sequence[str] = NAMES, *, means: int = 1) -> Table:
    """Return a table with a row per name, an infinity, empty cells, varying decimals, and all ranks and marks."""
    rows = [_row(index, name) for index, name in enumerate(names)]
    return table_of_rows(
        "fox_#1 & co, test views",
        COLUMNS,
        rows,
        "protocol in_ria (12345678)",
        shared={"scene": "fox_#1 & co", "split": "test", "protocol": "in_ria", "fingerprint": "12345678"},
        signatures=["psnr|range:1|q:`x`", "50% # $ \\ { </code>"],
        notes=["† [ours]: not comparable with a_b, for 50%", "‡ published in X & Y", "§ ≈ ∞ ↑ <b>"],
        means=means,
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
