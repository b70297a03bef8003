"""Multi-scale SSIM: contrast and structure of four scales, and SSIM of the fifth."""

from __future__ import annotations

import torch
from torch import Tensor

from nvs_eval.metrics.ssim.averages import Averages, Windows, averages
from nvs_eval.metrics.ssim.formula import KERNELS

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponent of each scale, from the full size to a sixteenth."""
KERNEL = "valid"
SMALLEST = (len(KERNELS[KERNEL].taps) - 1) * 2 ** (len(WEIGHTS) - 1) + 1
"""Smallest height and width of an image, in pixels, as in pytorch-msssim."""


def over_scales(first: Averages, reference: Tensor, render: Tensor, mask: Tensor | None, windows: Windows) -> Tensor:
    """Return the MS-SSIM of pairs, `[...]` float64, from the means of their full size and the images.

    Each channel is the product of its scales, negative means count as 0, and the channels are averaged.
    """
    value, last = _power(first.channels["contrast"], WEIGHTS[0]), len(WEIGHTS) - 1
    for scale in range(1, last + 1):
        reference, render = _halved(reference), _halved(render)
        mask = None if mask is None else _halved(mask.to(reference.dtype), padding_counts=False)
        name = "ssim" if scale == last else "contrast"
        means = averages(reference, render, mask, windows, maps=(name,))
        value = value * _power(means.channels[name], WEIGHTS[scale])
    return value.mean(dim=-1)


def _halved(images: Tensor, *, padding_counts: bool = True) -> Tensor:
    """Return the means of 2x2 pixels. An odd side is padded by a zero at its start, as in pytorch-msssim.

    The zeros do not count in masks, so that a full mask stays full.
    """
    height, width = images.shape[-2:]
    flat = images.reshape(-1, 1, height, width)
    pooled = torch.nn.functional.avg_pool2d(flat, 2, padding=(height % 2, width % 2), count_include_pad=padding_counts)
    return pooled.reshape(*images.shape[:-2], *pooled.shape[-2:])


def _power(means: Tensor, exponent: float) -> Tensor:
    """Return a power of the means, 0 for negative ones, with a finite gradient everywhere."""
    lost = means <= 0
    return torch.where(lost, 0.0, torch.where(lost, 1.0, means) ** exponent)
