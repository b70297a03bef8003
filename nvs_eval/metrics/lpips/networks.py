"""The convolutional part of AlexNet, VGG16 and SqueezeNet 1.1 as torchvision defines them, as data.

LPIPS reads the activations after certain ReLUs, its taps.
"""

from __future__ import annotations

from dataclasses import dataclass


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
