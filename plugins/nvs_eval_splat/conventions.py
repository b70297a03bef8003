"""Differences between rasterisers of splats as parameters of one definition, and the signature of a render.

The definition: a Gaussian is projected by EWA splatting, its 2D covariance is widened by a low-pass filter, and pixels
blend Gaussians in the order of their depth from front to back. The values were read in the source code of
diff-gaussian-rasterization (main and its antialiasing branch), of gsplat 1.4.0 and 1.5.3, and of gsplat's main branch
(August 2026).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

VERSION = 1
"""Version of our implementations; raised when one of their pixels changes by more than rounding."""
TILE = 16
"""Side of a tile in pixels. A square is drawn in whole tiles."""


@dataclass(frozen=True)
class Convention:
    """How one rasteriser makes pixels. Lengths on the image are in pixels, depths in units of the world.

    In the field docstrings, alpha is the opacity of a Gaussian at a pixel, opacity * exp(-distance**2 / 2), and T is
    the transmittance of the Gaussians in front.
    """

    name: str
    """Name for `--convention` and the signature."""
    extent_sigmas: float | None
    """Half the side, in standard deviations of the longest axis, of the square whose tiles of 16 pixels are drawn.
    It is rounded up to whole pixels. None: wherever alpha reaches `alpha_min`. (Since version 1.5, gsplat draws a box
    of 3.33 standard deviations. Beyond 3.329, alpha is below 1/255, so that this box never shows.)"""
    variance_floor: float
    """Least value of the squared half difference of the covariance's eigenvalues when the square is computed."""
    tiles_from: Literal["pixel-index", "image-edge"]
    """Origin of coordinates when the square is rounded to tiles. From the index of the first pixel, the square's right
    and lower side are rounded up only beyond a whole pixel."""
    alpha_max: float
    """Largest alpha."""
    alpha_min: float
    """A Gaussian with less alpha is not drawn at a pixel."""
    stop: float
    """The Gaussian that would bring T below this value is not drawn at a pixel, and none behind it is."""
    stop_includes: bool
    """Whether a pixel also stops when T would be exactly `stop`."""
    low_pass: float
    """Variance that is added to both axes of the 2D covariance."""
    antialiased: bool
    """Whether the opacity is multiplied by sqrt(det / det'), the determinants before and after the low-pass filter."""
    compensation_floor: float
    """Least value of this factor."""
    near: float
    """A Gaussian whose centre is nearer is not drawn."""
    near_excludes: bool
    """Whether a centre exactly at `near` is not drawn."""
    far: float
    """A Gaussian whose centre is farther is not drawn."""
    depth_offset: float
    """Value that is added to the depth when the centre is projected."""
    principal_point: Literal["centre", "camera"]
    """Whether the principal point is the camera's, or the centre of the image whatever the camera says."""
    jacobian_margin: float
    """The Jacobian is evaluated within the field of view and this multiple of its half around it."""


_SHARED = {"alpha_min": 1 / 255, "stop": 1e-4, "low_pass": 0.3, "antialiased": False, "jacobian_margin": 0.3}
_GSPLAT = {
    **_SHARED,
    "tiles_from": "image-edge",
    "stop_includes": True,
    "near": 0.01,
    "near_excludes": False,
    "far": 1e10,
    "depth_offset": 0.0,
    "principal_point": "camera",
}

CONVENTIONS: dict[str, Convention] = {
    convention.name: convention
    for convention in (
        Convention(
            name="inria",
            extent_sigmas=3.0,
            variance_floor=0.1,
            tiles_from="pixel-index",
            alpha_max=0.99,
            stop_includes=False,
            compensation_floor=0.005,
            near=0.2,
            near_excludes=True,
            far=float("inf"),
            depth_offset=1e-7,
            principal_point="centre",
            **_SHARED,
        ),
        # The version that nerfstudio 1.1 requires, with packed=False, its default there and in simple_trainer.py.
        Convention(
            name="gsplat-1.4",
            extent_sigmas=3.0,
            variance_floor=0.01,
            alpha_max=0.999,
            compensation_floor=0.0,
            **_GSPLAT,
        ),
        Convention(
            name="gsplat-1.5",
            extent_sigmas=None,
            variance_floor=0.0,
            alpha_max=0.999,
            compensation_floor=0.0,
            **_GSPLAT,
        ),
        Convention(
            name="gsplat-main",
            extent_sigmas=None,
            variance_floor=0.0,
            alpha_max=0.99,
            compensation_floor=0.005,
            **_GSPLAT,
        ),
    )
}
"""The named conventions. `dataclasses.replace(convention, antialiased=True)` is the one of an antialiased model."""


def signature(convention: Convention, background: Sequence[float]) -> str:
    """Return what decides the pixels of a render apart from the model and the camera.

    Args:
        convention: the convention of the rasteriser.
        background: colour behind the Gaussians, RGB from 0 to 1.
    """
    cutoff = "alpha" if convention.extent_sigmas is None else f"{convention.extent_sigmas:g}sigma"
    parts = (
        "raster",
        convention.name,
        f"lowpass:{convention.low_pass:g}",
        f"cutoff:{cutoff}",
        f"alpha:{convention.alpha_max:g}",
        f"near:{convention.near:g}",
        f"pp:{convention.principal_point}",
        f"aa:{convention.antialiased:d}",
        f"bg:{','.join(f'{value:g}' for value in background)}",
        f"v{VERSION}",
    )
    return "|".join(parts)
