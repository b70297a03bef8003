"""Pairs of images on which implementations of a metric tend to differ. They are equal on every machine."""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


@cache
def photograph() -> np.ndarray:
    """Return a part of scikit-image's astronaut, `[48, 64, 3]` uint8."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skimage.data import astronaut

        return astronaut()[60:156:2, 180:308:2].copy()


@cache
def second_photograph() -> np.ndarray:
    """Return a part of scikit-image's cat, `[40, 52, 3]` uint8."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skimage.data import chelsea

        return chelsea()[80:200:3, 150:306:3].copy()


@cache
def pairs() -> dict[str, tuple[Tensor, Tensor]]:
    """Return reference and render by name, `[3, H, W]` float32 in [0, 1]."""
    import torch

    return {
        name: (torch.from_numpy(reference).permute(2, 0, 1), torch.from_numpy(render).permute(2, 0, 1))
        for name, (reference, render) in array_pairs().items()
    }


@cache
def array_pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return reference and render by name, `[H, W, 3]` float32 in [0, 1]."""
    arrays = _arrays(photograph() / 255)
    return {name: (_image(reference), _image(render)) for name, (reference, render) in arrays.items()}


@cache
def large_pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return pairs that are large enough for MS-SSIM, `[H, W, 3]` float32 in [0, 1], by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skimage.data import astronaut

        photo = astronaut()[60:236, 170:347] / 255
    arrays = {name: pair for name, pair in _arrays(photo).items() if min(pair[0].shape[:2]) >= 161}
    return {f"large: {name}": (_image(reference), _image(render)) for name, (reference, render) in arrays.items()}


@cache
def array_masks() -> dict[str, np.ndarray]:
    """Return a mask for each pair, `[H, W]` float32: an off-centre ellipse whose upper part has less weight."""
    return {name: _mask(*reference.shape[:2]) for name, (reference, _) in array_pairs().items()}


def _mask(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    inside = ((y / height - 0.45) / 0.4) ** 2 + ((x / width - 0.6) / 0.3) ** 2 <= 1
    return np.where(inside, np.where(y < 0.3 * height, 0.3, 1.0), 0.0).astype(np.float32)


def _image(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values.clip(0, 1).astype(np.float32))


def _arrays(photo: np.ndarray) -> dict[str, tuple[Any, Any]]:
    random = np.random.RandomState(0)
    noise = random.randn(*photo.shape)
    white = np.ones_like(photo)
    white[12:36, 16:48] = photo[12:36, 16:48]
    cat = second_photograph() / 255
    blurred = sum(np.roll(photo, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)) / 9
    return {
        "photograph and noise": (photo, photo + 0.05 * noise),
        "photograph and its blur": (photo, blurred),
        "photograph, shifted by one pixel": (photo[:, :-1], photo[:, 1:]),
        "photograph and its negative": (photo, 1 - photo),
        "8 bits": (photo, np.round((photo + 0.01 * noise).clip(0, 1) * 255) / 255),
        "odd sizes": (photo[:37, :53], (photo + 0.02 * noise)[:37, :53]),
        "dark": (0.02 * photo, 0.02 * photo + 0.001 * np.abs(noise)),
        "low contrast": (0.5 + 0.01 * photo, 0.5 + 0.01 * photo + 0.002 * noise),
        "low contrast at two levels": (0.1 + 0.01 * photo, 0.9 + 0.01 * photo + 0.002 * noise),
        # Resembles Blender scenes. In the flat part, the moments cancel down to rounding errors, which would add up to
        # 3e-5 of SSIM in float32.
        "white background": (white, np.where(white == 1, 0.98, white) + 0.002 * noise),
        "flat and noise": (np.full_like(photo, 0.5), 0.5 + 0.1 * noise),
        "flat and flat": (np.full_like(photo, 0.7), np.full_like(photo, 0.1)),
        "two noises": (random.rand(*photo.shape), random.rand(*photo.shape)),
        "stars": ((random.rand(*photo.shape) > 0.99) * 1.0, (random.rand(*photo.shape) > 0.99) * 0.5),
        "as small as the window": (photo[20:31, 20:31], (photo + 0.05 * noise)[20:31, 20:31]),
        "barely above the window": (photo[20:32, 20:33], (photo + 0.05 * noise)[20:32, 20:33]),
        # AlexNet requires 31 pixels.
        "barely enough for LPIPS": (photo[:31, :32], (photo + 0.05 * noise)[:31, :32]),
        # A case for colour correction: different gains and offsets in each channel, and a curve.
        "another exposure": (cat, 0.05 + np.array([0.8, 0.9, 1.1]) * cat**1.2),
        "8 bits, another exposure": (cat, np.round((1.5 * cat - 0.1).clip(0, 1) * 255) / 255),
    }
