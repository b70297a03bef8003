"""FLIP in float64 by its definition, with filters in two dimensions."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import correlate

from nvs_eval.metrics.flip.metric import PIXELS_PER_DEGREE

INVERSE = np.array([1.052156925, 1.0, 0.918357670])
ILLUMINANT = np.array([0.950428545, 1.0, 1.088900371])
FORWARD = np.array(
    [
        [10135552 / 24577794, 8788810 / 24577794, 4435075 / 24577794],
        [2613072 / 12288897, 8788810 / 12288897, 887015 / 12288897],
        [1425312 / 73733382, 8788810 / 73733382, 70074185 / 73733382],
    ]
)
BACKWARD = np.array(
    [
        [3.241003275, -1.537398934, -0.498615861],
        [-0.969224334, 1.875930071, 0.041554224],
        [0.055639423, -0.204011202, 1.057148933],
    ]
)


def opponents(image: np.ndarray) -> np.ndarray:
    linear = np.where(image > 0.04045, ((image + 0.055) / 1.055) ** 2.4, image / 12.92)
    x, y, z = np.moveaxis(linear @ FORWARD.T * INVERSE, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def adjusted(linear: np.ndarray) -> np.ndarray:
    relative, delta = linear @ FORWARD.T * INVERSE, 6 / 29
    x, y, z = np.moveaxis(np.where(relative > delta**3, np.cbrt(relative), relative / 3 / delta**2 + 4 / 29), -1, 0)
    lightness = 116 * y - 16
    return np.stack([lightness, 5 * lightness * (x - y), 2 * lightness * (y - z)], axis=-1)


def seen_colours(image: np.ndarray, ppd: float) -> np.ndarray:
    reach = math.ceil(3 * math.sqrt(0.04 / (2 * math.pi**2)) * ppd)
    square = (np.mgrid[-reach : reach + 1, -reach : reach + 1] ** 2).sum(axis=0) / ppd**2
    filtered = []
    for plane, terms in zip(
        np.moveaxis(opponents(image), -1, 0),
        (((1, 0.0047),), ((1, 0.0053),), ((34.1, 0.04), (13.5, 0.025))),
        strict=True,
    ):
        parts = [a * math.sqrt(math.pi / b) * np.exp(-(math.pi**2) * square / b) for a, b in terms]
        weights = np.sum(parts, axis=0)
        filtered.append(correlate(plane, weights / weights.sum(), mode="nearest"))
    y = (filtered[0] + 16) / 116
    xyz = np.stack([y + filtered[1] / 500, y, y - filtered[2] / 200], axis=-1) * ILLUMINANT
    return adjusted(np.clip(xyz @ BACKWARD.T, 0, 1))


def features(image: np.ndarray, ppd: float, *, point: bool) -> np.ndarray:
    y, sigma = (opponents(image)[..., 0] + 16) / 116, 0.5 * 0.082 * ppd
    reach = math.ceil(3 * sigma)
    down, across = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    weights = (across**2 / sigma**2 - 1 if point else -across) * np.exp(-(down**2 + across**2) / (2 * sigma**2))
    weights = np.where(weights > 0, weights / weights[weights > 0].sum(), -weights / weights[weights < 0].sum())
    return np.hypot(correlate(y, weights, mode="nearest"), correlate(y, weights.T, mode="nearest"))


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (np.abs(a[..., 0] - b[..., 0]) + np.hypot(a[..., 1] - b[..., 1], a[..., 2] - b[..., 2])) ** 0.7


def definition(reference: np.ndarray, render: np.ndarray, ppd: float = PIXELS_PER_DEGREE) -> np.ndarray:
    """Return the map of FLIP of two images `[H, W, 3]` in float64."""
    colour = distance(seen_colours(reference, ppd), seen_colours(render, ppd))
    most = distance(adjusted(np.array([0.0, 1.0, 0.0])), adjusted(np.array([0.0, 0.0, 1.0])))
    knee = 0.4 * most
    colour = np.where(colour < knee, 0.95 * colour / knee, 0.95 + 0.05 * (colour - knee) / (most - knee))
    edges, points = (
        np.abs(features(reference, ppd, point=point) - features(render, ppd, point=point)) for point in (False, True)
    )
    return colour ** (1 - np.sqrt(np.maximum(edges, points) / math.sqrt(2)))
