"""Layout of a figure: the place of every image, crop, frame and text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nvs_eval.diagnostics.figures.crops import Box, Pixels
from nvs_eval.diagnostics.figures.drawing import Drawing, Outline, Picture, Place, Text, resized, spread
from nvs_eval.diagnostics.figures.options import FigureOptions
from nvs_eval.diagnostics.figures.sheet import Score
from nvs_eval.errors import InputError

# Lengths in inches.
_GAP, _CROP_GAP, _TEXT_GAP, _ROW_GAP, _BAR = 0.04, 0.025, 0.02, 0.07, 0.07
_LEAST_CELL, _LEAST_WIDTH = 0.75, 0.3
# Lengths in points.
_FRAME, _REGION = 1.2, 0.9
# Height of a line of text, its baseline, and width of the column of labels, relative to the size of the font.
_LINE, _BASELINE, _LABEL = 1.2, 0.9, 1.35
# Crops go to the right of an image if they would be this much higher than it below.
_HIGHEST = 1.25
COLOURS = ("#FFB000", "#1F9BFF", "#E0218A", "#12B76A", "#F03B20", "#7A3FF2")
"""Colours of frames, which are distinct on photographs and for colour-blind readers."""


@dataclass(frozen=True)
class Cell:
    """One column of a row.

    Attributes:
        name: name of the images, unique in the figure.
        heading: name of the reference or method.
        image: reference or render.
        scores: text below it, a line for each metric.
        error: map of its error, `[H, W]` in the 256 colours of the bar, or None.
    """

    name: str
    heading: str
    image: Pixels
    scores: Sequence[Score]
    error: np.ndarray | None = None


@dataclass(frozen=True)
class Row:
    """A view: its cells, of which the first is the reference, its crops and its label."""

    label: str
    cells: Sequence[Cell]
    crops: Sequence[Box]


@dataclass(frozen=True)
class Bar:
    """Bar of the maps' colours, `[256, 3]` from the lowest value to the highest, and the largest error."""

    colours: np.ndarray
    highest: float


@dataclass(frozen=True)
class _Shape:
    """Places in a cell of a row, relative to the cell, and the cell's height without text."""

    image: Place
    crops: Sequence[Place]
    error: Place | None
    height: int


def lay_out(rows: Sequence[Row], options: FigureOptions, bar: Bar | None) -> Drawing:
    """Return the drawing of a figure.

    Args:
        rows: rows from the top, all with the same columns.
        options: width, resolution, size of text, and look of crops.
        bar: bar of the error maps, or None.

    Raises:
        InputError: the width is too small.
    """
    drawing = Drawing(round(options.width * options.dpi), options.dpi, options.font_size)
    left = round(drawing.points(_LABEL * options.font_size)) if any(row.label for row in rows) else 0
    gap = drawing.dots(_GAP)
    across = _across(len(rows[0].cells), (drawing.width - left) / options.dpi)
    width = (drawing.width - left - gap * (across - 1)) // across
    if width < drawing.dots(_LEAST_WIDTH):
        raise InputError(f"--width must have room for images. Got {options.width:g} inches. Make it larger.")
    lines = [(row, first) for row in rows for first in range(0, len(row.cells), across)]
    for place, (row, first) in enumerate(lines):
        if place:
            drawing.height += drawing.dots(_ROW_GAP)
        shape = _shape(row, width, drawing, options)
        cells = row.cells[first : first + across]
        if place == 0 or len(lines) > len(rows):  # The names of a row in several lines differ from line to line.
            _add_line(drawing, [Score(cell.heading) for cell in cells], left, width + gap, width)
        top = drawing.height
        for index, cell in enumerate(cells):
            x = left + index * (width + gap)
            _add_cell(drawing, cell, row, shape, (x, top), squares=options.enlarge == "nearest")
            if bar and shape.error:
                _add_error(drawing, bar, cell, _moved(shape.error, x, top))
        if row.label:
            middle = top + shape.height / 2
            drawing.texts.append(Text(row.label, 0.68 * left, middle, shape.height, upwards=True))
        drawing.height += shape.height + drawing.dots(_TEXT_GAP)
        for texts in zip(*(cell.scores for cell in cells), strict=True):
            _add_line(drawing, texts, left, width + gap, width)
    return drawing


def _across(cells: int, width: float) -> int:
    """Return the number of columns side by side: all, or as many as have room, evenly in several lines."""
    most = max(2, int(width / _LEAST_CELL))
    return math.ceil(cells / math.ceil(cells / most))


