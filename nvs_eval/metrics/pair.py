"""Code that all metrics share: the checks of their arguments, and the mean over a plane."""

from __future__ import annotations

import math
from numbers import Real
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nvs_eval.errors import InputError, quoted
from nvs_eval.system.tensors import check_tensor

Mask = Float[Tensor, "*#batch 1 h w"] | Bool[Tensor, "*#batch 1 h w"]
"""Pixel weights: floats in [0, 1], or booleans."""
MaskMeaning = Literal["valid-pixels", "windows", "dycheck"]
"""Meaning of a mask within a metric. The other meanings are applied to the images before."""


def widest_float(device: torch.device) -> torch.dtype:
    """Return float64, or float32 on a device without float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def needs_gradient(*images: Tensor) -> bool:
    """Return whether results computed from images must be differentiable."""
    return torch.is_grad_enabled() and any(image.requires_grad for image in images)


def checked_pair(reference: Tensor, render: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Check that two image tensors can be compared: floats, three channels, equal sizes.

    Returns:
        The images, in float32 if they have half precision, in which small errors vanish when they are squared.

    Raises:
        InputError: the tensors do not fit. Nothing is ever resized.
    """
    for name, image in (("reference", reference), ("render", render)):
        _check_image(image, name)
    if reference.dtype != render.dtype or reference.device != render.device:
        raise InputError(
            f"The reference and the render must have the same dtype and device. Got {reference.dtype} on "
            f"{reference.device} and {render.dtype} on {render.device}. Convert one of them with `.to(...)`."
        )
    if reference.shape[-2:] != render.shape[-2:]:
        raise InputError(
            f"The reference and the render must have the same size. Got {_size(reference)} and {_size(render)} (width "
            "x height). Images are never resized."
        )
    if mask is not None:
        _check_mask(mask, reference)
    batches = [image.shape[:-3] for image in (reference, render, mask) if image is not None]
    try:
        broadcast_shapes(*batches)
    except ValueError as error:
        raise InputError(
            f"The leading dimensions must broadcast: from the last to the first, they must be equal or 1. "
            f"Got {' and '.join(str(list(batch)) for batch in batches)}."
        ) from error
    wide = torch.float64 if reference.dtype == torch.float64 else torch.float32
    return reference.to(wide), render.to(wide)


def check_data_range(value: object, *, other: str = "") -> float:
    """Return the data range of a metric as a float.

    Args:
        value: data range to check.
        other: alternatives that the metric accepts, for the error.

    Raises:
        InputError: it is not a finite number above 0, or so small or large that its square is not accurate in float32.
    """
    number = value.item() if isinstance(value, Tensor) and value.ndim == 0 else value
    if isinstance(number, bool) or not isinstance(number, Real) or not 0 < float(number) < math.inf:
        raise InputError(
            f"data_range must be a finite number above 0{other}. Got {quoted(value)}. Use 1 for images in [0, 1]."
        )
    if not 1e-12 <= float(number) <= 1e12:
        raise InputError(f"data_range must be from 1e-12 to 1e12. Got {quoted(value)}. Use 1 for images in [0, 1].")
    return float(number)


def _check_image(image: Tensor, name: str) -> None:
    check_tensor(image, what=f"The {name}", shape="[..., 3, height, width]")
    if not image.is_floating_point():
        raise InputError(f"The {name} must contain floats in [0, 1]. Got {image.dtype}. Divide it by its range first.")
    if image.ndim < 3 or image.shape[-3] != 3:
        advice = " Move the channels with `.movedim(-1, -3)`." if image.ndim >= 3 and image.shape[-1] == 3 else ""
        raise InputError(f"The {name} must have shape [..., 3, height, width]. Got {list(image.shape)}.{advice}")
    if 0 in image.shape[-2:]:
        raise InputError(f"The {name} must have at least one pixel. Got shape {list(image.shape)}.")


def _check_mask(mask: Tensor, reference: Tensor) -> None:
    check_tensor(mask, what="The mask", shape="[..., 1, height, width]")
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise InputError(f"The mask must contain booleans or floats in [0, 1]. Got {mask.dtype}. Convert it first.")
    if mask.ndim < 3 or mask.shape[-3:] != (1, *reference.shape[-2:]):
        needed = f"[..., 1, {reference.shape[-2]}, {reference.shape[-1]}]"
        raise InputError(f"The mask must have shape {needed} for images of {_size(reference)}. Got {list(mask.shape)}.")
    if mask.device != reference.device:
        raise InputError(
            f"The mask and the images must be on the same device. Got {mask.device} and {reference.device}. Move the "
            "mask with `.to(...)`."
        )


def broadcast_shapes(*shapes: torch.Size) -> torch.Size:
    """Return the shape that all shapes broadcast to.

    torch's own function imports symbolic algebra, which takes half a second.

    Raises:
        ValueError: the shapes do not broadcast.
    """
    return torch.Size(np.broadcast_shapes(*shapes))


def place_in(images: Tensor, index: tuple[int, ...]) -> tuple[int, ...]:
    """Return the index into images that broadcast to the batch, for an index into the batch."""
    batch = images.shape[:-3]
    return tuple(0 if n == 1 else i for i, n in zip(index[len(index) - len(batch) :], batch, strict=True))


def owners_of(reference: Tensor, batch: torch.Size) -> list[int]:
    """Return the index of the reference of each image of a batch, among all references."""
    own = reference.shape[:-3]
    return np.broadcast_to(np.arange(own.numel()).reshape(own), batch).ravel().tolist()


def mean_over_plane(values: Float[Tensor, "*#batch c h w"], mask: Mask | None = None) -> Float[Tensor, "*batch_out"]:
    """Return the (weighted) mean over channels and pixels, summed in float64.

    With float64 sums, the result does not depend on how the work is split over threads, tiles and batches, to far below
    the tolerance of any comparison. (Devices without float64, such as MPS, sum in float32.)
    """
    dtype = widest_float(values.device)
    if mask is None:
        return values.mean(dim=(-3, -2, -1), dtype=dtype)
    weights = mask.to(values.dtype)
    weighted = (values * weights).sum(dim=(-3, -2, -1), dtype=dtype)
    return weighted / (weights.sum(dim=(-3, -2, -1), dtype=dtype) * values.shape[-3])


def _size(image: Tensor) -> str:
    return f"{image.shape[-1]}x{image.shape[-2]}"
