"""Colour correction of a render to its reference, in numpy, from its two definitions.

`quadratic` is multinerf's (google-research/multinerf: internal/image.py, color_correct), which nerfstudio's splatfacto
and gsplat have too; `affine` is gsplat's (nerfstudio-project/gsplat: gsplat/color_correct.py, color_correct_affine),
which 3dgrut has too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

ITERATIONS = 5
EDGE = 0.5 / 255


def quadratic(render: Array, reference: Array, *, kind: Any = np.float64) -> Array:
    """The render `[H, W, 3]` with each channel a quadratic polynomial of all three, fitted and clipped five times.

    Args:
        render: in [0, 1].
        reference: the same.
        kind: the precision of features, solutions and intermediate renders. float32 is how the original runs, whose
            masks of the first iteration and of the reference are still of float64 images.
    """
    now = render.reshape(-1, 3).astype(np.float64)
    wanted = reference.reshape(-1, 3).astype(np.float64)
    unclipped_at_first, wanted_unclipped = _unclipped(now), _unclipped(wanted)
    for _ in range(ITERATIONS):
        features = _features(now).astype(kind)
        unclipped = unclipped_at_first & _unclipped(now) & wanted_unclipped
        solutions = []
        for channel in range(3):
            # Each channel has its own rows; the others are zeroed, which leaves the solution of the rest.
            rows = unclipped[:, channel]
            zeroed = np.where(rows[:, None], features, 0)
            target = np.where(rows, wanted[:, channel].astype(kind), 0)
            solutions.append(np.linalg.lstsq(zeroed, target, rcond=-1)[0])
        now = np.clip(features @ np.stack(solutions, -1), 0, 1)
    return now.reshape(render.shape)


def affine(render: Array, reference: Array, *, kind: Any = np.float64) -> Array:
    """The render `[H, W, 3]`, each channel (p - b) / a clipped to [0, 1], where p = a t + b is the best fit *to* it.

    Args:
        render: in [0, 1].
        reference: the same.
        kind: the precision; the original runs in float32, in which the variance of a flat reference cancels.
    """
    corrected = np.empty(render.shape, dtype=kind)
    for channel in range(3):
        p, t = (image[..., channel].reshape(-1).astype(kind) for image in (render, reference))
        variance = max((t * t).mean() - t.mean() ** 2, kind(1e-8))
        a = ((t * p).mean() - t.mean() * p.mean()) / variance
        b = p.mean() - a * t.mean()
        if abs(a) < 1e-8:  # After b was computed with it.
            a = kind(1)
        corrected[..., channel] = np.clip((p - b) / a, 0, 1).reshape(render.shape[:2])
    return corrected


def _features(pixels: Array) -> Array:
    """The ten columns rr, rg, rb, gg, gb, bb, r, g, b, 1."""
    r, g, b = pixels.T
    return np.stack([r * r, r * g, r * b, g * g, g * b, b * b, r, g, b, np.ones_like(r)], -1)


def _unclipped(values: Array) -> Array:
    return (values >= EDGE) & (values <= 1 - EDGE)
