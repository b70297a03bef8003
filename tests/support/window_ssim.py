"""SSIM in numpy float64, window by window, from its definition. It is the oracle for both SSIMs of the project.

Every window is extracted and weighted, and variances are means of squared differences from the mean of the window (two
passes), so that nothing cancels. This is slow, but exact on any pair. The metrics and the implementation of `verify`
use differences of moments, which lose digits at low contrast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from nvs_eval.diagnostics.verify import scores as verify_scores
from nvs_eval.diagnostics.verify.scores import opencv_grey

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Tool:
    """Definition of SSIM in a tool.

    Attributes:
        side: side of the square window, in pixels.
        sigma: standard deviation of the Gaussian window in pixels, None for equal weights.
        taps: weights of the window along one axis, if the tool lists them.
        pad: numpy's padding mode, None for no padding.
        sample: whether variances are divided by n - 1.
        least_variance: lower limit of variances.
        bounded: whether the covariance is limited by the Cauchy-Schwarz inequality with the limited variances.
        channels: planes that are compared: all three, instant-ngp's luminance, or OpenCV's grey of 8-bit levels.
    """

    side: int = 11
    sigma: float | None = 1.5
    taps: tuple[float, ...] | None = None
    pad: Literal["reflect", "symmetric", "constant"] | None = None
    sample: bool = False
    least_variance: float | None = None
    bounded: bool = False
    channels: Literal["rgb", "luminance", "grey levels"] = "rgb"


TOOLS = {
    # Wang's SSIM over windows inside the image: pytorch-msssim, scikit-image with gaussian_weights.
    "valid": Tool(),
    # scikit-image with gaussian_weights and its default use_sample_covariance: pixelSplat.
    "valid-sample": Tool(sample=True),
    # DeepMind's dm_pix.
    "dmpix": Tool(least_variance=float(np.finfo(np.float32).eps) ** 2, bounded=True),
    # torchmetrics from 1.4.2.
    "reflect": Tool(pad="reflect", least_variance=0.0),
    # INRIA's 3D Gaussian splatting: conv2d with padding 5.
    "zero": Tool(pad="constant"),
    # scikit-image with default options.
    "uniform7-rgb": Tool(side=7, sigma=None, sample=True),
    # scikit-image's default on OpenCV's grey: zipnerf-pytorch.
    "uniform7-gray": Tool(side=7, sigma=None, sample=True, channels="grey levels"),
    # instant-ngp's scripts/common.py; scipy's "reflect" is numpy's "symmetric".
    "luma5": Tool(
        side=5, taps=(0.120078, 0.233881, 0.292082, 0.233881, 0.120078), pad="symmetric", channels="luminance"
    ),
}

# mip-NeRF and dycheck use an older dm_pix, which has 0 in place of epsilon.
DMPIX_WITHOUT_FLOOR = Tool(least_variance=0.0, bounded=True)


def ssim_map(tool: Tool, x: Array, y: Array, data_range: float) -> Array:
    """Return the map `[H', W', C]` of two images `[H, W, 3]` in [0, 1]. The data range of grey levels is 255."""
    weights = _weights(tool)
    windows_x, windows_y = (_windows(tool, _planes(tool, image)) for image in (x, y))
    mean_x, mean_y = ((windows * weights).sum((-2, -1)) for windows in (windows_x, windows_y))
    off_x, off_y = windows_x - mean_x[..., None, None], windows_y - mean_y[..., None, None]
    var_x, var_y, cov = ((a * b * weights).sum((-2, -1)) for a, b in ((off_x, off_x), (off_y, off_y), (off_x, off_y)))
    if tool.sample:
        count = tool.side**2
        var_x, var_y, cov = (moment * count / (count - 1) for moment in (var_x, var_y, cov))
    if tool.least_variance is not None:
        var_x, var_y = np.maximum(var_x, tool.least_variance), np.maximum(var_y, tool.least_variance)
    if tool.bounded:
        cov = np.sign(cov) * np.minimum(np.abs(cov), np.sqrt(var_x * var_y))
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance * (2 * cov + c2) / (var_x + var_y + c2)


def carry_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Change dycheck's SSIM in `verify` so that the second pass is weighted by the counts of the first."""

    def carrying(image: Array, weights: Array, axis: int) -> tuple[Array, Array]:
        values, _ = partial(image, weights, axis)
        return values, verify_scores._valid(weights, np.ones(11), axis) / 11

    partial = verify_scores._partial
    monkeypatch.setattr(verify_scores, "_partial", carrying)


def extent_of_pair(x: Array, y: Array) -> float:
    """Return the data range that torchmetrics uses by default."""
    return max(float(x.max() - x.min()), float(y.max() - y.min()))


def _planes(tool: Tool, image: Array) -> Array:
    if tool.channels == "grey levels":
        return opencv_grey(image)[..., None]
    if tool.channels == "luminance":
        return (0.2126 * image[..., 0] + 0.7152 * image[..., 1] + 0.0722 * image[..., 2])[..., None]
    return image


def _weights(tool: Tool) -> Array:
    if tool.taps is not None:
        return np.outer(tool.taps, tool.taps)
    if tool.sigma is None:
        return np.full((tool.side, tool.side), 1 / tool.side**2)
    offsets = np.arange(tool.side) - tool.side // 2
    line = np.exp(-0.5 * (offsets / tool.sigma) ** 2)
    square = np.outer(line, line)
    return square / square.sum()


def _windows(tool: Tool, image: Array) -> Array:
    border = tool.side // 2
    padded = np.pad(image, ((border, border), (border, border), (0, 0)), mode=tool.pad) if tool.pad else image
    view: Any = sliding_window_view  # numpy's type stubs do not accept a tuple of axes.
    return view(padded, (tool.side, tool.side), axis=(0, 1))
