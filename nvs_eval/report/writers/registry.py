"""The formats of tables by name, what a writer is, and what a user chooses of how tables look."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
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
