"""Projection and harmonics of the rasteriser for CPUs against gsplat's functions in torch, in float64."""

from __future__ import annotations

import builtins
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from support.splat_models import camera, model

from nvs_eval.errors import ResourceError
from nvs_eval_splat.conventions import CONVENTIONS, Convention
from nvs_eval_splat.gaussians import Gaussians
from nvs_eval_splat.pinhole import Pinhole

if TYPE_CHECKING:
    from nvs_eval_splat.kernels.compiled import Flat

pytest.importorskip("numba", reason="numba is not installed")
gsplat = pytest.importorskip("gsplat.cuda._torch_impl", reason="gsplat is not installed")

GSPLAT = [CONVENTIONS[name] for name in ("gsplat-1.4", "gsplat-1.5")]


def flattened(gaussians: Gaussians, view: Pinhole, convention: Convention) -> Flat:
    """Return the Gaussians on the image, as the kernels see them."""
    from nvs_eval_splat import rasterise

    rasterise.load_kernels()
    with ThreadPoolExecutor(1) as pool:
        run = rasterise._View(gaussians, view, convention, rasterise._Workers(pool, 1))
        run.project()
    return run.flat


def projected_by_gsplat(gaussians: Gaussians, view: Pinhole, antialiased: bool) -> tuple[np.ndarray, ...]:
    """Return means, depths, conics and factors of the opacity from gsplat's functions."""
    means, scales, rotations = (
        torch.from_numpy(array).double() for array in (gaussians.means, gaussians.scales, gaussians.rotations)
    )
    rotations = torch.nn.functional.normalize(rotations, dim=-1)
    covariances, _ = gsplat._quat_scale_to_covar_preci(rotations, scales, True, False, triu=False)
    lens = torch.tensor([[view.fx, 0, view.cx], [0, view.fy, view.cy], [0, 0, 1.0]], dtype=torch.float64)
    pose = torch.from_numpy(view.world_to_camera)
    size: Any = (view.width, view.height)
    _, centres, depths, conics, factors = gsplat._fully_fused_projection(
        means, covariances, pose[None], lens[None], *size, calc_compensations=antialiased
    )
    factors = torch.ones(1, len(means)) if factors is None else factors
    return tuple(value[0].numpy() for value in (centres, depths, conics, factors))


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("convention", GSPLAT, ids=lambda convention: convention.name)
def test_projection_equals_that_of_gsplat(convention: Convention, antialiased: bool) -> None:
    gaussians, view = model(500, seed=11), camera()
    gaussians.opacities[:] = 0.9
    flat = flattened(gaussians, view, replace(convention, antialiased=antialiased))
    centres, depths, conics, factors = projected_by_gsplat(gaussians, view, antialiased)
    drawn = np.isfinite(flat.depths)
    assert drawn.sum() > 200
    u, v, slope, k1, k2, _ = flat.shapes[drawn].T
    assert np.abs(np.stack([u, v], axis=1) - centres[drawn]).max() < 1e-9
    assert np.abs(flat.depths[drawn] / depths[drawn] - 1).max() < 1e-6
    conic = np.stack([k1**2, -(k1**2) * slope, k1**2 * slope**2 + k2**2], axis=1)
    # gsplat normalises quaternions, which are unit quaternions in float32 here.
    assert np.abs(conic - conics[drawn]).max() < 1e-5 * np.abs(conics[drawn]).max()
    assert np.abs(flat.looks[drawn, 3] / (np.float32(0.9) * factors[drawn]) - 1).max() < 1e-5
    assert (factors.min() < 0.9) == antialiased


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_colours_equal_those_of_gsplat(degree: int) -> None:
    gaussians, view = model(200, seed=12, degree=degree), camera()
    flat = flattened(gaussians, view, GSPLAT[0])
    drawn = np.isfinite(flat.depths)
    directions = torch.from_numpy(gaussians.means - view.position)
    directions = torch.nn.functional.normalize(directions, dim=-1)
    colours = gsplat._spherical_harmonics(degree, directions, torch.from_numpy(gaussians.harmonics).double())
    expected = (colours + 0.5).clamp(min=0).numpy()
    assert drawn.sum() > 50
    assert np.abs(flat.looks[drawn, :3] - expected[drawn]).max() < 1e-6


def test_the_square_of_tiles_covers_that_of_gsplat() -> None:
    # The rasteriser leaves out tiles in which alpha is below 1/255 everywhere, and never adds one.
    gaussians, view = model(500, seed=13), camera(300, 200)
    gaussians.opacities[:] = 1
    flat = flattened(gaussians, view, GSPLAT[0])
    drawn = np.isfinite(flat.depths)
    means, radii, depths = (
        torch.zeros(1, 500, *shape, dtype=kind)
        for shape, kind in (((2,), torch.float64), ((), torch.int32), ((), torch.float32))
    )
    means[0] = torch.from_numpy(flat.shapes[:, :2])
    b = 1 / flat.shapes[:, 4] ** 2
    a = 1 / flat.shapes[:, 3] ** 2 + flat.shapes[:, 2] ** 2 * b
    det = b / flat.shapes[:, 3] ** 2
    longest = (a + b) / 2 + np.sqrt(np.maximum(0.01, ((a + b) / 2) ** 2 - det))
    radii[0] = torch.from_numpy(np.where(drawn, np.ceil(3 * np.sqrt(longest)), 0).astype(np.int32))
    counts, _, _ = gsplat._isect_tiles(means, radii, depths, 16, 19, 13, sort=False)
    ours = np.prod(flat.rects[:, 2:] - flat.rects[:, :2], axis=1)
    assert (ours[drawn] <= counts[0].numpy()[drawn]).all()
    assert (ours[drawn] == counts[0].numpy()[drawn]).mean() > 0.3


def test_a_machine_without_numba_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from nvs_eval_splat.rasterise import load_kernels

    original = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "numba":
            raise ImportError("No module named 'numba'")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.delitem(sys.modules, "numba")
    with pytest.raises(ResourceError, match=r"needs numba.*pip install 'nvs-eval\[splat\]'"):
        load_kernels()


def test_a_damaged_cache_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from numba import float64

    from nvs_eval_splat.kernels import compiled

    monkeypatch.setattr(compiled, "_cache", lambda: tmp_path)

    def double(value: float) -> float:
        return 2 * value

    assert compiled.kernel(float64(float64))(double)(2.0) == 4
    indexes = list(tmp_path.rglob("*.nbi"))
    assert len(indexes) == 1
    indexes[0].write_bytes(b"damaged")
    assert compiled.kernel(float64(float64))(double)(3.0) == 6
