"""SSIM by scikit-image in float64, and by scipy where a tool does what scikit-image does not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.ndimage import minimum_filter
from skimage.metrics import structural_similarity

from nvs_eval.diagnostics.verify.prepare import Pair, Unknown
from nvs_eval.diagnostics.verify.windows import clamped_map, luma_map, partial_map

Array = np.ndarray[Any, np.dtype[Any]]

_WINDOWS = {"valid": 11, "dmpix": 11, "reflect": 11, "zero": 11, "uniform7-rgb": 7, "uniform7-gray": 7, "luma5": 5}
_PADDED = {"reflect": "reflect", "zero": "constant"}
_FLOORS = {"dmpix": float(np.finfo(np.float32).eps) ** 2, "reflect": 0.0}
# A variance of less than this beside SSIM's constant changes no digit that is compared.
_IMMATERIAL = 1e-9


def ssim(pair: Pair, parameters: Any, meaning: str) -> float:
    """SSIM of a prepared pair, with the parameters and the mask's meaning of a protocol.

    Raises:
        Unknown: a parameter is not known here.
    """
    kernel = parameters["kernel"]
    if kernel not in _WINDOWS:
        raise Unknown(f"The SSIM kernel {kernel!r} is not known here: upgrade nvs-eval")
    extent = _extent(pair, parameters["data_range"])
    floor = parameters.get("variance_floor")
    if floor is None:
        floor = _FLOORS.get(kernel, -math.inf)
    if meaning == "dycheck":
        return float(partial_map(pair, extent, floor, clamp_covariance=kernel == "dmpix").mean())
    values = _map(pair, kernel, extent, floor)
    if pair.mask is None:
        return float(values.mean())
    weights = _weights(pair.mask, values, _WINDOWS[kernel], meaning)
    return float((values * weights[..., None]).sum() / (weights.sum() * values.shape[-1]))


def _extent(pair: Pair, data_range: Any) -> float:
    if data_range != "pair":
        return float(data_range)
    return max(float(image.max() - image.min()) for image in (pair.reference, pair.render))


def _map(pair: Pair, kernel: str, extent: float, floor: float) -> Array:
    """The map `[H', W', C]`, without what lies within half a window of the border of images that are not padded."""
    images = pair.reference, pair.render
    if kernel == "luma5":
        return luma_map(images, extent, floor)
    clamped = floor > _IMMATERIAL * (0.03 * extent) ** 2
    if clamped and kernel.startswith("uniform7"):
        raise Unknown(f"scikit-image's uniform window has no least variance, and variance_floor is {floor:g}")
    if kernel == "uniform7-gray":
        return _full((_grey(images[0]), _grey(images[1])), data_range=extent)[3:-3, 3:-3, None]
    if kernel == "uniform7-rgb":
        return _full(images, data_range=extent, channel_axis=2)[3:-3, 3:-3]
    if kernel in _PADDED:
        images = _pad(pair.reference, _PADDED[kernel]), _pad(pair.render, _PADDED[kernel])
    if clamped:
        return clamped_map(images, extent, floor, clamp_covariance=kernel == "dmpix")
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return _full(images, data_range=extent, channel_axis=2, **gaussian)[5:-5, 5:-5]


def _full(images: tuple[Array, Array], **how: Any) -> Array:
    return structural_similarity(*images, full=True, **how)[1]


def _pad(image: Array, mode: Any) -> Array:
    return np.pad(image, ((5, 5), (5, 5), (0, 0)), mode=mode)


def _grey(image: Array) -> Array:
    """OpenCV's grey of the 8-bit levels."""
    levels = np.rint(image * 255).astype(np.int64)
    return ((levels @ np.array([9798, 19235, 3735]) + 16384) >> 15).astype(np.float64)


def _weights(mask: Array, values: Array, side: int, meaning: str) -> Array:
    """What each value of the map counts: its pixel's weight, or whether its whole window is in the mask."""
    if meaning == "windows":
        # What pads the images is no reason to leave a window out.
        mask = (minimum_filter(mask, size=side, mode="constant", cval=1.0) >= 1).astype(np.float64)
    cut = [(whole - part) // 2 for whole, part in zip(mask.shape, values.shape[:2], strict=True)]
    return mask[cut[0] : cut[0] + values.shape[0], cut[1] : cut[1] + values.shape[1]]
