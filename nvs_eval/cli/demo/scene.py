"""The demo's scene: a ray-traced still life of textured solids, in nerfstudio's format.

Lengths are in scene units; z points up. Colours depend on the position and not on the viewing direction, so that a
radiance field can reproduce them exactly.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray

from nvs_eval.errors import InputError
from nvs_eval.system.files import temporary_name

Array = NDArray[np.float64]
"""Float64: points, directions and linear RGB of shape [N, 3]; distances of shape [N], infinite for misses."""

Texture = Callable[[Array], Array]
"""Map points [N, 3] to linear RGB [N, 3]. Textures of solids take points in the solid's own coordinates."""

TARGET = np.array([0.0, 0.0, 0.28])  # All cameras look at this point.
SUN = np.array([0.48, -0.36, 0.80])  # Unit vector towards the sun.

_LATTICE = np.random.default_rng(7).random((32, 32, 32))
_NEAREST = 1e-4  # Minimum distance, so that a shadow ray does not hit the surface it starts on.
_SAMPLES = 2  # Rays per pixel along each axis, averaged against aliasing.
_BOX_HEIGHT = 0.7
_HELD_OUT = 8  # Every eighth view is held out, as usual in the field.


@dataclass(frozen=True)
class Sphere:
    """A sphere."""

    center: tuple[float, float, float]
    radius: float
    texture: Texture

    def intersect(self, origins: Array, directions: Array) -> Array:
        """Return the distance [N] to the nearest intersection in front of each origin."""
        offset = origins - np.array(self.center)
        half = np.einsum("ij,ij->i", offset, directions)
        discriminant = half**2 - (np.einsum("ij,ij->i", offset, offset) - self.radius**2)
        root = np.sqrt(np.maximum(discriminant, 0))
        distance = np.where(-half - root > _NEAREST, -half - root, -half + root)
        return np.where((discriminant > 0) & (distance > _NEAREST), distance, np.inf)

    def surface(self, points: Array) -> tuple[Array, Array]:
        """Colour and outward normal at points of the surface."""
        local = points - np.array(self.center)
        return self.texture(local / self.radius), local / self.radius


@dataclass(frozen=True)
class Box:
    """A box, rotated about the z axis by an angle in radians."""

    center: tuple[float, float, float]
    half: tuple[float, float, float]
    angle: float
    texture: Texture

    def _axes(self) -> Array:
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])

    def intersect(self, origins: Array, directions: Array) -> Array:
        """Return the distance [N] to the nearest intersection in front of each origin. Origins must be outside."""
        axes, half = self._axes(), np.array(self.half)
        start = (origins - np.array(self.center)) @ axes.T
        toward = directions @ axes.T
        toward = np.where(np.abs(toward) < 1e-12, 1e-12, toward)
        low, high = (-half - start) / toward, (half - start) / toward
        enter, leave = np.minimum(low, high).max(axis=1), np.maximum(low, high).min(axis=1)
        return np.where((enter < leave) & (enter > _NEAREST), enter, np.inf)

    def surface(self, points: Array) -> tuple[Array, Array]:
        """Colour and outward normal at points of the surface."""
        axes = self._axes()
        local = (points - np.array(self.center)) @ axes.T
        relative = local / np.array(self.half)
        face = np.abs(relative).argmax(axis=1)
        rows = np.arange(len(points))
        normals = np.zeros_like(local)
        normals[rows, face] = np.sign(relative[rows, face])
        return self.texture(local), normals @ axes


def trace(solids: tuple[Sphere | Box, ...], sky: Texture, origins: Array, directions: Array) -> Array:
    """Return the linear RGB in [0, 1] along rays with unit directions: sunlit solids in front of the sky."""
    distances = np.stack([solid.intersect(origins, directions) for solid in solids])
    nearest = distances.argmin(axis=0)
    hit = np.isfinite(distances.min(axis=0))
    colours = sky(directions)
    for index, solid in enumerate(solids):
        seen = hit & (nearest == index)
        points = origins[seen] + distances[index, seen, None] * directions[seen]
        colours[seen] = _lit(solids, solid, points)
    return np.clip(colours, 0, 1)


def _lit(solids: tuple[Sphere | Box, ...], solid: Sphere | Box, points: Array) -> Array:
    albedo, normals = solid.surface(points)
    facing = np.maximum(normals @ SUN, 0)
    shadowed = np.zeros(len(points), dtype=bool)
    for occluder in solids:
        shadowed |= np.isfinite(occluder.intersect(points + _NEAREST * normals, np.broadcast_to(SUN, points.shape)))
    # Light from the sky above, and a little from the ground below.
    ambient = 0.30 + 0.12 * normals[:, 2]
    warm, cool = np.array([1.0, 0.95, 0.86]), np.array([0.86, 0.94, 1.0])
    light = (0.75 * facing * ~shadowed)[:, None] * warm + ambient[:, None] * cool
    return albedo * light