def _add_line(drawing: Drawing, texts: Sequence[Score], left: int, step: int, width: int) -> None:
    """Add a line with a text in the middle of each column."""
    size = drawing.points(drawing.font_size)
    for index, one in enumerate(texts):
        x, y = left + index * step + width / 2, drawing.height + _BASELINE * size
        drawing.texts.append(Text(one.text, x, y, width, bold=one.best, latex=one.latex))
    drawing.height += round(_LINE * size)


def _shape(row: Row, width: int, drawing: Drawing, options: FigureOptions) -> _Shape:
    height, image_width = row.cells[0].image.shape[:2]
    ratio = height / image_width
    gap = drawing.dots(_CROP_GAP)
    image = Place(0, 0, width, max(1, round(width * ratio)))
    crops: list[Place] = []
    end = image.height
    if row.crops:
        aspects = [box.width / box.height for box in row.crops]
        across = max(1, round((width - gap * (len(aspects) - 1)) / sum(aspects)))
        right = across > _HIGHEST * image.height if options.crops_at == "auto" else options.crops_at == "right"
        if right:
            image, crops = _at_right(width, ratio, aspects, gap)
            end = image.height
        else:
            parts = spread(width, aspects, gap)
            crops = [Place(start, end + gap, length, across) for start, length in parts]
            end += gap + across
    error = None
    if any(cell.error is not None for cell in row.cells):
        error = Place(0, end + gap, image.width, image.height)
        end += gap + image.height
    return _Shape(image, crops, error, end)


def _at_right(width: int, ratio: float, aspects: Sequence[float], gap: int) -> tuple[Place, list[Place]]:
    """Return the places of an image and of its crops in a column at its right, which is as high as the image."""
    heights = [1 / aspect for aspect in aspects]
    between = gap * (len(aspects) - 1)
    image_width = round((width - gap + between / sum(heights)) / (1 + ratio / sum(heights)))
    image = Place(0, 0, image_width, max(1, round(image_width * ratio)))
    left, column = image_width + gap, width - image_width - gap
    return image, [Place(left, start, column, length) for start, length in spread(image.height, heights, gap)]


def _moved(place: Place, x: int, y: int) -> Place:
    return Place(place.x + x, place.y + y, place.width, place.height)


def _add_cell(drawing: Drawing, cell: Cell, row: Row, shape: _Shape, corner: tuple[int, int], *, squares: bool) -> None:
    image = _moved(shape.image, *corner)
    drawing.pictures.append(Picture(cell.name, image, resized(cell.image, image)))
    height, width = cell.image.shape[:2]
    for number, (box, place, colour) in enumerate(zip(row.crops, shape.crops, itertools.cycle(COLOURS), strict=False)):
        crop = _moved(place, *corner)
        drawing.pictures.append(
            Picture(f"{cell.name}-crop{number + 1}", crop, resized(box.of(cell.image), crop, squares=squares))
        )
        region = image.part(box.x / width, box.y / height, box.width / width, box.height / height)
        drawing.outlines.append(Outline(*region, colour, _REGION))
        inset = drawing.points(_FRAME) / 2
        inner = (crop.x + inset, crop.y + inset, crop.width - 2 * inset, crop.height - 2 * inset)
        drawing.outlines.append(Outline(*inner, colour, _FRAME))


def _add_error(drawing: Drawing, bar: Bar, cell: Cell, place: Place) -> None:
    """Add the map of a method's error, or the bar in its place for the reference."""
    if cell.error is None:
        _add_bar(drawing, bar, place)
    else:
        # Colours are not averaged, because that gives others.
        drawing.pictures.append(Picture(f"{cell.name}-error", place, bar.colours[resized(cell.error, place)]))


def _add_bar(drawing: Drawing, bar: Bar, room: Place) -> None:
    """Add the bar of the maps where the reference has no map, with the ends of its range."""
    size = drawing.points(drawing.font_size)
    width = drawing.dots(_BAR)
    place = Place(room.x + room.width - width, room.y, width, room.height)
    pixels = np.repeat(bar.colours[::-1].reshape(-1, 1, 3), 2, axis=1)
    drawing.pictures.append(Picture("error-bar", place, pixels))
    right, wide = place.x - 0.3 * size, room.width / 2
    for text, y in _ticks(bar, place, size):
        drawing.texts.append(Text(text, right, y, wide, align="right"))
    title = Text("absolute error", right - 2.4 * size, room.y + room.height / 2, room.height, upwards=True)
    drawing.texts.append(title)


def _ticks(bar: Bar, place: Place, size: float) -> Iterator[tuple[str, float]]:
    yield f"{bar.highest:g}", place.y + 0.7 * size
    yield "0", place.y + place.height
