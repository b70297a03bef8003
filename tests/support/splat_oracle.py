"""The definition of splatting, pixel by pixel.

Written from the tools' definitions, without anything of the plugin's rasterisers: matrices as in the papers, in
extended precision, and each tool's own box of tiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import sph_harm_y

from nvs_eval_splat.conventions import Convention
from nvs_eval_splat.gaussians import Gaussians
from nvs_eval_splat.pinhole import Pinhole

BORDERLINE = 1e-8
"""A decision about a pixel is in doubt where a value is this near to its threshold, relatively."""


@dataclass
class Flat:
    """A Gaussian on the image: everything a pixel needs."""

    index: int
    depth: np.float32
    centre: np.ndarray
    covariance: np.ndarray
    opacity: float
    colour: np.ndarray
    tiles: tuple[int, int, int, int]


def rotation_matrix(quaternion: np.ndarray) -> np.ndarray:
    """Return the matrix of the map v -> q v q*, computed by multiplying quaternions."""
    w, x, y, z = np.asarray(quaternion, np.longdouble)

    def rotate(v: np.ndarray) -> np.ndarray:
        axis = np.array([x, y, z])
        return v + 2 * w * np.cross(axis, v) + 2 * np.cross(axis, np.cross(axis, v))

    return np.stack([rotate(v) for v in np.eye(3, dtype=np.longdouble)], axis=1)


def real_harmonics(direction: np.ndarray, degree: int) -> np.ndarray:
    """Return real spherical harmonics in the order and with the signs of splats, from scipy's complex ones."""
    x, y, z = np.asarray(direction, float)
    polar, azimuth = math.acos(max(-1.0, min(1.0, z))), math.atan2(y, x)
    values = []
    for level in range(degree + 1):
        for order in range(-level, level + 1):
            value = complex(sph_harm_y(level, abs(order), polar, azimuth))
            part = value.imag if order < 0 else value.real
            # scipy has the phase (-1)**order, which splats have too: their first three are -y, z, -x.
            values.append(part * (math.sqrt(2) if order else 1))
    return np.array(values)


def flatten(model: Gaussians, camera: Pinhole, convention: Convention) -> list[Flat]:
    """Return the Gaussians that are drawn, from front to back."""
    flats = [flat for index in range(model.count) if (flat := _flat(index, model, camera, convention)) is not None]
    return sorted(flats, key=lambda flat: (flat.depth, flat.index))


def _flat(index: int, model: Gaussians, camera: Pinhole, convention: Convention) -> Flat | None:
    pose = camera.world_to_camera.astype(np.longdouble)
    world = model.means[index].astype(np.longdouble)
    x, y, z = pose[:3, :3] @ world + pose[:3, 3]
    depth, near = np.float32(z), np.float32(convention.near)
    if depth < near or (depth == near and convention.name == "inria") or not depth <= convention.far:
        return None
    centred = convention.name == "inria"
    cx, cy = (camera.width / 2, camera.height / 2) if centred else (camera.cx, camera.cy)
    tan_x, tan_y = camera.width / (2 * camera.fx), camera.height / (2 * camera.fy)
    at_x = min(max(x / z, -cx / camera.fx - 0.3 * tan_x), (camera.width - cx) / camera.fx + 0.3 * tan_x)
    at_y = min(max(y / z, -cy / camera.fy - 0.3 * tan_y), (camera.height - cy) / camera.fy + 0.3 * tan_y)
    jacobian = np.array([[camera.fx / z, 0, -camera.fx * at_x / z], [0, camera.fy / z, -camera.fy * at_y / z]])
    factor = rotation_matrix(model.rotations[index]) * model.scales[index].astype(np.longdouble)
    seen = jacobian @ pose[:3, :3]
    sharp = seen @ (factor @ factor.T) @ seen.T
    wide = sharp + 0.3 * np.eye(2)
    opacity = model.opacities[index]
    if convention.antialiased:
        floor = {"inria": 0.000025, "gsplat-main": 0.005**2}.get(convention.name, 0.0)
        opacity = np.float32(opacity * math.sqrt(max(floor, determinant(sharp) / determinant(wide))))
    weight = z + 1e-7 if centred else z
    centre = np.array([camera.fx * x / weight + cx, camera.fy * y / weight + cy], float)
    radii = _radii(wide.astype(float), float(determinant(wide)), float(opacity), convention)
    tiles = _tiles(centre, radii, camera, convention) if radii else (0, 0, 0, 0)
    direction = world - np.linalg.inv(camera.world_to_camera)[:3, 3]
    basis = real_harmonics(direction / np.sqrt((direction**2).sum()), model.degree)
    colour = np.maximum(0.5 + basis @ model.harmonics[index].astype(float), 0)
    return Flat(index, depth, centre, wide, float(opacity), colour, tiles)


