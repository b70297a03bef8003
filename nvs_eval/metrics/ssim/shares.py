"""Who does the work on a block: torch's operations, or kernels of our own.

All shares are made of the reference's planes and give the scores of any render's planes, one for each window wholly
inside.
"""

from __future__ import annotations

import warnings
from functools import cache, partial
from importlib.util import find_spec
from typing import Protocol

import torch
from torch import Tensor

from nvs_eval.metrics.ssim.dycheck import PartialBlur
from nvs_eval.metrics.ssim.formula import Clamped, Constants, Plain, Planes
from nvs_eval.metrics.ssim.kernels import KERNELS, Kernel
from nvs_eval.metrics.ssim.windows import STEP, blur

_ROUNDING = 1e-10


class Share(Protocol):
    """What of SSIM is the reference's alone."""

    def scores(self, y: Planes) -> Tensor:
        """The map of one render, `[c, h2, w2]`."""
        ...


def share_of(x: Planes, constants: Constants, how: Kernel, *, mask: Tensor | None, graph: bool) -> Share:
    """The reference's share of the work on a block.

    Args:
        x: the reference.
        constants: of the formula.
        how: the kernel.
        mask: which pixels the statistics are formed of, `[1, h, w]`; None for all.
        graph: whether gradients are asked for.
    """
    if mask is not None:
        return Clamped(x, constants, PartialBlur(mask, how.taps))
    if not graph and has_triton(x.values.device):
        from nvs_eval.metrics.ssim.triton import Fused  # Triton is not everywhere.

        return Fused(x, constants, how.taps)
    return (Clamped if constants.clamped else Plain)(x, constants, partial(blur, taps=how.taps))


@cache
def has_triton(device: torch.device) -> bool:
    """Whether Triton can make kernels for a device, and they give there what torch's operations give."""
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= (7, 0) and agrees(device)


def agrees(device: torch.device) -> bool:
    """Try the kernels on a small pair; it warns where they cannot be made or are wrong."""
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

        off = float((Fused(x, constants, kernel.taps).scores(y) - plain).abs().max())
        reason = "" if off <= _ROUNDING else f"they are off by {off:.1e}"
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
    if reason:
        warnings.warn(
            f"SSIM is computed on {device} by torch's operations, which take longer: Triton's kernels do not work "
            f"there: {reason}. (They need a C compiler and Python's headers.)",
            stacklevel=2,
        )
    return not reason
