"""Figures of papers: reference and methods side by side, with magnified regions, scores and maps of the error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nvs_eval.diagnostics.figures.crops import (
    MOST_CROPS,
    Box,
    Pixels,
    auto_crops,
    check_inside,
    crop_options,
    parse_crop,
)
from nvs_eval.diagnostics.figures.drawing import Drawing
from nvs_eval.diagnostics.figures.fonts import font_families, has_bold, is_embeddable
from nvs_eval.diagnostics.figures.layout import Bar, Cell, Row, lay_out
from nvs_eval.diagnostics.figures.options import FigureOptions
from nvs_eval.diagnostics.figures.plot import plotted
from nvs_eval.diagnostics.figures.sheet import Score, Sheet, Shown, read_sheet
from nvs_eval.diagnostics.figures.tikz import tikz_files
from nvs_eval.errors import InputError, counted, quoted, some, unknown_name
from nvs_eval.report.curve_plot import import_matplotlib
from nvs_eval.report.tables.table import metric_column, printable
from nvs_eval.report.writers.latex import escape, heading
from nvs_eval.system.files import check_writable

_KINDS = (".pdf", ".svg", ".png", ".tex")
_TIKZ = ".tex"
_MAP = "magma"
_PAGE = 9.5  # Height of a page in inches, without its margins.
# The range of the maps ends at a round number that this share of all errors does not exceed.
_WITHIN = 0.995
_ENDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
_RANGES = {
    "width": (0.5, 40), "dpi": (36, 1200), "font_size": (3, 40), "auto_crops": (0, MOST_CROPS), "error_max": (0.001, 1),
}  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """A figure and what was chosen for it.

    Attributes:
        files: content of each file: one, or for TikZ also the images.
        size: width and height in inches.
        crops: regions of each view that are magnified, by name of the view.
        notes: sentences on regions that were asked for and not found, and on its look.
    """

    files: Mapping[Path, bytes]
    size: tuple[float, float]
    crops: Mapping[str, Sequence[Box]]
    notes: Sequence[str]

    @property
    def crop_options(self) -> str:
        """Options of the command line for the same regions; "" if there are none."""
        return crop_options(self.crops)


@dataclass(frozen=True)
class _Loaded:
    """A view with its images and regions."""

    view: Shown
    reference: Pixels
    renders: Sequence[Pixels]
    crops: Sequence[Box]


def draw_figure(options: FigureOptions) -> Figure:
    """Draw a figure. Nothing is written.

    Raises:
        InputError: an option is wrong, matplotlib is missing, or an image was not kept or has changed.
    """
    kind = _checked_kind(options)
    sheet = read_sheet(options)
    given, labels = _given_crops(options, sheet.views), _labels(options.labels, sheet.views)
    families = [] if kind == _TIKZ else font_families(options.font, _texts(sheet, labels))
    loaded, notes = [], []
    for view in sheet.views:
        reference, renders = view.reference(), view.renders()
        chosen = auto_crops(reference, renders, options.auto_crops, given[view.title])
        loaded.append(_Loaded(view, reference, renders, [*given[view.title], *chosen]))
        if len(chosen) < options.auto_crops:
            what = f"only {counted(len(chosen), 'region')}" if chosen else "no region"
            notes.append(f"View {quoted(view.title)} has {what} where the methods differ and that no other overlaps.")
    maps, bar = _error_maps(loaded, options.error_max) if options.error else ([], None)
    rows = [
        Row(label, _cells(sheet, number, one, maps[number] if bar else ()), one.crops)
        for number, (label, one) in enumerate(zip(labels, loaded, strict=True))
    ]
    drawing = lay_out(rows, options, bar)
    files = (
        tikz_files(drawing, options.output)
        if kind == _TIKZ
        else {options.output: plotted(drawing, families, kind.removeprefix("."))}
    )
    notes += _look_notes(drawing, families, kind)
    size = drawing.width / drawing.dpi, drawing.height / drawing.dpi
    return Figure(files, size, {one.view.title: one.crops for one in loaded}, notes)


def _look_notes(drawing: Drawing, families: Sequence[str], kind: str) -> Iterator[str]:
    """Yield notes on a look that is not as it should be: small text, none in bold, or a figure higher than a page."""
    if (height := drawing.height / drawing.dpi) > _PAGE:
        yield f"The figure is {height:.1f} inches high, more than most pages. Use a smaller --width or fewer views."
    small = {one.text for one in drawing.texts if one.is_small(drawing)}
    for text in dict.fromkeys(one.text for one in drawing.texts if not one.latex):
        if text in small:
            yield f"{quoted(text)} is small, because its place is narrow. Give another with `--names` or `--labels`."
        if not families and "U+" in escape(text):
            yield f"LaTeX has no letter for a character of {quoted(text)}. Give another with `--names` or `--labels`."
    if families and not has_bold(families[0]) and any(one.bold for one in drawing.texts):
        yield f"The font {families[0]} has no bold, so that the best scores are not marked. Name another with `--font`."
    if kind == ".pdf" and (fonts := [family for family in families if not is_embeddable(family)]):
        why = "PDF viewers may refuse fonts with PostScript outlines"
        yield f"Text in {some(fonts)} is drawn as shapes, since {why}. For text, name a TrueType font with `--font`."


def _checked_kind(options: FigureOptions) -> str:
    """Check the options that need no record, and return the suffix of the file."""
    kind = options.output.suffix.lower()
    if kind not in _KINDS:
        raise InputError(f"--output must end in {', '.join(_KINDS)}. Got {quoted(str(options.output))}.")
    for name, (least, most) in _RANGES.items():
        value = getattr(options, name)
        if value is not None and not least <= value <= most:
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option} must be from {least:g} to {most:g}. Got {value:g}.")
    if options.error_max is not None and not options.error:
        raise InputError("--error-max is the range of the maps of --error. Add `--error`.")
    if not options.views:
        raise InputError("--views must name at least one view. Got none.")
    import_matplotlib("A figure")
    check_writable(options.output)
    return kind


def _given_crops(options: FigureOptions, views: Sequence[Shown]) -> dict[str, list[Box]]:
    """Return the regions of each view that `--crop` names.

    Raises:
        InputError: one is no region, of no view of the figure, or outside its view, or there are too many.
    """
    crops: dict[str, list[Box]] = {view.title: [] for view in views}
    for text in options.crop:
        name, box = parse_crop(text)
        if name is not None and name not in crops:
            raise unknown_name("view of --crop", name, crops)
        for view in views:
            if name in (None, view.title):
                check_inside(box, view.title, view.size)
                crops[view.title].append(box)
    for title, boxes in crops.items():
        if (count := len(boxes) + options.auto_crops) > MOST_CROPS:
            raise InputError(f"A view has room for {MOST_CROPS} crops. Got {count} for view {quoted(title)}.")
    return crops


def _labels(labels: Sequence[str], views: Sequence[Shown]) -> list[str]:
    if labels and len(labels) != len(views):
        raise InputError(f"--labels must have {counted(len(views), 'text')}, one for each view. Got {len(labels)}.")
    scenes = [view.scene for view in views]
    alone = len(set(scenes)) == len(scenes) > 1
    return [printable(text) for text in labels or (scenes if alone else [view.title for view in views])]


def _texts(sheet: Sheet, labels: Sequence[str]) -> list[str]:
    headings = [metric_column(metric, info).heading for metric, info in sheet.infos.items()]
    return [*sheet.names, *labels, *headings, "0123456789.-inf"]


def _cells(sheet: Sheet, number: int, loaded: _Loaded, maps: Sequence[np.ndarray]) -> list[Cell]:
    columns = [metric_column(metric, info) for metric, info in sheet.infos.items()]
    headings = [Score(column.heading, latex=heading(column)) for column in columns]
    texts = zip(*(loaded.view.scores(metric, info) for metric, info in sheet.infos.items()), strict=True)
    images, errors = [loaded.reference, *loaded.renders], [None, *(maps or [None] * len(loaded.renders))]
    columns = zip(sheet.names, images, [headings, *texts], errors, strict=True)
    return [
        Cell(f"row{number + 1}-{f'method{place}' if place else 'reference'}", name, image, scores, error)
        for place, (name, image, scores, error) in enumerate(columns)
    ]


def _error_maps(loaded: Sequence[_Loaded], highest: float | None) -> tuple[list[list[np.ndarray]], Bar]:
    """Return the maps of each view's absolute errors, mean over the channels, and the bar of their one range."""
    from matplotlib import colormaps

    errors = [[_error(one.reference, render) for render in one.renders] for one in loaded]
    if highest is None:
        within = max(float(np.quantile(error, _WITHIN)) for several in errors for error in several)
        highest = next(end for end in _ENDS if within <= end)
    colours = (colormaps[_MAP](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    maps = [[(error * (255 / highest)).clip(0, 255).round().astype(np.uint8) for error in row] for row in errors]
    return maps, Bar(colours, highest)


def _error(reference: Pixels, render: Pixels) -> np.ndarray:
    return np.abs(reference.astype(np.float32) - render).mean(axis=-1) / 255
