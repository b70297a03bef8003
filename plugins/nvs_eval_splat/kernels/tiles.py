"""Lists of the Gaussians that change the pixels of each tile, from front to back.

The Gaussians come sorted by depth. Each chunk of them counts its hits per tile, the counts give each chunk its place
in each list, and each chunk fills in its hits: the lists are sorted without sorting hits.
"""

from __future__ import annotations

import math

import numpy as np
from numba import void

from nvs_eval_splat.conventions import TILE
from nvs_eval_splat.kernels.compiled import FLAT, LISTS, ORDER, PART, ROWS, inlined, kernel


@inlined
def columns_in_row(shape: np.ndarray, row: int, rect: np.ndarray) -> tuple[int, int]:
    """Return the tiles of a row that the ellipse of a Gaussian reaches at the centre of a pixel: first and end.

    The ellipse's right side is slope * dy + sqrt(limit - (k2 * dy)**2) / k1. It is concave, so that its maximum over
    the row's pixels is at its summit or at the end nearest to it.
    """
    u, v, slope, k1, k2, limit = shape[0], shape[1], shape[2], shape[3], shape[4], shape[5]
    height = math.sqrt(limit) / k2
    low, high = max(row * TILE + 0.5 - v, -height), min(row * TILE + (TILE - 0.5) - v, height)
    if low > high:
        return 0, 0
    summit = height * slope * k1 / math.sqrt(k2 * k2 + slope * slope * k1 * k1)
    right, left = min(max(summit, low), high), min(max(-summit, low), high)
    right_side = u + slope * right + math.sqrt(max(limit - (k2 * right) ** 2, 0.0)) / k1
    left_side = u + slope * left - math.sqrt(max(limit - (k2 * left) ** 2, 0.0)) / k1
    first = math.floor(min(max(math.ceil(left_side - 0.5) / TILE, float(rect[0])), float(rect[2])))
    end = math.floor(min(max(math.floor(right_side - 0.5) / TILE, float(rect[0]) - 1), float(rect[2]) - 1)) + 1
    return int(first), int(end)


@kernel(void(ORDER, PART, FLAT, ROWS, LISTS))
def fill(order, part, flat, rows, lists):
    """Write Gaussians into the lists of the tiles that they reach, or count them.

    Args:
        order: the drawn Gaussians by depth.
        part: part of `order`.
        flat: the Gaussians on the image.
        rows: the rows of tiles that have lists.
        lists: the lists, without members if hits are only counted. `marks` has the next place of each tile; it is
            raised for each hit.
    """
    counting = len(lists.members) == 0
    for place in range(part[0], part[1]):
        i = order[place]
        rect = flat.rects[i]
        for row in range(max(rect[1], rows.first), min(rect[3], rows.end)):
            first, end = columns_in_row(flat.shapes[i], row, rect)
            before = (row - rows.first) * rows.columns
            for tile in range(before + first, before + end):
                if not counting:
                    lists.members[lists.marks[tile]] = i
                lists.marks[tile] += 1
