"""The convolutional part of AlexNet, VGG16 and SqueezeNet 1.1 as torchvision defines them, as data and one function.

LPIPS reads the activations after certain ReLUs, its taps. The networks are walked layer by layer and a tap is handed
out as soon as it is there, so that no more than the current activation need be kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Conv:
    """A convolution and its ReLU; `name` is its prefix in torchvision's state dict."""

    name: str
    stride: int = 1
    padding: int = 0
    tap: bool = False


@dataclass(frozen=True)
class Pool:
    """Max pooling."""

    size: int
    stride: int
    ceil: bool = False


@dataclass(frozen=True)
class Fire:
    """SqueezeNet's module: 1x1 squeeze, then 1x1 and 3x3 expansions side by side."""

    name: str
    tap: bool = False


Layer = Conv | Pool | Fire


def _vgg(*blocks: tuple[int, ...]) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    for block in blocks:
        if layers:
            layers.append(Pool(2, 2))
        layers += [Conv(f"features.{index}", padding=1, tap=index == block[-1]) for index in block]
    return tuple(layers)


NETWORKS: dict[str, tuple[Layer, ...]] = {
    "alex": (
        Conv("features.0", stride=4, padding=2, tap=True),
        Pool(3, 2),
        Conv("features.3", padding=2, tap=True),
        Pool(3, 2),
        Conv("features.6", padding=1, tap=True),
        Conv("features.8", padding=1, tap=True),
        Conv("features.10", padding=1, tap=True),
    ),
    "vgg": _vgg((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)),
    "squeeze": (
        Conv("features.0", stride=2, tap=True),
        Pool(3, 2, ceil=True),
        Fire("features.3"),
        Fire("features.4", tap=True),
        Pool(3, 2, ceil=True),
        Fire("features.6"),
        Fire("features.7", tap=True),
        Pool(3, 2, ceil=True),
        Fire("features.9", tap=True),
        Fire("features.10", tap=True),
        Fire("features.11", tap=True),
        Fire("features.12", tap=True),
    ),
}
"""The layers of each network up to its last tap."""

SMALLEST = {"alex": 31, "vgg": 16, "squeeze": 17}
"""The least height and width in pixels for which every layer has an output."""


def taps(
    layers: tuple[Layer, ...], weights: Mapping[str, Tensor], images: Float[Tensor, "n 3 h w"]
) -> Iterator[Float[Tensor, "n c h2 w2"]]:
    """Walk a network over images and yield the activation at each tap, in order.

    A yielded tensor is the network's own: it may be read until the next one is asked for, and must not be changed.
    """
    for layer in layers:
        match layer:
            case Pool(size, stride, ceil):
                images = functional.max_pool2d(images, size, stride, ceil_mode=ceil)
            case Conv(name, stride, padding):
                images = _convolve(weights, name, images, stride, padding)
            case Fire(name):
                squeezed = _convolve(weights, f"{name}.squeeze", images)
                wide = _convolve(weights, f"{name}.expand3x3", squeezed, padding=1)
                images = torch.cat([_convolve(weights, f"{name}.expand1x1", squeezed), wide], dim=1)
        if not isinstance(layer, Pool) and layer.tap:
            yield images


def _convolve(weights: Mapping[str, Tensor], name: str, images: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    bias = weights[f"{name}.bias"]
    return functional.conv2d(images, weights[f"{name}.weight"], bias, stride, padding).relu_()
