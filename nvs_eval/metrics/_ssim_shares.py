"""Who does the work on a block: torch's operations, or kernels of our own.

All shares are made of the reference's planes and give the scores of any render's planes, one for each window wholly
inside.
"""

from __future__ import annotations

from functools import cache, partial
from importlib.util import find_spec
from typing import Protocol

import torch
from torch import Tensor

from nvs_eval.metrics._dycheck_ssim import PartialBlur
from nvs_eval.metrics._kernels import Kernel
from nvs_eval.metrics._ssim_formula import Clamped, Constants, Plain, Planes
from nvs_eval.metrics._windows import blur


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
        from nvs_eval.metrics._ssim_triton import Fused  # Triton is not everywhere.

        return Fused(x, constants, how.taps)
    return (Clamped if constants.clamped else Plain)(x, constants, partial(blur, taps=how.taps))


@cache
def has_triton(device: torch.device) -> bool:
    """Whether Triton can make kernels for a device."""
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= (7, 0)
