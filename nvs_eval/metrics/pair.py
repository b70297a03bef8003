"""What every metric shares: one check of the shapes, and one mean."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nvs_eval.errors import InputError

Mask = Float[Tensor, "*#batch 1 h w"] | Bool[Tensor, "*#batch 1 h w"]
"""Which pixels count, and how much: weights in [0, 1], or yes and no."""
MaskMeaning = Literal["valid-pixels", "windows", "dycheck"]
"""What a mask means to a metric; the other meanings are done to the images before."""


def widest_float(device: torch.device) -> torch.dtype:
    """float64, or float32 on a device without it."""
    return torch.float32 if device.type == "mps" else torch.float64


def needs_gradient(*images: Tensor) -> bool:
    """Whether what is computed of images must be differentiable."""
    return torch.is_grad_enabled() and any(image.requires_grad for image in images)


def check_pair(reference: Tensor, render: Tensor, mask: Tensor | None = None) -> None:
    """Check that two image tensors can be compared: floats, three channels, one size.

    Raises:
        InputError: saying what was given and what is needed; nothing is ever resized or converted.
    """
    for name, image in (("reference", reference), ("render", render)):
        if not image.is_floating_point():
            raise InputError(
                f"The {name} is {image.dtype}, and floats in [0, 1] are needed: divide by the range first."
            )
        if image.ndim < 3 or image.shape[-3] != 3:
            raise InputError(f"The {name} has shape {list(image.shape)}, and [..., 3, height, width] is needed.")
        if 0 in image.shape[-2:]:
            raise InputError(
                f"The {name} has shape {list(image.shape)}, which holds no pixel: there is nothing to score."
            )
    if reference.dtype != render.dtype or reference.device != render.device:
        raise InputError(
            f"The reference is {reference.dtype} on {reference.device} and the render {render.dtype} on "
            f"{render.device}, and one dtype on one device is needed: convert one of them with `.to(...)`."
        )
    if reference.shape[-2:] != render.shape[-2:]:
        raise InputError(
            f"The reference is {_size(reference)} and the render {_size(render)} (width x height). "
            "Nothing is resized here: give images of one size."
        )
    if mask is not None:
        _check_mask(mask, reference)
    batches = [image.shape[:-3] for image in (reference, render, mask) if image is not None]
    try:
        broadcast_shapes(*batches)
    except ValueError as error:
        raise InputError(
            f"The leading dimensions {' and '.join(str(list(batch)) for batch in batches)} do not broadcast: from the "
            "last to the first, each must be the same or 1."
        ) from error


def _check_mask(mask: Tensor, reference: Tensor) -> None:
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise InputError(f"The mask is {mask.dtype}, and bool or float weights in [0, 1] are needed: convert it first.")
    if mask.ndim < 3 or mask.shape[-3:] != (1, *reference.shape[-2:]):
        needed = f"[..., 1, {reference.shape[-2]}, {reference.shape[-1]}]"
        raise InputError(
            f"The mask has shape {list(mask.shape)}, and {needed} is needed for images of {_size(reference)}."
        )


def broadcast_shapes(*shapes: torch.Size) -> torch.Size:
    """The shape that all of these broadcast to; torch's own imports symbolic algebra, which takes half a second.

    Raises:
        ValueError: there is none.
    """
    return torch.Size(np.broadcast_shapes(*shapes))


def mean_over_plane(values: Float[Tensor, "*#batch c h w"], mask: Mask | None = None) -> Float[Tensor, "*batch_out"]:
    """The (weighted) mean over channels and pixels, summed in float64.

    float64 sums make the result independent of how the work is split over threads, tiles and batches, to far below
    the tolerances of any comparison. (Devices without float64, such as MPS, sum in float32.)
    """
    dtype = widest_float(values.device)
    if mask is None:
        return values.mean(dim=(-3, -2, -1), dtype=dtype)
    weights = mask.to(values.dtype)
    weighted = (values * weights).sum(dim=(-3, -2, -1), dtype=dtype)
    return weighted / (weights.sum(dim=(-3, -2, -1), dtype=dtype) * values.shape[-3])


def _size(image: Tensor) -> str:
    return f"{image.shape[-1]}x{image.shape[-2]}"
