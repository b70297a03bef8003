"""Scores of one view by independent implementations, under the definition in its record.

SSIM is computed by scikit-image in float64, and by scipy's correlations for windows and clamps that scikit-image lacks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import correlate1d, minimum_filter
from skimage.metrics import structural_similarity

from nvs_eval.diagnostics.verify.definition import AVERAGE, CORRECTED, COVERAGE, UPGRADE, Unknown, family_of, first_line
from nvs_eval.diagnostics.verify.lpips import lpips_distance
from nvs_eval.diagnostics.verify.pair import Array, Pair, apply_mask, masked_mean, prepare
from nvs_eval.errors import InputError, quoted

Images = tuple[Array, ...]

_SIDES = {"uniform7-rgb": 7, "uniform7-gray": 7, "luma5": 5}
_SIDES |= dict.fromkeys(("valid", "valid-sample", "dmpix", "reflect", "zero"), 11)
_PADDING = {"reflect": "reflect", "zero": "constant"}
_FLOORS = {"dmpix": float(np.finfo(np.float32).eps) ** 2, "reflect": 0.0}
# Relative to SSIM's constant, a smaller variance changes no digit that is compared.
_IMMATERIAL = 1e-9
_GAUSS = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
_GAUSS /= _GAUSS.sum()
# instant-ngp's five taps, and its luminance weights.
_FIVE = np.array([0.120078, 0.233881, 0.292082, 0.233881, 0.120078])
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True)
class SecondOpinion:
    """Scores of a pair (float32, without alpha) under the protocol definition in a record."""

    pair: Pair
    definition: Mapping[str, Any]
    weights_dir: Path | None = None

    def score(self, metric: str, scores: Mapping[str, float]) -> float:
        """Return the score of a metric of the protocol, or for `coverage` the mean of the mask.

        Args:
            metric: key of the metric, or `coverage`.
            scores: recorded scores, from which mip-NeRF's average is computed. They are verified separately, and the
                cube root would magnify rounding errors of scores near zero.

        Raises:
            Unknown: the definition is not supported.
            InputError: the weights cannot be loaded.
        """
        part = self.definition["mask"] if metric == COVERAGE else self.definition["metrics"][metric]
        try:
            return self._score(metric, part, scores)
        except InputError:  # Its message is clear.
            raise
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
            # Torch raises RuntimeError.
            raise Unknown(f"its protocol contains {quoted(part)} ({first_line(error)}). {UPGRADE}") from error

    def is_fast(self, metric: str) -> bool:
        """Return whether the protocol allows a metric to be computed below float32."""
        return self.definition["metrics"].get(metric, {}).get("precision") == "fast"

    def _score(self, metric: str, parameters: Any, scores: Mapping[str, float]) -> float:
        family, meaning = family_of(metric), self.definition["mask"]
        if family == AVERAGE:
            return average_error(*(scores[parameters[part]] for part in ("psnr", "ssim", "lpips")))
        prepared = self._corrected if metric.startswith(CORRECTED) else self._prepared
        if metric == COVERAGE:
            assert prepared.mask is not None, "a view without a mask has no coverage"
            return float(prepared.mask.mean())
        pair = apply_mask(prepared, meaning)
        if family == "psnr":
            if parameters.get("clamp"):
                pair = replace(pair, reference=pair.reference.clip(0, 1), render=pair.render.clip(0, 1))
            return psnr(pair, float(parameters["data_range"]))
        if family == "mae":
            return mae(pair)
        if family == "ssim":
            return ssim(pair, parameters, meaning)
        return lpips_distance(pair, parameters, meaning, self.weights_dir)

    @cached_property
    def _prepared(self) -> Pair:
        return prepare(self.pair, self.definition)

    @cached_property
    def _corrected(self) -> Pair:
        return prepare(self.pair, self.definition, corrected=True)


def psnr(pair: Pair, data_range: float = 1.0) -> float:
    """Return PSNR in dB; infinity for equal images."""
    error = masked_mean((pair.reference - pair.render) ** 2, pair.mask)
    return math.inf if error == 0 else 10 * math.log10(data_range**2 / error)


def mae(pair: Pair) -> float:
    """Return the mean absolute difference."""
    return masked_mean(np.abs(pair.reference - pair.render), pair.mask)


def average_error(psnr: float, ssim: float, lpips: float) -> float:
    """Return mip-NeRF's average error, the geometric mean of three errors."""
    return float(np.cbrt(10 ** (-psnr / 10) * math.sqrt(max(0.0, 1 - ssim)) * lpips))


