"""A figure as plain data: what is where. Writers draw it with matplotlib or TikZ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from PIL import Image

from nvs_eval.diagnostics.figures.crops import Pixels

# Mean width of letters relative to the size of their font, and the size at which text counts as small.
_LETTER, _SMALL = 0.45, 0.6


@dataclass(frozen=True)
class Place:
    """A rectangle in dots, of which `Drawing.dpi` are an inch, from the top left of the figure."""

    x: int
    y: int
    width: int
    height: int

    def part(self, x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        """Return x, y, width and height of a part that is given in shares of the rectangle."""
        return self.x + x * self.width, self.y + y * self.height, width * self.width, height * self.height


@dataclass(frozen=True)
class Picture:
    """An image in its place. `name` can be part of a file name; other images of the figure have other names."""

    name: str
    place: Place
    pixels: Pixels


@dataclass(frozen=True)
class Outline:
    """A rectangle without filling, in dots; its line, of a width in points, lies around (x, y, width, height)."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    line: float


@dataclass(frozen=True)
class Text:
    """A line of text.

    Attributes:
        text: the text.
        x: place of its left end, centre or right end, in dots.
        y: its baseline, in dots; for text that is turned upwards, its centre.
        room: width that it must fit into, in dots.
        align: what is at `x`.
        bold: whether it is bold.
        upwards: whether it is turned to be read from below to above; `x` is then the baseline.
        latex: the text in LaTeX, if it is not the escaped one; "" otherwise.
    """

    text: str
    x: float
    y: float
    room: float
    align: Literal["left", "center", "right"] = "center"
    bold: bool = False
    upwards: bool = False
    latex: str = ""

    def is_small(self, drawing: Drawing) -> bool:
        """Return whether the text must be set in less than 0.6 of its size, by the mean width of letters."""
        return len(self.text) * _LETTER * drawing.points(drawing.font_size) * _SMALL > self.room


@dataclass
class Drawing:
    """A figure of a size in dots.

    Attributes:
        width: width in dots.
        dpi: dots per inch, and resolution of the images.
        font_size: size of all text in points.
        height: height in dots.
        pictures: images.
        outlines: frames of crops.
        texts: all text.
    """

    width: int
    dpi: int
    font_size: float
    height: int = 0
    pictures: list[Picture] = field(default_factory=list)
    outlines: list[Outline] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)

    def dots(self, inches: float) -> int:
        """Return a length in dots."""
        return max(1, round(inches * self.dpi))

    def points(self, points: float) -> float:
        """Return a length of points in dots."""
        return points / 72 * self.dpi


def resized(pixels: np.ndarray, place: Place, *, squares: bool = False) -> np.ndarray:
    """Return an image at the resolution of its place.

    Args:
        pixels: uint8, `[H, W, 3]` or `[H, W]`.
        place: place in the figure.
        squares: enlarge each pixel to a square of several, of which there may be more than the place has dots.
    """
    times = -(-place.width // pixels.shape[1])  # A whole factor, so that all squares are equal.
    if squares and place.width >= pixels.shape[1]:
        return pixels.repeat(times, axis=0).repeat(times, axis=1)
    image = Image.fromarray(pixels).resize((place.width, place.height), Image.Resampling.LANCZOS)
    return np.asarray(image)


def spread(total: int, shares: Sequence[float], gap: int) -> list[tuple[int, int]]:
    """Divide a length by shares, with gaps between them. Return the start and the length of each part."""
    room, parts, position = total - gap * (len(shares) - 1), [], 0.0
    for share in shares:
        end = position + room * share / sum(shares)
        parts.append((round(position) + gap * len(parts), round(end) - round(position)))
        position = end
    return parts
