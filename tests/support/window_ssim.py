"""SSIM in numpy float64, window by window, from its definition: the oracle of both SSIMs of the project.

Every window is cut out and weighted, and the variances are means of squared differences from the window's own mean
(two passes), so that nothing cancels. It is slow, and exact on any pair: the metrics and the second opinion of `verify`
both take differences of moments, which lose digits at low contrast, so that neither can stand in for it.
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
    """What a tool does.

    Attributes:
        side: of its square window, in pixels.
        sigma: of the Gaussian, None for equal weights.
        taps: the window's weights along one axis, where a tool has numbers of its own for them.
        pad: numpy's mode for what surrounds the images, None for nothing.
        sample: whether the variance of n values is their squared differences' sum over n - 1.
        least_variance: below it a variance is raised to it.
        bounded: whether the covariance is kept in what Cauchy and Schwarz allow for the raised variances.
        channels: which planes are compared: all three, instant-ngp's luminance, or OpenCV's grey of the 8-bit levels.
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
    # Wang's, with the windows wholly inside: pytorch-msssim, scikit-image with gaussian_weights.
    "valid": Tool(),
    # DeepMind's dm_pix.
    "dmpix": Tool(least_variance=float(np.finfo(np.float32).eps) ** 2, bounded=True),
    # torchmetrics from 1.4.2.
    "reflect": Tool(pad="reflect", least_variance=0.0),
    # INRIA's 3D Gaussian splatting: conv2d with padding 5.
    "zero": Tool(pad="constant"),
    # scikit-image as it comes.
    "uniform7-rgb": Tool(side=7, sigma=None, sample=True),
    # The same of OpenCV's grey: zipnerf-pytorch.
    "uniform7-gray": Tool(side=7, sigma=None, sample=True, channels="grey levels"),
    # instant-ngp's scripts/common.py; scipy's "reflect" is numpy's "symmetric".
    "luma5": Tool(
        side=5, taps=(0.120078, 0.233881, 0.292082, 0.233881, 0.120078), pad="symmetric", channels="luminance"
    ),
}

# mip-NeRF's and dycheck's: dm_pix's older code, with 0 where its epsilon is now.
DMPIX_WITHOUT_FLOOR = Tool(least_variance=0.0, bounded=True)


def ssim_map(tool: Tool, x: Array, y: Array, data_range: float) -> Array:
    """The map `[H', W', C]` of two images `[H, W, 3]` in [0, 1]; the data range of grey levels is 255."""
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
    """Weigh dycheck's second pass by the counts of the first, in the second opinion: another number than dycheck's."""

    def carrying(image: Array, weights: Array, axis: int) -> tuple[Array, Array]:
        values, _ = partial(image, weights, axis)
        return values, verify_scores._valid(weights, np.ones(11), axis) / 11

    partial = verify_scores._partial
    monkeypatch.setattr(verify_scores, "_partial", carrying)


def extent_of_pair(x: Array, y: Array) -> float:
    """torchmetrics' data range where none is given."""
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
    cut: Any = sliding_window_view  # numpy's stubs know no tuple of axes.
    return cut(padded, (tool.side, tool.side), axis=(0, 1))
