"""The formats of tables by name, a new one too; and what a user chooses of how tables look."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from nvs_eval.report.tables.table import Table
from nvs_eval.system.plugins import load_entry


@dataclass(frozen=True, kw_only=True)
class Style:
    """What a user chooses of how tables look.

    Attributes:
        mark: how first, second and third are marked: by the red, orange and yellow of papers; by shades of one colour,
            which all eyes and printers tell apart; by bold, underlined and italic letters; or not.
        label: how the labels of LaTeX tables begin.
    """

    mark: Literal["colour", "colour-blind", "bold", "none"] = "colour"
    label: str = "tab"


Writer = Callable[[Sequence[Table], Style], str]
"""Tables as the whole text of a file, which ends in a line break."""

FORMATS = ("text", "markdown", "latex", "csv", "json", "html")
"""Those that come with nvs-eval: each the function `write` of a module of its name."""


def find_writer(name: str) -> Writer:
    """The writer of a format; others than nvs-eval's own are found by entry point, in the group `nvs_eval.writers`.

    Raises:
        InputError: there is none of that name, or it cannot be loaded.
    """
    if name in FORMATS:
        return importlib.import_module(f"nvs_eval.report.writers.{name}").write
    return load_entry("nvs_eval.writers", name, kind="format", others=FORMATS)


@dataclass(frozen=True)
class Palette:
    """Three colours behind numbers: for black letters on white paper, and for white letters on a dark screen.

    Attributes:
        names: of the colours in LaTeX.
        light: on paper, the first to the third.
        dark: on a dark screen, likewise.
    """

    names: Sequence[str]
    light: Sequence[str]
    dark: Sequence[str]


PALETTES: Mapping[str, Palette] = {
    # The red, orange and yellow that tables of the field have had since mip-NeRF 360.
    "colour": Palette(
        ("nvsred", "nvsorange", "nvsyellow"),
        ("FF9999", "FFCC99", "FFF8A0"),
        ("8A2B2B", "7A4A12", "5E5A12"),
    ),
    # One hue in steps of about ten in CIE lightness: as far apart to every eye, and on a grey printer.
    "colour-blind": Palette(
        ("nvsblueone", "nvsbluetwo", "nvsbluethree"),
        ("72A9E0", "A5C9EE", "D3E4F6"),
        ("2166AC", "1B4C80", "143252"),
    ),
}
"""By the way of marking; the others have no colours."""
