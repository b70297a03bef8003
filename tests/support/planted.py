"""Photographs with causes of error of known amounts."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import skimage.data
from PIL import Image
from scipy import ndimage

Pixels = np.ndarray[Any, np.dtype[Any]]
_MARGIN = 12  # Pixels that resampling may fill from outside.
_REST = 3.0  # Error that no cause explains, in levels of 255.

GROUPS = {
    "exposure": "colour",
    "white balance": "colour",
    "contrast": "colour",
    "tone": "colour",
    "shift": "pose",
    "rotation": "pose",
    "zoom": "pose",
    "blur": "sharpness",
    "sharpening": "sharpness",
    "floater": "floaters",
    "noise": "noise",
}
"""Cause that each planted one belongs to, in the order in which they are planted."""
_ORDER = ("blur", "sharpening", "shift", "rotation", "zoom", "exposure", "white balance", "contrast", "tone")
SHIFTS, BLURS, GAINS, NOISES = (0.2, 0.5, 1.0), (0.6, 1.0, 2.0), (1.03, 1.08, 1.2), (4.0, 8.0, 16.0)
"""Amounts by strength: in pixels, pixels, as a factor, and in levels."""


@functools.cache
def photograph(name: str, size: int = 256) -> Pixels:
    """Return the middle of a photograph of scikit-image, HxWx3 in [0, 1]: a portrait, a still life, a texture, ..."""
    (path,) = Path(skimage.data.__file__).parent.glob(f"{name}.*")
    pixels = iio.imread(path)
    pixels = np.stack([pixels] * 3, -1) if pixels.ndim == 2 else pixels[..., :3]
    top, left = ((length - size) // 2 for length in pixels.shape[:2])
    return (pixels[top : top + size, left : left + size] / 255).astype(np.float32)


def in_8_bits(image: Pixels) -> Pixels:
    """Round an image to 8 bits."""
    return ((image.clip(0, 1) * 255).round() / 255).astype(np.float32)


def moved(image: Pixels, across: Callable[..., Pixels], down: Callable[..., Pixels]) -> Pixels:
    """Move the pixels of an image by functions of coordinates that are 1 at half the longer side."""
    height, width = image.shape[:2]
    y, x = np.indices((height, width), dtype=np.float64)
    unit = max(height, width) / 2
    a, b = (x - (width - 1) / 2) / unit, (y - (height - 1) / 2) / unit
    places = [y - down(a, b), x - across(a, b)]
    channels = [ndimage.map_coordinates(image[..., c], places, order=5, mode="reflect") for c in range(3)]
    return np.stack(channels, -1).astype(np.float32)


def _shift(image: Pixels, pixels: float) -> Pixels:
    return moved(image, lambda a, b: 0.6 * pixels + 0 * a, lambda a, b: 0.8 * pixels + 0 * a)


def slope_of(image: Pixels) -> Pixels:
    """Return the slope of the brightness."""
    down, right = np.gradient(ndimage.gaussian_filter(image.mean(-1), 1))
    return np.hypot(down, right)


def _floater(image: Pixels, strength: int) -> Pixels:
    """Cover the flattest place by a soft disc."""
    height, width = image.shape[:2]
    radius = (0.04, 0.06, 0.1)[strength] * min(height, width)
    slope = slope_of(image)
    margin = int(2 * radius) + _MARGIN + 2
    inner = ndimage.gaussian_filter(slope, radius)[margin:-margin, margin:-margin]
    y, x = (int(place) + margin for place in np.unravel_index(inner.argmin(), inner.shape))
    rows, columns = np.indices((height, width))
    opacity = (0.5, 0.7, 0.9)[strength] / (1 + np.exp(np.hypot(rows - y, columns - x) - radius))[..., None]
    colour = 0.5 if abs(image[y, x].mean() - 0.5) > 0.2 else 0.9
    return (image * (1 - opacity) + opacity * colour).astype(np.float32)


def changed(  # noqa: C901, PLR0911 - one case for each cause.
    image: Pixels, cause: str, strength: int, draw: np.random.Generator
) -> Pixels:
    """Return an image with a cause of error, of strength 0, 1 or 2."""
    part = (0.03, 0.08, 0.2)[strength]
    turn = (0.3, 0.8, 2.0)[strength]  # Pixels at half the longer side.
    match cause:
        case "exposure":
            return image * np.float32(GAINS[strength])
        case "white balance":
            return image * np.array([1 + part, 1, 1 - part], np.float32)
        case "contrast":
            return image * (1 - part) + part / 2
        case "tone":
            return image + (0.1, 0.25, 0.5)[strength] * image * (1 - image)
        case "shift":
            return _shift(image, SHIFTS[strength])
        case "rotation":
            return moved(image, lambda a, b: -turn * b, lambda a, b: turn * a)
        case "zoom":
            return moved(image, lambda a, b: turn * a, lambda a, b: turn * b)
        case "blur":
            return ndimage.gaussian_filter(image, (BLURS[strength], BLURS[strength], 0), truncate=6)
        case "sharpening":
            return image + (0.3, 0.6, 1.2)[strength] * (image - ndimage.gaussian_filter(image, (1, 1, 0)))
        case "floater":
            return _floater(image, strength)
        case _:
            return image + draw.normal(size=image.shape).astype(np.float32) * NOISES[strength] / 255


def planted(image: Pixels, causes: Mapping[str, int], seed: int) -> tuple[Pixels, Pixels, dict[str, float], float]:
    """Return a reference, its render with causes of error, the dB of each group of causes, and those of all.

    The dB of a group are what the PSNR gains without it, the mean over all orders of leaving groups out. Every render
    also has an error that no cause explains: smooth noise, stronger at edges, and without planted noise some white.
    """
    draw = np.random.default_rng(seed)
    slope = slope_of(image)
    smooth = ndimage.gaussian_filter(draw.normal(size=image.shape), (2, 2, 0))
    rest = smooth / smooth.std() + (0 if "noise" in causes else 0.4) * draw.normal(size=image.shape)
    rest *= ndimage.gaussian_filter(0.5 + slope / slope.mean(), 3)[..., None]
    rest *= _REST / 255 / rest.std()

    def render(some: Mapping[str, int]) -> Pixels:
        made = image
        for cause in (*_ORDER, "floater", "noise"):
            if cause in some:
                made = changed(made, cause, some[cause], np.random.default_rng(seed + 1))
        return in_8_bits(made + rest)[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]

    reference = in_8_bits(image)[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    groups = list(dict.fromkeys(GROUPS[cause] for cause in causes))
    psnr = {
        frozenset(without): psnr_of(reference, render({c: s for c, s in causes.items() if GROUPS[c] not in without}))
        for count in range(len(groups) + 1)
        for without in combinations(groups, count)
    }
    size, decibels = len(groups), {}
    for group in groups:
        decibels[group] = sum(
            (psnr[some | {group}] - psnr[some]) / (size * math.comb(size - 1, len(some)))
            for some in psnr
            if group not in some
        )
    return reference, render(causes), decibels, psnr[frozenset(groups)] - psnr[frozenset()]


def psnr_of(reference: Pixels, render: Pixels) -> float:
    """Return the PSNR in dB."""
    return -10 * math.log10(float(((reference - render) ** 2).mean()))


def clean(image: Pixels, kind: str, seed: int) -> tuple[Pixels, Pixels]:
    """Return a reference and a render that differ by nothing that has a name."""
    draw = np.random.default_rng(seed)
    match kind:
        case "rounding":
            return in_8_bits(image), in_8_bits(image + draw.uniform(-1, 1, image.shape) * 0.6 / 255)
        case "noise of 1 level":
            return in_8_bits(image), in_8_bits(image + draw.normal(size=image.shape) / 255)
        case "both noisy":
            noise = draw.normal(size=(2, *image.shape)) / 255
            return in_8_bits(image + 1.5 * noise[0]), in_8_bits(image + noise[1])
        case "smooth errors":
            smooth = ndimage.gaussian_filter(draw.normal(size=image.shape), (2, 2, 0))
            return in_8_bits(image), in_8_bits(image + smooth / smooth.std() * 4 / 255)
        case _:
            file = io.BytesIO()
            pixels = (in_8_bits(image) * 255).round().astype(np.uint8)
            Image.fromarray(pixels).save(file, "JPEG", quality=int(kind.split()[1]), subsampling=0)
            return in_8_bits(image), np.asarray(Image.open(file)).astype(np.float32) / 255


CLEAN = ("rounding", "noise of 1 level", "both noisy", "smooth errors", "JPEG 98", "JPEG 95")
"""Kinds of pairs that differ by nothing that has a name."""
