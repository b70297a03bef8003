"""The rasteriser in torch: equal to the one for CPUs, with gradients equal to finite differences."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from support.splat_models import camera, model

from nvs_eval_splat.conventions import CONVENTIONS, Convention
from nvs_eval_splat.torch_rasteriser import Parameters, rasterise_tensors

ALL = [replace(convention, antialiased=flag) for convention in CONVENTIONS.values() for flag in (False, True)]
NAMES = [f"{convention.name}{'-antialiased' * convention.antialiased}" for convention in ALL]
BACKGROUND = (0.1, 0.5, 0.9)


@pytest.mark.parametrize("convention", ALL, ids=NAMES)
def test_it_equals_the_rasteriser_for_cpus(convention: Convention) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    from nvs_eval_splat.rasterise import rasterise

    gaussians, view = model(400, seed=21), camera(70, 50)
    gaussians.opacities[:40], gaussians.scales[40:60, 1:] = 1, 1e-5
    expected, opaque = rasterise(gaussians, view, convention, background=BACKGROUND)
    rgb, alpha = rasterise_tensors(Parameters.of(gaussians, torch.float64), view, convention, background=BACKGROUND)
    assert np.abs(rgb.numpy() - expected).max() < 1e-5
    assert np.abs(alpha.numpy() - opaque).max() < 1e-5
    single, _ = rasterise_tensors(Parameters.of(gaussians), view, convention, background=BACKGROUND)
    assert single.dtype == torch.float32
    # A pixel whose alpha is at a threshold can differ in single precision.
    assert np.abs(single.numpy() - expected).mean() < 1e-6


def test_nothing_to_draw_is_the_background() -> None:
    behind = model(5, means=(0, 0, -3))
    rgb, alpha = rasterise_tensors(Parameters.of(behind), camera(), CONVENTIONS["inria"], background=BACKGROUND)
    assert torch.equal(rgb, torch.tensor(BACKGROUND).expand_as(rgb))
    assert not alpha.any()


@pytest.mark.parametrize("convention", ALL, ids=NAMES)
def test_gradients_equal_finite_differences(convention: Convention) -> None:
    view = camera(20, 18)
    start = Parameters.of(model(12, seed=22, degree=0), torch.float64)
    start.opacities[:] = start.opacities * 0.9 + 0.05
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=(18, 20, 3)))

    def loss(parameters: Parameters) -> torch.Tensor:
        rgb, _ = rasterise_tensors(parameters, view, convention, background=BACKGROUND)
        return (rgb * weights).sum()

    names = [field.name for field in fields(Parameters)]
    leaves = Parameters(*(getattr(start, name).clone().requires_grad_() for name in names))
    loss(leaves).backward()
    for name in names:
        gradient, measured = getattr(leaves, name).grad, torch.zeros_like(getattr(start, name))
        for place in range(measured.numel()):
            step = torch.zeros_like(measured)
            step.view(-1)[place] = 1e-6
            ahead = loss(replace(start, **{name: getattr(start, name) + step}))
            behind = loss(replace(start, **{name: getattr(start, name) - step}))
            measured.view(-1)[place] = (ahead - behind) / 2e-6
        assert measured.abs().max() > 1e-2, name
        assert (gradient - measured).abs().max() < 1e-4 * measured.abs().max(), name
