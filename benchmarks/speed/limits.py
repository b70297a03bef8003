"""Limits of the machine, measured by a matrix product and a memory copy, and the cost of each work in these units.

The operations of a network are those of direct convolution, computed from its layer sizes. Algorithms with fewer
products, such as Winograd's, may exceed 100 %.
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
"""Side of the square matrices that are multiplied."""
COPIED = 2**27
"""Number of bytes that are copied. Each is read and written."""

# A separable window of 11 taps, with a product and a sum per tap, over x, y, x^2, y^2 and xy; then the formula.
_SSIM_MAPS, _SSIM_TAPS, _SSIM_FORMULA = 5, 11, 20


class Needs(NamedTuple):
    """Cost of a work for one render.

    Attributes:
        operations: number of floating-point products and sums.
        bytes: number of bytes that must be read, which is the size of the images.
    """

    operations: float
    bytes: float


def matrix_product(device: torch.device) -> Callable[[], object]:
    """Return a function that multiplies two square float32 matrices, with `2 * SIDE ** 3` operations."""
    import torch

    a, b = (torch.rand(SIDE, SIDE, device=device) for _ in range(2))
    return lambda: torch.mm(a, b)


def memory_copy(device: torch.device) -> Callable[[], object]:
    """Return a function that copies `COPIED` bytes."""
    import torch

    a = torch.ones(COPIED // 4, device=device)
    b = torch.empty_like(a)
    return lambda: b.copy_(a)


def needs(work: str, height: int, width: int, renders: int) -> Needs | None:
    """Return the cost of one of several renders that are scored together, or None if it is unknown.

    Args:
        work: name of the work; only `lpips_<net>` and `ssim` have a known cost.
        height: height of the images in pixels.
        width: width of the images in pixels.
        renders: number of renders of one reference. They share the work on the reference.
    """
    images = (1 + renders) / renders
    size = images * 3 * height * width * 4
    for net in NETS:
        if work == f"lpips_{net}":
            return Needs(images * network_operations(net, height, width), size)
    if work == "ssim":
        # x and x^2 for the reference; y, y^2 and xy for each render.
        maps = 2 / renders + _SSIM_MAPS - 2
        return Needs((maps * 2 * _SSIM_TAPS * 2 + _SSIM_FORMULA) * 3 * height * width, size)
    return None


@cache
def network_operations(net: Net, height: int, width: int) -> float:
    """Return the number of products and sums of all convolutions up to the last tap, for one image.

    Uses the meta device, so nothing is computed.
    """
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
