"""Frames of a video: views of all methods side by side, or two of them with a line between."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

from nvs_eval.diagnostics.figures.crops import Pixels
from nvs_eval.diagnostics.figures.fonts import file_with
from nvs_eval.diagnostics.figures.sheet import Score

_BACKGROUND, _TEXT, _FAINT = (16, 16, 16), (255, 255, 255), (170, 170, 170)
_GAP = 4
_SHAPE = 9 / 16
# Height of a strip of text, relative to the size of its font, and the sizes of the font in pixels.
_STRIP, _SMALLEST, _SIZES = 1.7, 9, (14, 30)


@dataclass(frozen=True)
class Typeface:
    """Fonts of text: families, of which each is used for the characters that those before lack."""

    families: Sequence[str]

    def parts(self, text: str, size: int, *, bold: bool) -> list[tuple[str, ImageFont.FreeTypeFont]]:
        """Return the parts of a text with their fonts."""
        parts: list[tuple[str, Path]] = []
        for character in text:
            if parts and character.isspace():
                file = parts[-1][1]
            else:
                file = file_with(character, tuple(self.families), bold=bold)
            if parts and parts[-1][1] == file:
                parts[-1] = (parts[-1][0] + character, file)
            else:
                parts.append((character, file))
        return [(part, ImageFont.truetype(file, size)) for part, file in parts]

    def width(self, text: str, size: int, *, bold: bool) -> float:
        """Return the width of a text in pixels."""
        return sum(font.getlength(part, direction=_direction()) for part, font in self.parts(text, size, bold=bold))


@cache
def _direction() -> str | None:
    """Return the direction of a line; words in Arabic or Hebrew have theirs. Pillow without Raqm knows no direction."""
    return "ltr" if features.check("raqm") else None


@dataclass(frozen=True)
class Grid:
    """Tiles of a frame: how many side by side, their size in pixels, and the size of the text."""

    across: int
    down: int
    tile: tuple[int, int]
    font_size: int

    @property
    def strip(self) -> int:
        """Height of a strip of text."""
        return round(_STRIP * self.font_size)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a frame, which are even, as players need them."""
        width = self.across * (self.tile[0] + _GAP) - _GAP
        height = self.down * (self.strip + self.tile[1] + _GAP) - _GAP + self.strip
        return width + width % 2, height + height % 2


def grid_of(tiles: int, largest: tuple[int, int], width: int) -> Grid:
    """Return the grid in which tiles are shown largest.

    Args:
        tiles: number of tiles.
        largest: width and height of the largest view.
        width: largest width of a frame; its height is at most 9/16 of that.
    """
    grids = [_grid(math.ceil(tiles / down), down, largest, width) for down in range(1, tiles + 1)]
    return max(grids, key=lambda grid: (grid.tile[0], -grid.down))


def _grid(across: int, down: int, largest: tuple[int, int], width: int) -> Grid:
    room = (width - _GAP * (across - 1)) / across
    font_size = int(min(_SIZES[1], max(_SIZES[0], room / 22)))
    strips = (down + 1) * round(_STRIP * font_size) + _GAP * (down - 1)
    scale = min(room / largest[0], (width * _SHAPE - strips) / down / largest[1])
    if scale >= 1:  # Whole factors keep pixels as squares of one size.
        scale = math.floor(scale)
    tile = max(2, int(largest[0] * scale)), max(2, int(largest[1] * scale))
    return Grid(across, down, tile, font_size)


@dataclass(frozen=True)
class Tile:
    """An image with its name and its score."""

    name: str
    image: Pixels
    score: Score


def frame_of(tiles: Sequence[Tile], grid: Grid, footer: tuple[str, str], typeface: Typeface) -> Pixels:
    """Draw a frame.

    Args:
        tiles: tiles from the top left.
        grid: their grid.
        footer: texts at the left and right below the tiles.
        typeface: fonts.
    """
    frame = Image.new("RGB", grid.size, _BACKGROUND)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, grid.across)
        corner = column * (grid.tile[0] + _GAP), row * (grid.strip + grid.tile[1] + _GAP)
        _caption(frame, (*corner, grid.tile[0]), (tile.name, tile.score.text), grid, typeface, bold=tile.score.best)
        frame.paste(_fitted(tile.image, grid.tile), (corner[0], corner[1] + grid.strip))
    _caption(frame, (0, grid.size[1] - grid.strip, grid.size[0]), footer, grid, typeface, faint=True)
    return np.asarray(frame)


def wipe_of(left: Pixels, right: Pixels, grid: Grid, share: float) -> Pixels:
    """Return a frame whose tile is that of one frame left of a line, and that of another right of it.

    Args:
        left: frame with the first image.
        right: frame with the second image, and the same text.
        grid: grid of one tile.
        share: place of the line, from 0 for the left edge to 1 for the right one.
    """
    frame, width = right.copy(), grid.tile[0]
    line = round(share * width)
    frame[grid.strip : grid.strip + grid.tile[1], :line] = left[grid.strip : grid.strip + grid.tile[1], :line]
    thickness = max(1, width // 400)
    rows = np.s_[grid.strip : grid.strip + grid.tile[1]]
    frame[rows, max(0, line - 2 * thickness) : min(width, line + 2 * thickness)] = 0
    frame[rows, max(0, line - thickness) : min(width, line + thickness)] = 255
    return frame


def _fitted(image: Pixels, size: tuple[int, int]) -> Image.Image:
    """Return an image in the middle of a tile: enlarged by a whole factor, or reduced."""
    height, width = image.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    times = math.floor(scale)
    target = (width * times, height * times) if times else (max(1, int(width * scale)), max(1, int(height * scale)))
    kind = Image.Resampling.NEAREST if times else Image.Resampling.LANCZOS
    tile = Image.new("RGB", size, _BACKGROUND)
    tile.paste(Image.fromarray(image).resize(target, kind), ((size[0] - target[0]) // 2, (size[1] - target[1]) // 2))
    return tile


def _caption(
    frame: Image.Image,
    place: tuple[int, int, int],
    texts: tuple[str, str],
    grid: Grid,
    typeface: Typeface,
    *,
    bold: bool = False,
    faint: bool = False,
) -> None:
    """Write two texts at the left and right of a strip: smaller if they are too wide, then with the first one cut."""
    x, y, width = place
    size, margin = grid.font_size, grid.font_size // 3
    left, right = texts

    def wide() -> bool:
        return typeface.width(f"{left}  {right}", size, bold=True) > width - 2 * margin

    while wide() and size > _SMALLEST:
        size -= 1
    while wide() and len(left) > 1:
        left = f"{left[:-2]}…" if left.endswith("…") else f"{left[:-1]}…"
    draw = ImageDraw.Draw(frame)
    baseline = y + grid.strip // 2 + round(0.36 * size)
    colour = _FAINT if faint else _TEXT
    starts = (x + margin, x + width - margin - typeface.width(right, size, bold=bold))
    for text, start in zip((left, right), starts, strict=True):
        end = start
        for part, font in typeface.parts(text, size, bold=bold):
            draw.text((end, baseline), part, fill=colour, font=font, anchor="ls", direction=_direction())
            end += font.getlength(part, direction=_direction())
