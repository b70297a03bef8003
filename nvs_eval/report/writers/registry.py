"""Formats of tables by name (add a new one here), and options of style."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from nvs_eval.report.tables.table import Table
from nvs_eval.system.plugins import load_entry


@dataclass(frozen=True, kw_only=True)
class Style:
    """Style of tables.

    Attributes:
        mark: style of the best three: red, orange and yellow; shades of one colour (for colour-blind readers and grey
            printers); bold, underlined and italic; or none.
        label: prefix of the labels of LaTeX tables.
    """

    mark: Literal["colour", "colour-blind", "bold", "none"] = "colour"
    label: str = "tab"


Writer = Callable[[Sequence[Table], Style], str]
"""Returns tables as the complete text of a file, which ends in a line break."""

FORMATS = ("text", "markdown", "latex", "csv", "json", "html")
"""Built-in formats. Each is the function `write` of the module with its name."""


def find_writer(name: str) -> Writer:
    """Return the writer of a format, built in or from a plugin (entry point group `nvs_eval.writers`).

    Raises:
        InputError: the format is unknown, or its plugin cannot be loaded.
    """
    if name in FORMATS:
        return importlib.import_module(f"nvs_eval.report.writers.{name}").write
    return load_entry("nvs_eval.writers", name, kind="format", others=FORMATS)


@dataclass(frozen=True)
class Palette:
    """Three background colours of ranks 1 to 3, for black text on white and for white text on dark screens.

    Attributes:
        names: names of the colours in LaTeX.
        light: colours behind black text.
        dark: colours behind white text.
    """

    names: Sequence[str]
    light: Sequence[str]
    dark: Sequence[str]


PALETTES: Mapping[str, Palette] = {
    # Red, orange and yellow, as in papers of the field since mip-NeRF 360.
    "colour": Palette(
        ("nvsred", "nvsorange", "nvsyellow"),
        ("FF9999", "FFCC99", "FFF8A0"),
        ("8A2B2B", "7A4A12", "5E5A12"),
    ),
    # One hue in steps of about ten in CIE lightness, equally distinct for every reader and on grey printers.
    "colour-blind": Palette(
        ("nvsblueone", "nvsbluetwo", "nvsbluethree"),
        ("72A9E0", "A5C9EE", "D3E4F6"),
        ("2166AC", "1B4C80", "143252"),
    ),
}
"""Colours by `mark`. Other styles have none."""
