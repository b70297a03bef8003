"""Multi-scale SSIM, as pytorch-msssim computes it.

Z. Wang, E. Simoncelli and A. Bovik, "Multi-scale structural similarity for image quality assessment", 2003. Contrast
and structure are compared at five scales, luminance at the coarsest only. A scale is half of the one before.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError, unknown_name
from nvs_eval.metrics.describe import Described, Positive
from nvs_eval.metrics.pair import Mask, MaskMeaning, check_data_range
from nvs_eval.metrics.ssim.averages import Windows
from nvs_eval.metrics.ssim.formula import KERNELS
from nvs_eval.metrics.ssim.scales import KERNEL
from nvs_eval.metrics.ssim.windowed import Windowed

_MEANINGS = ("valid-pixels", "windows")


def ms_ssim(
    reference: Float[Tensor, "*#batch 3 h w"],
    render: Float[Tensor, "*#batch 3 h w"],
    *,
    mask: Mask | None = None,
    data_range: float = 1.0,
    mask_meaning: MaskMeaning = "valid-pixels",
) -> Float[Tensor, "*batch_out"]:
    """Multi-scale structural similarity, one value per image, as `pytorch_msssim.ms_ssim`.

    Each channel is the product of its five scales, with the weights .0448, .2856, .3001, .2363 and .1333. An odd side
    is padded by a zero before it is halved, and a negative mean of a scale counts as 0.

    Args:
        reference: `[..., 3, H, W]` in [0, data_range].
        render: `[..., 3, H, W]`; the leading dimensions broadcast against the reference's.
        mask: `[..., 1, H, W]`, bool or weights in [0, 1]; halved with the images.
        data_range: L in the constants.
        mask_meaning: `valid-pixels` averages the map of each scale with the mask, cropped to the size of the map.
            `windows` averages it over the windows whose pixels all have weight 1.

    Returns:
        `[...]` float64 in [0, 1], up to rounding; higher is better. NaN for a mask that leaves nothing to average.

    Raises:
        InputError: the shapes, dtypes or data range do not fit, the images are smaller than 161x161 pixels, or the
            meaning of the mask is another.
    """
    if mask_meaning not in _MEANINGS:
        raise unknown_name("mask meaning of MS-SSIM", mask_meaning, _MEANINGS)
    return scaled_function(data_range, mask_meaning)(reference, render, mask=mask)


def scaled_function(data_range: float, meaning: MaskMeaning, *, dissimilar: bool = False) -> Windowed:
    """Return the function of an MS-SSIM, or of half of 1 - MS-SSIM.

    Raises:
        InputError: the data range is not a number from 1e-12 to 1e12.
    """
    extent = check_data_range(data_range)
    return Windowed("MS-SSIM", Windows(KERNELS[KERNEL], extent, meaning), scales=True, dissimilar=dissimilar)


def check_mask(name: str, mask: str) -> None:
    """Check that MS-SSIM supports the meaning of a protocol's mask.

    Raises:
        InputError: it does not.
    """
    if mask == "dycheck":
        raise InputError(
            f"{name} has five scales, and dycheck's masks are defined for one. Use valid-pixels, windows, multiply, "
            "fill or bbox, or remove it from the protocol."
        )


def describe(name: str, mask: MaskMeaning, *, data_range: Positive) -> Described:
    """Describe the MS-SSIM of a protocol.

    Raises:
        InputError: MS-SSIM does not support the meaning of the mask.
    """
    check_mask(name, mask)
    return scaled_function(data_range, mask).described("ms_ssim")
