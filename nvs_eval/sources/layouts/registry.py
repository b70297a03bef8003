"""Table of the layouts, and the lookup of the one that recognises a folder.

A new layout is one module here and one line of `LAYOUTS`, or an entry point of a plugin. They are tried in that order;
the first that recognises a folder reads it. Plain folders are read by `nvs_eval.sources.folders`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nvs_eval.errors import InputError, quoted
from nvs_eval.sources.layouts.brush import BRUSH
from nvs_eval.sources.layouts.depthsplat import DEPTHSPLAT
from nvs_eval.sources.layouts.gaussian_splatting import GAUSSIAN_SPLATTING
from nvs_eval.sources.layouts.gsplat import GSPLAT
from nvs_eval.sources.layouts.layout import Contents, Layout
from nvs_eval.sources.layouts.nerfbaselines import NERFBASELINES
from nvs_eval.sources.layouts.nerfstudio import NS_EVAL, NS_RENDER
from nvs_eval.sources.layouts.threedgrut import THREEDGRUT
from nvs_eval.system.plugins import entry_names, load_entry

ENTRY_POINTS = "nvs_eval.layouts"
LAYOUTS = (
    THREEDGRUT,
    GAUSSIAN_SPLATTING,
    NERFBASELINES,
    GSPLAT,
    NS_EVAL,
    NS_RENDER,
    DEPTHSPLAT,
    BRUSH,
)


def read_layout(folder: Path, place: Path) -> Contents | None:
    """Read a folder with the first layout that recognises it; return None if no layout does.

    Raises:
        InputError: a layout recognises the folder, but files are missing or unreadable.
    """
    return next((contents for layout in layouts() if (contents := layout.read(folder, place)) is not None), None)


def why_incomplete(folder: Path) -> str | None:
    """Return what a folder that no layout reads lacks and what to do, if a layout recognises its tool."""
    return next((reason for layout in layouts() if (reason := layout.incomplete(folder))), None)


def known_layouts() -> str:
    """Describe the layouts that include references on one line, for an error message."""
    return "; ".join(f"{layout.tool} ({layout.looks_like})" for layout in layouts() if layout is not BRUSH)


def layouts() -> Iterator[Layout]:
    """Yield the layouts of nvs-eval, then those of plugins, which are loaded only when reached.

    Raises:
        InputError: a plugin cannot be loaded; the message names its distribution.
    """
    yield from LAYOUTS
    for name in entry_names(ENTRY_POINTS):
        layout = load_entry(ENTRY_POINTS, name, kind="layout")
        if not isinstance(layout, Layout):
            raise InputError(f"The plugin's layout {quoted(name)} must be a Layout. Got a {type(layout).__name__}.")
        yield layout
