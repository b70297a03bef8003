"""The layers of a network with its weights, made to be computed some rows at a time."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from nvs_eval.metrics import _winograd
from nvs_eval.metrics._networks import NETWORKS, Conv, Fire, Pool
from nvs_eval.metrics._networks import Layer as Definition
from nvs_eval.metrics._streaming import Layer

# Winograd's way pays from so many channels on, for so many tiles at least; and best for about so many at once, so that
# what it makes of them stays in the cache.
_LEAST_CHANNELS = 64
_LEAST_TILES = 16
_TILES_AT_ONCE = 400


class Backbone:
    """A network with its weights.

    Args:
        net: its name.
        weights: torchvision's state dict of its convolutions.
    """

    def __init__(self, net: str, weights: Mapping[str, Tensor]) -> None:
        self.weights = weights
        self._definition = NETWORKS[net]
        self._placed: dict[Hashable, Sequence[Layer]] = {}

    def layers(self, device: torch.device, dtype: torch.dtype, *, differentiable: bool = False) -> Sequence[Layer]:
        """The layers on a device and in a dtype, moved there once; those that a gradient goes through are others."""
        place = (device, dtype, differentiable)
        if place not in self._placed:
            scratch = None
            if not differentiable and device.type == "cpu" and dtype == torch.float32:
                scratch = _winograd.Scratch()
            with torch.inference_mode(False):  # As when they were loaded.
                weights = {name: _placed(tensor, device, dtype) for name, tensor in self.weights.items()}
            self._placed[place] = [made for layer in self._definition for made in _made(layer, weights, scratch)]
        return self._placed[place]

    def channels(self) -> list[int]:
        """The number of channels at each tap."""
        layers = self.layers(torch.device("cpu"), torch.float32)
        return [layer.channels for layer in layers if isinstance(layer, _Convolution | _Expansion) and layer.tap]


def _placed(weight: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    moved = weight.to(device, dtype)
    return moved.contiguous(memory_format=torch.channels_last) if moved.ndim == 4 else moved


def _made(layer: Definition, weights: Mapping[str, Tensor], scratch: _winograd.Scratch | None) -> Iterator[Layer]:
    def kernel(name: str) -> _Kernel:
        return _Kernel(weights[f"{name}.weight"], weights[f"{name}.bias"])

    match layer:
        case Pool(size, stride, ceil):
            yield _Pooling(size, stride, ceil)
        case Conv(name, stride, padding, tap):
            yield _Convolution(kernel(name), stride, padding, tap, scratch)
        case Fire(name, tap):
            yield _Convolution(kernel(f"{name}.squeeze"))
            yield _Expansion(kernel(f"{name}.expand1x1"), kernel(f"{name}.expand3x3"), tap)


@dataclass(frozen=True)
class _Pooling:
    """Max pooling."""

    size: int
    stride: int
    ceil: bool
    padding: int = 0
    tap: bool = False

    def rows_at_once(self, width: int) -> int | None:
        return None

    def __call__(self, pieces: Sequence[Tensor], *, top: int, bottom: int) -> Tensor:
        return functional.max_pool2d(_joined(pieces), self.size, self.stride, ceil_mode=self.ceil)


@dataclass(frozen=True)
class _Kernel:
    """The weights of a convolution."""

    weight: Tensor
    bias: Tensor

    def over(self, rows: Tensor, *, stride: int = 1, padding: int = 0, top: int = 0, bottom: int = 0) -> Tensor:
        """The convolution and its ReLU of rows with a padding of zeros at their sides, and others above and below."""
        if top != bottom:
            rows = functional.pad(rows, (0, 0, top, bottom))
            top = 0
        return functional.conv2d(rows, self.weight, self.bias, stride, (top, padding)).relu_()

    @cached_property
    def transformed(self) -> Tensor:
        """As Winograd's way takes them."""
        with torch.inference_mode(False):
            return _winograd.transformed_weights(self.weight)


@dataclass(frozen=True)
class _Convolution:
    """A convolution and its ReLU."""

    kernel: _Kernel
    stride: int = 1
    padding: int = 0
    tap: bool = False
    scratch: _winograd.Scratch | None = field(default=None, repr=False)
    ceil: bool = False

    @property
    def size(self) -> int:
        return self.kernel.weight.shape[2]

    @property
    def channels(self) -> int:
        return len(self.kernel.bias)

    @cached_property
    def _by_tiles(self) -> bool:
        """Whether there are fewer products in Winograd's way."""
        shape = (self.size, self.stride, self.padding) == (3, 1, 1)
        return self.scratch is not None and shape and min(self.kernel.weight.shape[:2]) >= _LEAST_CHANNELS

    def rows_at_once(self, width: int) -> int | None:
        if not self._by_tiles:
            return None
        return _winograd.TILE * max(1, round(_TILES_AT_ONCE * _winograd.TILE / width))

    def __call__(self, pieces: Sequence[Tensor], *, top: int, bottom: int) -> Tensor:
        height, width = sum(rows.shape[2] for rows in pieces) + top + bottom - 2, pieces[0].shape[3]
        if not self._by_tiles or height * width < _LEAST_TILES * _winograd.TILE**2:
            return self.kernel.over(_joined(pieces), stride=self.stride, padding=self.padding, top=top, bottom=bottom)
        assert self.scratch is not None
        made = [
            _winograd.convolve(
                [rows[index].permute(1, 2, 0) for rows in pieces],
                self.kernel.transformed,
                self.kernel.bias,
                self.scratch,
                top=top,
                bottom=bottom,
            )
            for index in range(len(pieces[0]))
        ]
        return (torch.stack(made) if len(made) > 1 else made[0][None]).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class _Expansion:
    """SqueezeNet's 1x1 and 3x3 convolutions side by side, and their ReLU."""

    one: _Kernel
    three: _Kernel
    tap: bool
    size: int = 3
    stride: int = 1
    padding: int = 1
    ceil: bool = False

    @property
    def channels(self) -> int:
        return len(self.one.bias) + len(self.three.bias)

    def rows_at_once(self, width: int) -> int | None:
        return None

    def __call__(self, pieces: Sequence[Tensor], *, top: int, bottom: int) -> Tensor:
        rows = _joined(pieces)
        middle = rows[:, :, 1 - top : rows.shape[2] - 1 + bottom]
        return torch.cat([self.one.over(middle), self.three.over(rows, padding=1, top=top, bottom=bottom)], dim=1)


def _joined(pieces: Sequence[Tensor]) -> Tensor:
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces), dim=2)
