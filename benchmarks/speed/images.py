"""The images that everybody is timed on: photographs that come with scikit-image, and made ones, each with renders.

A photograph at 540p, 1080p or 4K is a mosaic of five at their own resolution (astronaut, coffee, motorcycle, rocket,
chelsea; none is enlarged, so that its statistics are those of a photograph), every second row mirrored. The renders of
a reference are made of it with a seed: blurred, noisy, shifted by a pixel, and blurred and noisy. All are kept as the
8 bits that a PNG would hold.
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

_ROW = 300  # The height of the lowest photograph.


def images(kind: Kind, size: str, *, offset: int = 0) -> Array:
    """A reference and its renders, `[1 + RENDERS, H, W, 3]` uint8, mapped from the file in which they are kept.

    Args:
        kind: of image.
        size: a name in `SIZES`.
        offset: by how many pixels a mosaic is rolled: another view.
    """
    file = KEPT / "images" / f"{kind}-{size}-{offset}.npy"
    if not file.is_file():
        reference = _REFERENCES[kind](*SIZES[size], offset)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}.npy")  # Other processes may be doing the same.
        np.save(partial, np.stack([reference, *_renders(reference)]))
        partial.rename(file)
    return np.load(file, mmap_mode="r")


def mosaic(height: int, width: int, offset: int = 0) -> Array:
    """Photographs side by side at their own resolution, `[H, W, 3]` uint8."""
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
    """A photographed disc on a flat white background, as synthetic scenes have it."""
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
