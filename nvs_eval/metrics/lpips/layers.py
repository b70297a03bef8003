"""The layers of the networks, which process some rows at a time."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nvs_eval.metrics.lpips import winograd
from nvs_eval.metrics.lpips.architectures import NETWORKS, Conv, Definition, Fire, Image, Pool, Smooth
from nvs_eval.metrics.lpips.precision import Precision, Products, products
from nvs_eval.metrics.lpips.streaming import Layer

# Numbers of channels and tiles from which Winograd convolution is faster, and the number of tiles at once for which it
# is fastest, because its intermediate results stay in the cache.
_LEAST_CHANNELS = 64
_LEAST_TILES = 16
_TILES_AT_ONCE = 400


class Backbone:
    """A network with its weights: torchvision's state dict of the convolutions."""

    def __init__(self, net: str, weights: Mapping[str, Tensor]) -> None:
        self.weights = weights
        self._net = net
        self._placed: dict[Hashable, tuple[Layer, ...]] = {}

    def layers(
        self, device: torch.device, dtype: torch.dtype, precision: Precision = "exact", *, plain: bool = False
    ) -> tuple[Layer, ...]:
        """Return the layers for a device and dtype; they are created only once.

        Plain layers use torch's convolutions even where Winograd convolution is faster. They support gradients and need
        no extra memory.
        """
        place = (device, dtype, precision, plain)
        if place not in self._placed:
            builder = _LayerBuilder(self.weights, device, dtype, products(precision, device, self._net), plain)
            with torch.inference_mode(False):  # The same mode as when loading, so that gradients work later.
                self._placed[place] = tuple(layer for part in NETWORKS[self._net] for layer in builder.build(part))
        return self._placed[place]

    def channels(self) -> list[int]:
        """Return the number of channels at each tap."""
        layers = self.layers(torch.device("cpu"), torch.float32)
        return [layer.channels for layer in layers if layer.tap and layer.channels]


class _LayerBuilder:
    """Builds layers from their definitions."""

    def __init__(
        self, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype, reduced: Products, plain: bool
    ) -> None:
        self._weights, self._device, self._dtype = weights, device, dtype
        self._tapped = False
        self._scratch = winograd.Scratch()
        self._reduced = dtype if reduced == "float32" else getattr(torch, reduced)
        self._tiled = device.type == "cpu" and not plain

    def build(self, layer: Definition) -> Iterator[Layer]:
        """Yield the layers of a definition."""
        match layer:
            case Pool(size, stride, ceil):
                yield _Pooling(size=size, stride=stride, ceil=ceil)
            case Image():
                yield _Unchanged(size=1, tap=True, channels=3)
            case Smooth():
                yield _Smoothing(size=3, stride=2, padding=1)
            case Conv(name, stride, padding, tap):
                yield self._convolution(name, stride=stride, padding=padding, tap=tap)
            case Fire(name, tap):
                yield self._convolution(f"{name}.squeeze")
                one, three = (self._kernel(f"{name}.expand{size}").laid_out() for size in ("1x1", "3x3"))
                yield _Expansion(
                    one=one,
                    three=three,
                    size=3,
                    padding=1,
                    tap=tap,
                    channels=len(one.bias) + len(three.bias),
                    dtype=one.bias.dtype,
                    weight_bytes=one.weight.nbytes + three.weight.nbytes,
                )

    def _convolution(self, name: str, *, stride: int = 1, padding: int = 0, tap: bool = False) -> Layer:
        kernel = self._kernel(name)
        outputs, inputs, size, _ = kernel.weight.shape
        attributes: dict[str, Any] = {"size": size, "stride": stride, "padding": padding, "tap": tap}
        attributes |= {"channels": outputs, "dtype": kernel.bias.dtype, "weight_bytes": kernel.weight.nbytes}
        self._tapped |= tap
        suitable = (size, stride, padding) == (3, 1, 1) and min(inputs, outputs) >= _LEAST_CHANNELS
        if self._tiled and suitable and kernel.weight.dtype == torch.float32:
            return _Tiled(kernel=kernel, scratch=self._scratch, **attributes)
        return _Convolution(kernel=kernel.laid_out(), **attributes)

    def _kernel(self, name: str) -> _Kernel:
        """Return the weights of a convolution; those up to the first tap are in the images' dtype.

        Rounding before the first tap changes the image itself: for nearly flat images, the error of LPIPS would be
        several times as large.
        """
        dtype = self._reduced if self._tapped else self._dtype
        weight, bias = (self._weights[f"{name}.{part}"].to(self._device, dtype) for part in ("weight", "bias"))
        return _Kernel(weight, bias)


