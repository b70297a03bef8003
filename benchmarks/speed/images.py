"""Images for timing: photographs from scikit-image and synthetic images, each with renders.

An image of kind "photo" is a mosaic of five photographs (astronaut, coffee, motorcycle, rocket, chelsea) with every
second row mirrored. They are not enlarged, so the image has the statistics of a photograph. The renders of a reference
are computed from it with a fixed seed: blurred, noisy, shifted by one pixel, and blurred and noisy. All images are
8-bit.
"""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np

from benchmarks.speed.places import KEPT

Array = np.ndarray[Any, Any]
Kind = Literal["photo", "noise", "gradient", "white"]

SIZES = {"270p": (270, 480), "540p": (540, 960), "1080p": (1080, 1920), "4K": (2160, 3840)}
"""Height and width in pixels."""
RENDERS = 4
MADE: tuple[Kind, ...] = ("noise", "gradient", "white")

_ROW = 300  # Height of the smallest photograph.


def images(kind: Kind, size: str, *, offset: int = 0) -> Array:
    """Return a reference and its renders, `[1 + RENDERS, H, W, 3]` uint8, memory-mapped from a cached file.

    Args:
        kind: kind of image.
        size: name in `SIZES`.
        offset: number of pixels by which a mosaic is rolled, to get different views.
    """
    file = KEPT / "images" / f"{kind}-{size}-{offset}.npy"
    if not file.is_file():
        reference = _REFERENCES[kind](*SIZES[size], offset)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}.npy")  # Other processes may write the same file.
        np.save(partial, np.stack([reference, *_renders(reference)]))
        partial.rename(file)
    return np.load(file, mmap_mode="r")


def mosaic(height: int, width: int, offset: int = 0) -> Array:
    """Return photographs side by side at their own resolution, `[H, W, 3]` uint8."""
    from skimage import data

    photographs = [data.astronaut(), data.coffee(), data.stereo_motorcycle()[0], data.rocket(), data.chelsea()]
    strip = np.concatenate([photograph[:_ROW] for photograph in photographs], axis=1)
    rows = []
    for row in range(-(-height // _ROW)):
        moved = np.roll(strip, -(offset + 613 * row), axis=1)
        rows.append((moved[:, ::-1] if row % 2 else moved)[:, np.arange(width) % strip.shape[1]])
    return np.concatenate(rows)[:height]


def _noise(height: int, width: int, offset: int) -> Array:
    return np.random.default_rng(offset).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _gradient(height: int, width: int, offset: int) -> Array:
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return _levels(np.stack([x, y, (x + y) / 2], axis=-1) * 255)


def _white(height: int, width: int, offset: int) -> Array:
    """Return a disc cut from a mosaic on a plain white background, like an image of a synthetic scene."""
    y, x = np.mgrid[0:height, 0:width]
    inside = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (height / 3) ** 2
    return np.where(inside[..., None], mosaic(height, width, offset), 255).astype(np.uint8)


_REFERENCES = {"photo": mosaic, "noise": _noise, "gradient": _gradient, "white": _white}


def _renders(reference: Array) -> list[Array]:
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(reference.astype(np.float32), (1.2, 1.2, 0))
    noise = np.random.default_rng(1).normal(0, 6, reference.shape)
    return [_levels(blurred), _levels(reference + noise), np.roll(reference, 1, axis=1), _levels(blurred + noise)]


def _levels(image: Array) -> Array:
    return image.round().clip(0, 255).astype(np.uint8)
