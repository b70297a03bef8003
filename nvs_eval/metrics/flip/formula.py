"""The formula of FLIP on a tile: the appearance of an image, and the difference of two appearances.

P. Andersson et al., "FLIP: a difference evaluator for alternating images", 2020, for images of low dynamic range.
Filters are applied along one axis after the other, as in NVIDIA's own implementation. Everything is computed in
float64: where images are nearly equal, the power of a difference would enlarge the rounding errors of float32.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from nvs_eval.metrics.ssim.shares import slide_columns, slide_rows

Taps = tuple[float, ...]

# From linear RGB to XYZ relative to white (D65), and back, with the digits of the published code.
_INVERSE_WHITE, _WHITE = (1.052156925, 1.0, 0.918357670), (0.950428545, 1.0, 1.088900371)
_TO_XYZ = (
    tuple(_INVERSE_WHITE[0] * value / 24577794 for value in (10135552, 8788810, 4435075)),
    tuple(_INVERSE_WHITE[1] * value / 12288897 for value in (2613072, 8788810, 887015)),
    tuple(_INVERSE_WHITE[2] * value / 73733382 for value in (1425312, 8788810, 70074185)),
)
_TO_RGB = (
    (3.241003275 * _WHITE[0], -1.537398934 * _WHITE[1], -0.498615861 * _WHITE[2]),
    (-0.969224334 * _WHITE[0], 1.875930071 * _WHITE[1], 0.041554224 * _WHITE[2]),
    (0.055639423 * _WHITE[0], -0.204011202 * _WHITE[1], 1.057148933 * _WHITE[2]),
)

# Contrast sensitivity: amplitude and width of the Gaussians of each opponent channel.
_ACHROMATIC, _RED_GREEN = ((1.0, 0.0047),), ((1.0, 0.0053),)
_BLUE_YELLOW = ((34.1, 0.04), (13.5, 0.025))
_WIDEST = 0.04
_FEATURE_WIDTH = 0.082

_COLOUR_POWER, _FEATURE_POWER = 0.7, 0.5
# Colour differences up to this share of the largest are mapped to [0, _KNEE].
_SHARE, _KNEE = 0.4, 0.95


class Filters(NamedTuple):
    """Filters for a number of pixels per degree.

    Attributes:
        colours: filters of the achromatic, the red-green and the blue-yellow channel; several are added.
        gauss, edge, point: Gaussian and its first and second derivative, which detect edges and points.
    """

    colours: tuple[tuple[Taps, ...], ...]
    gauss: Taps
    edge: Taps
    point: Taps

    @property
    def reach(self) -> int:
        """Number of pixels from the centre of the widest filter to its end."""
        return max(len(self.colours[0][0]), len(self.gauss)) // 2


@cache
def filters_for(pixels_per_degree: float) -> Filters:
    """Return the filters for a number of pixels per degree of visual angle."""
    reach = math.ceil(3 * math.sqrt(_WIDEST / (2 * math.pi**2)) * pixels_per_degree)
    angles = [place / pixels_per_degree for place in range(-reach, reach + 1)]
    colours = tuple(_sensitivity(angles, channel) for channel in (_ACHROMATIC, _RED_GREEN, _BLUE_YELLOW))
    sigma = 0.5 * _FEATURE_WIDTH * pixels_per_degree
    places = range(-math.ceil(3 * sigma), math.ceil(3 * sigma) + 1)
    gauss = [math.exp(-(x**2) / (2 * sigma**2)) for x in places]
    edge = [-x * value for x, value in zip(places, gauss, strict=True)]
    point = [(x**2 / sigma**2 - 1) * value for x, value in zip(places, gauss, strict=True)]
    return Filters(colours, _balanced(gauss), _balanced(edge), _balanced(point))


def _sensitivity(angles: list[float], channel: tuple[tuple[float, float], ...]) -> tuple[Taps, ...]:
    """Return the one-dimensional factors of a sum of Gaussians whose two-dimensional weights sum to 1."""
    factors = [
        [math.sqrt(a * math.sqrt(math.pi / b)) * math.exp(-(math.pi**2) * x**2 / b) for x in angles] for a, b in channel
    ]
    norm = math.sqrt(sum(sum(factor) ** 2 for factor in factors))
    return tuple(tuple(value / norm for value in factor) for factor in factors)


def _balanced(weights: list[float]) -> Taps:
    """Scale weights so that the positive ones sum to 1 and the negative ones to -1."""
    up, down = sum(w for w in weights if w > 0), -sum(w for w in weights if w < 0)
    return tuple(w / (up if w > 0 else down) if w else 0.0 for w in weights)


class Seen(NamedTuple):
    """Appearance of an image: its colours `[3, h, w]`, and the strength of edges and of points `[h, w]`."""

    colours: Tensor
    edges: Tensor
    points: Tensor


def seen(image: Tensor, filters: Filters) -> Seen:
    """Return the appearance of an sRGB image in [0, 1], `[3, h + 2 reach, w + 2 reach]` in float64."""
    x, y, z = _applied(_TO_XYZ, _linear(image))
    across = filters.reach - len(filters.gauss) // 2
    inner = y[across : y.shape[0] - across, across : y.shape[1] - across]
    return Seen(_uniform(_blurred((y, x - y, y - z), filters)), *_features(inner, filters))


def _linear(image: Tensor) -> Tensor:
    """Return the linear RGB of sRGB values."""
    curve = ((image.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(image > 0.04045, curve, image / 12.92)


def _applied(matrix: tuple[tuple[float, ...], ...], planes: Tensor) -> Tensor:
    """Return the product of a matrix with the channels of planes `[3, h, w]`."""
    rows = torch.tensor(matrix, dtype=planes.dtype, device=planes.device)
    return (rows @ planes.flatten(1)).view(3, *planes.shape[1:])


def _blurred(opponents: tuple[Tensor, Tensor, Tensor], filters: Filters) -> Tensor:
    """Return X, Y and Z relative to white, after each opponent channel was filtered."""
    y, red_green, blue_yellow = (
        sum((_slid(plane, taps, taps) for taps in factors[1:]), start=_slid(plane, factors[0], factors[0]))
        for plane, factors in zip(opponents, filters.colours, strict=True)
    )
    return torch.stack([y + red_green, y, y - blue_yellow])


def _slid(plane: Tensor, down: Taps, along: Taps) -> Tensor:
    return slide_columns(slide_rows(plane[None], down), along)[0]


def _uniform(xyz: Tensor) -> Tensor:
    """Return the L*a*b* of colours that are clamped to [0, 1] in linear RGB, with Hunt's adjustment."""
    relative = _applied(_TO_XYZ, _applied(_TO_RGB, xyz).clamp(0, 1))
    delta = 6 / 29
    roots = relative.clamp(min=delta**3) ** (1 / 3)
    x, y, z = torch.where(relative > delta**3, roots, relative / (3 * delta**2) + 4 / 29)
    lightness = 116 * y - 16
    return torch.stack([lightness, 0.01 * lightness * (500 * (x - y)), 0.01 * lightness * (200 * (y - z))])