def noise(points: Array, frequency: float) -> Array:
    """Return smooth value noise [N] in [0, 1]: an interpolated random lattice of `frequency` nodes per unit."""
    scaled = points * frequency
    base = np.floor(scaled).astype(np.int64)
    fraction = scaled - base
    fraction = fraction * fraction * (3 - 2 * fraction)
    # Interpolation weights along each axis: [0] for the lower node, [1] for the upper one.
    shares = np.stack([1 - fraction, fraction])
    nodes = np.stack([base % 32, (base + 1) % 32])
    total = np.zeros(len(points))
    for i, j, k in np.ndindex(2, 2, 2):
        weight = shares[i, :, 0] * shares[j, :, 1] * shares[k, :, 2]
        total += weight * _LATTICE[nodes[i, :, 0], nodes[j, :, 1], nodes[k, :, 2]]
    return total


def blend(low: tuple[float, float, float], high: tuple[float, float, float], share: Array) -> Array:
    """Interpolate between two colours by a share [N] in [0, 1]; return colours [N, 3]."""
    return np.array(low) + (np.array(high) - np.array(low)) * share[:, None]


def _table(points: Array) -> Array:
    dark = np.floor(points[:, :2] / 0.25).sum(axis=1) % 2
    tiles = blend((0.66, 0.55, 0.41), (0.16, 0.24, 0.25), dark.astype(np.float64))
    worn = tiles * (0.55 + 0.5 * noise(points, 3.0) + 0.4 * noise(points, 12.0))[:, None]
    rim = np.abs(points[:, :2]).max(axis=1) > 0.94
    return np.where(rim[:, None], _wood(points), worn)


def _wood(points: Array) -> Array:
    rings = 0.5 + 0.5 * np.sin(50 * np.hypot(points[:, 0] + 0.1, points[:, 1] - 0.4) + 3 * noise(points, 6.0))
    return blend((0.30, 0.16, 0.07), (0.58, 0.38, 0.18), rings)


def _stripes(points: Array) -> Array:
    band = np.sin(14 * points[:, 2] + 1.2 * np.sin(3 * np.arctan2(points[:, 1], points[:, 0])))
    return blend((0.80, 0.78, 0.70), (0.62, 0.07, 0.06), np.clip(0.5 + 4 * band, 0, 1))


def _marble(points: Array) -> Array:
    turbulence = noise(points, 2.0) + noise(points, 4.0) / 2 + noise(points, 8.0) / 4
    vein = np.square(np.sin(4 * points[:, 0] + 6 * turbulence))
    return blend((0.05, 0.16, 0.42), (0.72, 0.80, 0.84), vein)


def _dots(points: Array) -> Array:
    longitude = np.arctan2(points[:, 1], points[:, 0]) * 4 / np.pi
    latitude = np.arcsin(np.clip(points[:, 2], -1, 1)) * 4 / np.pi
    u, v = longitude - np.floor(longitude) - 0.5, latitude - np.floor(latitude) - 0.5
    inside = np.clip(6 * (0.34 - np.hypot(u * np.cos(latitude * np.pi / 4), v)) + 0.5, 0, 1)
    return blend((0.80, 0.52, 0.08), (0.12, 0.20, 0.10), inside)


def _bricks(points: Array) -> Array:
    row = np.floor(points[:, 2] / 0.14)
    # One of the two horizontal coordinates is constant on each wall, so that their sum runs along every wall.
    along = (points[:, 0] + points[:, 1]) / 0.3 + 0.5 * (row % 2)
    seam = (points[:, 2] / 0.14 - row < 0.16) | (along - np.floor(along) < 0.09)
    tone = blend((0.28, 0.10, 0.06), (0.66, 0.27, 0.15), noise(points, 5.0))
    walls = np.where(seam[:, None], np.array([0.55, 0.52, 0.47]), tone)
    lid = np.abs(points[:, 2:]) > _BOX_HEIGHT / 2 - 1e-6
    return np.where(lid, _wood(points), walls)


def _backdrop(directions: Array) -> Array:
    return blend((0.78, 0.80, 0.80), (0.30, 0.44, 0.62), np.clip(0.5 + 0.9 * directions[:, 2], 0, 1))


