"""Parameters of Gaussians as files store them, and their activation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nvs_eval.errors import InputError, counted
from nvs_eval_splat.gaussians import Gaussians

Floats = NDArray[np.float32]
DEGREES = {0: 0, 9: 1, 24: 2, 45: 3}
"""Degree of spherical harmonics, by the number of coefficients above degree 0 of all three colours."""
_LEAST_LENGTH = np.float32(1e-12)


@dataclass(frozen=True)
class Parameters:
    """Parameters of N Gaussians before activation, float32.

    Attributes:
        means: centres, `[N, 3]`.
        scales: logarithms of standard deviations, `[N, 3]`.
        rotations: quaternions w, x, y, z of any length, `[N, 4]`.
        opacities: logits, `[N]`.
        harmonics: coefficients, `[N, (degree + 1)**2, 3]`.
        filter_3d: standard deviations of Mip-Splatting's 3D filter, `[N]`, or None.
    """

    means: Floats
    scales: Floats
    rotations: Floats
    opacities: Floats
    harmonics: Floats
    filter_3d: Floats | None = None


class Activated(NamedTuple):
    """Gaussians that can be drawn.

    Attributes:
        gaussians: the Gaussians whose parameters are all finite.
        dropped: number of the others.
    """

    gaussians: Gaussians
    dropped: int


def activated(parameters: Parameters, what: str) -> Activated:
    """Activate parameters in float32, as the trainers do.

    Gaussians with a parameter that is NaN or infinite after activation are left out: the kernels do not draw them.

    Args:
        parameters: parameters of the file.
        what: the file, for messages.

    Raises:
        InputError: there is no Gaussian, or none with finite parameters.
    """
    count = len(parameters.means)
    if count == 0:
        raise InputError(f"{what} has no Gaussians. Train the model again, or pass another step.")
    with np.errstate(over="ignore", invalid="ignore"):
        scales, opacities = _filtered(np.exp(parameters.scales), _sigmoid(parameters.opacities), parameters.filter_3d)
        length = np.linalg.norm(parameters.rotations, axis=1, keepdims=True)
        rotations = parameters.rotations / np.maximum(length, _LEAST_LENGTH)
    rotations[length[:, 0] == 0] = (1, 0, 0, 0)  # The rotation matrix of a quaternion of zeros is the identity.
    arrays = {
        "means": parameters.means,
        "scales": scales,
        "rotations": rotations,
        "opacities": opacities,
        "harmonics": parameters.harmonics,
    }
    finite = np.ones(count, bool)
    for array in arrays.values():
        finite &= np.isfinite(array).reshape(count, -1).all(axis=1)
    if not finite.any():
        raise InputError(
            f"{what} has no Gaussian with finite parameters: {_faults(arrays)}. The training has diverged, or the file "
            "is damaged."
        )
    if not finite.all():
        arrays = {name: array[finite] for name, array in arrays.items()}
    contiguous = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
    return Activated(Gaussians(**contiguous), int(count - np.count_nonzero(finite)))


def _sigmoid(logits: Floats) -> Floats:
    return np.float32(1) / (np.float32(1) + np.exp(-logits))


def _filtered(scales: Floats, opacities: Floats, filter_3d: Floats | None) -> tuple[Floats, Floats]:
    """Apply the 3D filter of Mip-Splatting: wider Gaussians of the same mass."""
    if filter_3d is None:
        return scales, opacities
    squares = scales**2
    wider = squares + filter_3d[:, None] ** 2
    mass = np.sqrt(squares.prod(axis=1) / wider.prod(axis=1))
    return np.sqrt(wider), opacities * mass


def _faults(arrays: Mapping[str, Floats]) -> str:
    """Return how many Gaussians have a fault in which parameter."""
    bad = {name: (~np.isfinite(array)).reshape(len(array), -1).any(axis=1) for name, array in arrays.items()}
    return ", ".join(f"{name} of {counted(int(rows.sum()), 'Gaussian')}" for name, rows in bad.items() if rows.any())
