"""The average error of mip-NeRF: one number of three."""

from __future__ import annotations


def mipnerf_average(psnr: float, ssim: float, lpips: float) -> float:
    """The geometric mean of the MSE `10^(-PSNR/10)`, `sqrt(1 - SSIM)` and LPIPS; lower is better.

    J. Barron et al., "Mip-NeRF", 2021. It is computed of one view's scores; papers that compute it of the three means
    get another number.

    Args:
        psnr: in dB, with a data range of 1.
        ssim: at most 1; what rounding adds to 1 is taken away.
        lpips: at least 0.
    """
    error = 10.0 ** (-psnr / 10)
    return (error * max(0.0, 1 - ssim) ** 0.5 * lpips) ** (1 / 3)
