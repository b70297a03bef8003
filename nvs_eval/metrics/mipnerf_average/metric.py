"""The average error of mip-NeRF: one number from PSNR, SSIM and LPIPS."""

from __future__ import annotations

import math
from numbers import Real

from nvs_eval.errors import InputError, quoted


def mipnerf_average(psnr: float, ssim: float, lpips: float) -> float:
    """Return the geometric mean of the MSE `10^(-PSNR/10)`, `sqrt(1 - SSIM)` and LPIPS; lower is better.

    J. Barron et al., "Mip-NeRF", 2021. The inputs are the scores of one view. Papers that use the means over the views
    get another number.

    Args:
        psnr: PSNR in dB, with a data range of 1.
        ssim: SSIM, at most 1; values above 1 from rounding are clamped.
        lpips: LPIPS, at least 0.

    Raises:
        InputError: a score is not a number or outside its range. NaN gives NaN.
    """
    values = [_number(name, value) for name, value in (("psnr", psnr), ("ssim", ssim), ("lpips", lpips))]
    if any(map(math.isnan, values)):
        return math.nan
    decibels, similarity, distance = values
    if distance < 0:
        raise InputError(f"lpips must be at least 0. Got {quoted(lpips)}. Pass the LPIPS of one view.")
    try:
        error = 10.0 ** (-decibels / 10)
    except OverflowError as overflow:
        raise InputError(f"psnr must be in dB. Got {quoted(psnr)}. Pass the PSNR of one view.") from overflow
    return (error * max(0.0, 1 - similarity) ** 0.5 * distance) ** (1 / 3)


def _number(name: str, value: object) -> float:
    item = getattr(value, "item", None)
    number = item() if item is not None and getattr(value, "ndim", 0) == 0 else value
    if isinstance(number, bool) or not isinstance(number, Real):
        raise InputError(
            f"{name} must be a number, the score of one view. Got {quoted(value)}. Call this for each view."
        )
    return float(number)
