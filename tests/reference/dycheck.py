"""dycheck's masked metrics (KAIR-BAIR/dycheck: dycheck/core/metrics/image.py) in numpy float64, from their definition.

Its SSIM is a partial convolution: the blur sees the pixels of the mask only, and is made up for those that it does not
see by their number (not by their Gaussian weight). The second pass uses the mask that the first one left: yes wherever
it saw any pixel at all. Variances are E[x^2] - E[x]^2 of what this blur gives, and the blur of a constant is not that
constant, so that nothing may be subtracted from the images before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

SIDE, SIGMA = 11, 1.5


def psnr(reference: Array, render: Array, mask: Array) -> float:
    """In dB, over the mask `[H, W]` with weights in [0, 1]."""
    return -10 * float(np.log10(masked_mean((reference - render) ** 2, mask)))


def lpips(spatial_map: Array, mask: Array) -> float:
    """The mean over the mask of LPIPS' spatial map `[H, W]`, made of both images multiplied by the mask."""
    return masked_mean(spatial_map[..., None], mask)


def ssim(reference: Array, render: Array, mask: Array, *, binarise: bool = True) -> float:
    """The mean over all windows wholly inside the image, those without any pixel of the mask included: they count 1.

    Args:
        reference: `[H, W, 3]` in [0, 1].
        render: the same.
        mask: `[H, W]`, weights in [0, 1].
        binarise: false keeps the mask's number of pixels for the second pass, which is not what dycheck does: to see
            that a comparison tells the two apart.
    """
    products = {"x": reference, "y": render, "xx": reference**2, "yy": render**2, "xy": reference * render}
    blurred = {name: _blur(image, mask, binarise) for name, image in products.items()}
    mean_x, mean_y = blurred["x"], blurred["y"]
    var_x = np.maximum(blurred["xx"] - mean_x**2, 0)
    var_y = np.maximum(blurred["yy"] - mean_y**2, 0)
    cov = blurred["xy"] - mean_x * mean_y
    cov = np.sign(cov) * np.minimum(np.abs(cov), np.sqrt(var_x * var_y))
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float((luminance * (2 * cov + c2) / (var_x + var_y + c2)).mean())


def masked_mean(values: Array, mask: Array) -> float:
    """sum(x m) / max(sum m, 1e-6) of `[H, W, C]`."""
    weights = np.broadcast_to(mask[..., None], values.shape)
    return float((values * weights).sum() / max(float(weights.sum()), 1e-6))


def _blur(image: Array, mask: Array, binarise: bool) -> Array:
    planes = []
    for channel in range(image.shape[-1]):
        rows, seen = _partial(image[..., channel], mask, binarise)
        columns, _ = _partial(rows.T, seen.T, binarise)
        planes.append(columns.T)
    return np.stack(planes, -1)


def _partial(plane: Array, mask: Array, binarise: bool) -> tuple[Array, Array]:
    """One pass along each row: the blur, and the mask that it leaves."""
    offsets = np.arange(SIDE) - SIDE // 2
    taps = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    taps = taps / taps.sum()
    height, width = plane.shape
    blurred, seen = (np.zeros((height, width - SIDE + 1)) for _ in range(2))
    for y in range(height):
        for x in range(width - SIDE + 1):
            weights = mask[y, x : x + SIDE]
            count = float(weights.sum())
            if count != 0:
                blurred[y, x] = (plane[y, x : x + SIDE] * weights * taps).sum() * SIDE / count
                seen[y, x] = 1.0 if binarise else count / SIDE
    return blurred, seen
