"""A still life of textured solids, drawn by casting rays: numpy only.

Lengths are in scene units, z points up. Colours depend on the place alone, never on the direction it is seen from, so
that a radiance field can reproduce them exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""Float64 points, directions and linear RGB of shape [N, 3]; distances of shape [N], infinite where a ray misses."""

Texture = Callable[[Array], Array]
"""Points [N, 3] to linear RGB [N, 3]; solids get them relative to their centre, in their own axes."""

SUN = np.array([0.48, -0.36, 0.80])
"""The direction to the sun, of unit length."""

_LATTICE = np.random.default_rng(7).random((32, 32, 32))
_NEAREST = 1e-4  # A shadow ray starts on a surface, which it must not hit again.


@dataclass(frozen=True)
class Sphere:
    """A ball."""

    center: tuple[float, float, float]
    radius: float
    texture: Texture

    def intersect(self, origins: Array, directions: Array) -> Array:
        """The distance to the nearest point in front of each origin."""
        offset = origins - np.array(self.center)
        half = np.einsum("ij,ij->i", offset, directions)
        discriminant = half**2 - (np.einsum("ij,ij->i", offset, offset) - self.radius**2)
        root = np.sqrt(np.maximum(discriminant, 0))
        distance = np.where(-half - root > _NEAREST, -half - root, -half + root)
        return np.where((discriminant > 0) & (distance > _NEAREST), distance, np.inf)

    def surface(self, points: Array) -> tuple[Array, Array]:
        """Colour and outward normal at points of the surface."""
        local = points - np.array(self.center)
        return self.texture(local / self.radius), local / self.radius


@dataclass(frozen=True)
class Box:
    """A box, turned about the vertical by an angle in radians."""

    center: tuple[float, float, float]
    half: tuple[float, float, float]
    angle: float
    texture: Texture

    def _axes(self) -> Array:
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])

    def intersect(self, origins: Array, directions: Array) -> Array:
        """The distance to the nearest point in front of each origin, which lies outside."""
        axes, half = self._axes(), np.array(self.half)
        start = (origins - np.array(self.center)) @ axes.T
        toward = directions @ axes.T
        toward = np.where(np.abs(toward) < 1e-12, 1e-12, toward)
        one, other = (-half - start) / toward, (half - start) / toward
        enter, leave = np.minimum(one, other).max(axis=1), np.maximum(one, other).min(axis=1)
        return np.where((enter < leave) & (enter > _NEAREST), enter, np.inf)

    def surface(self, points: Array) -> tuple[Array, Array]:
        """Colour and outward normal at points of the surface."""
        axes = self._axes()
        local = (points - np.array(self.center)) @ axes.T
        relative = local / np.array(self.half)
        face = np.abs(relative).argmax(axis=1)
        rows = np.arange(len(points))
        normals = np.zeros_like(local)
        normals[rows, face] = np.sign(relative[rows, face])
        return self.texture(local), normals @ axes


def trace(solids: tuple[Sphere | Box, ...], sky: Texture, origins: Array, directions: Array) -> Array:
    """The linear RGB in [0, 1] that rays with directions of unit length see: sunlit solids, the sky behind them."""
    distances = np.stack([solid.intersect(origins, directions) for solid in solids])
    nearest = distances.argmin(axis=0)
    hit = np.isfinite(distances.min(axis=0))
    colours = sky(directions)
    for index, solid in enumerate(solids):
        seen = hit & (nearest == index)
        points = origins[seen] + distances[index, seen, None] * directions[seen]
        colours[seen] = _lit(solids, solid, points)
    return np.clip(colours, 0, 1)


def _lit(solids: tuple[Sphere | Box, ...], solid: Sphere | Box, points: Array) -> Array:
    albedo, normals = solid.surface(points)
    facing = np.maximum(normals @ SUN, 0)
    toward_sun = np.broadcast_to(SUN, points.shape)
    shadowed = np.zeros(len(points), dtype=bool)
    for other in solids:
        shadowed |= np.isfinite(other.intersect(points + _NEAREST * normals, toward_sun))
    # The sky lights what faces it, the ground a little from below.
    ambient = 0.30 + 0.12 * normals[:, 2]
    warm, cool = np.array([1.0, 0.95, 0.86]), np.array([0.86, 0.94, 1.0])
    light = (0.75 * facing * ~shadowed)[:, None] * warm + ambient[:, None] * cool
    return albedo * light


def noise(points: Array, frequency: float) -> Array:
    """Smooth value noise in [0, 1] of shape [N]: a random lattice, `frequency` nodes a unit, interpolated."""
    scaled = points * frequency
    base = np.floor(scaled).astype(np.int64)
    fraction = scaled - base
    fraction = fraction * fraction * (3 - 2 * fraction)
    # The corner's share along each axis: [0] of the lower node, [1] of the upper one.
    shares = np.stack([1 - fraction, fraction])
    nodes = np.stack([base % 32, (base + 1) % 32])
    total = np.zeros(len(points))
    for i, j, k in np.ndindex(2, 2, 2):
        weight = shares[i, :, 0] * shares[j, :, 1] * shares[k, :, 2]
        total += weight * _LATTICE[nodes[i, :, 0], nodes[j, :, 1], nodes[k, :, 2]]
    return total


def blend(low: tuple[float, float, float], high: tuple[float, float, float], share: Array) -> Array:
    """Colours [N, 3] between two, by a share [N] in [0, 1]."""
    return np.array(low) + (np.array(high) - np.array(low)) * share[:, None]
