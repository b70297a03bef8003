"""Structural similarity: one implementation, whose kernels are the ways the field computes it.

Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004. With the windowed
means `mu`, variances `var` and covariance `cov` of a pair, and `C1 = (0.01 L)^2`, `C2 = (0.03 L)^2`,

    SSIM = (2 mu_x mu_y + C1) (2 cov + C2) / ((mu_x^2 + mu_y^2 + C1) (var_x + var_y + C2))

for each channel, averaged over channels and pixels. Tools differ in the window, in what they do at the border, in how
they estimate and clamp the variances, and in the data range L.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError, unknown_name
from nvs_eval.metrics import _dycheck_ssim
from nvs_eval.metrics._kernels import KERNELS, Kernel
from nvs_eval.metrics._shapes import Mask, check_pair, mean_over_plane, widest_float
from nvs_eval.metrics._windows import Moments, blur

MaskMeaning = Literal["valid-pixels", "windows", "dycheck"]


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
    """Structural similarity, one value an image.

    Args:
        reference: `[..., 3, H, W]` in [0, data_range].
        render: `[..., 3, H, W]`; the leading dimensions broadcast against the reference's.
        mask: `[..., 1, H, W]`, bool or weights in [0, 1].
        kernel: a name in `KERNELS`, which says whose numbers it gives. No default of any other tool is implied.
            `uniform7-gray` takes images in [0, 1] at the levels of 8 bits, and its data range is of levels.
        data_range: L in the constants; `pair` takes max(max - min of the reference, max - min of the render) of each
            pair, as torchmetrics does with `data_range=None`: a low-contrast pair then scores very differently.
        variance_floor: the least value of a variance; the kernel's own if None.
        mask_meaning: `valid-pixels` averages the map with the mask, cropped to the map's size; `windows` averages it
            over the windows all of whose pixels have the weight 1 (what pads the images counts as such); `dycheck`
            forms the statistics of the pixels that count alone (partial convolution) and averages the whole map.

    Returns:
        `[...]` float64 in [-1, 1]; higher is better. With `pair`, two flat images give NaN: SSIM is not defined there;
        so does a mask that leaves nothing to average.

    Raises:
        InputError: the shapes or dtypes do not fit, the images are smaller than the window, or the kernel is unknown,
            or is not one that `dycheck` is defined for: those without padding.
    """
    check_pair(reference, render, mask)
    how, reference, render = _begin(reference, render, kernel, variance_floor)
    constants = _constants(reference, render, data_range)
    if mask is None:
        return mean_over_plane(_map(reference, render, how, constants))
    if mask_meaning == "dycheck":
        if how.padding != "valid" or how.sample_covariance:
            raise InputError(f"dycheck's mask is defined for SSIM without padding, and the kernel is {kernel!r}.")
        moments = _dycheck_ssim.moments(reference, render, mask.to(reference.dtype), how)
        return mean_over_plane(_formula(moments, how, constants))
    scores = _map(reference, render, how, constants)
    return mean_over_plane(scores, _whole_windows(mask, how) if mask_meaning == "windows" else _centre(mask, scores))


def ssim_map(
    reference: Float[Tensor, "*#batch 3 h w"],
    render: Float[Tensor, "*#batch 3 h w"],
    *,
    kernel: str = "valid",
    data_range: float | Literal["pair"] = 1.0,
) -> Float[Tensor, "*batch_out c h2 w2"]:
    """The map that `ssim` averages, `[..., 3, H', W']` float64; smaller than the images where they are not padded.

    Of a kernel of grey images it has one channel.

    Raises:
        InputError: as `ssim`.
    """
    check_pair(reference, render)
    how, reference, render = _begin(reference, render, kernel, None)
    return _map(reference, render, how, _constants(reference, render, data_range))


def _begin(
    reference: Tensor, render: Tensor, kernel: str, variance_floor: float | None
) -> tuple[Kernel, Tensor, Tensor]:
    """The kernel, and the images as it takes them: in float64, grey where it says so."""
    if kernel not in KERNELS:
        raise unknown_name("SSIM kernel", kernel, KERNELS)
    how = KERNELS[kernel]
    if variance_floor is not None:
        how = replace(how, variance_floor=variance_floor)
    height, width = reference.shape[-2:]
    if min(height, width) < how.smallest:
        raise InputError(
            f"SSIM with the kernel {kernel!r} needs images of at least {how.smallest}x{how.smallest} pixels; "
            f"these are {width}x{height}."
        )
    # The moments of a flat, bright region (a white background) cancel to nothing but rounding errors, which float32
    # would add up to several 1e-5 of SSIM.
    reference, render = (_grey(image.to(widest_float(image.device)), how) for image in (reference, render))
    return how, reference, render


def _grey(image: Tensor, how: Kernel) -> Tensor:
    if how.grey is None:
        return image
    if how.grey == "bt709":
        red, green, blue = image.unbind(dim=-3)
        return (0.2126 * red + 0.7152 * green + 0.0722 * blue).unsqueeze(-3)
    red, green, blue = (image * 255).round().unbind(dim=-3)
    return torch.floor((9798 * red + 19235 * green + 3735 * blue + 16384) / 32768).unsqueeze(-3)


def _constants(reference: Tensor, render: Tensor, data_range: float | Literal["pair"]) -> tuple[Tensor, Tensor]:
    """C1 and C2."""
    extent = _pair_extent(reference, render) if data_range == "pair" else reference.new_tensor(data_range)
    return (0.01 * extent) ** 2, (0.03 * extent) ** 2


def _map(reference: Tensor, render: Tensor, how: Kernel, constants: tuple[Tensor, Tensor]) -> Tensor:
    # A variance as E[x^2] - E[x]^2 loses its digits where the mean is large beside it, as it is on a low-contrast pair.
    # Subtracting a constant before squaring changes neither variances nor covariance, and the reference's own level is
    # near the render's.
    level = reference.mean(dim=(-2, -1), keepdim=True)
    # The reference's means and squares are blurred once, however many renders it is compared with.
    x, y = _pad(reference, how) - level, _pad(render, how) - level
    mean_x, mean_y = blur(x, how.taps), blur(y, how.taps)
    var_x = blur(x * x, how.taps) - mean_x * mean_x
    var_y = blur(y * y, how.taps) - mean_y * mean_y
    cov = blur(x * y, how.taps) - mean_x * mean_y
    if how.sample_covariance:
        n = len(how.taps) ** 2
        var_x, var_y, cov = (moment * (n / (n - 1)) for moment in (var_x, var_y, cov))
    return _formula(Moments(mean_x + level, mean_y + level, var_x, var_y, cov), how, constants)


def _formula(moments: Moments, how: Kernel, constants: tuple[Tensor, Tensor]) -> Tensor:
    mean_x, mean_y, var_x, var_y, cov = moments
    c1, c2 = constants
    if how.variance_floor is not None:
        var_x, var_y = var_x.clamp(min=how.variance_floor), var_y.clamp(min=how.variance_floor)
    if how.clamp_covariance:
        limit = (var_x * var_y).sqrt()
        cov = cov.clamp(min=-limit, max=limit)
    similar = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    return similar / ((mean_x * mean_x + mean_y * mean_y + c1) * (var_x + var_y + c2))


def _pad(image: Tensor, how: Kernel) -> Tensor:
    if how.padding == "valid":
        return image
    border = how.border
    if how.padding == "symmetric":
        for dim in (-2, -1):
            size = image.shape[dim]
            ends = image.narrow(dim, 0, border).flip(dim), image.narrow(dim, size - border, border).flip(dim)
            image = torch.cat([ends[0], image, ends[1]], dim=dim)
        return image
    flat = image.reshape(-1, *image.shape[-3:])
    mode = "constant" if how.padding == "zero" else "reflect"
    padded = torch.nn.functional.pad(flat, (border,) * 4, mode=mode)
    return padded.reshape(*image.shape[:-2], *padded.shape[-2:])


def _pair_extent(reference: Tensor, render: Tensor) -> Tensor:
    extent = torch.maximum(_extent(reference), _extent(render))
    # Two flat images have no range: NaN, and not the 0 / 0 of two rounding errors.
    return extent.masked_fill(extent == 0, torch.nan)


def _extent(image: Tensor) -> Tensor:
    return (image.amax(dim=(-3, -2, -1)) - image.amin(dim=(-3, -2, -1)))[..., None, None, None]


def _centre(mask: Tensor, scores: Tensor) -> Tensor:
    """The part of a mask that a map covers."""
    size = scores.shape[-2:]
    top, left = (mask.shape[-2] - size[0]) // 2, (mask.shape[-1] - size[1]) // 2
    return mask[..., top : top + size[0], left : left + size[1]]


def _whole_windows(mask: Tensor, how: Kernel) -> Tensor:
    """1 where all pixels of a window have the weight 1."""
    inside = (mask >= 1).to(torch.float32)
    if how.padding != "valid":
        inside = torch.nn.functional.pad(inside, (how.border,) * 4, value=1.0)
    size = len(how.taps)
    for dim in (-2, -1):
        inside = inside.unfold(dim, size, 1).amin(dim=-1)
    return inside
