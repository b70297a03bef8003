"""Tolerances for all comparisons of numbers, by the precision in which they were computed."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

Precision = Literal["float64", "float32", "float32 peer"]

TOLERANCE: dict[Precision, float] = {
    "float64": 1e-12,
    # nvs-eval in float32 against float64. Sums are in float64, so only the rounding of single values remains.
    "float32": 1e-6,
    # Peers that compute their window or their sums in float32.
    "float32 peer": 1e-5,
}


def assert_agree(actual: object, expected: object, precision: Precision, *, times: float = 1.0) -> None:
    """Assert that two numbers or arrays differ by at most the tolerance of the precision.

    Args:
        actual: tensor, array or number.
        expected: tensor, array or number of the same shape.
        precision: the lower of the precisions in which they were computed.
        times: factor on the tolerance. Callers explain why it is not 1.
    """
    a, b = (np.asarray(x.detach().cpu() if isinstance(x, Tensor) else x, dtype=np.float64) for x in (actual, expected))
    assert a.shape == b.shape, f"{a.shape} and {b.shape}"
    difference = np.where(a == b, 0.0, np.abs(a - b))  # Infinity equals infinity.
    worst = difference.max(initial=0.0)
    assert worst <= times * TOLERANCE[precision], f"they differ by {worst:.2g}: {a} and {b}"


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
