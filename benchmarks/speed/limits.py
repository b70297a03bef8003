"""What the machine could do at best: a matrix product and a memory copy, and how many of either a piece of work needs.

The operations of a network are those of direct convolution, from its layers' sizes; work that needs fewer products,
such as Winograd's, may exceed 100 %.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.speed.exact import MODELS, TAPS
from nvs_eval.metrics.weights.pins import NETS, Net

if TYPE_CHECKING:
    import torch

SIDE = 2048
"""Of the square matrices that are multiplied."""
COPIED = 2**27
"""Bytes that are copied; each is read and written."""

# A separable window of 11 taps over x, y, x^2, y^2 and xy, each tap a product and a sum; and the formula's own.
_SSIM_MAPS, _SSIM_TAPS, _SSIM_FORMULA = 5, 11, 20


class Needs(NamedTuple):
    """What a piece of work needs for one render.

    Attributes:
        operations: floating-point products and sums.
        bytes: of memory that must be read at least: the images.
    """

    operations: float
    bytes: float


def matrix_product(device: torch.device) -> Callable[[], object]:
    """A product of two square float32 matrices, `2 * SIDE ** 3` operations."""
    import torch

    a, b = (torch.rand(SIDE, SIDE, device=device) for _ in range(2))
    return lambda: torch.mm(a, b)


def memory_copy(device: torch.device) -> Callable[[], object]:
    """A copy of `COPIED` bytes."""
    import torch

    a = torch.ones(COPIED // 4, device=device)
    b = torch.empty_like(a)
    return lambda: b.copy_(a)


def needs(work: str, height: int, width: int, renders: int) -> Needs | None:
    """What one render of `renders` scored together needs; None where it is not known.

    Args:
        work: `lpips_<net>` or `ssim`.
        height: of the images in pixels.
        width: likewise.
        renders: of one reference, whose share is done once.
    """
    images = (1 + renders) / renders
    size = images * 3 * height * width * 4
    for net in NETS:
        if work == f"lpips_{net}":
            return Needs(images * network_operations(net, height, width), size)
    if work == "ssim":
        # Of a reference x and x^2, of each render y, y^2 and xy.
        maps = 2 / renders + _SSIM_MAPS - 2
        return Needs((maps * 2 * _SSIM_TAPS * 2 + _SSIM_FORMULA) * 3 * height * width, size)
    return None


@cache
def network_operations(net: Net, height: int, width: int) -> float:
    """Products and sums of all convolutions up to the last tap, for one image; nothing is computed."""
    import torch
    import torchvision

    total = 0

    def count(layer: torch.nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(layer, torch.nn.Conv2d)
        total += 2 * output.numel() * layer.weight[0].numel()

    with torch.device("meta"):
        model: Any = getattr(torchvision.models, MODELS[net])(weights=None)
        layers = model.features[: TAPS[net][-1]]
        for layer in layers.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.register_forward_hook(count)
        layers(torch.empty(1, 3, height, width))
    return total
