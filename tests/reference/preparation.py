"""What tools do to images before they score them, in numpy, each in the precision that the tool does it in."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
Rule = Literal["none", "round", "round half to even", "truncate"]


def quantise(image: Array, rule: Rule) -> Array:
    """The image at the 256 levels of 8 bits, in its own dtype.

    Args:
        image: values in [0, 1]; others are not clamped.
        rule: `round` is torchvision's save_image (add a half, then cut off), `round half to even` numpy's (multinerf,
            zipnerf-pytorch), `truncate` the conversion to uint8 (NeRF's to8b, nerfbaselines, dycheck).
    """
    kind = image.dtype.type
    if rule == "none":
        return image
    if rule == "round half to even":
        return np.round(image * kind(255)) / kind(255)
    levels = image * kind(255) + kind(0.5 if rule == "round" else 0)
    return np.floor(levels) / kind(255)


def right_half(image: Array) -> Array:
    """The columns from W // 2 on, of an image or a mask."""
    return image[:, image.shape[1] // 2 :]


def multiply(image: Array, mask: Array) -> Array:
    """The meaning `multiply`: each image times the mask; the mean is over all pixels then."""
    return image * mask[..., None]


def fill(reference: Array, render: Array, mask: Array) -> Array:
    """The meaning `fill`: the render, with the reference outside the mask."""
    return render * mask[..., None] + reference * (1 - mask[..., None])


def bbox(image: Array, mask: Array) -> Array:
    """The meaning `bbox`: the smallest rectangle that holds every pixel of the mask, scored whole."""
    rows = [y for y in range(mask.shape[0]) if any(mask[y] > 0)]
    columns = [x for x in range(mask.shape[1]) if any(mask[:, x] > 0)]
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
