"""Implementations of SSIM on a block (torch operations or our own kernels), and window sums as banded products.

Each implementation is created from the planes of a reference and returns the scores of any render's planes, one per
window that lies inside.
"""

from __future__ import annotations

import os
import warnings
from functools import cache, partial
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from nvs_eval.errors import unknown_name
from nvs_eval.metrics.ssim.formula import KERNELS, Clamped, Constants, Kernel, Plain, Planes

STEP = 8
"""Number of sums that one product gives along an axis. Planes have a multiple of this many window positions."""
ENVIRONMENT = "NVS_EVAL_SSIM"
"""Environment variable. On CUDA, `triton` computes SSIM with our own kernels, `torch` (default) with torch."""

_ROUNDING = 1e-10
Array = np.ndarray[Any, np.dtype[Any]]


def blur(planes: Tensor, taps: tuple[float, ...]) -> Tensor:
    """Apply a window along both axes of `[p, h, w]`, at all positions inside."""
    if _needs_torch(planes):
        return slide_columns(slide_rows(planes, taps), taps)
    bands = _bands(taps)
    return torch.from_numpy(_columns(_rows(_array(planes), bands), bands))


def slide_rows(planes: Tensor, taps: tuple[float, ...]) -> Tensor:
    """Apply a window down the columns, `[p, h, w]` to `[p, h - len(taps) + 1, w]`."""
    bands = _bands(taps)
    if not _needs_torch(planes):
        return torch.from_numpy(_rows(_array(planes), bands))
    windows = planes.unfold(-2, bands.reach, STEP).mT
    return torch.matmul(_bands_on(taps, planes.device, planes.dtype)[0], windows).flatten(1, 2)


def slide_columns(planes: Tensor, taps: tuple[float, ...]) -> Tensor:
    """Apply a window along the rows, `[p, h, w]` to `[p, h, w - len(taps) + 1]`."""
    bands = _bands(taps)
    if not _needs_torch(planes):
        return torch.from_numpy(_columns(_array(planes), bands))
    windows = planes.unfold(-1, bands.reach, STEP)
    return torch.matmul(windows, _bands_on(taps, planes.device, planes.dtype)[1]).flatten(2)


class _Bands(NamedTuple):
    """Band matrix `[STEP, reach]`, one window per row, each shifted by one; and its transpose, contiguous in memory."""

    rows: Array
    columns: Array
    reach: int


@cache
def _bands(taps: tuple[float, ...]) -> _Bands:
    reach = STEP + len(taps) - 1
    rows = np.zeros((STEP, reach))
    for place in range(STEP):
        rows[place, place : place + len(taps)] = taps
    return _Bands(rows, rows.T.copy(), reach)


