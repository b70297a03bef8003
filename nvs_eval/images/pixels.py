"""The image contract, and the operations on images before scoring.

An image is a finite float32 RGB tensor of shape `[H, W, 3]`, display-referred (sRGB), nominally in [0, 1].
`nvs_eval.images.files` reads files into this form. The metrics expect the channels first, `[..., 3, H, W]`.
"""

from __future__ import annotations

import hashlib
import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError, counted
from nvs_eval.system.tensors import check_tensor

Quantisation = Literal["none", "round", "truncate"]
AlphaRule = Literal["composite", "drop", "error"]

RANGE_TOLERANCE = 1e-6
"""Distance from [0, 1] up to which a value counts as in range; it allows for rounding errors only."""
_BRIGHT, _DARK, _FEW = 4, -0.5, 0.01
"""An image of which more than a small share lies above 4 is one in [0, 255], and below -0.5 one in [-1, 1]."""
_ROWS_AT_ONCE = 16
_VALUES_AT_ONCE = 2**18


def check_image(image: Tensor, *, what: str) -> tuple[float, float]:
    """Check the contract: float32, `[H, W, 3]`, finite, not in [0, 255] or [-1, 1].

    Args:
        image: tensor to check.
        what: name of the image in errors, such as "The render of view '0001'".

    Returns:
        The minimum and maximum of the image.

    Raises:
        InputError: the image violates the contract. uint8 is never silently divided by 255.
    """
    check_tensor(image, what=what, shape="[height, width, 3]")
    if image.dtype != torch.float32:
        raise InputError(f"{what} must be float32 in [0, 1]. Got {image.dtype}. Convert it first.")
    if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise InputError(f"{what} must have shape [height, width, 3]. Got {list(image.shape)}.")
    # One pass without a copy: a single NaN makes both bounds NaN.
    low, high = bounds(image)
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = int((~torch.isfinite(image)).any(dim=-1).sum())
        raise InputError(f"{what} must be finite. Got NaN or infinite values in {counted(bad, 'pixel')}.")
    # Counted only where the maximum makes it likely. A protocol that clamps would score a white image.
    if high > _BRIGHT and (share := int((image > _BRIGHT).sum()) / image.numel()) > _FEW:
        raise InputError(
            f"{what} must be in [0, 1]. Got values up to {high:g}, {100 * share:.0f} % of them above {_BRIGHT}. Divide "
            "it by its range, such as 255."
        )
    if low < _DARK and (share := int((image < _DARK).sum()) / image.numel()) > _FEW:
        raise InputError(
            f"{what} must be in [0, 1]. Got values down to {low:g}, {100 * share:.0f} % of them below {_DARK}. Map "
            "[-1, 1] to [0, 1] by `(image + 1) / 2`, or clamp colours outside the gamut."
        )
    return low, high


def check_alpha(alpha: Tensor, image: Float[Tensor, "h w 3"], *, what: str) -> None:
    """Check that alpha fits an image: float32, `[H, W, 1]`. Its range matters only where it is composited.

    Raises:
        InputError: alpha has another type or shape.
    """
    height, width = image.shape[:2]
    check_tensor(alpha, what=f"{what}: alpha", shape=f"[{height}, {width}, 1]")
    if alpha.dtype != torch.float32 or alpha.shape != (height, width, 1):
        raise InputError(
            f"{what}: alpha must be float32 of shape [{height}, {width}, 1]. Got {alpha.dtype} of shape "
            f"{list(alpha.shape)}."
        )


def check_mask(mask: Tensor, image: Float[Tensor, "h w 3"], *, what: str) -> None:
    """Check that a mask fits an image: float32 weights in [0, 1], `[H, W]`.

    Raises:
        InputError: the mask has another type, shape or range.
    """
    check_tensor(mask, what=what, shape=f"{list(image.shape[:2])}")
    if mask.dtype != torch.float32 or mask.shape != image.shape[:2]:
        raise InputError(
            f"{what} must be float32 of shape {list(image.shape[:2])}, one weight in [0, 1] per pixel of the image. "
            f"Got {mask.dtype} of shape {list(mask.shape)}."
        )
    low, high = bounds(mask)
    if not (low >= 0 and high <= 1):  # NaN is neither.
        raise InputError(f"{what} has values outside [0, 1]. Divide it by its range first.")


def sha256_of_image(image: Float[Tensor, "h w 3"]) -> str:
    """Return the sha256 of an image's shape (three little-endian int64) and its float32 little-endian HxWx3 pixels."""
    return _sha256(image)


def sha256_of_mask(mask: Float[Tensor, "h w"]) -> str:
    """Return the sha256 of a mask's shape (two little-endian int64) and its float32 little-endian weights."""
    return _sha256(mask)


def _sha256(values: Tensor) -> str:
    array = values.detach().cpu().numpy()
    digest = hashlib.sha256(b"".join(int(size).to_bytes(8, "little") for size in array.shape))
    for start in range(0, len(array), _ROWS_AT_ONCE):  # A few rows are copied at a time.
        digest.update(_by_pixels(array[start : start + _ROWS_AT_ONCE]).astype("<f4", copy=False).data)
    return digest.hexdigest()


def _by_pixels(rows: np.ndarray) -> np.ndarray:
    """Return rows of an image or a mask with each pixel's channels adjacent in memory."""
    if rows.ndim == 2 or rows.flags.c_contiguous:
        return np.ascontiguousarray(rows)
    return np.stack([rows[..., channel] for channel in range(rows.shape[-1])], axis=-1)


