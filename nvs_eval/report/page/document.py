"""The document of the page: its HTML, style and script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from nvs_eval.report.page.folder import PageFiles
from nvs_eval.report.tables.table import Table
from nvs_eval.report.writers.html import templates
from nvs_eval.report.writers.registry import PALETTES

_FOLDER = Path(__file__).parent
_MARK = "colour-blind"
INDEX = "data/index.js"


def table_html(table: Table, places: Sequence[int | None] = ()) -> str:
    """Return the HTML of a table with exact values, and with the column of the page that each row belongs to."""
    parts: Any = templates(_FOLDER / "templates").get_template("parts.html").module
    return str(parts.section(table, _MARK, list(places)))


def write_document(
    files: PageFiles,
    scenes: Sequence[dict[str, Any]],
    *,
    title: str,
    made_by: str,
    command: str,
    overall: Sequence[Table],
) -> bytes:
    """Write the style, the script and the list of scenes; return the HTML.

    Args:
        files: files of the page, which has the data of the scenes.
        scenes: path, name, split, and numbers of views and columns of each scene.
        title: title of the page.
        made_by: name and version of the program.
        command: command that made the page.
        overall: tables over all scenes.

    Raises:
        OSError: a file cannot be written.
    """
    index = {"version": 1, "title": title, "scenes": list(scenes), "made_by": made_by, "command": command}
    files.put(INDEX, index)
    if not files.is_single:
        files.write("page.css", style().encode())
        files.write("page.js", script().encode())
    page = templates(_FOLDER / "templates").get_template("index.html.j2")
    html = page.render(
        title=title,
        made_by=made_by,
        scenes=scenes,
        overall=[table_html(table) for table in overall],
        mark=_MARK,
        palette=PALETTES[_MARK],
        single=files.is_single,
        style=style(),
        script=script(),
        script_sha256=_digest(script()),
        embedded=files.embedded,
    )
    return html.encode("utf-8", "backslashreplace")


def _digest(text: str) -> str:
    """Return the hash of a script or style as a content security policy names it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def style() -> str:
    """Return the style of the page."""
    return (_FOLDER / "page.css").read_text("utf-8")


@cache
def script() -> str:
    """Return the script of the page, which is put together from several files in the order of their names."""
    parts = [file.read_text("utf-8") for file in sorted((_FOLDER / "js").glob("*.js"))]
    return "(() => {\n" + "\n".join(parts) + "\n})();\n"
