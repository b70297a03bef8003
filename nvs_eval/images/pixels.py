"""The image contract, and what may be done to an image before it is scored.

An image is a finite float32 RGB tensor of shape `[H, W, 3]`, display-referred (sRGB), nominally in [0, 1]. Files are
read into it by `nvs_eval.images.files`; the metrics take it with the channels in front, `[..., 3, H, W]`.
"""

from __future__ import annotations

import hashlib
import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError

Quantisation = Literal["none", "round", "truncate"]
AlphaRule = Literal["composite", "drop", "error"]

RANGE_TOLERANCE = 1e-6
"""How far beyond [0, 1] a value may lie before it counts as out of range: a rounding error, no more."""
_ROWS_AT_ONCE = 16
_VALUES_AT_ONCE = 2**18


def check_image(image: Tensor, *, what: str) -> tuple[float, float]:
    """Check the contract: float32, `[H, W, 3]`, finite.

    Args:
        image: the tensor to check.
        what: name of the image in errors, e.g. "the render of view '0001'".

    Returns:
        The least and the largest value of the image.

    Raises:
        InputError: naming what is wrong; uint8 is never divided by 255 in silence.
    """
    if image.dtype != torch.float32:
        raise InputError(f"{what} is {image.dtype}, and float32 in [0, 1] is needed: convert it first.")
    if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise InputError(f"{what} has shape {list(image.shape)}, and [height, width, 3] is needed.")
    # One pass without a copy: of an image with a NaN both bounds are NaN.
    low, high = bounds(image)
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = int((~torch.isfinite(image)).any(dim=-1).sum())
        raise InputError(f"{what} has NaN or infinite values in {bad} of its pixels: it cannot be scored.")
    return low, high


def check_mask(mask: Tensor, image: Float[Tensor, "h w 3"], *, what: str) -> None:
    """Check that a mask is one of an image: float32 weights in [0, 1], `[H, W]`.

    Raises:
        InputError: naming what is wrong.
    """
    if mask.dtype != torch.float32 or mask.shape != image.shape[:2]:
        raise InputError(
            f"{what} is {mask.dtype} {list(mask.shape)}, and float32 {list(image.shape[:2])} is needed: one weight in "
            "[0, 1] a pixel of the image."
        )
    if not ((mask >= 0) & (mask <= 1)).all():
        raise InputError(f"{what} has values outside [0, 1]: divide it by its range first.")


def sha256_of_image(image: Float[Tensor, "h w 3"]) -> str:
    """The sha256 of an image's shape (three little-endian int64) and its float32 little-endian HxWx3 pixels."""
    return _sha256(image)


def sha256_of_mask(mask: Float[Tensor, "h w"]) -> str:
    """The sha256 of a mask's shape (two little-endian int64) and its float32 little-endian weights."""
    return _sha256(mask)


def _sha256(values: Tensor) -> str:
    array = values.detach().cpu().numpy()
    digest = hashlib.sha256(b"".join(int(size).to_bytes(8, "little") for size in array.shape))
    for start in range(0, len(array), _ROWS_AT_ONCE):  # A few rows are copied at a time.
        digest.update(_by_pixels(array[start : start + _ROWS_AT_ONCE]).astype("<f4", copy=False).data)
    return digest.hexdigest()


def _by_pixels(rows: np.ndarray) -> np.ndarray:
    """Rows of an image, whose channels may lie apart in memory, or of a mask: each pixel's channels together."""
    if rows.ndim == 2 or rows.flags.c_contiguous:
        return np.ascontiguousarray(rows)
    return np.stack([rows[..., channel] for channel in range(rows.shape[-1])], axis=-1)


def by_planes(image: Float[Tensor, "h w c"]) -> Float[Tensor, "h w c"]:
    """Bring each channel's pixels together in memory, as they are read and scored; copies only if they are apart."""
    return image.permute(2, 0, 1).contiguous().permute(1, 2, 0)


def bounds(image: Float[Tensor, "*shape"]) -> tuple[float, float]:
    """The least and the largest value of an image, however its channels lie in memory; NaN if there is one."""
    # In the order of memory: across it, it takes ten times as long.
    low, high = (image if image.is_contiguous() else image.movedim(-1, 0)).aminmax()
    return float(low), float(high)


def clamp_to_range(image: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Bring values to [0, 1]; an image within it, as every 8-bit one is, is returned without a copy."""
    low, high = bounds(image)
    return image if low >= 0 and high <= 1 else image.clamp(0, 1)


def quantise(image: Float[Tensor, "*shape"], rule: Quantisation) -> Float[Tensor, "*shape"]:
    """Bring values in [0, 1] to the 256 levels of an 8-bit file.

    Args:
        image: any shape, values in [0, 1]; others are not clamped.
        rule: `round` is to the nearest level, ties upwards (torchvision's `save_image`); `truncate` is to the level
            below (NeRF's `to8b`, nerfbaselines); `none` leaves the image as it is.

    Returns:
        The levels divided by 255, in the image's dtype; the image itself, not a copy, if it has no other values.
    """
    if rule == "none":
        return image
    # In parts that stay in the cache: allocating whole images takes longer than the comparison.
    if all(torch.equal(_at_levels(part, rule), part) for part in image.flatten().split(_VALUES_AT_ONCE)):
        return image
    return _at_levels(image, rule)


def _at_levels(image: Tensor, rule: Quantisation) -> Tensor:
    levels = image * 255
    if rule == "round":
        levels += 0.5
    return levels.floor_().div_(255)


def composite(
    image: Float[Tensor, "h w 3"], alpha: Float[Tensor, "h w 1"], background: tuple[float, float, float]
) -> Float[Tensor, "h w 3"]:
    """Lay an image with straight (not premultiplied) alpha over a background colour, all in [0, 1]."""
    return image * alpha + torch.tensor(background, dtype=image.dtype, device=image.device) * (1 - alpha)


def without_alpha(
    image: Float[Tensor, "h w 3"],
    alpha: Float[Tensor, "h w 1"] | None,
    *,
    rule: AlphaRule,
    background: tuple[float, float, float] | None,
    what: str,
) -> Float[Tensor, "h w 3"]:
    """An image without its alpha channel, by a protocol's rule: composited over the background, or dropped.

    Raises:
        InputError: the rule is `error`, or there is no background; the message names `what`.
    """
    if alpha is None or rule == "drop":
        return image
    if rule == "error":
        raise InputError(f"{what} has an alpha channel, which the protocol does not allow: save it as RGB.")
    if background is None:
        raise InputError(
            f"{what} has an alpha channel, and how to composite it changes every score: say `--background white`, "
            "`black` or `r,g,b` (each in [0, 1])."
        )
    return composite(image, alpha, background)


def linear_to_srgb(image: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Encode linear light as sRGB (IEC 61966-2-1), elementwise; values below 0 stay on the linear piece."""
    curve = 1.055 * image.clamp(min=0.0031308).pow(1 / 2.4) - 0.055
    return torch.where(image <= 0.0031308, 12.92 * image, curve)


def crop_border(image: Float[Tensor, "*batch h w"], border: int) -> Float[Tensor, "*batch h2 w2"]:
    """Cut `border` pixels from each side of the last two dimensions.

    Raises:
        InputError: nothing would be left.
    """
    height, width = image.shape[-2:]
    if 2 * border >= min(height, width):
        raise InputError(f"A border of {border} pixels leaves nothing of an image of {width}x{height}.")
    return image[..., border : height - border, border : width - border]
