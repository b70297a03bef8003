"""3x3 convolutions with a quarter of the products: Winograd's F(4x4, 3x3), for the CPU.

A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", 2015. A tile of 4x4 outputs needs 6x6 inputs;
both and the weights are transformed so that 36 products a pair of channels take the place of 144. The transforms are
sums of few terms along each axis, and what remains is 36 products of matrices.

The points are 0, 1, -1, 2, -2 and infinity. In float32 an output is off by about 1e-6 of the outputs' norm, ten times a
direct convolution's rounding; benchmarks/NOTES.md says what is left of it in a score.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

TILE = 4
"""The outputs along each side of a tile."""

_INPUTS = TILE + 2
# What an output's constant term must be added to: the product of point 1 with point 1 goes into every output once.
_ONES = _INPUTS + 1

# Inputs whose weights are transformed at once: in float64 those of 512 would take 75 MB beside all else.
_AT_ONCE = 64

_WEIGHTS = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)


def transformed_weights(weight: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "36 i o"]:
    """A convolution's weights as its products take them; computed in float64, of some inputs at a time."""
    rows = torch.tensor(_WEIGHTS, dtype=torch.float64)
    both = torch.kron(rows, rows)  # [36, 9], x before y.
    outputs, inputs = weight.shape[:2]
    made = torch.empty(_INPUTS**2, inputs, outputs, dtype=weight.dtype)
    for place, part in zip(made.split(_AT_ONCE, dim=1), weight.detach().split(_AT_ONCE, dim=1), strict=True):
        flat = part.double().permute(3, 2, 1, 0).reshape(9, -1)
        place.copy_((both @ flat).view(place.shape))
    return made


class Scratch(threading.local):
    """Memory for what only lives within a convolution, used again by the next; each thread has its own."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def __reduce__(self) -> tuple[type[Scratch], tuple[()]]:
        """Copies begin with none."""
        return Scratch, ()

    @property
    def nbytes(self) -> int:
        """Of all that this thread has taken."""
        return sum(buffer.nbytes for buffer in self._buffers.values())

    def take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A float32 buffer whose content is anything."""
        needed = math.prod(shape)
        if name not in self._buffers or self._buffers[name].numel() < needed:
            with torch.inference_mode(False):  # So that it can be written in either mode.
                self._buffers[name] = torch.empty(needed)
        return self._buffers[name][:needed].view(shape)


def convolve(
    pieces: Sequence[Float[Tensor, "_ w i"]],
    weights: Float[Tensor, "36 i o"],
    bias: Float[Tensor, " o"],
    scratch: Scratch,
    *,
    top: int,
    bottom: int,
) -> Float[Tensor, "h2 w o"]:
    """A 3x3 convolution and its ReLU of the rows of pieces, padded by a zero column at each side and by zero rows."""
    width, inputs = pieces[0].shape[1:]
    height = sum(len(rows) for rows in pieces) + top + bottom - 2
    down, across = -(-height // TILE), -(-width // TILE)
    shapes = scratch_shapes(height, width, inputs, len(bias))
    split, rows, spare, tiles, products, columns, outputs = (
        scratch.take(name, shape) for name, shape in shapes.items()
    )
    _split(pieces, split, top)
    _transform([split[shift::TILE][:down] for shift in range(_INPUTS)], rows, spare)
    _transform(
        [rows[:, :, shift % TILE, shift // TILE : shift // TILE + across] for shift in range(_INPUTS)], tiles, spare
    )
    torch.bmm(tiles.view(_INPUTS**2, down * across, -1), weights, out=products)
    products[_ONES] += bias
    _gather(products.view(_INPUTS, _INPUTS, down, across, -1), columns)
    _gather(columns.transpose(0, 1), outputs)
    made = bias.new_empty(down, TILE, across, TILE, len(bias))
    torch.clamp_min(outputs.permute(2, 0, 3, 1, 4), 0, out=made)
    return made.view(down * TILE, across * TILE, -1)[:height, :width]


def scratch_shapes(height: int, width: int, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """What a convolution to so many rows and columns needs memory for while it lasts."""
    down, across = -(-height // TILE), -(-width // TILE)
    return {
        "split": (TILE * down + 2, TILE, across + 1, inputs),
        "along y": (_INPUTS, down, TILE, across + 1, inputs),
        "spare": (2, _INPUTS * down * (across + 1) * inputs),
        "tiles": (_INPUTS, _INPUTS, down, across, inputs),
        "products": (_INPUTS**2, down * across, outputs),
        "columns": (TILE, _INPUTS, down, across, outputs),
        "outputs": (TILE, TILE, down, across, outputs),
    }


def _split(pieces: Sequence[Tensor], split: Tensor, top: int) -> None:
    """Put the padded rows' columns in the order of their place in a tile, so that all that follows is contiguous."""
    split[:top] = 0
    for rows in pieces:
        for place in range(TILE):
            first = 1 if place == 0 else 0  # The first column is padding.
            columns = rows[:, (place - 1) % TILE :: TILE]
            into = split[top : top + len(rows), place]
            into[:, :first] = 0
            into[:, first : first + columns.shape[1]] = columns
            into[:, first + columns.shape[1] :] = 0
        top += len(rows)
    split[top:] = 0


def _transform(inputs: Sequence[Tensor], outputs: Tensor, spare: Tensor) -> None:
    """The six sums of six inputs, along one axis."""
    x0, x1, x2, x3, x4, x5 = inputs
    one, other = (part[: x0.numel()].view(x0.shape) for part in spare)
    torch.add(x4, x2, alpha=-4, out=one)
    torch.add(x3, x1, alpha=-4, out=other)
    torch.add(one, other, out=outputs[1])
    torch.sub(one, other, out=outputs[2])
    torch.sub(x4, x2, out=one)
    torch.sub(x3, x1, out=other)
    torch.add(one, other, alpha=2, out=outputs[3])
    torch.add(one, other, alpha=-2, out=outputs[4])
    torch.add(x4, x0, alpha=4, out=outputs[0]).add_(x2, alpha=-5)
    torch.add(x5, x1, alpha=4, out=outputs[5]).add_(x3, alpha=-5)


def _gather(products: Tensor, outputs: Tensor) -> None:
    """The four outputs of six products, along one axis; the products are overwritten."""
    p0, p1, p2, p3, p4, p5 = products
    y0, y1, y2, y3 = outputs
    torch.add(p1, p2, out=y2)
    torch.add(p0, y2, out=y0)
    odd = p1.sub_(p2)
    even = torch.add(p3, p4, out=p2)
    far = p3.sub_(p4)
    y0.add_(even)
    y2.add_(even, alpha=4)
    torch.add(odd, far, alpha=2, out=y1)
    torch.add(odd, far, alpha=8, out=y3).add_(p5)
