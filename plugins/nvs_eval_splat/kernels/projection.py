"""Projection of Gaussians onto an image by EWA splatting, with the colours that a camera sees.

All of it is computed in float64. The determinant of a 2D covariance is the sum of squared minors of its factor, which
loses no digits, however thin the Gaussian is.
"""

from __future__ import annotations

import math

import numpy as np
from numba import float64, void

from nvs_eval_splat import harmonics
from nvs_eval_splat.conventions import TILE
from nvs_eval_splat.kernels.compiled import FLAT, LENS, MODEL, PART, POSE, Lens, inlined, kernel

write_basis = inlined(harmonics.write_basis)


@inlined
def write_rotation(rotation: np.ndarray, axes: np.ndarray) -> None:
    """Write the rotation matrix of a unit quaternion (w, x, y, z)."""
    w, x, y, z = float64(rotation[0]), float64(rotation[1]), float64(rotation[2]), float64(rotation[3])
    axes[0, 0], axes[0, 1], axes[0, 2] = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)
    axes[1, 0], axes[1, 1], axes[1, 2] = 2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)
    axes[2, 0], axes[2, 1], axes[2, 2] = 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)


@inlined
def clamped(value: float, low: float, high: float) -> float:
    """Return the nearest value in a range."""
    return min(max(value, low), high)


@inlined
def tile_before(edge: float, tiles: int) -> int:
    """Return the tile of a coordinate, rounded down and within the image."""
    return int(clamped(math.floor(edge / TILE), 0.0, float(tiles)))


@inlined
def tile_after(edge: float, tiles: int) -> int:
    """Return the end of the tiles up to a coordinate, rounded up and within the image."""
    return int(clamped(math.ceil(edge / TILE), 0.0, float(tiles)))


@inlined
def square_tiles(centre: float, radius: float, size: float, lens: Lens) -> tuple[int, int]:
    """Return first tile and end of the tiles of a square along one axis; an empty range if it misses the image."""
    tiles = int(size + TILE - 1) // TILE
    if lens.from_index:
        index = centre - 0.5
        # Integers are cut towards zero, and half a pixel beyond a whole one does not reach the next tile.
        return tile_before(index - radius, tiles), tile_before(index + radius + (TILE - 1), tiles)
    if centre + radius <= 0 or centre - radius >= size:
        return 0, 0
    return tile_before(centre - radius, tiles), tile_after(centre + radius, tiles)


@inlined
def covariance(mean: tuple, factors: tuple, pose: np.ndarray, lens: Lens, rows: np.ndarray) -> tuple:
    """Return the projected covariance of a Gaussian, before the low-pass filter.

    Args:
        mean: centre in the camera's frame.
        factors: standard deviations, [3], and rotation from the axes of the Gaussian to the world, [3, 3].
        pose: world to camera, [4, 4].
        lens: camera and convention.
        rows: scratch, [2, 3].

    Returns:
        Variance along x, covariance, variance along y in pixels**2, and the determinant.
    """
    scale, axes = factors
    x, y, z = mean[0] / mean[2], mean[1] / mean[2], mean[2]
    margin_x = 0.5 * lens.jacobian_margin * lens.width / lens.fx
    margin_y = 0.5 * lens.jacobian_margin * lens.height / lens.fy
    x = clamped(x, -(lens.cx / lens.fx + margin_x), (lens.width - lens.cx) / lens.fx + margin_x)
    y = clamped(y, -(lens.cy / lens.fy + margin_y), (lens.height - lens.cy) / lens.fy + margin_y)
    a = b = c = 0.0
    for axis in range(3):
        side = up = forward = 0.0
        for k in range(3):
            side += pose[0, k] * axes[k, axis]
            up += pose[1, k] * axes[k, axis]
            forward += pose[2, k] * axes[k, axis]
        rows[0, axis] = lens.fx / z * (side - x * forward) * scale[axis]
        rows[1, axis] = lens.fy / z * (up - y * forward) * scale[axis]
        a += rows[0, axis] * rows[0, axis]
        b += rows[0, axis] * rows[1, axis]
        c += rows[1, axis] * rows[1, axis]
    first = rows[0, 1] * rows[1, 2] - rows[0, 2] * rows[1, 1]
    second = rows[0, 2] * rows[1, 0] - rows[0, 0] * rows[1, 2]
    third = rows[0, 0] * rows[1, 1] - rows[0, 1] * rows[1, 0]
    return a, b, c, first * first + second * second + third * third


