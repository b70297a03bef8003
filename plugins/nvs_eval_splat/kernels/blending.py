"""Blending of the Gaussians of a tile into its pixels, from front to back."""

from __future__ import annotations

import math

import numpy as np
from numba import float64, int64, types, void

from nvs_eval_splat.conventions import TILE
from nvs_eval_splat.kernels.compiled import FLAT, IMAGE, LENS, LISTS, ROWS, inlined, kernel


@inlined
def exponential(power: float) -> float:
    """Return exp(-power) to a relative error of 1e-10, for a power from 0 to 6.

    It is the 64th power of a polynomial, so that the compiler can compute several pixels at once.
    """
    x = power * (-1 / 64)
    value = 1 + x * (1 + x * (1 / 2 + x * (1 / 6 + x * (1 / 24 + x * (1 / 120 + x * (1 / 720))))))
    value *= value
    value *= value
    value *= value
    value *= value
    value *= value
    return value * value


@inlined
def blend_row(distance: tuple, look: tuple, limits: tuple, line: int, state: np.ndarray) -> int:
    """Blend a Gaussian into one row of a tile, without branches.

    Args:
        distance: distance of the tile's first column from the Gaussian along the row, that of the row across it, and
            the distance between two columns, in standard deviations.
        look: RGB and opacity.
        limits: least alpha, largest alpha, and the least transmittance that goes on.
        line: row in the tile.
        state: transmittance and RGB of the tile's pixels, [TILE, 4, TILE], flat. Transmittance is negative where a
            pixel has stopped.

    Returns:
        Number of pixels that stopped.
    """
    along, across, step = distance
    red, green, blue, opacity = look
    alpha_min, alpha_max, stop = limits
    stopped = 0
    row = state[line * 4 * TILE : (line + 1) * 4 * TILE]
    for i in range(TILE):
        way = along + step * i
        # Alpha is below 1/255 where the power is above 5.6.
        power = min(0.5 * (way * way + across * across), 6.0)
        alpha = min(opacity * exponential(power), alpha_max)
        before = row[i]
        after = before * (1 - alpha)
        drawn = (alpha >= alpha_min) & (before > 0)
        stops = drawn & (after < stop)
        goes_on = drawn & (after >= stop)
        weight = alpha * before if goes_on else 0.0
        row[TILE + i] += weight * red
        row[2 * TILE + i] += weight * green
        row[3 * TILE + i] += weight * blue
        row[i] = after if goes_on else (-before if stops else before)
        stopped += stops
    return stopped


@inlined
def blend_tile(shape: tuple, look: tuple, limits: tuple, box: tuple, state: np.ndarray) -> int:
    """Blend a Gaussian into the pixels of a tile.

    Args:
        shape: as written by `project`.
        look: RGB and opacity.
        limits: as in `blend_row`.
        box: first column, first row and end of rows of the tile in the image.
        state: as in `blend_row`.

    Returns:
        Number of pixels that stopped.
    """
    u, v, slope, k1, k2, limit = shape
    left, top, bottom = box
    up = math.sqrt(limit) / k2
    first_row = int(max(math.ceil(v - up - 0.5), float(top)))
    end_row = int(min(math.floor(v + up - 0.5), bottom - 1.0)) + 1
    stopped = 0
    for row in range(first_row, end_row):
        across = k2 * (row + 0.5 - v)
        if across * across > limit:
            continue
        middle = u - (left + 0.5) + slope * (row + 0.5 - v)
        stopped += blend_row((-k1 * middle, across, k1), look, limits, row - top, state)
    return stopped


@inlined
def start_tile(state: np.ndarray, width: int, height: int) -> int:
    """Reset a tile, with its pixels outside the image stopped. Returns the number of pixels in the image."""
    state[:] = 0.0
    for line in range(TILE):
        for i in range(TILE):
            state[4 * TILE * line + i] = 1.0 if line < height and i < width else -1.0
    return height * width


@kernel(void(FLAT, LISTS, LENS, types.Tuple((ROWS, int64)), IMAGE))
def blend(flat, lists, lens, where, image):
    """Blend one row of tiles.

    Args:
        flat: the Gaussians on the image.
        lists: the lists of some rows of tiles; `marks` has the end of each.
        lens: camera and convention.
        where: the rows of tiles that have lists, and the one to blend.
        image: the render, which is written.
    """
    rows, row = where
    height, width = image.alpha.shape
    state = np.empty(4 * TILE * TILE)
    top, bottom = row * TILE, min((row + 1) * TILE, height)
    shapes, looks = flat.shapes, flat.looks
    limits = lens.alpha_min, lens.alpha_max, lens.least_going_on
    for column in range(rows.columns):
        tile = (row - rows.first) * rows.columns + column
        left, right = column * TILE, min((column + 1) * TILE, width)
        alive = start_tile(state, right - left, bottom - top)
        for place in range(lists.marks[tile - 1] if tile else 0, lists.marks[tile]):
            i = lists.members[place]
            shape = (shapes[i, 0], shapes[i, 1], shapes[i, 2], shapes[i, 3], shapes[i, 4], shapes[i, 5])
            look = (float64(looks[i, 0]), float64(looks[i, 1]), float64(looks[i, 2]), float64(looks[i, 3]))
            alive -= blend_tile(shape, look, limits, (left, top, bottom), state)
            if alive == 0:
                break
        for y in range(top, bottom):
            for x in range(left, right):
                pixel = 4 * TILE * (y - top) + x - left
                rest = abs(state[pixel])
                image.alpha[y, x] = 1 - rest
                for channel in range(3):
                    image.rgb[y, x, channel] = state[pixel + (channel + 1) * TILE] + rest * image.background[channel]
