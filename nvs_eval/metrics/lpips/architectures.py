"""The convolutional part of AlexNet, VGG16 and SqueezeNet 1.1, as data.

The networks are torchvision's. LPIPS reads the activations after certain ReLUs, called its taps.
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


@dataclass(frozen=True)
class Image:
    """The input itself, as a tap."""


@dataclass(frozen=True)
class Smooth:
    """Pooling by the root of weighted mean squares of 3x3 values, in place of max pooling in DISTS."""


Definition = Conv | Pool | Fire | Image | Smooth


def _vgg(*blocks: tuple[int, ...], pool: Pool | Smooth) -> tuple[Definition, ...]:
    layers: list[Definition] = []
    for block in blocks:
        if layers:
            layers.append(pool)
        layers += [Conv(f"features.{index}", padding=1, tap=index == block[-1]) for index in block]
    return tuple(layers)


_VGG = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
NETWORKS: dict[str, tuple[Definition, ...]] = {
    "alex": (
        Conv("features.0", stride=4, padding=2, tap=True),
        Pool(3, 2),
        Conv("features.3", padding=2, tap=True),
        Pool(3, 2),
        Conv("features.6", padding=1, tap=True),
        Conv("features.8", padding=1, tap=True),
        Conv("features.10", padding=1, tap=True),
    ),
    "vgg": _vgg(*_VGG, pool=Pool(2, 2)),
    "dists": (Image(), *_vgg(*_VGG, pool=Smooth())),
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

SMALLEST = {"alex": 31, "vgg": 16, "squeeze": 17, "dists": 1}
"""Smallest height and width in pixels for which every layer has an output."""
