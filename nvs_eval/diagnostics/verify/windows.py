"""SSIM as scipy's correlations have it: for the tools whose windows or clamps scikit-image does not know."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import correlate1d

from nvs_eval.diagnostics.verify.prepare import Array, Pair

Images = tuple[Array, Array]
Blur = Callable[[Array], Array]

_SIDE = 11
_GAUSS = np.exp(-0.5 * ((np.arange(_SIDE) - _SIDE // 2) / 1.5) ** 2)
_GAUSS /= _GAUSS.sum()
# instant-ngp's five taps, and the weights of its luminance.
_FIVE = np.array([0.120078, 0.233881, 0.292082, 0.233881, 0.120078])
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def clamped_map(images: Images, extent: float, floor: float, *, clamp_covariance: bool) -> Array:
    """The Gaussian map of windows wholly inside, `[H - 10, W - 10, C]`, with variances of at least `floor`."""
    return _map(images, lambda image: _inside(image, _GAUSS), extent, floor, clamp_covariance=clamp_covariance)


def luma_map(images: Images, extent: float, floor: float) -> Array:
    """instant-ngp's map of the luminance, `[H, W, 1]`; scipy's `reflect` repeats the pixel at the border."""

    def blur(image: Array) -> Array:
        for axis in (0, 1):
            image = correlate1d(image, _FIVE, axis=axis, mode="reflect")
        return image

    reference, render = ((image @ _LUMINANCE)[..., None] for image in images)
    return _map((reference, render), blur, extent, floor, clamp_covariance=False)


def partial_map(pair: Pair, extent: float, floor: float, *, clamp_covariance: bool) -> Array:
    """dycheck's map by partial convolution, `[H - 10, W - 10, C]`: every window, those without a pixel included."""
    mask = pair.mask
    assert mask is not None, "it is full where there is none"

    def blur(image: Array) -> Array:
        weights = mask[..., None]
        for axis in (1, 0):
            image, weights = _partial(image, weights, axis)
        return image

    return _map((pair.reference, pair.render), blur, extent, floor, clamp_covariance=clamp_covariance)


def _partial(image: Array, weights: Array, axis: int) -> tuple[Array, Array]:
    """One pass over what the weights leave, scaled up by what they leave of a window; and where that is anything."""
    count = _valid(weights, np.ones(_SIDE), axis)
    found = count > 0
    # A sum of ones and zeros is exact; where it is 0, so is the numerator.
    values = _valid(image * weights, _GAUSS, axis) * _SIDE / np.where(found, count, 1)
    return np.where(found, values, 0), found.astype(np.float64)


def _map(images: Images, blur: Blur, extent: float, floor: float, *, clamp_covariance: bool) -> Array:
    reference, render = images
    c1, c2 = (0.01 * extent) ** 2, (0.03 * extent) ** 2
    mean_x, mean_y = blur(reference), blur(render)
    var_x = np.maximum(blur(reference * reference) - mean_x * mean_x, floor)
    var_y = np.maximum(blur(render * render) - mean_y * mean_y, floor)
    covariance = blur(reference * render) - mean_x * mean_y
    if clamp_covariance:
        bound = np.sqrt(var_x * var_y)
        covariance = np.clip(covariance, -bound, bound)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance * (2 * covariance + c2) / (var_x + var_y + c2)


def _inside(image: Array, taps: Array) -> Array:
    for axis in (0, 1):
        image = _valid(image, taps, axis)
    return image


def _valid(image: Array, taps: Array, axis: int) -> Array:
    """A correlation along an axis, without the values whose window reaches beyond the image."""
    border = len(taps) // 2
    full = correlate1d(image, taps, axis=axis, mode="constant")
    return full.take(range(border, image.shape[axis] - border), axis=axis)
