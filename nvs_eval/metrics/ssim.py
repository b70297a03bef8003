"""Structural similarity: one implementation, whose kernels are the ways the field computes it.

Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004. With the windowed
means `mu`, variances `var` and covariance `cov` of a pair, and `C1 = (0.01 L)^2`, `C2 = (0.03 L)^2`,

    SSIM = (2 mu_x mu_y + C1) (2 cov + C2) / ((mu_x^2 + mu_y^2 + C1) (var_x + var_y + C2))

for each channel, averaged over channels and pixels. Tools differ in the window, in what they do at the border, in how
they estimate and clamp the variances, and in the data range L.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError, unknown_name
from nvs_eval.metrics._shapes import Mask, check_pair, mean_over_plane, widest_float

_FLOAT32_EPSILON = 2.0**-23


@dataclass(frozen=True)
class Kernel:
    """How the windowed statistics of a pair are formed.

    Attributes:
        taps: the one-dimensional window, applied along both axes; sums to 1.
        window: its name in a signature.
        padding: `valid` keeps the windows wholly inside; `reflect` mirrors the images at their border pixels, `zero`
            surrounds them with zeros, and both keep the full size.
        sample_covariance: whether variances and covariance are multiplied by n / (n - 1), n the pixels of a window.
        variance_floor: the least value of a variance, None for no clamp.
        clamp_covariance: whether |cov| is clamped to sqrt(var_x var_y).
    """

    taps: tuple[float, ...]
    window: str
    padding: Literal["valid", "reflect", "zero"] = "valid"
    sample_covariance: bool = False
    variance_floor: float | None = None
    clamp_covariance: bool = False

    @property
    def signature(self) -> str:
        """Everything that tells this kernel from another, in a few words."""
        parts = [
            f"win:{self.window}",
            f"pad:{self.padding}",
            f"cov:{'sample' if self.sample_covariance else 'population'}",
        ]
        if self.variance_floor is not None:
            parts.append(f"floor:{self.variance_floor:.3g}")
        if self.clamp_covariance:
            parts.append("covclamp")
        return "|".join(parts)


def _gaussian(size: int, sigma: float) -> tuple[float, ...]:
    offsets = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    return tuple((weights / weights.sum()).tolist())


_GAUSS = _gaussian(11, 1.5)
_UNIFORM = (1 / 7,) * 7

KERNELS: dict[str, Kernel] = {
    # pytorch-msssim, skimage(gaussian_weights=True, use_sample_covariance=False), torchmetrics <= 1.4.1
    "valid": Kernel(_GAUSS, "gauss11s1.5"),
    # dm_pix: multinerf, camp_zipnerf, nerfbaselines
    "dmpix": Kernel(_GAUSS, "gauss11s1.5", variance_floor=_FLOAT32_EPSILON**2, clamp_covariance=True),
    # torchmetrics >= 1.4.2
    "reflect": Kernel(_GAUSS, "gauss11s1.5", padding="reflect", variance_floor=0.0),
    # graphdeco-inria/gaussian-splatting and its forks
    "zero": Kernel(_GAUSS, "gauss11s1.5", padding="zero"),
    # skimage's default
    "uniform7-rgb": Kernel(_UNIFORM, "uniform7", sample_covariance=True),
}
"""The named kernels, each with who uses it."""


def ssim(
    reference: Float[Tensor, "*#batch 3 h w"],
    render: Float[Tensor, "*#batch 3 h w"],
    *,
    mask: Mask | None = None,
    kernel: str = "valid",
    data_range: float | Literal["pair"] = 1.0,
) -> Float[Tensor, "*batch_out"]:
    """Structural similarity, one value an image.

    Args:
        reference: `[..., 3, H, W]` in [0, data_range].
        render: `[..., 3, H, W]`; the leading dimensions broadcast against the reference's.
        mask: `[..., 1, H, W]`, bool or weights in [0, 1]; the map is averaged with them, cropped to the map's size.
        kernel: a name in `KERNELS`, which says whose numbers it gives. No default of any other tool is implied.
        data_range: L in the constants; `pair` takes max(max - min of the reference, max - min of the render) of each
            pair, as torchmetrics does with `data_range=None`: a low-contrast pair then scores very differently.

    Returns:
        `[...]` float64 in [-1, 1]; higher is better. With `pair`, two flat images give NaN: SSIM is not defined there.

    Raises:
        InputError: the shapes or dtypes do not fit, the images are smaller than the window, or the kernel is unknown.
    """
    scores = ssim_map(reference, render, kernel=kernel, data_range=data_range)
    if mask is None:
        return mean_over_plane(scores)
    check_pair(reference, render, mask)
    return mean_over_plane(scores, _centre(mask, scores.shape[-2:]))


def ssim_map(
    reference: Float[Tensor, "*#batch 3 h w"],
    render: Float[Tensor, "*#batch 3 h w"],
    *,
    kernel: str = "valid",
    data_range: float | Literal["pair"] = 1.0,
) -> Float[Tensor, "*batch_out 3 h2 w2"]:
    """The map that `ssim` averages, `[..., 3, H', W']` float64; smaller than the images where they are not padded.

    Raises:
        InputError: as `ssim`.
    """
    check_pair(reference, render)
    if kernel not in KERNELS:
        raise unknown_name("SSIM kernel", kernel, KERNELS)
    how = KERNELS[kernel]
    _check_size(reference, how, kernel)
    # The moments of a flat, bright region (a white background) cancel to nothing but rounding errors, which float32
    # would add up to several 1e-5 of SSIM.
    reference, render = (image.to(widest_float(image.device)) for image in (reference, render))
    extent = _pair_extent(reference, render) if data_range == "pair" else reference.new_tensor(data_range)
    return _map(reference, render, how, (0.01 * extent) ** 2, (0.03 * extent) ** 2)


def _map(reference: Tensor, render: Tensor, how: Kernel, c1: Tensor, c2: Tensor) -> Tensor:
    # A variance as E[x^2] - E[x]^2 loses its digits where the mean is large beside it, as it is on a low-contrast pair.
    # Subtracting a constant before squaring changes neither variances nor covariance, and the reference's own level is
    # near the render's.
    level = reference.mean(dim=(-2, -1), keepdim=True)
    # The reference's means and squares are blurred once, however many renders it is compared with.
    x, y = _pad(reference, how) - level, _pad(render, how) - level
    mean_x, mean_y = _blur(x, how), _blur(y, how)
    var_x = _blur(x * x, how) - mean_x * mean_x
    var_y = _blur(y * y, how) - mean_y * mean_y
    cov = _blur(x * y, how) - mean_x * mean_y
    if how.sample_covariance:
        n = len(how.taps) ** 2
        var_x, var_y, cov = (moment * (n / (n - 1)) for moment in (var_x, var_y, cov))
    if how.variance_floor is not None:
        var_x, var_y = var_x.clamp(min=how.variance_floor), var_y.clamp(min=how.variance_floor)
    if how.clamp_covariance:
        limit = (var_x * var_y).sqrt()
        cov = cov.clamp(min=-limit, max=limit)
    mean_x, mean_y = mean_x + level, mean_y + level
    similar = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    return similar / ((mean_x * mean_x + mean_y * mean_y + c1) * (var_x + var_y + c2))


def _blur(image: Tensor, how: Kernel) -> Tensor:
    """The window along both axes, as sums of shifted slices: the same value on any device, in any batch."""
    for dim in (-2, -1):
        size = image.shape[dim] - len(how.taps) + 1
        total = image.narrow(dim, 0, size) * how.taps[0]
        for shift, tap in enumerate(how.taps[1:], start=1):
            total.add_(image.narrow(dim, shift, size), alpha=tap)
        image = total
    return image


def _pad(image: Tensor, how: Kernel) -> Tensor:
    if how.padding == "valid":
        return image
    border = (len(how.taps) // 2,) * 4
    flat = image.reshape(-1, *image.shape[-3:])
    padded = torch.nn.functional.pad(flat, border, mode="constant" if how.padding == "zero" else "reflect")
    return padded.reshape(*image.shape[:-2], *padded.shape[-2:])


def _pair_extent(reference: Tensor, render: Tensor) -> Tensor:
    extent = torch.maximum(_extent(reference), _extent(render))
    # Two flat images have no range: NaN, and not the 0 / 0 of two rounding errors.
    return extent.masked_fill(extent == 0, torch.nan)


def _extent(image: Tensor) -> Tensor:
    return (image.amax(dim=(-3, -2, -1)) - image.amin(dim=(-3, -2, -1)))[..., None, None, None]


def _check_size(image: Tensor, how: Kernel, kernel: str) -> None:
    smallest = len(how.taps) // 2 + 1 if how.padding == "reflect" else 1 if how.padding == "zero" else len(how.taps)
    height, width = image.shape[-2:]
    if min(height, width) < smallest:
        raise InputError(
            f"SSIM with the kernel {kernel!r} needs images of at least {smallest}x{smallest} pixels; "
            f"these are {width}x{height}."
        )


def _centre(mask: Tensor, size: torch.Size) -> Tensor:
    top, left = (mask.shape[-2] - size[0]) // 2, (mask.shape[-1] - size[1]) // 2
    return mask[..., top : top + size[0], left : left + size[1]]
