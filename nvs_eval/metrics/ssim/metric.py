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
from dataclasses import replace
from functools import partial
from numbers import Real
from typing import Annotated, Any, Literal, get_args

import torch
from jaxtyping import Float
from msgspec import Meta
from torch import Tensor

from nvs_eval.errors import InputError, quoted, unknown_name
from nvs_eval.metrics.describe import Described, NotNegative, Positive, all_digits
from nvs_eval.metrics.pair import Mask, MaskMeaning, check_data_range, checked_pair, widest_float
from nvs_eval.metrics.ssim.formula import KERNELS, Kernel
from nvs_eval.metrics.ssim.pairs import Block, Member, Pairs, map_size

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
    reference, render = checked_pair(reference, render, mask)
    extent = _extent(data_range)
    how = _kernel(kernel, reference, variance_floor)
    if mask_meaning not in get_args(MaskMeaning):
        raise unknown_name("mask meaning of SSIM", mask_meaning, get_args(MaskMeaning))
    weights = None
    if mask is not None and mask_meaning == "dycheck":
        if how.padding != "valid" or how.sample_covariance:
            raise InputError(
                f"dycheck's mask is defined only for SSIM without padding. Got the kernel {quoted(kernel)}."
            )
    elif mask is not None:
        weights = _whole_windows(mask, how) if mask_meaning == "windows" else _centre(mask, map_size(reference, how))
        mask = None

    def add_up(member: Member, block: Block, scores: Tensor) -> Tensor | float:
        # With float64 sums, the value does not depend on the number of blocks, to far below any tolerance.
        total = (scores if member.weights is None else scores * block.of_map(member.weights)).sum()
        # Small tensors kept between the planes of blocks would fragment memory, which would grow with the image.
        return total if total.requires_grad or total.device.type != "cpu" else total.item()

    pairs = Pairs(reference, render, mask, weights)
    sums = pairs.score(how, extent, add_up)
    wide = widest_float(reference.device)
    if not sums:
        return reference.new_empty(pairs.batch, dtype=wide)
    channels = 3 if how.grey is None else 1
    if weights is None:
        count = channels * torch.Size(map_size(reference, how)).numel()
    else:
        count = channels * weights.sum(dim=(-3, -2, -1), dtype=wide)
    totals = [torch.as_tensor(sum(parts), dtype=wide, device=reference.device) for parts in sums]
    return torch.stack(totals).reshape(pairs.batch) / count


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
    extent = _extent(data_range)
    how = _kernel(kernel, reference, None)
    pairs = Pairs(reference, render)
    shape = (pairs.batch.numel(), 3 if how.grey is None else 1, *map_size(reference, how))
    values = reference.new_empty(shape, dtype=widest_float(reference.device))

    def put(member: Member, block: Block, scores: Tensor) -> None:
        channels = block.channels if how.grey is None else slice(0, 1)
        block.of_map(values[member.position, channels]).copy_(scores)

    pairs.score(how, extent, put)
    return values.reshape(*pairs.batch, *shape[1:])


def describe_ssim(
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
    shown = "pair" if data_range == "pair" else all_digits(data_range)
    how = KERNELS[kernel]
    if variance_floor is not None:
        how = replace(how, variance_floor=variance_floor)
    if mask == "dycheck" and (how.padding != "valid" or how.sample_covariance):
        raise InputError(f"{name} has the kernel {quoted(kernel)}, which does not support `mask: dycheck`. Use dmpix.")
    make: Any = ssim  # The arguments were checked above.
    function = partial(make, kernel=kernel, data_range=data_range, variance_floor=variance_floor, mask_meaning=mask)
    return f"ssim|{how.signature(shown)}|v1", lambda _: function, how.smallest


def _extent(data_range: float | Literal["pair"]) -> float | Literal["pair"]:
    if isinstance(data_range, str) and data_range == "pair":
        return "pair"
    return check_data_range(data_range, other=", or 'pair' for the range of each pair (None in torchmetrics)")


def _kernel(name: str, image: Tensor, variance_floor: float | None) -> Kernel:
    if name not in tuple(KERNELS):
        raise unknown_name("SSIM kernel", name, KERNELS)
    how = KERNELS[name]
    if variance_floor is not None:
        if not isinstance(variance_floor, Real) or not 0 <= variance_floor < math.inf:
            raise InputError(f"variance_floor must be a finite number, at least 0. Got {quoted(variance_floor)}.")
        how = replace(how, variance_floor=variance_floor)
    height, width = image.shape[-2:]
    if min(height, width) < how.smallest:
        raise InputError(
            f"SSIM with the kernel {quoted(name)} requires images of at least {how.smallest}x{how.smallest} pixels. "
            f"Got {width}x{height}."
        )
    return how


def _centre(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the part of a mask that the map covers."""
    top, left = (mask.shape[-2] - size[0]) // 2, (mask.shape[-1] - size[1]) // 2
    return mask[..., top : top + size[0], left : left + size[1]]


def _whole_windows(mask: Tensor, how: Kernel) -> Tensor:
    """Return 1 for each window whose pixels all have weight 1, and 0 otherwise."""
    inside = (mask >= 1).to(torch.float32)
    if how.padding != "valid":
        inside = torch.nn.functional.pad(inside, (how.border,) * 4, value=1.0)
    size = len(how.taps)
    for dim in (-2, -1):
        inside = inside.unfold(dim, size, 1).amin(dim=-1)
    return inside
