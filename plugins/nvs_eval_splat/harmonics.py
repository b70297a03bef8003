"""Spherical harmonics, in the order and with the signs of splats. All rasterisers here share this code."""

from __future__ import annotations

from typing import Any

C0 = 0.28209479177387814
C1 = 0.4886025119029199
C2 = (1.0925484305920792, -1.0925484305920792, 0.31539156525252005, -1.0925484305920792, 0.5462742152960396)
C3 = (
    -0.5900435899266435,
    2.890611442640554,
    -0.4570457994644658,
    0.3731763325901154,
    -0.4570457994644658,
    1.445305721320277,
    -0.5900435899266435,
)


def write_basis(x: Any, y: Any, z: Any, basis: Any) -> None:
    """Write the values of the real spherical harmonics in a unit direction, as many as fit into `basis`.

    Args:
        x: coordinates of the direction: numbers, or tensors of several directions.
        y: see x.
        z: see x.
        basis: a list or an array of 1, 4, 9 or 16 values, which is written.
    """
    basis[0] = C0
    if len(basis) > 1:
        basis[1], basis[2], basis[3] = -C1 * y, C1 * z, -C1 * x
    if len(basis) > 4:
        basis[4], basis[5], basis[7] = C2[0] * x * y, C2[1] * y * z, C2[3] * x * z
        basis[6] = C2[2] * (2.0 * z * z - x * x - y * y)
        basis[8] = C2[4] * (x * x - y * y)
    if len(basis) > 9:
        basis[9] = C3[0] * y * (3.0 * x * x - y * y)
        basis[10] = C3[1] * x * y * z
        basis[11] = C3[2] * y * (4.0 * z * z - x * x - y * y)
        basis[12] = C3[3] * z * (2.0 * z * z - 3.0 * x * x - 3.0 * y * y)
        basis[13] = C3[4] * x * (4.0 * z * z - x * x - y * y)
        basis[14] = C3[5] * z * (x * x - y * y)
        basis[15] = C3[6] * x * (x * x - 3.0 * y * y)
