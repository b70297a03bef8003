"""Colour correction of a render towards its reference, for the `cc_` scores that are reported beside the plain ones.

Scenes captured with changing exposure and white balance are rendered with a single one. The error that remains after
the fit is the method's own. Both fits use the reference, so a corrected score never replaces the plain one.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError, unknown_name
from nvs_eval.metrics.pair import checked_pair, widest_float

Correction = Literal["quadratic", "affine"]

_ITERATIONS = 5
_UNCLIPPED = (0.5 / 255, 1 - 0.5 / 255)
_LEAST = 1e-8


def correct_colours(
    reference: Float[Tensor, "3 h w"], render: Float[Tensor, "3 h w"], how: Correction
) -> Float[Tensor, "3 h w"]:
    """Fit the colours of a render to its reference.

    Args:
        reference: image in [0, 1].
        render: image in [0, 1] of the same size.
        how: `quadratic` (multinerf's internal/image.py; nerfstudio's splatfacto): each channel becomes a quadratic
            polynomial of all three, by least squares over the pixels whose channel is unclipped in the render, in the
            current result and in the reference; five iterations. `affine` (gsplat's color_correct.py; 3dgrut): each
            channel of the reference is fitted by scale and offset to that of the *render*, and the fit is inverted, so
            the result can be further from the reference than the render.

    Returns:
        Values in [0, 1], in the render's dtype; computed in float64.

    Raises:
        InputError: the shapes or dtypes do not fit, or `how` is unknown.
    """
    checked_pair(reference, render)
    if (dims := max(reference.ndim, render.ndim)) > 3:
        raise InputError(
            f"Colours are fitted to one image, [3, height, width]. Got {dims} dimensions. Call it per image."
        )
    if how not in get_args(Correction):
        raise unknown_name("colour correction", how, get_args(Correction))
    wide = widest_float(render.device)
    target, source = (image.flatten(1).to(wide) for image in (reference, render))
    corrected = _quadratic(target, source) if how == "quadratic" else _affine(target, source)
    return corrected.to(render.dtype).reshape(render.shape)


def _quadratic(target: Tensor, source: Tensor) -> Tensor:
    current, usable = source, _unclipped(source) & _unclipped(target)
    for _ in range(_ITERATIONS):
        features = _features(current)
        rows = (usable & _unclipped(current)).to(features.dtype)
        problems = [_reduced(features * row, channel * row) for channel, row in zip(target, rows, strict=True)]
        current = (_least_squares(torch.stack(problems)) @ features).clamp(0, 1)
    return current


def _unclipped(image: Tensor) -> Tensor:
    return (image >= _UNCLIPPED[0]) & (image <= _UNCLIPPED[1])


def _features(image: Tensor) -> Tensor:
    """Return the features `[10, n]`: the products of all pairs of channels, the channels, and 1."""
    products = [image[i : i + 1] * image[i:] for i in range(3)]
    return torch.cat([*products, image, torch.ones_like(image[:1])])


def _reduced(features: Tensor, target: Tensor) -> Tensor:
    """Return a problem `[11, 11]` with the same least-squares weights from `[10, n]` features to an `[n]` target.

    The features of a low-contrast image are nearly dependent. Normal equations square the condition number and lose a
    hundredth of a decibel. A QR decomposition does not.
    """
    return torch.linalg.qr(torch.cat([features, target[None]]).T, mode="r").R


def _least_squares(problems: Tensor) -> Tensor:
    """Return the minimum-norm weights `[3, 10]` of reduced problems; only LAPACK solves them whatever their rank."""
    rows = problems.cpu()
    precision = torch.finfo(rows.dtype).eps
    solved = torch.linalg.lstsq(rows[..., :-1], rows[..., -1:], rcond=precision, driver="gelsd").solution
    return solved[..., 0].to(problems.device)


def _affine(target: Tensor, source: Tensor) -> Tensor:
    mean_t, mean_s = target.mean(dim=1, keepdim=True), source.mean(dim=1, keepdim=True)
    variance = ((target - mean_t) ** 2).mean(dim=1, keepdim=True).clamp(min=_LEAST)
    scale = ((target - mean_t) * (source - mean_s)).mean(dim=1, keepdim=True) / variance
    offset = mean_s - scale * mean_t
    return ((source - offset) / torch.where(scale.abs() < _LEAST, 1.0, scale)).clamp(0, 1)
