"""The rasteriser for CPUs: any convention, exact to its definition, compiled by numba, on several threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nvs_eval.errors import InputError, ResourceError
from nvs_eval.system.library_caches import redirect_caches
from nvs_eval_splat.conventions import TILE, Convention
from nvs_eval_splat.gaussians import Gaussians
from nvs_eval_splat.pinhole import Pinhole

if TYPE_CHECKING:
    from nvs_eval_splat.kernels.compiled import Lens, Lists, Rows

MOST_HITS = 50_000_000
"""Number of pairs of a tile and a Gaussian that are in memory at a time, unless one row of tiles has more."""
_CHUNK = 16384


def rasterise(
    gaussians: Gaussians,
    camera: Pinhole,
    convention: Convention,
    *,
    background: Sequence[float],
    threads: int | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Render a view of Gaussians on the CPU.

    The sums are computed in float64. Gaussians that are not finite are not drawn. Time and memory grow with the number
    of pairs of a tile and a Gaussian that changes it.

    Args:
        gaussians: the model.
        camera: camera of the view.
        convention: convention of the rasteriser that is followed.
        background: colour behind the Gaussians, RGB from 0 to 1.
        threads: number of threads (default: torch's).

    Returns:
        rgb [height, width, 3], at least 0, not limited to 1; and alpha [height, width], from 0 to 1. Both float32.

    Raises:
        InputError: the background is not a finite colour, or the number of threads is not positive.
        ResourceError: numba is not installed.
    """
    colour = np.array(background, np.float64)
    if colour.shape != (3,) or not np.isfinite(colour).all():
        raise InputError(f"background must be 3 finite numbers. Got {background!r}.")
    if threads is None:
        import torch

        threads = torch.get_num_threads()
    elif threads < 1:
        raise InputError(f"threads must be at least 1. Got {threads}.")
    load_kernels()
    with ThreadPoolExecutor(threads, thread_name_prefix="splat") as pool:
        return _View(gaussians, camera, convention, _Workers(pool, threads)).render(colour)


def load_kernels() -> None:
    """Compile the kernels, or load them from the cache.

    The first call on a machine takes about half a minute, later calls in a process nothing.

    Raises:
        ResourceError: numba is not installed.
    """
    redirect_caches()
    try:
        import numba  # noqa: F401
    except ImportError as error:
        raise ResourceError(
            f"Rendering splats on a CPU needs numba. It cannot be imported ({error}). Run "
            "pip install 'nvs-eval[splat]'."
        ) from error
    from nvs_eval_splat.kernels import blending, projection, tiles  # noqa: F401


def lens_of(camera: Pinhole, convention: Convention) -> Lens:
    """Return camera and convention for the kernels. Thresholds are rounded to float32, like in the tools."""
    from nvs_eval_splat.kernels.compiled import Lens

    stop = float(np.float32(convention.stop))
    centred = convention.principal_point == "centre"
    lens = Lens(
        width=camera.width,
        height=camera.height,
        fx=camera.fx,
        fy=camera.fy,
        cx=camera.width / 2 if centred else camera.cx,
        cy=camera.height / 2 if centred else camera.cy,
        near=float(np.float32(convention.near)),
        near_excludes=convention.near_excludes,
        far=convention.far,
        depth_offset=convention.depth_offset,
        jacobian_margin=convention.jacobian_margin,
        low_pass=convention.low_pass,
        antialiased=convention.antialiased,
        compensation_floor=convention.compensation_floor,
        alpha_min=float(np.float32(convention.alpha_min)),
        alpha_max=float(np.float32(convention.alpha_max)),
        least_going_on=float(np.nextafter(stop, 1) if convention.stop_includes else stop),
        extent_sigmas=convention.extent_sigmas or 0.0,
        variance_floor=convention.variance_floor,
        from_index=convention.tiles_from == "pixel-index",
    )
    return Lens(*map(float, lens))


