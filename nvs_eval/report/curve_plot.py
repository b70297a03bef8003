"""Curves as figures for a paper: PNG, PDF or SVG. Nothing else needs matplotlib."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvs_eval.errors import InputError, quoted, some
from nvs_eval.records.result_id import safe_name
from nvs_eval.report.curves import Curve, SceneCurves
from nvs_eval.report.tables.table import metric_column, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Without a date, the same records make the same bytes.
METADATA: dict[str, dict[str, Any]] = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
# Text stays text, in fonts that publishers accept. Names are not formulas. Identifiers in SVG files are not random.
SETTINGS: Any = {
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "nvs-eval",
    "text.parse_math": False,
    "text.usetex": False,
}
# Colours of Okabe and Ito, distinct for colour-blind readers, without yellow, which is too light for lines.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_PANEL = (3.2, 2.4)
_DPI = 200
_SMALL, _MEDIUM = 8, 9


def check_plot(output: Path) -> None:
    """Check that a figure can be drawn and saved, before any work.

    Raises:
        InputError: the suffix is not supported, or matplotlib is not installed.
    """
    if output.suffix.lower() not in METADATA:
        raise InputError(f"--output must end in {', '.join(METADATA)}. Got {quoted(str(output))}.")
    import_matplotlib("A plot")


def import_matplotlib(what: str, extra: str = "plot") -> None:
    """Check that matplotlib is installed.

    Args:
        what: what needs it, with which the message begins.
        extra: extra of this package that installs it.

    Raises:
        InputError: it is not.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"{what} needs matplotlib. It cannot be imported ({error}). Run `pip install 'nvs-eval[{extra}]'`."
        ) from error


def plot_files(output: Path, scenes: Sequence[SceneCurves]) -> list[Path]:
    """Return the file of each figure. Names of several figures get the scene, split or protocol that differs."""
    if len(scenes) == 1:
        return [output]
    identities = [(one.scene, one.split, re.sub(r", | \+ ", "-", one.protocol), one.fingerprint) for one in scenes]
    scene, split, protocol, _ = (len(set(part)) > 1 for part in zip(*identities, strict=True))
    # Two versions of a protocol file have the same name, and different fingerprints.
    fingerprint = len({identity[:3] for identity in identities}) < len(identities)
    differing = (scene, split, protocol, fingerprint)
    endings = [[part for part, differs in zip(parts, differing, strict=True) if differs] for parts in identities]
    return [output.with_name(f"{output.stem}-{safe_name('-'.join(parts))}{output.suffix}") for parts in endings]


def drawn(curves: SceneCurves, suffix: str) -> bytes:
    """Draw a figure with a panel per metric and a line per run, its best step ringed; return the content of its file.

    The user's matplotlib settings apply.

    Args:
        curves: curves of one scene under one protocol.
        suffix: ".png", ".pdf" or ".svg".
    """
    import matplotlib
    from matplotlib.figure import Figure

    kind = suffix.lower()
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(layout="constrained")
        _fill(figure, curves)
        figure.savefig(file := BytesIO(), format=kind[1:], dpi=_DPI, metadata=METADATA[kind])
    return file.getvalue()


def _fill(figure: Figure, curves: SceneCurves) -> None:
    runs = list(dict.fromkeys(curve.name for curve in curves.curves))
    across = {4: 2}.get(len(curves.infos), min(3, len(curves.infos)))
    down = math.ceil(len(curves.infos) / across)
    figure.set_size_inches(_PANEL[0] * across, _PANEL[1] * down + 0.6)
    title = f"{curves.scene}, {curves.split} views, protocol {curves.protocol} ({curves.fingerprint})"
    figure.suptitle(printable(title), fontsize=_MEDIUM)
    panels = figure.subplots(down, across, squeeze=False).flat
    for panel, metric in zip(panels, curves.infos, strict=False):
        shown = [(runs.index(curve.name), curve) for curve in curves.curves if curve.metric == metric]
        _draw_panel(panel, shown)
    for panel in panels:
        panel.set_axis_off()
    _add_legend(figure, runs, ringed=any(math.isfinite(curve.best_value) for curve in curves.curves))


def _draw_panel(panel: Axes, drawn: Sequence[tuple[int, Curve]]) -> None:
    from matplotlib.ticker import MaxNLocator

    first = drawn[0][1]
    for place, curve in drawn:
        finite = [value if math.isfinite(value) else math.nan for value in curve.values]
        panel.plot(curve.steps, finite, markersize=4, linewidth=1.3, **_look(place))
        if math.isfinite(curve.best_value):
            panel.plot([curve.best], [curve.best_value], **_ring(_COLOURS[place % len(_COLOURS)]))
    panel.set_xlabel("step", fontsize=_MEDIUM)
    # Above the panel: beside it, the arrow would be rotated.
    panel.set_title(metric_column(first.metric, first.info).heading, fontsize=_MEDIUM, loc="left")
    panel.set_title("\n".join(_infinite(curve) for _, curve in drawn if _infinite(curve)), fontsize=_SMALL, loc="right")
    panel.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))
    panel.ticklabel_format(style="plain", useOffset=False)
    panel.tick_params(labelsize=_SMALL)
    panel.grid(alpha=0.3, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def _infinite(curve: Curve) -> str:
    """Return the steps where a curve is infinite, which its line skips; "" for none."""
    steps = [str(step) for step, value in zip(curve.steps, curve.values, strict=True) if math.isinf(value)]
    return printable(f"{curve.name}: inf at {some(steps, 3)}") if steps else ""


def _look(place: int) -> dict[str, Any]:
    return {"color": _COLOURS[place % len(_COLOURS)], "marker": _MARKERS[place % len(_MARKERS)]}


def _ring(colour: str) -> dict[str, Any]:
    look = {"linestyle": "none", "marker": "o", "markersize": 9, "markerfacecolor": "none", "markeredgewidth": 1.2}
    return {**look, "markeredgecolor": colour}


def _add_legend(figure: Figure, runs: Sequence[str], *, ringed: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], markersize=4, linewidth=1.3, **_look(place)) for place in range(len(runs))]
    names = [*map(printable, runs)]
    if ringed:  # False if every best value is infinite.
        names.append("best step")
        handles.append(Line2D([], [], **_ring("grey")))
    # Legends skip names that begin with an underscore, so that the names are set afterwards.
    legend = figure.legend(
        handles, [str(index) for index in range(len(names))], loc="outside lower center", ncols=3, fontsize=_SMALL,
        frameon=False,
    )  # fmt: skip
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)
