"""World frames of models: that of the data, or one to which a trainer moved the cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nvs_eval.errors import FileError, InputError, quoted
from nvs_eval_splat.cameras.camera import Matrix
from nvs_eval_splat.cameras.json_files import matrix_of, number_of, read_json

TRANSFORMS = "dataparser_transforms.json"


@dataclass(frozen=True)
class Frame:
    """A frame of the world.

    Attributes:
        words: the frame in words.
        matrix: transformation from the frame of the data, [4, 4] float64: a rotation, a translation and a scale.
    """

    words: str
    matrix: Matrix

    def moved(self, pose: Matrix) -> Matrix:
        """Return a pose (camera to world) in this frame."""
        return self.matrix @ pose


DATA_FRAME = Frame("the frame of the data", np.eye(4))


def nerfstudio_frame(path: Path, applied: Matrix) -> Frame:
    """Return the frame of a model of nerfstudio.

    Args:
        path: its `dataparser_transforms.json`.
        applied: transformation from the original data to the poses of this data, [4, 4].

    Raises:
        InputError: the file cannot be read, or has other content.
    """
    content = read_json(path, dict)
    matrix = matrix_of(path, "transform", content.get("transform"))
    scale = number_of(path, content, "scale")
    if not scale or scale < 0:
        raise FileError(f"{path}: scale must be a positive number. Got {quoted(scale)}.")
    if abs(np.linalg.det(applied)) < 1e-12:
        raise InputError("applied_transform of the data must be invertible.")
    return Frame(
        f"nerfstudio's frame ({path.name})", np.diag([scale, scale, scale, 1.0]) @ matrix @ np.linalg.inv(applied)
    )


def gsplat_frames(poses: Sequence[Matrix], points: NDArray[np.float32]) -> list[Frame]:
    """Return the frames to which gsplat's trainer may have moved a scene (`normalize_world_space`).

    The first is what its newest version computes. Versions differ in whether they turn a scene that is upside down, and
    the signs of principal axes depend on the library for linear algebra: the others differ in these.

    Args:
        poses: poses (camera to world) of all photographs, with OpenCV's axes, in the order of their names.
        points: points of the sparse model, [N, 3].

    Raises:
        InputError: there are too few poses or points.
    """
    if len(points) < 4 or not poses:
        raise InputError(
            f"gsplat's frame is computed from the points of COLMAP. Got {len(points)}. Pass `--frame data` if the "
            "model was trained with normalize_world_space=False."
        )
    first = _from_cameras(np.stack(poses))
    cloud = points @ first[:3, :3].T + first[:3, 3]
    axes = _principal_axes(cloud)
    whole = axes @ first
    heights = cloud @ axes[2, :3] + axes[2, 3]
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    turned = [np.eye(4), np.diag([-1.0, -1.0, 1.0, 1.0]), flip, np.diag([-1.0, 1.0, -1.0, 1.0])]
    if np.median(heights) > np.mean(heights):
        turned = [flip @ turn for turn in turned]
    if not np.isfinite(whole).all():
        raise InputError("gsplat's frame cannot be computed: the cameras of the data are all in one place.")
    return [
        Frame(f"gsplat's normalised frame{', turned' if place else ''}", turn @ whole)
        for place, turn in enumerate(turned)
    ]


def _from_cameras(poses: Matrix) -> Matrix:
    """Return the similarity by which cameras are upright, look at the origin, and have the median distance 1."""
    up = -poses[:, :3, 1].mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        up /= np.linalg.norm(up)
        turn = _rotation_onto_minus_y(up)
        places = poses[:, :3, 3] @ turn.T
        ahead = poses[:, :3, 2] @ turn.T
        nearest = places - (places * ahead).sum(axis=1, keepdims=True) * ahead
        move = -np.median(nearest, axis=0)
        scale = 1 / np.median(np.linalg.norm(places + move, axis=1))
    similarity = np.eye(4)
    similarity[:3, :3], similarity[:3, 3] = scale * turn, scale * move
    return similarity


def _rotation_onto_minus_y(up: NDArray[np.float64]) -> Matrix:
    """Return the shortest rotation from a direction to (0, -1, 0)."""
    target = np.array([0.0, -1.0, 0.0])
    cosine, axis = up @ target, np.cross(up, target)
    if cosine <= -1:
        return np.diag([-1.0, 1.0, 1.0])
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + skew + skew @ skew / (1 + cosine)


def _principal_axes(cloud: NDArray[np.float64]) -> Matrix:
    """Return the rigid transformation to the principal axes of points, the widest first, about their median."""
    middle = np.median(cloud, axis=0)
    _, vectors = np.linalg.eigh(np.cov(cloud - middle, rowvar=False))
    axes = vectors[:, ::-1].copy()
    if np.linalg.det(axes) < 0:
        axes[:, 0] *= -1
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = axes.T, -axes.T @ middle
    return transform
