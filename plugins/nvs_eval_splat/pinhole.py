"""The undistorted camera of a view."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nvs_eval.errors import InputError


@dataclass(frozen=True)
class Pinhole:
    """A pinhole camera with OpenCV's axes: x to the right, y down, z forward.

    The pixel in column i and row j has its centre at (i + 0.5, j + 0.5), so that the image covers [0, width] x
    [0, height].

    Raises:
        InputError: a size or focal length is not positive, or a value is not finite.
    """

    width: int
    """Width of the image in pixels."""
    height: int
    """Height of the image in pixels."""
    fx: float
    """Focal length along x in pixels."""
    fy: float
    """Focal length along y in pixels."""
    cx: float
    """Principal point along x in pixels; width / 2 is the centre."""
    cy: float
    """Principal point along y in pixels."""
    world_to_camera: NDArray[np.float64]
    """Rigid transformation from the world to the camera, [4, 4] float64."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise InputError(f"A camera must have a positive size. Got {self.width}x{self.height} pixels.")
        if not (self.fx > 0 and self.fy > 0 and all(map(math.isfinite, (self.fx, self.fy, self.cx, self.cy)))):
            raise InputError(
                f"A camera must have positive focal lengths and a finite principal point. Got fx {self.fx}, fy "
                f"{self.fy}, cx {self.cx}, cy {self.cy}."
            )
        pose = self.world_to_camera
        if pose.dtype != np.float64 or pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise InputError(
                f"world_to_camera must be a finite float64 array of shape (4, 4). Got {pose.dtype} of shape "
                f"{pose.shape}."
            )

    @property
    def position(self) -> NDArray[np.float64]:
        """Centre of the camera in the world, [3] float64."""
        return -self.world_to_camera[:3, :3].T @ self.world_to_camera[:3, 3]
