"""3x3 convolutions with a quarter of the products: Winograd's F(4x4, 3x3), for the CPU.

A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", 2015. A tile of 4x4 outputs requires 6x6
inputs. Inputs, outputs and weights are transformed so that 36 products per pair of channels replace 144. The transforms
are sums of few terms along each axis, which leaves 36 matrix products.

The points are 0, 1, -1, 2, -2 and infinity. In float32, the error of an output is about 1e-6 of the outputs' norm, ten
times the rounding error of a direct convolution; benchmarks/NOTES.md has its effect on scores.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

TILE = 4
"""Number of outputs along each side of a tile."""

_INPUTS = TILE + 2
# Index of the product that the bias is added to: the product of point 1 with point 1 enters every output once.
_ONES = _INPUTS + 1

# Input channels whose weights are transformed at once; 512 of them would use another 75 MB in float64.
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
    """Transform the weights of a convolution for its products; computed in float64, some inputs at a time."""
    rows = torch.tensor(_WEIGHTS, dtype=torch.float64)
    both = torch.kron(rows, rows)  # [36, 9], x before y.
    outputs, inputs = weight.shape[:2]
    transformed = torch.empty(_INPUTS**2, inputs, outputs, dtype=weight.dtype)
    for target, part in zip(transformed.split(_AT_ONCE, dim=1), weight.detach().split(_AT_ONCE, dim=1), strict=True):
        flat = part.double().permute(3, 2, 1, 0).reshape(9, -1)
        target.copy_((both @ flat).view(target.shape))
    return transformed


class Scratch(threading.local):
    """Memory for the intermediate results of a convolution, reused by the next one; each thread has its own."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def __reduce__(self) -> tuple[type[Scratch], tuple[()]]:
        """Copy without the buffers."""
        return Scratch, ()

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers of this thread."""
        return sum(buffer.nbytes for buffer in self._buffers.values())

    def take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Return an uninitialised float32 buffer."""
        count = math.prod(shape)
        if name not in self._buffers or self._buffers[name].numel() < count:
            with torch.inference_mode(False):  # So that it can be written in either mode.
                self._buffers[name] = torch.empty(count)
        return self._buffers[name][:count].view(shape)


def convolve(
    pieces: Sequence[Float[Tensor, "_ w i"]],
    weights: Float[Tensor, "36 i o"],
    bias: Float[Tensor, " o"],
    scratch: Scratch,
    *,
    top: int,
    bottom: int,
) -> Float[Tensor, "h2 w o"]:
    """Apply a 3x3 convolution and its ReLU to the rows in `pieces`, padded by a zero column per side and zero rows."""
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
    result = bias.new_empty(down, TILE, across, TILE, len(bias))
    torch.clamp_min(outputs.permute(2, 0, 3, 1, 4), 0, out=result)
    return result.view(down * TILE, across * TILE, -1)[:height, :width]


def scratch_shapes(height: int, width: int, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the intermediate results of a convolution with `height` x `width` outputs, by name."""
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
    """Order the columns of the padded rows by their position in a tile, so that later steps read contiguous memory."""
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
    """Compute the six sums of six inputs along one axis."""
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
    """Compute the four outputs of six products along one axis; the products are overwritten."""
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
