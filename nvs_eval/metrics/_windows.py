"""Sums over windows, and the moments that are made of them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Moments(NamedTuple):
    """The windowed means, variances and covariance of a pair."""

    mean_x: Tensor
    mean_y: Tensor
    var_x: Tensor
    var_y: Tensor
    cov: Tensor


def blur(image: Tensor, taps: tuple[float, ...]) -> Tensor:
    """A window along both axes, for as many positions as it has wholly inside."""
    for dim in (-2, -1):
        image = slide(image, taps, dim=dim)
    return image


def slide(image: Tensor, taps: tuple[float, ...], *, dim: int) -> Tensor:
    """A window along one axis, as a sum of shifted slices: the same value on any device, in any batch."""
    size = image.shape[dim] - len(taps) + 1
    total = image.narrow(dim, 0, size) * taps[0]
    for shift, tap in enumerate(taps[1:], start=1):
        total.add_(image.narrow(dim, shift, size), alpha=tap)
    return total
