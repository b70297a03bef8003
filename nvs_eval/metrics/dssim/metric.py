"""D-SSIM, half of 1 - SSIM or of 1 - MS-SSIM. The key says of which one, because papers do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from nvs_eval.errors import InputError, quoted
from nvs_eval.metrics.describe import Described
from nvs_eval.metrics.dssim.about import ABOUT
from nvs_eval.metrics.ms_ssim.metric import check_mask, scaled_function
from nvs_eval.metrics.pair import MaskMeaning
from nvs_eval.metrics.ssim.formula import KERNELS
from nvs_eval.metrics.ssim.metric import described_function

_RANGES = {"dssim_range1": 1.0, "dssim_range2": 2.0}


def describe(
    name: str,
    mask: MaskMeaning,
    *,
    kernel: Literal[tuple(KERNELS)] | None = None,  # pyright: ignore[reportInvalidTypeForm]
) -> Described:
    """Describe a D-SSIM of a protocol: `dssim_ms` (data range 1), or `dssim_range1` and `dssim_range2` of a kernel.

    Raises:
        InputError: the name is none of these, the kernel is missing or superfluous, or the metric does not support the
            meaning of the mask.
    """
    family = next((key for key in ABOUT if f"{name}_".startswith(f"{key}_")), None)
    if family is None:
        raise InputError(f"A D-SSIM must be called {' or '.join(ABOUT)}. Got {quoted(name)}.")
    if family == "dssim_ms":
        if kernel is not None:
            raise InputError(f"{name} is made of MS-SSIM, which has no kernel. Remove the kernel, or use dssim_range1.")
        check_mask(name, mask)
        return scaled_function(1.0, mask, dissimilar=True).described("dssim|half:ms_ssim")
    if kernel is None:
        raise InputError(f"{name} lacks its kernel. Give the one of its SSIM: {', '.join(KERNELS)}.")
    function = replace(described_function(name, mask, kernel, _RANGES[family]), dissimilar=True)
    return function.described("dssim|half:ssim")
