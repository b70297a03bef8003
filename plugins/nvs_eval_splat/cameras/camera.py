"""The camera of a photograph as the data has it, before the size of the render is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nvs_eval.errors import InputError
from nvs_eval_splat.pinhole import Pinhole

Matrix = NDArray[np.float64]
GL_TO_CV = np.diag([1.0, -1.0, -1.0, 1.0])
"""Change of a camera's axes from OpenGL's (y up, z backward) to OpenCV's (y down, z forward), or back."""
_RIGID = 1e-3


@dataclass(frozen=True)
class Photograph:
    """A photograph with its undistorted camera.

    Attributes:
        name: path of the image as the data names it.
        file: the image, which may be missing.
        camera_to_world: pose with OpenCV's axes, [4, 4] float64.
        size: width and height that the other values are for; None for the size of the image.
        focal: focal lengths in pixels; NaN with `angle`.
        centre: principal point in pixels; None for the centre.
        angle: horizontal field of view in radians, in place of focal lengths, or None.
    """

    name: str
    file: Path
    camera_to_world: Matrix
    size: tuple[int, int] | None
    focal: tuple[float, float] = (math.nan, math.nan)
    centre: tuple[float, float] | None = None
    angle: float | None = None

    def pinhole(self, size: tuple[int, int], pose: Matrix, scale: tuple[float, float] | None = None) -> Pinhole:
        """Return the camera for a render.

        Args:
            size: width and height of the render in pixels.
            pose: pose in the frame of the model, [4, 4] float64, which may include a scale.
            scale: factors of focal lengths and principal point along both axes (default: those of the size).

        Raises:
            InputError: the pose is not a rotation and a translation, or a value is not finite.
        """
        width, height = size
        if self.angle is not None:
            focal = width / 2 / math.tan(self.angle / 2)
            fx, fy, cx, cy = focal, focal, width / 2, height / 2
        else:
            own = self.size or size
            x, y = scale or (width / own[0], height / own[1])
            fx, fy = self.focal[0] * x, self.focal[1] * y
            cx, cy = (width / 2, height / 2) if self.centre is None else (self.centre[0] * x, self.centre[1] * y)
        return Pinhole(width, height, fx, fy, cx, cy, _inverse(self.name, pose))


def _inverse(name: str, pose: Matrix) -> Matrix:
    """Return the rigid transformation from the world to a camera whose axes may be scaled.

    Raises:
        InputError: the axes are not perpendicular, of different lengths or left-handed.
    """
    axes = pose[:3, :3]
    determinant = np.linalg.det(axes) if np.isfinite(pose).all() else 0.0
    if determinant > 0:
        rotation = axes / np.cbrt(determinant)
        if np.abs(rotation @ rotation.T - np.eye(3)).max() < _RIGID:
            inverse = np.eye(4)
            inverse[:3, :3] = rotation.T
            inverse[:3, 3] = -rotation.T @ pose[:3, 3]
            return inverse
    raise InputError(f"The pose of {name} must be a rotation and a translation. Got {pose.round(4).tolist()}.")


def rotation_of(quaternion: NDArray[np.float64]) -> Matrix:
    """Return the rotation matrices of quaternions (w, x, y, z), [..., 4] to [..., 3, 3]; not finite for zeros."""
    with np.errstate(invalid="ignore", divide="ignore"):
        w, x, y, z = np.moveaxis(quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