def determinant(matrix: np.ndarray) -> Any:
    return matrix[0, 0] * matrix[1, 1] - matrix[0, 1] ** 2


def _radii(covariance: np.ndarray, det: float, opacity: float, convention: Convention) -> tuple[int, int] | None:
    """Return half the sides of the tool's own box in pixels; None if the Gaussian is not drawn."""
    if convention.name in ("inria", "gsplat-1.4"):
        middle = (covariance[0, 0] + covariance[1, 1]) / 2
        floor = {"inria": 0.1, "gsplat-1.4": 0.01}[convention.name]
        radius = math.ceil(3 * math.sqrt(middle + math.sqrt(max(floor, middle**2 - det))))
        return radius, radius
    if opacity < np.float32(1 / 255):
        return None
    extent = min(3.33, math.sqrt(max(0.0, 2 * math.log(opacity * 255))))
    return math.ceil(extent * math.sqrt(covariance[0, 0])), math.ceil(extent * math.sqrt(covariance[1, 1]))


def _tiles(
    centre: np.ndarray, radii: tuple[int, int], camera: Pinhole, convention: Convention
) -> tuple[int, int, int, int]:
    """Return the tiles of the tool's own box: columns and rows, from and to."""
    ranges = []
    for k, size in enumerate((camera.width, camera.height)):
        if convention.name == "inria":
            pixel = centre[k] - 0.5
            first, end = math.trunc((pixel - radii[k]) / 16), math.trunc((pixel + radii[k] + 15) / 16)
        elif centre[k] + radii[k] <= 0 or centre[k] - radii[k] >= size:
            first, end = 0, 0
        else:
            first, end = math.floor((centre[k] - radii[k]) / 16), math.ceil((centre[k] + radii[k]) / 16)
        ranges.append((max(0, first), min(end, math.ceil(size / 16))))
    return (*ranges[0], *ranges[1])


def render(
    model: Gaussians, camera: Pinhole, convention: Convention, background: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rgb [H, W, 3] and alpha [H, W] in float64, and where a decision is in doubt, [H, W]."""
    flats = flatten(model, camera, convention)
    inverses = [_inverse(flat.covariance) for flat in flats]
    rgb, alpha = np.zeros((camera.height, camera.width, 3)), np.zeros((camera.height, camera.width))
    doubt = np.zeros((camera.height, camera.width), bool)
    for row in range(camera.height):
        for column in range(camera.width):
            pixel = np.array([column + 0.5, row + 0.5])
            reached = [
                (flat, inverse)
                for flat, inverse in zip(flats, inverses, strict=True)
                if flat.tiles[0] <= column // 16 < flat.tiles[1] and flat.tiles[2] <= row // 16 < flat.tiles[3]
            ]
            colour, light, doubt[row, column] = _blend(pixel, reached, convention)
            rgb[row, column], alpha[row, column] = colour + light * background, 1 - light
    return rgb, alpha, doubt


def _inverse(matrix: np.ndarray) -> np.ndarray:
    adjugate = np.array([[matrix[1, 1], -matrix[0, 1]], [-matrix[0, 1], matrix[0, 0]]])
    return adjugate / determinant(matrix)


def _blend(pixel: np.ndarray, flats: list, convention: Convention) -> tuple[np.ndarray, float, bool]:
    colour, light, doubt = np.zeros(3), 1.0, False
    least, most, stop = np.float32(1 / 255), np.float32(convention.alpha_max), np.float32(1e-4)
    for flat, inverse in flats:
        offset = pixel - flat.centre
        power = float(offset @ inverse @ offset) / 2
        alpha = min(flat.opacity * math.exp(-power), float(most))
        doubt |= abs(alpha / float(least) - 1) < BORDERLINE
        if power < 0 or alpha < least:
            continue
        after = light * (1 - alpha)
        doubt |= abs(after / float(stop) - 1) < BORDERLINE
        if after < stop or (after == stop and convention.name != "inria"):
            break
        colour += alpha * light * flat.colour
        light = after
    return colour, light, doubt
