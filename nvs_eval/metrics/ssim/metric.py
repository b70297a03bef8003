"""Structural similarity (SSIM): one implementation with a kernel for each variant that the field uses.

Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004. With the windowed
means `mu`, variances `var` and covariance `cov` of a pair, and `C1 = (0.01 L)^2`, `C2 = (0.03 L)^2`,

    SSIM = (2 mu_x mu_y + C1) (2 cov + C2) / ((mu_x^2 + mu_y^2 + C1) (var_x + var_y + C2))

for each channel, averaged over channels and pixels. Tools differ in the window, the treatment of the border, the
estimation and clamping of the variances, and the data range L.

It is computed in float64, block by block, so that it is exact and needs little memory for images of any size. In a
flat, bright region (a white background), the moments cancel except for rounding errors, which in float32 would amount
to several 1e-5 of SSIM.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from numbers import Real
from typing import Annotated, Literal, get_args

from jaxtyping import Float
from msgspec import Meta
from torch import Tensor

from nvs_eval.errors import InputError, quoted, unknown_name
from nvs_eval.metrics.describe import Described, NotNegative, Positive
from nvs_eval.metrics.pair import Mask, MaskMeaning, check_data_range, checked_pair, widest_float
from nvs_eval.metrics.ssim.averages import Windows
from nvs_eval.metrics.ssim.formula import KERNELS, Kernel, Maps
from nvs_eval.metrics.ssim.pairs import Block, Member, Pairs, map_size
from nvs_eval.metrics.ssim.windowed import Windowed

DataRange = Annotated[Positive | Literal["pair"], Meta(description="a finite number above 0 or 'pair'")]


def ssim(
    reference: Float[Tensor, "*#batch 3 h w"],
    render: Float[Tensor, "*#batch 3 h w"],
    *,
    mask: Mask | None = None,
    kernel: str = "valid",
    data_range: float | Literal["pair"] = 1.0,
    variance_floor: float | None = None,
    mask_meaning: MaskMeaning = "valid-pixels",
) -> Float[Tensor, "*batch_out"]:
    """Structural similarity, one value per image.

    Args:
        reference: `[..., 3, H, W]` in [0, data_range].
        render: `[..., 3, H, W]`; the leading dimensions broadcast against the reference's.
        mask: `[..., 1, H, W]`, bool or weights in [0, 1].
        kernel: name in `KERNELS`, which lists the tools whose numbers each kernel gives (default: `valid`).
            `uniform7-gray` expects images in [0, 1] with 8-bit levels, and its data range is in levels.
        data_range: L in the constants. `pair` uses max(max - min of the reference, max - min of the render) of each
            pair, as torchmetrics does with `data_range=None`; a low-contrast pair then scores very differently.
        variance_floor: lower bound of a variance (default: the kernel's).
        mask_meaning: `valid-pixels` averages the map with the mask, cropped to the size of the map. `windows` averages
            the map over the windows whose pixels all have weight 1 (padding counts as such). `dycheck` computes the
            statistics from the pixels that count (partial convolution) and averages the whole map.

    Returns:
        `[...]` float64 in [-1, 1], up to rounding; higher is better. NaN for two flat images with `pair`, where SSIM is
        undefined, and for a mask that leaves nothing to average.

    Raises:
        InputError: the shapes, dtypes or data range do not fit, the images are smaller than the window, the kernel or
            the meaning of the mask is unknown, or `dycheck` is used with a kernel that pads.
    """
    how = kernel_of(kernel, variance_floor)
    if mask_meaning not in get_args(MaskMeaning):
        raise unknown_name("mask meaning of SSIM", mask_meaning, get_args(MaskMeaning))
    if mask is not None and mask_meaning == "dycheck" and (how.padding != "valid" or how.sample_covariance):
        raise InputError(f"dycheck's mask is defined only for SSIM without padding. Got the kernel {quoted(kernel)}.")
    return windowed(kernel, how, data_range, mask_meaning)(reference, render, mask=mask)


def ssim_map(
    reference: Float[Tensor, "*#batch 3 h w"],
    render: Float[Tensor, "*#batch 3 h w"],
    *,
    kernel: str = "valid",
    data_range: float | Literal["pair"] = 1.0,
) -> Float[Tensor, "*batch_out c h2 w2"]:
    """Return the map that `ssim` averages, `[..., 3, H', W']` float64; smaller than the images without padding.

    With a kernel for grey images, the map has one channel.

    Raises:
        InputError: `ssim` would raise it.
    """
    reference, render = checked_pair(reference, render)
    function = windowed(kernel, kernel_of(kernel), data_range)
    if error := function.too_small(reference):
        raise error
    how = function.windows.how
    pairs = Pairs(reference, render)
    shape = (pairs.batch.numel(), 3 if how.grey is None else 1, *map_size(reference, how))
    values = reference.new_empty(shape, dtype=widest_float(reference.device))

    def put(member: Member, block: Block, maps: Mapping[Maps, Tensor]) -> None:
        channels = block.channels if how.grey is None else slice(0, 1)
        block.of_map(values[member.position, channels]).copy_(maps["ssim"])

    pairs.score(how, function.windows.extent, put)
    return values.reshape(*pairs.batch, *shape[1:])


def describe(
    name: str,
    mask: MaskMeaning,
    *,
    kernel: Literal[tuple(KERNELS)],  # pyright: ignore[reportInvalidTypeForm]
    data_range: DataRange,
    variance_floor: NotNegative | None = None,
) -> Described:
    """Describe the SSIM of a protocol.

    Raises:
        InputError: the kernel does not support the meaning of the mask.
    """
    return described_function(name, mask, kernel, data_range, variance_floor).described("ssim")


def described_function(
    name: str, mask: MaskMeaning, kernel: str, data_range: float | Literal["pair"], variance_floor: float | None = None
) -> Windowed:
    """Return the function of the SSIM of a protocol.

    Raises:
        InputError: the kernel does not support the meaning of the mask.
    """
    how = kernel_of(kernel, variance_floor)
    if mask == "dycheck" and (how.padding != "valid" or how.sample_covariance):
        raise InputError(f"{name} has the kernel {quoted(kernel)}, which does not support `mask: dycheck`. Use dmpix.")
    return windowed(kernel, how, data_range, mask)


def windowed(
    kernel: str, how: Kernel, data_range: float | Literal["pair"], meaning: MaskMeaning = "valid-pixels"
) -> Windowed:
    """Return the function of an SSIM.

    Raises:
        InputError: the data range is not a number from 1e-12 to 1e12, or `pair`.
    """
    extent = data_range
    if not isinstance(data_range, str) or data_range != "pair":
        other = ", or 'pair' for the range of each pair (None in torchmetrics)"
        extent = check_data_range(data_range, other=other)
    return Windowed(f"SSIM with the kernel {quoted(kernel)}", Windows(how, extent, meaning))


def kernel_of(name: str, variance_floor: float | None = None) -> Kernel:
    """Return a kernel, with another lower bound of variances if one is given.

    Raises:
        InputError: the kernel is unknown, or the bound is not a finite number of at least 0.
    """
    if name not in tuple(KERNELS):
        raise unknown_name("SSIM kernel", name, KERNELS)
    if variance_floor is None:
        return KERNELS[name]
    if not isinstance(variance_floor, Real) or not 0 <= variance_floor < math.inf:
        raise InputError(f"variance_floor must be a finite number, at least 0. Got {quoted(variance_floor)}.")
    return replace(KERNELS[name], variance_floor=variance_floor)