def ssim(pair: Pair, parameters: Mapping[str, Any], meaning: str) -> float:
    """Return SSIM of a prepared pair, with a protocol's parameters and its meaning of the mask.

    Raises:
        Unknown: the parameters are not supported.
    """
    kernel, data_range, floor = parameters["kernel"], parameters["data_range"], parameters.get("variance_floor")
    extent = extent_of(pair) if data_range == "pair" else float(data_range)
    if meaning == "dycheck":
        return float(partial_map(pair, kernel, extent, floor).mean())
    mask = pair.mask
    if meaning == "windows" and mask is not None:
        # Padding pixels count as inside the mask.
        mask = (minimum_filter(mask, size=_SIDES[kernel], mode="constant", cval=1.0) >= 1).astype(np.float64)
    return masked_mean(ssim_map(pair, kernel, extent, floor), mask)


def extent_of(pair: Pair) -> float:
    """Return the larger of the two images' value ranges, like torchmetrics."""
    return max(float(image.max() - image.min()) for image in (pair.reference, pair.render))


def ssim_map(pair: Pair, kernel: str, extent: float = 1.0, floor: float | None = None) -> Array:
    """Return SSIM as a map `[H', W', C]`, without a border of half a window if the kernel does not pad.

    `kernel` is a protocol's name of a kernel, `extent` the range of values, `floor` the least variance (default: the
    kernel's).

    Raises:
        Unknown: scikit-image has no least variance for the kernel.
    """
    floor = _FLOORS.get(kernel, -math.inf) if floor is None else floor
    images, border = (pair.reference, pair.render), _SIDES[kernel] // 2
    if kernel == "luma5":
        images = tuple((image @ _LUMINANCE)[..., None] for image in images)
        return _map(images, _with_edges_repeated, extent, floor)
    if kernel == "uniform7-gray":
        images = tuple(opencv_grey(image)[..., None] for image in images)
    if kernel in _PADDING:
        mode: Any = _PADDING[kernel]
        images = tuple(np.pad(image, ((border, border), (border, border), (0, 0)), mode=mode) for image in images)
    uniform = kernel.startswith("uniform7")
    if floor > _IMMATERIAL * (0.03 * extent) ** 2:
        if uniform or kernel == "valid-sample":
            raise Unknown(f"scikit-image's sample variances have no least value, but variance_floor is {floor:g}.")
        return _map(images, _inside, extent, floor, clamp_covariance=kernel == "dmpix")
    sample = kernel == "valid-sample"
    window = {} if uniform else {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": sample}
    values = structural_similarity(*images, data_range=extent, channel_axis=2, full=True, **window)[1]
    return values[border:-border, border:-border]


def opencv_grey(image: Array) -> Array:
    """Return OpenCV's grey of 8-bit levels, in its 15-bit fixed point."""
    levels = np.rint(image * 255).astype(np.int64)
    return ((levels @ np.array([9798, 19235, 3735]) + 16384) >> 15).astype(np.float64)


def partial_map(pair: Pair, kernel: str = "dmpix", extent: float = 1.0, floor: float | None = None) -> Array:
    """Return dycheck's map by partial convolution, `[H - 10, W - 10, C]`, including windows outside the mask."""
    mask = pair.mask
    assert mask is not None, "apply_mask returns a full mask if there is none"
    floor = _FLOORS.get(kernel, -math.inf) if floor is None else floor

    def blur(image: Array) -> Array:
        weights = mask[..., None]
        for axis in (1, 0):
            image, weights = _partial(image, weights, axis)
        return image

    images = pair.reference, pair.render
    return _map(images, blur, extent, floor, clamp_covariance=kernel == "dmpix")


def _partial(image: Array, weights: Array, axis: int) -> tuple[Array, Array]:
    """Blur the pixels with a weight, scaled up for those without; return also 1 where a window has any weight."""
    count = _valid(weights, np.ones(len(_GAUSS)), axis)
    # Sums of ones and zeros are exact. Where the sum is 0, so is the numerator.
    values = _valid(image * weights, _GAUSS, axis) * len(_GAUSS) / np.where(count > 0, count, 1)
    return np.where(count > 0, values, 0), (count > 0).astype(np.float64)


def _map(
    images: Images, blur: Callable[[Array], Array], extent: float, floor: float, *, clamp_covariance: bool = False
) -> Array:
    """Return SSIM from blurred moments, with variances of at least `floor`."""
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


def _inside(image: Array) -> Array:
    """Apply a Gaussian blur, without windows that reach beyond the image."""
    return _valid(_valid(image, _GAUSS, 0), _GAUSS, 1)


def _valid(image: Array, taps: Array, axis: int) -> Array:
    border = len(taps) // 2
    full = correlate1d(image, taps, axis=axis, mode="constant")
    return full.take(range(border, image.shape[axis] - border), axis=axis)


def _with_edges_repeated(image: Array) -> Array:
    """Blur with instant-ngp's taps and repeated edge pixels, which scipy calls `reflect`."""
    return correlate1d(correlate1d(image, _FIVE, axis=0, mode="reflect"), _FIVE, axis=1, mode="reflect")