def by_planes(image: Float[Tensor, "h w c"]) -> Float[Tensor, "h w c"]:
    """Make each channel contiguous in memory, as files are read and scored; copies only if necessary."""
    return image.permute(2, 0, 1).contiguous().permute(1, 2, 0)


def bounds(image: Float[Tensor, "*shape"]) -> tuple[float, float]:
    """Return the minimum and maximum of an image of any memory layout; NaN if it contains a NaN."""
    # In memory order, because the other order takes ten times as long.
    low, high = torch.stack((image if image.is_contiguous() else image.movedim(-1, 0)).aminmax()).tolist()
    return low, high


def clamp_to_range(image: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Clamp values to [0, 1]; on the CPU, an image in this range, such as an 8-bit one, is returned without a copy."""
    if image.device.type != "cpu":
        return image.clamp(0, 1)
    low, high = bounds(image)
    return image if low >= 0 and high <= 1 else image.clamp(0, 1)


def quantise(image: Float[Tensor, "*shape"], rule: Quantisation) -> Float[Tensor, "*shape"]:
    """Quantise values in [0, 1] to the 256 levels of an 8-bit file.

    Args:
        image: tensor of any shape with values in [0, 1]; other values are not clamped.
        rule: `round` to the nearest level, ties upwards (torchvision's `save_image`); `truncate` to the level below
            (NeRF's `to8b`, nerfbaselines); `none` leaves the image unchanged.

    Returns:
        The levels divided by 255, in the image's dtype. On the CPU, the image itself if all values are levels already.
    """
    same = rule == "none" or (image.device.type == "cpu" and is_quantised(image, rule))
    return image if same else _at_levels(image, rule)


def to_8_bits(image: Float[Tensor, "h w 3"]) -> np.ndarray:
    """Return an image as the uint8 levels of an 8-bit file, `[H, W, 3]`: clamped to [0, 1], rounded to the nearest."""
    return (quantise(image.detach().clamp(0, 1), "round") * 255).round().to(torch.uint8).cpu().numpy()


def is_quantised(image: Float[Tensor, "*shape"], rule: Quantisation = "round") -> bool:
    """Return whether quantising changes no value. In [0, 1], rounding and truncating then change none."""
    # In parts that stay in the cache, because allocating whole images takes longer than the comparison.
    return all(torch.equal(_at_levels(part, rule), part) for part in image.flatten().split(_VALUES_AT_ONCE))


def are_quantised(images: Float[Tensor, "k c h w"]) -> Tensor:
    """Return for which images of a batch quantising changes no value, `[k]` bool on their device."""
    if images.device.type == "cpu":
        return torch.tensor([is_quantised(image) for image in images])
    return (_at_levels(images, "round") == images).flatten(1).all(dim=1)


def _at_levels(image: Tensor, rule: Quantisation) -> Tensor:
    levels = image * 255
    if rule == "round":
        levels += 0.5
    return levels.floor_().div_(255)


def composite(
    image: Float[Tensor, "h w 3"], alpha: Float[Tensor, "h w 1"], background: tuple[float, float, float]
) -> Float[Tensor, "h w 3"]:
    """Composite an image with straight (not premultiplied) alpha over a background colour, all in [0, 1]."""
    return image * alpha + torch.tensor(background, dtype=image.dtype, device=image.device) * (1 - alpha)


def without_alpha(
    image: Float[Tensor, "h w 3"],
    alpha: Float[Tensor, "h w 1"] | None,
    *,
    rule: AlphaRule,
    background: tuple[float, float, float] | None,
    what: str,
) -> Float[Tensor, "h w 3"]:
    """Remove the alpha channel by a protocol's rule: composite it over the background, or drop it.

    Raises:
        InputError: the rule is `error`, there is no background, or alpha to composite is outside [0, 1]; the message
            names `what`.
    """
    if alpha is None or rule == "drop":
        return image
    if rule == "error":
        raise InputError(f"{what} has an alpha channel, which the protocol does not allow. Save it as RGB.")
    if background is None:
        raise InputError(
            f"{what} has an alpha channel, and every score depends on the background. Use `--background white`, "
            "`black` or `r,g,b` (each in [0, 1])."
        )
    low, high = bounds(alpha)
    if not (low >= -RANGE_TOLERANCE and high <= 1 + RANGE_TOLERANCE):
        raise InputError(
            f"{what} has alpha outside [0, 1], which cannot be composited. Divide alpha by its range first."
        )
    return composite(image, alpha, background)


def linear_to_srgb(image: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Encode linear light as sRGB (IEC 61966-2-1), elementwise; negative values use the linear segment."""
    curve = 1.055 * image.clamp(min=0.0031308).pow(1 / 2.4) - 0.055
    return torch.where(image <= 0.0031308, 12.92 * image, curve)


def crop_border(image: Float[Tensor, "*batch h w"], border: int) -> Float[Tensor, "*batch h2 w2"]:
    """Crop `border` pixels from each side of the last two dimensions.

    Raises:
        InputError: no pixel would remain.
    """
    height, width = image.shape[-2:]
    if 2 * border >= min(height, width):
        raise InputError(f"A crop of {counted(border, 'pixel')} per side removes the whole image of {width}x{height}.")
    return image[..., border : height - border, border : width - border]