@cache
def _bands_on(taps: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the band matrices on a device, to which they are copied once."""
    bands = _bands(taps)
    with torch.inference_mode(False):  # So that gradients can use them later.
        return torch.from_numpy(bands.rows).to(device, dtype), torch.from_numpy(bands.columns).to(device, dtype)


# For matrices this small, NumPy's BLAS is twice as fast as torch and accepts overlapping windows without a copy. It
# supports no other device and no gradients.


def _needs_torch(planes: Tensor) -> bool:
    return planes.device.type != "cpu" or planes.requires_grad


def _array(planes: Tensor) -> Array:
    return planes.contiguous().numpy()


def _rows(planes: Array, bands: _Bands) -> Array:
    count, height, width = planes.shape
    steps = (height - bands.reach) // STEP + 1
    plane, row, column = planes.strides
    windows = np.ndarray((count, steps, bands.reach, width), planes.dtype, planes, 0, (plane, STEP * row, row, column))
    sums = np.empty((count, steps, STEP, width))
    np.matmul(bands.rows, windows, out=sums)
    return sums.reshape(count, -1, width)


def _columns(planes: Array, bands: _Bands) -> Array:
    count, height, width = planes.shape
    steps = (width - bands.reach) // STEP + 1
    plane, row, column = planes.strides
    windows = np.ndarray(
        (count, steps, height, bands.reach), planes.dtype, planes, 0, (plane, STEP * column, row, column)
    )
    sums = np.empty((count, height, steps, STEP))
    np.matmul(windows, bands.columns, out=sums.transpose(0, 2, 1, 3))
    return sums.reshape(count, height, -1)


class Share(Protocol):
    """The part of SSIM that depends only on the reference."""

    def scores(self, y: Planes) -> Tensor:
        """Return the map of one render, `[c, h2, w2]`."""
        ...


def share_of(x: Planes, constants: Constants, how: Kernel, *, mask: Tensor | None, graph: bool) -> Share:
    """Return the implementation for a reference's planes and optional mask `[1, h, w]`; differentiable if `graph`."""
    if mask is not None:
        return Clamped(x, constants, _PartialBlur(mask, how.taps))
    if not graph and asks_for_triton() and has_triton(x.values.device):
        from nvs_eval.metrics.ssim.triton import Fused  # Triton is not available everywhere.

        return Fused(x, constants, how.taps)
    return (Clamped if constants.clamped else Plain)(x, constants, partial(blur, taps=how.taps))


def asks_for_triton() -> bool:
    """Return whether the environment selects the Triton kernels, which no test has run on a card yet.

    Raises:
        InputError: NVS_EVAL_SSIM is neither `torch` nor `triton`.
    """
    choice = os.environ.get(ENVIRONMENT) or "torch"
    if choice not in ("torch", "triton"):
        raise unknown_name(f"value of the environment variable {ENVIRONMENT}", choice, ("torch", "triton"))
    return choice == "triton"


@cache
def has_triton(device: torch.device) -> bool:
    """Return whether Triton can compile the kernels for a device and they agree with torch's operations there."""
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= (7, 0) and agrees(device)


def agrees(device: torch.device) -> bool:
    """Try the kernels on a small pair; warn if they cannot be compiled or are wrong."""
    kernel = KERNELS["valid"]
    reach = len(kernel.taps) - 1
    pair = torch.rand(
        2, 1, 2 * STEP + reach, 17 * STEP + reach, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).to(device)
    x, y = Planes(pair[0], None), Planes(pair[1], None)
    constants = Constants.of(pair.new_ones(()), kernel)
    plain = Plain(x, constants, partial(blur, taps=kernel.taps)).scores(y)
    try:
        from nvs_eval.metrics.ssim.triton import Fused

        error_size = float((Fused(x, constants, kernel.taps).scores(y) - plain).abs().max())
        reason = "" if error_size <= _ROUNDING else f"they are off by {error_size:.1e}"
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
    if reason:
        warnings.warn(
            f"SSIM on {device} uses torch operations, which are slower, because the Triton kernels do not work: "
            f"{reason}. (They require a C compiler and Python's headers.)",
            stacklevel=2,
        )
    return not reason


class _PartialBlur:
    """Windowed means of dycheck's masked SSIM: a blur over the pixels that count, by partial convolution.

    H. Gao et al., "Monocular dynamic view synthesis: a reality check", 2022; KAIR-BAIR/dycheck, core/metrics/image.py.
    Each blur is divided by the unweighted number of pixels that count. Therefore its weights sum to 1 only where all
    pixels count, and no constant may be subtracted before squaring.
    """

    def __init__(self, mask: Tensor, taps: tuple[float, ...]) -> None:
        self._taps = taps
        ones = (1.0,) * len(taps)
        # Along the rows first; then down the columns, where a position counts if any pixel of its row window does.
        self._mask, self._across = mask, slide_columns(mask, ones)
        self._any = (self._across != 0).to(mask.dtype)
        self._down = slide_rows(self._any, ones)

    def __call__(self, planes: Tensor) -> Tensor:
        """Return the means over the pixels that count, or 0 where none does."""
        across = self._share(slide_columns(planes * self._mask, self._taps), self._across)
        return self._share(slide_rows(across * self._any, self._taps), self._down)

    def _share(self, sums: Tensor, counts: Tensor) -> Tensor:
        counted = counts != 0
        return torch.where(counted, sums * len(self._taps) / torch.where(counted, counts, 1.0), 0.0)