def _features(y: Tensor, filters: Filters) -> tuple[Tensor, Tensor]:
    """Return the strength of edges and of points."""
    down, gauss = slide_rows(y[None], filters.gauss), filters.gauss
    strengths = []
    for taps in (filters.edge, filters.point):
        across = slide_columns(down, taps)[0]
        strengths.append(_length(across, _slid(y, taps, gauss)))
    return strengths[0], strengths[1]


def difference(a: Seen, b: Seen) -> Tensor:
    """Return the FLIP of each pixel, `[h, w]` in [0, 1]."""
    lightness, *chroma = (a.colours - b.colours).unbind()
    colour = _power(lightness.abs() + _length(*chroma), _COLOUR_POWER)
    most = _largest_colour_difference()
    knee = _SHARE * most
    beyond = _KNEE + (colour - knee) * ((1 - _KNEE) / (most - knee))
    colour = torch.where(colour < knee, colour * (_KNEE / knee), beyond)
    feature = torch.maximum((a.edges - b.edges).abs(), (a.points - b.points).abs())
    return _power(colour, 1 - _power(feature / math.sqrt(2), _FEATURE_POWER))


@cache
def _largest_colour_difference() -> float:
    """Return the colour difference of green and blue, the largest of all."""
    with torch.inference_mode():
        corners = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64).T[:, None]
        lightness, *chroma = _uniform(_applied(_TO_XYZ, corners))[..., 0, :].diff().unbind()
        return float(lightness.abs() + _length(*chroma)) ** _COLOUR_POWER


def _length(x: Tensor, y: Tensor) -> Tensor:
    return _power(x.square() + y.square(), 0.5)


def _power(values: Tensor, exponent: float | Tensor) -> Tensor:
    """Return a power of values of at least 0. The gradient at 0 is 0, where that of the formula is infinite."""
    if not values.requires_grad:
        return values.sqrt() if isinstance(exponent, float) and exponent == 0.5 else values**exponent
    positive = values > 0
    return torch.where(positive, torch.where(positive, values, 1.0) ** exponent, 0.0)
