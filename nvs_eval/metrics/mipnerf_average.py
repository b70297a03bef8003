"""The average error of mip-NeRF: one number from PSNR, SSIM and LPIPS."""

from __future__ import annotations


def mipnerf_average(psnr: float, ssim: float, lpips: float) -> float:
    """Return the geometric mean of the MSE `10^(-PSNR/10)`, `sqrt(1 - SSIM)` and LPIPS; lower is better.

    J. Barron et al., "Mip-NeRF", 2021. The inputs are the scores of one view. Papers that use the means over the views
    get another number.

    Args:
        psnr: PSNR in dB, with a data range of 1.
        ssim: SSIM, at most 1; values above 1 from rounding are clamped.
        lpips: LPIPS, at least 0.
    """
    error = 10.0 ** (-psnr / 10)
    return (error * max(0.0, 1 - ssim) ** 0.5 * lpips) ** (1 / 3)