SOLIDS = (
    Box((0.0, 0.0, -0.06), (1.0, 1.0, 0.06), 0.0, _table),
    Sphere((-0.42, 0.30, 0.45), 0.45, _stripes),
    Sphere((0.38, -0.45, 0.30), 0.30, _marble),
    Sphere((-0.45, -0.52, 0.20), 0.20, _dots),
    Box((0.45, 0.35, _BOX_HEIGHT / 2), (0.28, 0.22, _BOX_HEIGHT / 2), 0.5, _bricks),
)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with x right, y up and the view along -z, as in OpenGL and nerfstudio."""

    pose: Array
    focal: float
    width: int
    height: int

    def rays(self) -> tuple[Array, Array]:
        """Return origins and unit directions of all rays, row by row, with _SAMPLES squared rays per pixel."""
        steps = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
        columns = (np.arange(self.width)[:, None] + steps).ravel()
        rows = (np.arange(self.height)[:, None] + steps).ravel()
        x, y = np.meshgrid((columns - self.width / 2) / self.focal, (self.height / 2 - rows) / self.focal)
        local = np.stack([x, y, -np.ones_like(x)], axis=-1).reshape(-1, 3)
        directions = local @ self.pose[:3, :3].T
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return np.broadcast_to(self.pose[:3, 3], directions.shape), directions


def cameras(views: int, width: int, height: int) -> list[Camera]:
    """Return cameras on a spiral of three turns around the scene, from low to high.

    With 40 views, every eighth view is a fifth of a turn from the next, so that held-out views cover all sides.
    """
    result = []
    for index in range(views):
        azimuth, elevation = 6 * np.pi * index / views, np.radians(16 + 40 * (index + 0.5) / views)
        away = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
        right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
        pose = np.eye(4)
        pose[:3] = np.stack([right, np.cross(away, right), away, TARGET + 2.9 * away], axis=1)
        # Rounded, so that transforms.json does not depend on the platform's math library.
        result.append(Camera(np.round(pose, 9), focal=round(1.1 * width, 9), width=width, height=height))
    return result


def draw(camera: Camera) -> NDArray[np.uint8]:
    """Return the camera's image, sRGB of shape [height, width, 3]."""
    linear = trace(SOLIDS, _backdrop, *camera.rays())
    linear = linear.reshape(camera.height, _SAMPLES, camera.width, _SAMPLES, 3).mean(axis=(1, 3))
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * encoded).astype(np.uint8)


def write_scene(folder: Path, *, views: int = 40, width: int = 144, height: int = 108) -> Path:
    """Write the scene to a folder, unless it exists: images/NNNN.png and transforms.json, with a held-out split.

    The folder appears only when it is complete. `views` includes the held-out ones; `width` and `height` are in pixels.

    Raises:
        InputError: the folder has other content, or cannot be written.
    """
    placed = cameras(views, width, height)
    transforms = json.dumps(_transforms(placed), indent=1)
    present = (folder / "transforms.json", *(folder / _image(index) for index in range(views)))
    if all(file.is_file() for file in present) and present[0].read_text() == transforms:
        return folder
    temporary = temporary_name(folder.parent)
    try:
        (temporary / "images").mkdir(parents=True)
        for index, camera in enumerate(placed):
            iio.imwrite(temporary / _image(index), draw(camera))
        (temporary / "transforms.json").write_text(transforms)
        os.rename(temporary, folder)
    except OSError as error:
        raise InputError(
            f"The demo's scene cannot be written to {folder}: {error.strerror}. Remove that folder or name another one."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _image(index: int) -> str:
    return f"images/{index:04d}.png"


def _transforms(placed: list[Camera]) -> dict[str, object]:
    """Return the content of transforms.json for nerfstudio's dataparser. Our key `scene` identifies the scene."""
    first = placed[0]
    names = [_image(index) for index in range(len(placed))]
    held_out = names[_HELD_OUT // 2 :: _HELD_OUT]
    return {
        "scene": "nvs-eval still life 1",
        "camera_model": "OPENCV",
        "fl_x": first.focal,
        "fl_y": first.focal,
        "cx": first.width / 2,
        "cy": first.height / 2,
        "w": first.width,
        "h": first.height,
        "train_filenames": [name for name in names if name not in held_out],
        "val_filenames": held_out,
        "test_filenames": held_out,
        "frames": [
            {"file_path": name, "transform_matrix": camera.pose.tolist()}
            for name, camera in zip(names, placed, strict=True)
        ],
    }
