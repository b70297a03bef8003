"""The mean squared error, and the peak signal-to-noise ratio computed from it."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from nvs_eval.metrics.describe import Described, Positive, all_digits
from nvs_eval.metrics.pair import Mask, MaskMeaning, check_data_range, checked_pair, mean_over_plane


def mse(
    reference: Float[Tensor, "*#batch 3 h w"],
    render: Float[Tensor, "*#batch 3 h w"],
    *,
    mask: Mask | None = None,
) -> Float[Tensor, "*batch_out"]:
    """Mean squared error over channels and pixels.

    Half-precision images (float16, bfloat16) are compared in float32; a gradient has the images' own dtype.

    Args:
        reference: `[..., 3, H, W]`, any range.
        render: `[..., 3, H, W]`; the leading dimensions broadcast against the reference's.
        mask: `[..., 1, H, W]`, bool or weights in [0, 1]; weights of the mean.

    Returns:
        `[...]` float64, in squared units of the images.

    Raises:
        InputError: the shapes or dtypes do not fit.
    """
    reference, render = checked_pair(reference, render, mask)
    return mean_over_plane((reference - render).square_(), mask)


def psnr(
    reference: Float[Tensor, "*#batch 3 h w"],
    render: Float[Tensor, "*#batch 3 h w"],
    *,
    mask: Mask | None = None,
    data_range: float = 1.0,
) -> Float[Tensor, "*batch_out"]:
    """Peak signal-to-noise ratio, `10 log10(data_range^2 / MSE)`, one value per image.

    Agrees with `skimage.metrics.peak_signal_noise_ratio`. There is no epsilon: identical images give +inf, not the
    80 dB of piq and pyiqa. The mean over views is the mean of these decibels, not the decibels of the mean MSE.

    Args:
        reference: `[..., 3, H, W]` in [0, data_range].
        render: `[..., 3, H, W]`; the leading dimensions broadcast against the reference's.
        mask: `[..., 1, H, W]`, bool or weights in [0, 1]; weights of the MSE.
        data_range: largest possible difference of two values.

    Returns:
        `[...]` float64, in dB; higher is better.

    Raises:
        InputError: the shapes or dtypes do not fit, or the data range is not a number from 1e-12 to 1e12.
    """
    return 10 * torch.log10(check_data_range(data_range) ** 2 / mse(reference, render, mask=mask))


def _clamped_psnr(reference: Tensor, render: Tensor, *, mask: Tensor | None = None, data_range: float) -> Tensor:
    return psnr(reference.clamp(0, 1), render.clamp(0, 1), mask=mask, data_range=data_range)


def describe(_: str, __: MaskMeaning, *, data_range: Positive, clamp: bool = False) -> Described:
    """Describe the PSNR of a protocol, with `clamp` of both images clamped to [0, 1]."""
    function = partial(_clamped_psnr if clamp else psnr, data_range=check_data_range(data_range))
    signature = f"psnr|range:{all_digits(data_range)}{'|clamp' if clamp else ''}|v1"
    return Described(signature=signature, load=lambda _: function)
