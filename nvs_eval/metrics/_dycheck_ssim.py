"""The masked SSIM of dycheck: blurs that know which pixels count, by partial convolution.

H. Gao et al., "Monocular dynamic view synthesis: a reality check", 2022; KAIR-BAIR/dycheck, core/metrics/image.py. Each
blur is divided by the number of pixels that count, which are not weighted by the window: so its weights sum to 1 only
where all of them count, and no constant may be subtracted before squaring.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nvs_eval.metrics._kernels import Kernel
from nvs_eval.metrics._windows import Moments, slide


def moments(reference: Tensor, render: Tensor, mask: Tensor, how: Kernel) -> Moments:
    """Means, variances and covariance under a mask `[..., 1, H, W]`, over the windows wholly inside the image."""

    def blur(image: Tensor) -> Tensor:
        # The columns first; then the rows, where each pixel counts that had any that did in its row.
        across, counts = _partial(image, mask, how, dim=-1)
        down, _ = _partial(across, (counts != 0).to(image.dtype), how, dim=-2)
        return down

    mean_x, mean_y = blur(reference), blur(render)
    var_x = blur(reference * reference) - mean_x * mean_x
    var_y = blur(render * render) - mean_y * mean_y
    return Moments(mean_x, mean_y, var_x, var_y, blur(reference * render) - mean_x * mean_y)


def _partial(image: Tensor, mask: Tensor, how: Kernel, *, dim: int) -> tuple[Tensor, Tensor]:
    """The window along one axis over the pixels that count, for as many as a whole window has; and their number."""
    size = len(how.taps)
    counts = slide(mask, (1.0,) * size, dim=dim)
    values = slide(image * mask, how.taps, dim=dim) * size / counts
    return torch.where(counts != 0, values, 0.0), counts
