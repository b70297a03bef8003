"""Data that splats are trained on, as COLMAP, Blender and nerfstudio write it, with images of any size."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

Pose = NDArray[np.float64]
MODELS = {"SIMPLE_PINHOLE": 0, "PINHOLE": 1, "SIMPLE_RADIAL": 2, "OPENCV": 4, "OPENCV_FISHEYE": 5}
NAMES = tuple(f"{place:04d}.png" for place in range(1, 11))


def ring(count: int = len(NAMES), radius: float = 4.0) -> list[Pose]:
    """Return poses (camera to world, OpenCV's axes) on a circle that look at the origin, the world's up being -y."""
    poses = []
    for place in range(count):
        angle = 2 * math.pi * place / count
        position = radius * np.array([math.sin(angle), -0.3 - 0.1 * math.sin(3 * angle), -math.cos(angle)])
        ahead = -position / np.linalg.norm(position)
        right = np.cross([0.0, 1.0, 0.0], ahead)
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, np.cross(ahead, right), ahead], axis=1)
        pose[:3, 3] = position
        poses.append(pose)
    return poses


def write_images(folder: Path, names: Sequence[str] = NAMES, size: tuple[int, int] = (32, 24)) -> None:
    """Write an image of its own colour under each name."""
    for place, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (place * 20, 100, 255 - place * 20)).save(folder / name)


def write_colmap(
    folder: Path,
    poses: Sequence[Pose],
    names: Sequence[str] = NAMES,
    *,
    size: tuple[int, int] = (32, 24),
    camera: str = "PINHOLE",
    values: Sequence[float] = (30.0, 31.0, 16.0, 12.0),
    text: bool = False,
    points: NDArray[np.float64] | None = None,
) -> Path:
    """Write a sparse model with one camera to `sparse/0`. The images have two points each, in the order given."""
    sparse = folder / "sparse" / "0"
    sparse.mkdir(parents=True, exist_ok=True)
    points = np.random.default_rng(0).normal(size=(20, 3)) if points is None else points
    inverses = [np.linalg.inv(pose) for pose in poses]
    quaternions = [np.roll(Rotation.from_matrix(inverse[:3, :3]).as_quat(), 1) for inverse in inverses]
    places = [inverse[:3, 3] for inverse in inverses]
    images = list(zip(range(1, len(names) + 1), quaternions, places, names, strict=True))
    if text:
        cameras = f"# comment\n7 {camera} {size[0]} {size[1]} {' '.join(map(repr, map(float, values)))}\n"
        lines = [
            f"{number} {' '.join(map(repr, map(float, [*quaternion, *place])))} 7 {name}\n1.5 2.5 -1 3 4 5\n"
            for number, quaternion, place, name in images
        ]
        (sparse / "cameras.txt").write_text(cameras)
        (sparse / "images.txt").write_text("# comment\n" + "".join(lines))
        rows = [
            f"{place} {' '.join(map(repr, map(float, point)))} 1 2 3 0.5 1 0\n" for place, point in enumerate(points)
        ]
        (sparse / "points3D.txt").write_text("".join(rows))
        return sparse
    model = struct.pack("<QiiQQ", 1, 7, MODELS[camera], *size) + struct.pack(f"<{len(values)}d", *values)
    (sparse / "cameras.bin").write_bytes(model)
    parts = [struct.pack("<Q", len(images))]
    for number, quaternion, place, name in images:
        parts.append(struct.pack("<i7di", number, *quaternion, *place, 7) + name.encode() + b"\0")
        parts.append(struct.pack("<Qddqddq", 2, 1.5, 2.5, -1, 3, 4, 5))
    (sparse / "images.bin").write_bytes(b"".join(parts))
    rows = [struct.pack("<Q3d3BdQii", place, *point, 1, 2, 3, 0.5, 1, 1, 0) for place, point in enumerate(points)]
    (sparse / "points3D.bin").write_bytes(struct.pack("<Q", len(points)) + b"".join(rows))
    return sparse


def write_transforms(
    path: Path, poses: Sequence[Pose], names: Sequence[str] = NAMES, *, folder: str = "images/", **values: Any
) -> Path:
    """Write a transforms.json with OpenGL's axes; `values` are its other fields."""
    frames = [
        {"file_path": f"{folder}{name}", "transform_matrix": (pose @ np.diag([1, -1, -1, 1])).tolist()}
        for pose, name in zip(poses, names, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**values, "frames": frames}))
    return path


PINHOLE: Mapping[str, Any] = {"w": 32, "h": 24, "fl_x": 30.0, "fl_y": 31.0, "cx": 16.0, "cy": 12.0}
"""Fields of a camera in a transforms.json of nerfstudio."""