@dataclass(frozen=True)
class _Workers:
    """Threads that run kernels."""

    pool: ThreadPoolExecutor
    count: int

    def run(self, kernel: Callable[..., None], calls: Iterable[tuple[object, ...]]) -> None:
        """Call a kernel with each of the arguments."""
        for call in [self.pool.submit(kernel, *arguments) for arguments in calls]:
            call.result()


class _View:
    """One render: the model on the image, and then the image by rows of tiles."""

    def __init__(self, gaussians: Gaussians, camera: Pinhole, convention: Convention, workers: _Workers) -> None:
        from nvs_eval_splat.kernels.compiled import Flat

        self.gaussians, self.camera, self.workers = gaussians, camera, workers
        self.lens = lens_of(camera, convention)
        self.rows, self.columns = math.ceil(camera.height / TILE), math.ceil(camera.width / TILE)
        kinds = (((6,), np.float64), ((4,), np.float32), ((), np.float32), ((4,), np.int32))
        self.flat = Flat(*(np.empty((gaussians.count, *shape), kind) for shape, kind in kinds))

    def render(self, background: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the image and its opacity."""
        from nvs_eval_splat.kernels.blending import blend
        from nvs_eval_splat.kernels.compiled import Image

        self.project()
        depths = self.flat.depths
        order = np.argsort(depths, kind="stable")[: np.count_nonzero(np.isfinite(depths))]
        size = (self.camera.height, self.camera.width)
        image = Image(np.empty((*size, 3), np.float32), np.empty(size, np.float32), background)
        for rows, lists in self.tile_lists(order):
            common = (self.flat, lists, self.lens)
            self.workers.run(blend, ((*common, (rows, row), image) for row in range(rows.first, rows.end)))
        return image.rgb, image.alpha

    def project(self) -> None:
        """Project all Gaussians."""
        from nvs_eval_splat.kernels.projection import project

        model = tuple(getattr(self.gaussians, field.name) for field in fields(Gaussians))
        pose = (np.array(self.camera.world_to_camera, order="C"), self.camera.position[None])
        parts = _parts(self.gaussians.count, _CHUNK)
        self.workers.run(project, ((model, pose, self.lens, part, self.flat) for part in parts))

    def tile_lists(self, order: NDArray[np.int64]) -> Iterator[tuple[Rows, Lists]]:
        """Yield consecutive rows of tiles with their lists, in which each mark is the end of a tile's list."""
        from nvs_eval_splat.kernels.compiled import Lists, Rows
        from nvs_eval_splat.kernels.tiles import fill

        parts = _parts(len(order), max(1, math.ceil(len(order) / (4 * self.workers.count))))
        hits = np.zeros((len(parts), self.rows * self.columns), np.int64)
        whole, nothing = Rows(0, self.rows, self.columns), np.empty(0, np.int32)
        calls = ((order, part, self.flat, whole, Lists(hits[n], nothing)) for n, part in enumerate(parts))
        self.workers.run(fill, calls)
        for first, end in _groups(hits.reshape(-1, self.rows, self.columns).sum(axis=(0, 2))):
            rows = Rows(first, end, self.columns)
            some = hits[:, first * self.columns : end * self.columns]
            ends = np.cumsum(some.sum(axis=0))
            # Each part writes behind the parts before it.
            places = ends - some.sum(axis=0) + np.cumsum(some, axis=0) - some
            members = np.empty(ends[-1], np.int32)
            if len(members):
                calls = ((order, part, self.flat, rows, Lists(places[n], members)) for n, part in enumerate(parts))
                self.workers.run(fill, calls)
            yield rows, Lists(ends, members)


def _parts(count: int, size: int) -> list[tuple[int, int]]:
    """Return start and end of consecutive parts of a sequence."""
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def _groups(hits: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield start and end of consecutive rows of tiles whose lists are in memory together."""
    start, total = 0, 0
    for row, more in enumerate(hits.tolist()):
        if total + more > MOST_HITS and row > start:
            yield start, row
            start, total = row, 0
        total += more
    yield start, len(hits)
