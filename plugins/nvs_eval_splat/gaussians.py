"""The parameters of a splat after activation, independent of the file that they came from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nvs_eval.errors import InputError

HIGHEST_DEGREE = 3


@dataclass(frozen=True)
class Gaussians:
    """N Gaussians, activated. All arrays are float32 and C-contiguous.

    Raises:
        InputError: an array has another type, shape or layout. The values are not checked.
    """

    means: NDArray[np.float32]
    """Centres in the world, [N, 3]."""
    scales: NDArray[np.float32]
    """Standard deviations along the three axes, [N, 3], positive, in units of the world."""
    rotations: NDArray[np.float32]
    """Unit quaternions (w, x, y, z), [N, 4], from the axes of the Gaussian to those of the world."""
    opacities: NDArray[np.float32]
    """Opacities, [N], from 0 to 1."""
    harmonics: NDArray[np.float32]
    """Coefficients of spherical harmonics, [N, (degree + 1)**2, 3], RGB. The colour is 0.5 + their sum, at least 0."""

    def __post_init__(self) -> None:
        count = len(self.means) if self.means.ndim else 0
        bands = self.harmonics.shape[1] if self.harmonics.ndim == 3 else 0
        shapes = {
            "means": (count, 3),
            "scales": (count, 3),
            "rotations": (count, 4),
            "opacities": (count,),
            "harmonics": (count, bands, 3),
        }
        for name, shape in shapes.items():
            array: NDArray[np.float32] = getattr(self, name)
            if array.dtype != np.float32 or array.shape != shape or not array.flags.c_contiguous:
                raise InputError(
                    f"{name} must be a C-contiguous float32 array of shape {shape}. Got {array.dtype} of shape "
                    f"{array.shape}."
                )
        if bands not in {(degree + 1) ** 2 for degree in range(HIGHEST_DEGREE + 1)}:
            raise InputError(f"harmonics must have 1, 4, 9 or 16 coefficients per colour. Got {bands}.")

    @property
    def count(self) -> int:
        """Number of Gaussians."""
        return len(self.means)

    @property
    def degree(self) -> int:
        """Degree of the spherical harmonics, from 0 to 3."""
        return math.isqrt(self.harmonics.shape[1]) - 1
