"""The demo's scene: a still life of textured solids, drawn by casting rays, in nerfstudio's format.

Lengths are in scene units, z points up. Colours depend on the place alone, never on the direction it is seen from, so
that a radiance field can reproduce them exactly.
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

Array = NDArray[np.float64]
"""Float64 points, directions and linear RGB of shape [N, 3]; distances of shape [N], infinite where a ray misses."""

Texture = Callable[[Array], Array]
"""Points [N, 3] to linear RGB [N, 3]; solids get them relative to their centre, in their own axes."""

TARGET = np.array([0.0, 0.0, 0.28])  # Every camera looks at it.
SUN = np.array([0.48, -0.36, 0.80])  # The direction to the sun, of unit length.

_LATTICE = np.random.default_rng(7).random((32, 32, 32))
_NEAREST = 1e-4  # A shadow ray starts on a surface, which it must not hit again.
_SAMPLES = 2  # Rays a pixel along each axis: edges and fine stripes are averaged over all of them.
_BOX_HEIGHT = 0.7
_HELD_OUT = 8  # Each eighth view is held out, as is the custom.


@dataclass(frozen=True)
class Sphere:
    """A ball."""

    center: tuple[float, float, float]
    radius: float
    texture: Texture

    def intersect(self, origins: Array, directions: Array) -> Array:
        """The distance to the nearest point in front of each origin."""
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
    """A box, turned about the vertical by an angle in radians."""

    center: tuple[float, float, float]
    half: tuple[float, float, float]
    angle: float
    texture: Texture

    def _axes(self) -> Array:
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])

    def intersect(self, origins: Array, directions: Array) -> Array:
        """The distance to the nearest point in front of each origin, which lies outside."""
        axes, half = self._axes(), np.array(self.half)
        start = (origins - np.array(self.center)) @ axes.T
        toward = directions @ axes.T
        toward = np.where(np.abs(toward) < 1e-12, 1e-12, toward)
        one, other = (-half - start) / toward, (half - start) / toward
        enter, leave = np.minimum(one, other).max(axis=1), np.maximum(one, other).min(axis=1)
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
    """The linear RGB in [0, 1] that rays with directions of unit length see: sunlit solids, the sky behind them."""
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
    for other in solids:
        shadowed |= np.isfinite(other.intersect(points + _NEAREST * normals, np.broadcast_to(SUN, points.shape)))
    # The sky lights what faces it, the ground a little from below.
    ambient = 0.30 + 0.12 * normals[:, 2]
    warm, cool = np.array([1.0, 0.95, 0.86]), np.array([0.86, 0.94, 1.0])
    light = (0.75 * facing * ~shadowed)[:, None] * warm + ambient[:, None] * cool
    return albedo * light


def noise(points: Array, frequency: float) -> Array:
    """Smooth value noise in [0, 1] of shape [N]: a random lattice, `frequency` nodes a unit, interpolated."""
    scaled = points * frequency
    base = np.floor(scaled).astype(np.int64)
    fraction = scaled - base
    fraction = fraction * fraction * (3 - 2 * fraction)
    # The corner's share along each axis: [0] of the lower node, [1] of the upper one.
    shares = np.stack([1 - fraction, fraction])
    nodes = np.stack([base % 32, (base + 1) % 32])
    total = np.zeros(len(points))
    for i, j, k in np.ndindex(2, 2, 2):
        weight = shares[i, :, 0] * shares[j, :, 1] * shares[k, :, 2]
        total += weight * _LATTICE[nodes[i, :, 0], nodes[j, :, 1], nodes[k, :, 2]]
    return total


def blend(low: tuple[float, float, float], high: tuple[float, float, float], share: Array) -> Array:
    """Colours [N, 3] between two, by a share [N] in [0, 1]."""
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
    # Of the two horizontal axes one is constant on each wall, so that their sum runs along all of them.
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
    """A pinhole camera that looks at TARGET, x right, y up, looking along -z as in OpenGL and nerfstudio."""

    pose: Array
    focal: float
    width: int
    height: int

    def rays(self) -> tuple[Array, Array]:
        """Origins and unit directions of the rays through all pixels, row by row, _SAMPLES squared a pixel."""
        steps = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
        columns = (np.arange(self.width)[:, None] + steps).ravel()
        rows = (np.arange(self.height)[:, None] + steps).ravel()
        x, y = np.meshgrid((columns - self.width / 2) / self.focal, (self.height / 2 - rows) / self.focal)
        local = np.stack([x, y, -np.ones_like(x)], axis=-1).reshape(-1, 3)
        directions = local @ self.pose[:3, :3].T
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return np.broadcast_to(self.pose[:3, 3], directions.shape), directions


def cameras(views: int, width: int, height: int) -> list[Camera]:
    """Cameras on a spiral over the scene: three turns, from a low view to a high one.

    With 40 views each eighth is a fifth of a turn from the others, so that held-out views see the scene from all sides.
    """
    result = []
    for index in range(views):
        azimuth, elevation = 6 * np.pi * index / views, np.radians(16 + 40 * (index + 0.5) / views)
        away = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
        right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
        pose = np.eye(4)
        pose[:3] = np.stack([right, np.cross(away, right), away, TARGET + 2.9 * away], axis=1)
        # Rounded so that the file is the same whichever mathematical library computed it.
        result.append(Camera(np.round(pose, 9), focal=round(1.1 * width, 9), width=width, height=height))
    return result


def draw(camera: Camera) -> NDArray[np.uint8]:
    """The picture that the camera takes, sRGB of shape [height, width, 3]."""
    linear = trace(SOLIDS, _backdrop, *camera.rays())
    linear = linear.reshape(camera.height, _SAMPLES, camera.width, _SAMPLES, 3).mean(axis=(1, 3))
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * encoded).astype(np.uint8)


def write_scene(folder: Path, *, views: int = 40, width: int = 144, height: int = 108) -> Path:
    """Draw the scene into a folder, unless it is there: images/NNNN.png and transforms.json, with a held-out split.

    The folder appears when it is complete, and not before. Width and height are in pixels. Returns the folder.

    Raises:
        InputError: something else is in the folder, or it cannot be written.
    """
    placed = cameras(views, width, height)
    transforms = json.dumps(_transforms(placed), indent=1)
    present = (folder / "transforms.json", *(folder / _image(index) for index in range(views)))
    if all(file.is_file() for file in present) and present[0].read_text() == transforms:
        return folder
    temporary = folder.parent / f".{folder.name}.{os.getpid()}"
    try:
        (temporary / "images").mkdir(parents=True)
        for index, camera in enumerate(placed):
            iio.imwrite(temporary / _image(index), draw(camera))
        (temporary / "transforms.json").write_text(transforms)
        os.rename(temporary, folder)
    except OSError as error:
        raise InputError(
            f"The demo's scene cannot be written to {folder}: {error}. Remove what is there, or name another folder."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _image(index: int) -> str:
    return f"images/{index:04d}.png"


def _transforms(placed: list[Camera]) -> dict[str, object]:
    """Content of transforms.json for nerfstudio's dataparser; the key `scene` is ours and tells scenes apart."""
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
