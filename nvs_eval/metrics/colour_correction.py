"""Colour correction: a render fitted to its reference, for the `cc_` scores, which stand beside the others.

Scenes captured with changing exposure and white balance are rendered in one of them; what is left after the fit is what
the method got wrong. Both fits see the reference: a corrected score never replaces the plain one.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from nvs_eval.metrics.pair import widest_float

Correction = Literal["quadratic", "affine"]

_ITERATIONS = 5
_UNCLIPPED = (0.5 / 255, 1 - 0.5 / 255)
_LEAST = 1e-8


def correct_colours(
    reference: Float[Tensor, "3 h w"], render: Float[Tensor, "3 h w"], how: Correction
) -> Float[Tensor, "3 h w"]:
    """Fit a render to its reference.

    Args:
        reference: in [0, 1].
        render: of the same size.
        how: `quadratic` (multinerf's internal/image.py; nerfstudio's splatfacto): each channel becomes a quadratic
            polynomial of all three, by least squares over the pixels where that channel is clipped neither in the
            render, nor in what it has become, nor in the reference; five times over. `affine` (gsplat's
            color_correct.py; 3dgrut): each channel of the reference is fitted by scale and offset to that of the
            *render*, and the fit inverted, so that it can end up further away than it was.

    Returns:
        Values in [0, 1], in the render's dtype; computed in float64.
    """
    wide = widest_float(render.device)
    target, source = (image.flatten(1).to(wide) for image in (reference, render))
    corrected = _quadratic(target, source) if how == "quadratic" else _affine(target, source)
    return corrected.to(render.dtype).reshape(render.shape)


def _quadratic(target: Tensor, source: Tensor) -> Tensor:
    current, usable = source, _unclipped(source) & _unclipped(target)
    for _ in range(_ITERATIONS):
        features = _features(current)
        rows = (usable & _unclipped(current)).to(features.dtype)
        fit = [_least_squares(features * row, channel * row) for channel, row in zip(target, rows, strict=True)]
        current = (torch.stack(fit) @ features).clamp(0, 1)
    return current


def _unclipped(image: Tensor) -> Tensor:
    return (image >= _UNCLIPPED[0]) & (image <= _UNCLIPPED[1])


def _features(image: Tensor) -> Tensor:
    """`[10, n]`: the products of all pairs of channels, the channels, and 1."""
    products = [image[i : i + 1] * image[i:] for i in range(3)]
    return torch.cat([*products, image, torch.ones_like(image[:1])])


def _least_squares(features: Tensor, target: Tensor) -> Tensor:
    """The weights of least norm that bring `[10, n]` features nearest to a `[n]` target.

    The features of a low-contrast image are nearly dependent: normal equations, which square their condition, lose
    a hundredth of a decibel. What a QR decomposition leaves of many pixels is a small problem of the same solution.
    """
    rows = torch.linalg.qr(torch.cat([features, target[None]]).T, mode="r").R.cpu()
    precision = torch.finfo(rows.dtype).eps
    solved = torch.linalg.lstsq(rows[:, :-1], rows[:, -1:], rcond=precision, driver="gelsd").solution
    return solved[:, 0].to(features.device)


def _affine(target: Tensor, source: Tensor) -> Tensor:
    mean_t, mean_s = target.mean(dim=1, keepdim=True), source.mean(dim=1, keepdim=True)
    variance = ((target - mean_t) ** 2).mean(dim=1, keepdim=True).clamp(min=_LEAST)
    scale = ((target - mean_t) * (source - mean_s)).mean(dim=1, keepdim=True) / variance
    offset = mean_s - scale * mean_t
    return ((source - offset) / torch.where(scale.abs() < _LEAST, 1.0, scale)).clamp(0, 1)