@inlined
def tiles_of(mean: tuple, moments: tuple, limit: float, lens: Lens, rect: np.ndarray) -> bool:
    """Write the tiles that a Gaussian can change (first column, first row, end of columns, end of rows).

    Args:
        mean: centre on the image in pixels.
        moments: variance along x, covariance, variance along y, and determinant, after the low-pass filter.
        limit: squared distance in standard deviations beyond which alpha is too small.
        lens: camera and convention.
        rect: the tiles, [4].

    Returns:
        Whether there are any.
    """
    a, _, c, det = moments
    rect[0], rect[1] = 0, 0
    rect[2], rect[3] = int(lens.width + TILE - 1) // TILE, int(lens.height + TILE - 1) // TILE
    if lens.extent_sigmas:
        middle = 0.5 * (a + c)
        longest = middle + math.sqrt(max(lens.variance_floor, middle * middle - det))
        radius = math.ceil(lens.extent_sigmas * math.sqrt(longest))
        rect[0], rect[2] = square_tiles(mean[0], radius, lens.width, lens)
        rect[1], rect[3] = square_tiles(mean[1], radius, lens.height, lens)
    # Beyond this box alpha is too small, so that leaving out its tiles changes no pixel.
    side, up = math.sqrt(limit * a), math.sqrt(limit * c)
    rect[0] = max(rect[0], tile_before(mean[0] - side, rect[2]))
    rect[1] = max(rect[1], tile_before(mean[1] - up, rect[3]))
    rect[2] = min(rect[2], tile_after(mean[0] + side, rect[2]))
    rect[3] = min(rect[3], tile_after(mean[1] + up, rect[3]))
    return rect[0] < rect[2] and rect[1] < rect[3]


@inlined
def write_colour(mean: np.ndarray, position: np.ndarray, coefficients: np.ndarray, basis: np.ndarray, look: np.ndarray):
    """Write the colour of a Gaussian that is seen from a position in the world."""
    x, y, z = mean[0] - position[0], mean[1] - position[1], mean[2] - position[2]
    norm = math.sqrt(x * x + y * y + z * z)
    write_basis(x / norm, y / norm, z / norm, basis)
    for channel in range(3):
        value = 0.5
        for band in range(len(basis)):
            value += basis[band] * coefficients[band, channel]
        look[channel] = max(value, 0.0)


@inlined
def is_between(depth: float, lens: Lens) -> bool:
    """Return whether a depth is between the planes, which are compared in single precision like in the tools."""
    z = float(np.float32(depth))
    beyond = z > lens.near if lens.near_excludes else z >= lens.near
    return beyond and z <= lens.far and math.isfinite(z)


@kernel(void(MODEL, POSE, LENS, PART, FLAT))
def project(model, pose, lens, part, flat):
    """Project the Gaussians of a part onto the image."""
    means, scales, rotations, opacities, coefficients = model
    matrix, position = pose
    basis, axes, rows = np.empty(coefficients.shape[1]), np.empty((3, 3)), np.empty((2, 3))
    for i in range(part[0], part[1]):
        flat.depths[i] = np.inf
        mean, shape, look = means[i], flat.shapes[i], flat.looks[i]
        x = matrix[0, 0] * mean[0] + matrix[0, 1] * mean[1] + matrix[0, 2] * mean[2] + matrix[0, 3]
        y = matrix[1, 0] * mean[0] + matrix[1, 1] * mean[1] + matrix[1, 2] * mean[2] + matrix[1, 3]
        z = matrix[2, 0] * mean[0] + matrix[2, 1] * mean[1] + matrix[2, 2] * mean[2] + matrix[2, 3]
        if not is_between(z, lens):
            continue
        write_rotation(rotations[i], axes)
        a, b, c, before = covariance((x, y, z), (scales[i], axes), matrix, lens, rows)
        det = before + lens.low_pass * (a + c) + lens.low_pass * lens.low_pass
        a, c = a + lens.low_pass, c + lens.low_pass
        opacity = opacities[i]
        if lens.antialiased:
            opacity = np.float32(opacity * math.sqrt(max(lens.compensation_floor**2, before / det)))
        # This also leaves out what is not a number.
        if not (opacity >= lens.alpha_min and det > 0 and math.isfinite(det * det)):
            continue
        shape[0] = lens.fx * x / (z + lens.depth_offset) + lens.cx
        shape[1] = lens.fy * y / (z + lens.depth_offset) + lens.cy
        # The margin is far above rounding.
        shape[5] = 2 * math.log(opacity / lens.alpha_min) * (1 + 1e-6) + 1e-6
        if not tiles_of((shape[0], shape[1]), (a, b, c, det), shape[5], lens, flat.rects[i]):
            continue
        shape[2], shape[3], shape[4] = b / c, math.sqrt(c / det), 1 / math.sqrt(c)
        write_colour(mean, position[0], coefficients[i], basis, look)
        look[3] = opacity
        flat.depths[i] = z
