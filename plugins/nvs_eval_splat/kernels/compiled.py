"""How kernels are compiled: without the interpreter's lock, for fixed types, and kept in numba's cache."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numba.core import config
from numba.extending import register_jitable


class Lens(NamedTuple):
    """Camera and convention, in the form that kernels need. All values are float64; flags are 0 or 1."""

    width: float
    height: float
    fx: float
    fy: float
    cx: float
    cy: float
    near: float
    near_excludes: float
    far: float
    depth_offset: float
    jacobian_margin: float
    low_pass: float
    antialiased: float
    compensation_floor: float
    alpha_min: float
    alpha_max: float
    least_going_on: float
    """Least transmittance that a Gaussian may leave; one that would leave less stops the pixel."""
    extent_sigmas: float
    """0 if the extent is unlimited."""
    variance_floor: float
    from_index: float
    """Whether the square is rounded to tiles from the index of the first pixel."""


class Flat(NamedTuple):
    """N Gaussians on the image."""

    shapes: np.ndarray
    """[N, 6] float64: centre u, v; slope, k1 and k2, so that the squared distance of (x, y) from the centre in standard
    deviations is (k1 * (x - u - slope * (y - v)))**2 + (k2 * (y - v))**2; and the limit of this square beyond which
    alpha is too small."""
    looks: np.ndarray
    """[N, 4] float32: RGB and opacity."""
    depths: np.ndarray
    """[N] float32; infinite for Gaussians that are not drawn."""
    rects: np.ndarray
    """[N, 4] int32: tiles, as first column, first row, end of columns, end of rows."""


class Rows(NamedTuple):
    """Some rows of tiles."""

    first: int
    end: int
    columns: int
    """Number of tiles in a row."""


class Lists(NamedTuple):
    """Gaussians of some tiles, from front to back, one tile's after the other's."""

    marks: np.ndarray
    """A place for each tile, int64."""
    members: np.ndarray
    """Numbers of the Gaussians, int32."""


class Image(NamedTuple):
    """A render."""

    rgb: np.ndarray
    """[height, width, 3] float32."""
    alpha: np.ndarray
    """[height, width] float32."""
    background: np.ndarray
    """Colour behind the Gaussians, [3] float64."""


def _read(kind: types.Type, dimensions: int) -> types.Array:
    """Return the type of an array that a kernel reads; arrays that cannot be written are accepted."""
    return types.Array(kind, dimensions, "C", readonly=True)


def _written(kind: types.Type, dimensions: int) -> types.Array:
    """Return the type of an array that a kernel writes."""
    return types.Array(kind, dimensions, "C")


_F, _D, _I, _L = types.float32, types.float64, types.int32, types.int64
LENS = types.NamedUniTuple(_D, len(Lens._fields), Lens)
MODEL = types.Tuple((_read(_F, 2), _read(_F, 2), _read(_F, 2), _read(_F, 1), _read(_F, 3)))
"""The arrays of `Gaussians`, in their order. In a named tuple, numba would refuse arrays that cannot be written."""
POSE = types.UniTuple(_written(_D, 2), 2)
"""World to camera, [4, 4], and the position of the camera in the world, [1, 3]."""
FLAT = types.NamedTuple((_written(_D, 2), _written(_F, 2), _written(_F, 1), _written(_I, 2)), Flat)
ROWS = types.NamedUniTuple(_L, len(Rows._fields), Rows)
LISTS = types.NamedTuple((_written(_L, 1), _written(_I, 1)), Lists)
IMAGE = types.NamedTuple((_written(_F, 3), _written(_F, 2), _written(_D, 1)), Image)
PART = types.UniTuple(_L, 2)
"""Start and end."""
ORDER = _written(_L, 1)


def kernel(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return the decorator that compiles a function for one signature, or loads it from the cache if it can."""

    def decorate(function: Callable[..., Any]) -> Any:
        before = config.CACHE_DIR  # pyright: ignore[reportAttributeAccessIssue]
        try:
            config.CACHE_DIR = str(_cache())  # pyright: ignore[reportAttributeAccessIssue]
            return numba.njit(signature, nogil=True, cache=True, error_model="numpy")(function)
        except Exception:  # A damaged file of the cache raises anything; without a folder it is a RuntimeError.
            return numba.njit(signature, nogil=True, error_model="numpy")(function)
        finally:
            config.CACHE_DIR = before  # pyright: ignore[reportAttributeAccessIssue]

    return decorate


@functools.cache
def _cache() -> Path:
    """Return a folder for the kernels of this source code; numba itself does not see changes in functions they call."""
    folder = Path(__file__).parent
    sources = [*sorted(folder.glob("*.py")), folder.parent / "conventions.py", folder.parent / "harmonics.py"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    return Path(os.environ["NUMBA_CACHE_DIR"]) / f"splat-{digest[:16]}"


inlined = register_jitable
"""Decorator of functions that kernels call."""
