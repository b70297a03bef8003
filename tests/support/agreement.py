"""The one tolerance of every comparison of numbers, by the precision they were computed in."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

Precision = Literal["float64", "float32", "float32 peer"]

TOLERANCE: dict[Precision, float] = {
    "float64": 1e-12,
    # Ours, against float64: sums are in float64, so that nothing but the rounding of single values is left.
    "float32": 1e-6,
    # Peers that build their window or sum in float32.
    "float32 peer": 1e-5,
}


def assert_agree(ours: object, theirs: object, precision: Precision, *, times: float = 1.0) -> None:
    """Assert that two numbers, or arrays of them, differ by no more than the tolerance of the precision.

    Args:
        ours: a tensor, an array or a number.
        theirs: the same.
        precision: the lesser one that they were computed in.
        times: widens the tolerance; a caller says why.
    """
    a, b = (np.asarray(x.detach().cpu() if isinstance(x, Tensor) else x, dtype=np.float64) for x in (ours, theirs))
    assert a.shape == b.shape, f"{a.shape} and {b.shape}"
    difference = np.where(a == b, 0.0, np.abs(a - b))  # Infinity equals infinity.
    worst = difference.max(initial=0.0)
    assert worst <= times * TOLERANCE[precision], f"they differ by {worst:.2g}: {a} and {b}"


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