@dataclass(frozen=True, eq=False)
class _Kernel:
    """The weights of a convolution."""

    weight: Tensor
    bias: Tensor

    def laid_out(self) -> _Kernel:
        """Return a copy in the memory layout for which convolutions are fastest."""
        return replace(self, weight=self.weight.contiguous(memory_format=torch.channels_last))

    def over(self, rows: Tensor, *, stride: int = 1, padding: int = 0, top: int = 0, bottom: int = 0) -> Tensor:
        """Apply the convolution and its ReLU to rows, zero-padded by `padding` columns, `top` and `bottom` rows."""
        rows = rows.to(self.weight.dtype)
        if top != bottom:
            rows = functional.pad(rows, (0, 0, top, bottom))
            top = 0
        return functional.conv2d(rows, self.weight, self.bias, stride, (top, padding)).relu_()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pooling(Layer):
    """Max pooling."""

    def __call__(self, pieces: Sequence[Tensor], *, top: int, bottom: int) -> Tensor:
        return functional.max_pool2d(_joined(pieces), self.size, self.stride, ceil_mode=self.ceil)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Unchanged(Layer):
    """The rows themselves."""

    def __call__(self, pieces: Sequence[Tensor], *, top: int, bottom: int) -> Tensor:
        return _joined(pieces)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Smoothing(Layer):
    """Root of the mean squares of 3x3 values, weighted by 1, 2, 1 along each axis."""

    def __call__(self, pieces: Sequence[Tensor], *, top: int, bottom: int) -> Tensor:
        squares = functional.pad(_joined(pieces).square(), (1, 1, top, bottom))
        for dim in (2, 3):
            count = (squares.shape[dim] - self.size) // self.stride + 1
            first, middle, last = (
                squares.narrow(dim, start, 2 * count - 1)[(slice(None),) * dim + (slice(None, None, 2),)]
                for start in range(3)
            )
            squares = (first + last).add_(middle, alpha=2)
        return squares.mul_(1 / 16).add_(1e-12).sqrt_() if not squares.requires_grad else (squares / 16 + 1e-12).sqrt()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Convolution(Layer):
    """A convolution and its ReLU."""

    kernel: _Kernel

    def __call__(self, pieces: Sequence[Tensor], *, top: int, bottom: int) -> Tensor:
        return self.kernel.over(_joined(pieces), stride=self.stride, padding=self.padding, top=top, bottom=bottom)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Tiled(Layer):
    """A 3x3 convolution and its ReLU, by Winograd convolution."""

    kernel: _Kernel
    scratch: winograd.Scratch = field(repr=False)

    @cached_property
    def _weights(self) -> Tensor:
        with torch.inference_mode(False):
            return winograd.transformed_weights(self.kernel.weight)

    def rows_at_once(self, width: int) -> int | None:
        return winograd.TILE * max(1, round(_TILES_AT_ONCE * winograd.TILE / width))

    def working_bytes(self, height: int, width: int, inputs: int) -> dict[str, int]:
        if height * width < _LEAST_TILES * winograd.TILE**2:
            return Layer.working_bytes(self, height, width, inputs)
        shapes = winograd.scratch_shapes(height, width, inputs, self.channels or inputs)
        return {name: 4 * math.prod(shape) for name, shape in shapes.items()}

    def bytes_of_weights(self, height: int, width: int) -> int:
        return 4 * self.weight_bytes if height * width >= _LEAST_TILES * winograd.TILE**2 else 0

    def held_bytes(self) -> dict[Hashable, int]:
        weights = self._weights.nbytes if "_weights" in vars(self) else 0
        return {id(self): weights, id(self.scratch): self.scratch.nbytes}

    def __call__(self, pieces: Sequence[Tensor], *, top: int, bottom: int) -> Tensor:
        height, width = sum(rows.shape[2] for rows in pieces) + top + bottom - 2, pieces[0].shape[3]
        if height * width < _LEAST_TILES * winograd.TILE**2:
            return self.kernel.over(_joined(pieces), padding=1, top=top, bottom=bottom)
        outputs = [
            winograd.convolve(
                [rows[index].permute(1, 2, 0) for rows in pieces],
                self._weights,
                self.kernel.bias,
                self.scratch,
                top=top,
                bottom=bottom,
            )
            for index in range(len(pieces[0]))
        ]
        return (torch.stack(outputs) if len(outputs) > 1 else outputs[0][None]).permute(0, 3, 1, 2)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Expansion(Layer):
    """SqueezeNet's 1x1 and 3x3 convolutions side by side, and their ReLU."""

    one: _Kernel
    three: _Kernel

    def working_bytes(self, height: int, width: int, inputs: int) -> dict[str, int]:
        return Layer.working_bytes(self, height, width, inputs + (self.channels or 0))

    def __call__(self, pieces: Sequence[Tensor], *, top: int, bottom: int) -> Tensor:
        rows = _joined(pieces)
        middle = rows[:, :, 1 - top : rows.shape[2] - 1 + bottom]
        return torch.cat([self.one.over(middle), self.three.over(rows, padding=1, top=top, bottom=bottom)], dim=1)


def _joined(pieces: Sequence[Tensor]) -> Tensor:
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces), dim=2)
