"""Figures drawn with matplotlib: PDF, SVG and PNG."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from nvs_eval.diagnostics.figures.drawing import Drawing, Text
from nvs_eval.diagnostics.figures.fonts import families_with, is_embeddable, quiet_fonts
from nvs_eval.report.curve_plot import METADATA, SETTINGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TURNED = 90
# Fonts of the same kind, for computers without matplotlib's.
_STIX, _LIKE_STIX = b"'STIXGeneral'", b"'STIXGeneral', 'STIX Two Text', 'Times New Roman', Times, serif"
# Each image is embedded on its own, as it is, and the user's settings change neither the size nor the colours.
_SETTINGS: Any = {
    **SETTINGS, "image.composite_image": False, "svg.image_inline": True, "savefig.bbox": "standard",
    "savefig.facecolor": "white", "savefig.transparent": False, "text.color": "black",
}  # fmt: skip


def plotted(drawing: Drawing, families: Sequence[str], kind: str) -> bytes:
    """Return the content of a figure's file.

    Args:
        drawing: the figure.
        families: fonts of its text, of which each is used for the characters that those before lack.
        kind: "pdf", "svg" or "png".
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS), quiet_fonts():
        size = drawing.width / drawing.dpi, drawing.height / drawing.dpi
        figure = Figure(figsize=size, dpi=drawing.dpi)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, drawing.width), ylim=(drawing.height, 0))
        axes.set_axis_off()
        _fill(axes, drawing, families)
        if kind == "pdf":
            _draw_shapes(axes, families)
        figure.savefig(file := BytesIO(), format=kind, dpi=drawing.dpi, metadata=METADATA[f".{kind}"])
    content = file.getvalue()
    return content.replace(_STIX, _LIKE_STIX) if kind == "svg" else content


def _fill(axes: Axes, drawing: Drawing, families: Sequence[str]) -> None:
    from matplotlib.patches import Rectangle

    for picture in drawing.pictures:
        place = picture.place
        extent = (place.x, place.x + place.width, place.y + place.height, place.y)
        axes.imshow(picture.pixels, extent=extent, interpolation="none", aspect="auto", origin="upper")
    # Images have set the limits to theirs.
    axes.set(xlim=(0, drawing.width), ylim=(drawing.height, 0))
    for one in drawing.outlines:
        patch = Rectangle((one.x, one.y), one.width, one.height, edgecolor=one.colour, linewidth=one.line)
        patch.set(facecolor="none", joinstyle="miter", clip_on=False)
        axes.add_patch(patch)
    for text in drawing.texts:
        _add_text(axes, text, drawing.font_size, families)


def _add_text(axes: Axes, text: Text, size: float, families: Sequence[str]) -> None:
    look: dict[str, Any] = {"fontsize": size, "fontfamily": list(families), "clip_on": False}
    if text.upwards:
        look |= {"rotation": _TURNED, "rotation_mode": "anchor", "ha": "center", "va": "baseline"}
    else:
        look |= {"ha": text.align, "va": "baseline"}
    drawn = axes.text(text.x, text.y, text.text, fontweight="bold" if text.bold else "normal", **look)
    box = drawn.get_window_extent()
    length = box.height if text.upwards else box.width
    if length > text.room:
        drawn.set_fontsize(size * text.room / length)


def _draw_shapes(axes: Axes, families: Sequence[str]) -> None:
    """Draw text as shapes where its font cannot be embedded."""
    from matplotlib.patheffects import Normal

    lacking = {family for family in families if not is_embeddable(family)}
    for text in axes.texts if lacking else ():
        if lacking.intersection(families_with(text.get_text(), families, bold=text.get_fontweight() == "bold")):
            text.set_path_effects([Normal()])
