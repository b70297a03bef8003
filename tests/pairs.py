"""Pairs of images on which implementations of a metric tend to part, the same on every machine."""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


@cache
def photograph() -> np.ndarray:
    """A part of scikit-image's astronaut, which ships with it: `[48, 64, 3]` uint8."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skimage.data import astronaut

        return astronaut()[60:156:2, 180:308:2].copy()


@cache
def pairs() -> dict[str, tuple[Tensor, Tensor]]:
    """Reference and render by name, `[3, H, W]` float32 in [0, 1]."""
    import torch

    return {
        name: (torch.from_numpy(reference).permute(2, 0, 1), torch.from_numpy(render).permute(2, 0, 1))
        for name, (reference, render) in array_pairs().items()
    }


@cache
def array_pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The same, `[H, W, 3]`."""
    return {name: (_image(reference), _image(render)) for name, (reference, render) in _arrays().items()}


def _image(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values.clip(0, 1).astype(np.float32))


def _arrays() -> dict[str, tuple[Any, Any]]:
    random = np.random.RandomState(0)
    photo = photograph() / 255
    noise = random.randn(*photo.shape)
    white = np.ones_like(photo)
    white[12:36, 16:48] = photo[12:36, 16:48]
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
        # What Blender scenes look like. The moments of the flat part cancel to nothing but rounding errors, which
        # float32 would add up to 3e-5 of SSIM.
        "white background": (white, np.where(white == 1, 0.98, white) + 0.002 * noise),
        "flat and noise": (np.full_like(photo, 0.5), 0.5 + 0.1 * noise),
        "flat and flat": (np.full_like(photo, 0.7), np.full_like(photo, 0.1)),
        "two noises": (random.rand(*photo.shape), random.rand(*photo.shape)),
        "stars": ((random.rand(*photo.shape) > 0.99) * 1.0, (random.rand(*photo.shape) > 0.99) * 0.5),
        "as small as the window": (photo[20:31, 20:31], (photo + 0.05 * noise)[20:31, 20:31]),
        "barely above the window": (photo[20:32, 20:33], (photo + 0.05 * noise)[20:32, 20:33]),
    }
