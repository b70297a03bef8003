"""SSIM of one block of a pair by two Triton kernels: down the columns, then along the rows and the formula.

Equivalent to `Plain` and `Clamped` of `formula`, for CUDA tensors and without gradients. It agrees with them in
Triton's interpreter; it has never been run on a card. A kernel reads its planes once per tap, from a cache except for
the first time, so the memory traffic and the operations are

    down    reads x and y, writes E[y], E[y^2], E[xy] down the columns          16 + 24 bytes per pixel and render
    across  reads these and the two of the reference, writes the map            40 +  8 bytes
    both    3 sums down, 5 along, each with one product per tap                 176 operations for 11 taps, and 30

The lower bound is thus 88 bytes and about 210 float64 operations per pixel and render, plus 24 bytes and 44 operations
once for the sums of the reference. For the 6.2 million values of a 1080p image, that is 0.55 GB (0.16 ms at an H100's
3.35 TB/s) and 1.3 GFLOP (0.04 ms at its 34 TFLOP/s). Desktop cards have little float64 throughput, which then limits
the speed: 1 ms at 1.3 TFLOP/s.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from nvs_eval.metrics.ssim.formula import Constants, Planes

# Indices have 32 bits; blocks are far smaller than that.
_ROWS, _BLOCK = 4, 128
# With 8 warps, ptxas uses 128 registers per thread without spilling. Triton warns if fusion is not specified.
_CHOICES: dict[str, Any] = {"ROWS": _ROWS, "BLOCK": _BLOCK, "num_warps": 8, "enable_fp_fusion": True}


@triton.jit
def _down(  # noqa: PLR0917 (kernels take positional arguments)
    x,
    y,
    taps,
    sums,
    height,
    width,
    rows,
    channels,
    SIZE: tl.constexpr,
    PAIR: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Compute windowed sums of y, y^2 and, for a pair, x y, down the columns of `[channels, height, width]`."""
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)[None, :]
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[:, None]
    channel = tl.program_id(2)
    inside = (column < width) & (row < rows)
    first = (channel * height + row) * width + column
    mean = tl.zeros([ROWS, BLOCK], dtype=tl.float64)
    square = tl.zeros([ROWS, BLOCK], dtype=tl.float64)
    product = tl.zeros([ROWS, BLOCK], dtype=tl.float64)
    for i in tl.static_range(SIZE):  # pyright: ignore[reportGeneralTypeIssues]
        tap = tl.load(taps + i)
        b = tl.load(y + first + i * width, mask=inside, other=0.0)
        mean += tap * b
        square += tap * (b * b)
        if PAIR:
            product += tap * (b * tl.load(x + first + i * width, mask=inside, other=0.0))
    plane = channels * rows * width
    place = (channel * rows + row) * width + column
    tl.store(sums + place, mean, mask=inside)
    tl.store(sums + plane + place, square, mask=inside)
    if PAIR:
        tl.store(sums + 2 * plane + place, product, mask=inside)


