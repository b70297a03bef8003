"""Causes of the error of one view: colour, pose, sharpness, floaters and noise.

Colours, pose and sharpness are found together; floaters and noise are in what these leave. The share of a cause depends
on the causes that are removed before it: its dB are the mean over all orders (its Shapley value).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from nvs_eval.diagnostics.causes.corrections import Corrections, subsets
from nvs_eval.diagnostics.causes.regions import Floater, find_floaters, region_shares
from nvs_eval.diagnostics.causes.spectrum import band_shares, match_sharpness, noise_of, spectra
from nvs_eval.diagnostics.causes.tiles import LEAST_DECIBELS, Array
from nvs_eval.records.causes import (
    CAUSES,
    ColourCause,
    FloaterCause,
    PoseCause,
    Region,
    SharpnessCause,
    ViewCauses,
)

_LEAST_NOISE = 3.4
"""Smallest noise that is named, in 8-bit levels. Compression of good quality has less."""
_LEAST_SHARE = 0.1
_LEAST_LEFT = 0.01
"""Share of the error after the other causes that noise leaves at least."""


def diagnose_view(reference: Array, render: Array, mask: Array | None = None) -> ViewCauses:
    """Return the causes of the error of a view.

    Args:
        reference: `[H, W, 3]`, in [0, 1].
        render: `[H, W, 3]`.
        mask: `[H, W]` weights of the pixels in [0, 1], or None.
    """
    first, second = (np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32) for image in (reference, render))
    weights = np.ones(first.shape[1:], np.float32) if mask is None else mask.astype(np.float32)
    found = Corrections(first, second, weights)
    mse = found.error(first)
    if mse == 0:
        return ViewCauses(psnr="inf", mse=0.0)
    shares = region_shares(first, ((second - first) ** 2).mean(0) * weights)
    raw = spectra(first, second, weights)
    causes = ViewCauses(
        psnr=-10 * math.log10(mse),
        mse=mse,
        frequencies={} if raw is None else band_shares(raw),
        regions={name: Region(min(1.0, max(0.0, error)), pixels) for name, (error, pixels) in shares.items()},
    )
    found.find()
    errors = found.errors()
    _forget_small(found, errors)
    _describe(found, causes)
    rest = _rest(found, causes, mse)
    causes.decibels = _shared_out(errors, rest)
    causes.total = sum(causes.decibels.values())
    return causes


def _forget_small(found: Corrections, errors: dict[frozenset[str], float]) -> None:
    """Forget corrections without which the error is hardly larger."""
    for cause in sorted(found.named):
        everything = frozenset(found.named)
        if _decibels(errors[everything - {cause}], errors[everything]) < LEAST_DECIBELS:
            found.named.discard(cause)
            for some in [some for some in errors if cause in some]:
                del errors[some]


def _describe(found: Corrections, causes: ViewCauses) -> None:
    """Set what was found of colours, pose and sharpness."""
    whole = found.error(found.reference)
    gains = {kind: _decibels(whole, found.error(fit.apply(found.reference))) for kind, fit in found.fits.items()}
    causes.colour = ColourCause(gains.get("gain"), gains.get("affine"), gains.get("quadratic"))
    if "colour" in found.named and found.colour is not None:
        causes.colour.chosen = found.colour.kind
        if found.colour.kind != "quadratic":
            red, green, blue = found.colour.gains
            causes.colour.gains = (red, green, blue)
    if found.shift is not None and found.homography is not None:
        motion = (found.motion or found.shift).motion
        causes.pose = PoseCause(
            shift=found.shift.gain.decibels,
            homography=found.homography.gain.decibels,
            pixels=motion.shift,
            largest=motion.largest,
            rotation=found.homography.motion.rotation,
            zoom=found.homography.motion.zoom,
            chosen=found.kind if "pose" in found.named else None,
        )
    if (match := found.match) is not None:
        kind = "blur" if match.blur > 0 else "sharpening"
        named = kind if "sharpness" in found.named else None
        causes.sharpness = SharpnessCause(match.gain.decibels, named, match.blur, match.sharpening)


def _rest(found: Corrections, causes: ViewCauses, mse: float) -> dict[str, float]:
    """Return the squared errors of floaters and noise, in what the corrections leave."""
    reference, render, weights = found.corrected(found.named), found.render, found.used
    left, total, parts = found.error(reference), float(weights.sum(dtype=np.float64)), {}
    floaters = find_floaters(reference, render - reference, weights)
    taken = min(sum(one.squared_error for one in floaters) / total, 0.999 * left)
    if floaters and _decibels(left, left - taken) >= LEAST_DECIBELS:
        causes.floaters = [FloaterCause(one.box, min(1.0, one.squared_error / total / mse)) for one in floaters]
        parts["floaters"] = taken
        render, left = _without(floaters, reference, render), left - taken
    if found.match is not None and (one := spectra(reference, render, weights)) is not None:
        deviation, white = noise_of(one, match_sharpness(one))
        causes.noise = 255 * deviation
        if causes.noise >= _LEAST_NOISE and white >= _LEAST_SHARE:
            parts["noise"] = min(white, 1 - _LEAST_LEFT) * left
    return parts


def _without(floaters: list[Floater], reference: Array, render: Array) -> Array:
    """Return the render with the reference in place of floaters."""
    render = render.copy()
    for one in floaters:
        left, top, width, height = one.box
        margin = max(width, height) // 8 + 6
        part = (
            ...,
            slice(max(0, top - margin), top + height + margin),
            slice(max(0, left - margin), left + width + margin),
        )
        render[part] = reference[part]
    return render


def _shared_out(errors: Mapping[frozenset[str], float], rest: Mapping[str, float]) -> dict[str, float]:
    """Share out the dB of all causes: means over all orders of taking them off. Small ones are not named.

    Args:
        errors: mean squared error after each subset of the corrections.
        rest: squared error of each other cause.
    """
    corrections = max(errors, key=len)
    causes = [cause for cause in CAUSES if cause in corrections or cause in rest]

    def psnr(some: frozenset[str]) -> float:
        left = errors[some & corrections]
        return -10 * math.log10(max(left - sum(rest[cause] for cause in some - corrections), 1e-3 * left, 1e-12))

    count, decibels = len(causes), {}
    for cause in causes:
        others = subsets([other for other in causes if other != cause])
        value = sum((psnr(some | {cause}) - psnr(some)) / (count * math.comb(count - 1, len(some))) for some in others)
        if value >= LEAST_DECIBELS:
            decibels[cause] = value
    return decibels


def _decibels(before: float, after: float) -> float:
    return 10 * math.log10(before / after) if before > 0 and after > 0 else 0.0
