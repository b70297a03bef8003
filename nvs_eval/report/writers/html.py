"""Tables as a self-contained HTML page, and the templates that it shares with the page of `report`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from nvs_eval.report.tables.table import Cell, Table
from nvs_eval.report.writers.registry import PALETTES, Style

_TEMPLATES = Path(__file__).parent / "templates"


def write(tables: Sequence[Table], style: Style) -> str:
    """Write a page with all tables, without scripts or external links, for light and dark screens."""
    page = templates().get_template("tables.html")
    return page.render(tables=tables, mark=style.mark, palette=PALETTES.get(style.mark))


def templates(*folders: Path) -> Environment:
    """Return the templates of tables, and those of other folders, which escape every text."""
    environment = Environment(
        loader=FileSystemLoader([*folders, _TEMPLATES], encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = _number
    return environment


def _number(cell: Cell) -> str:
    return "∞" if isinstance(cell.value, float) and math.isinf(cell.value) else cell.text