@triton.jit
def _across(  # noqa: PLR0917
    x,
    y,
    taps,
    constants,
    levels,
    scores,
    width,
    columns,
    rows,
    channels,
    SIZE: tl.constexpr,
    FLOOR: tl.constexpr,
    CLAMP: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Compute scores from the sums down the columns, `[2, channels, rows, width]` and `[3, channels, rows, width]`."""
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)[None, :]
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[:, None]
    channel = tl.program_id(2)
    inside = (column < columns) & (row < rows)
    first = (channel * rows + row) * width + column
    plane = channels * rows * width
    mean_x = tl.zeros([ROWS, BLOCK], dtype=tl.float64)
    mean_y = tl.zeros([ROWS, BLOCK], dtype=tl.float64)
    var_x = tl.zeros([ROWS, BLOCK], dtype=tl.float64)
    var_y = tl.zeros([ROWS, BLOCK], dtype=tl.float64)
    cov = tl.zeros([ROWS, BLOCK], dtype=tl.float64)
    for i in tl.static_range(SIZE):  # pyright: ignore[reportGeneralTypeIssues]
        tap, place = tl.load(taps + i), first + i
        mean_x += tap * tl.load(x + place, mask=inside, other=0.0)
        var_x += tap * tl.load(x + plane + place, mask=inside, other=0.0)
        mean_y += tap * tl.load(y + place, mask=inside, other=0.0)
        var_y += tap * tl.load(y + plane + place, mask=inside, other=0.0)
        cov += tap * tl.load(y + 2 * plane + place, mask=inside, other=0.0)
    var_x -= mean_x * mean_x
    var_y -= mean_y * mean_y
    cov -= mean_x * mean_y
    if FLOOR:
        floor = tl.load(constants + 2)
        var_x, var_y = tl.maximum(var_x, floor), tl.maximum(var_y, floor)
    if CLAMP:
        limit = tl.sqrt(var_x * var_y)
        cov = tl.minimum(tl.maximum(cov, -limit), limit)
    c1, c2 = tl.load(constants), tl.load(constants + 1)
    mean_x += tl.load(levels + channel)
    mean_y += tl.load(levels + channels + channel)
    similar = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    total = (mean_x * mean_x + mean_y * mean_y + c1) * (var_x + var_y + c2)
    tl.store(scores + (channel * rows + row) * columns + column, similar / total, mask=inside)


class Fused:
    """SSIM with or without clamps, for float64 planes and one window for all pixels."""

    def __init__(self, x: Planes, constants: Constants, taps: tuple[float, ...]) -> None:
        self._x, self._constants = x, constants
        options = {"dtype": torch.float64, "device": x.values.device}
        self._taps = torch.tensor(taps, **options)
        # A kernel would convert plain numbers to float32.
        floor = torch.zeros((), **options) if constants.variance_floor is None else constants.variance_floor
        self._numbers = torch.stack([torch.as_tensor(n, **options) for n in (constants.c1, constants.c2, floor)])
        self._sums = self._down(x.values, None)

    def scores(self, y: Planes) -> Tensor:
        """Return the map of one render."""
        sums = self._down(y.values, self._x.values)
        _, channels, rows, width = sums.shape
        columns = width - len(self._taps) + 1
        none = sums.new_zeros(channels)
        levels = torch.stack([none if planes.level is None else planes.level.flatten() for planes in (self._x, y)])
        scores = sums.new_empty(channels, rows, columns)
        _launch(
            _across,
            (columns, rows, channels),
            self._sums,
            sums,
            self._taps,
            self._numbers,
            levels,
            scores,
            width,
            columns,
            rows,
            channels,
            SIZE=len(self._taps),
            FLOOR=self._constants.variance_floor is not None,
            CLAMP=self._constants.clamp_covariance,
        )
        return scores

    def _down(self, y: Tensor, x: Tensor | None) -> Tensor:
        y = y.contiguous()
        channels, height, width = y.shape
        rows = height - len(self._taps) + 1
        sums = y.new_empty(2 if x is None else 3, channels, rows, width)
        _launch(
            _down,
            (width, rows, channels),
            y if x is None else x.contiguous(),
            y,
            self._taps,
            sums,
            height,
            width,
            rows,
            channels,
            SIZE=len(self._taps),
            PAIR=x is not None,
        )
        return sums


def _launch(kernel: Any, size: tuple[int, int, int], first: Tensor, *others: object, **choices: object) -> None:
    """Run a kernel for `size` columns, rows and channels, on the device of its tensors."""
    columns, rows, channels = size
    # Triton itself uses the current device, not that of the tensors.
    with torch.cuda.device_of(first):
        grid = (triton.cdiv(columns, _BLOCK), triton.cdiv(rows, _ROWS), channels)
        kernel[grid](first, *others, **choices, **_CHOICES)
