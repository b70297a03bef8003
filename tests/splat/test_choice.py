"""Which implementation renders on which device, and how gsplat is called; gsplat itself is replaced."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from support.splat_models import camera, model

from nvs_eval.errors import ResourceError
from nvs_eval_splat import choice, gsplat_rasteriser
from nvs_eval_splat.choice import rasteriser_for
from nvs_eval_splat.conventions import CONVENTIONS
from nvs_eval_splat.gsplat_rasteriser import GsplatRasteriser, convention_of
from nvs_eval_splat.torch_rasteriser import Parameters, rasterise_tensors

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
BACKGROUND = (0.1, 0.5, 0.9)


def rasterization(means: torch.Tensor, quats: Any, scales: Any, opacities: Any, colors: Any, **options: Any) -> Any:
    """Render as gsplat 1.4 does, by the torch rasteriser, and keep the arguments."""
    rasterization.calls.append((means, options))  # pyright: ignore[reportFunctionMemberAccess]
    assert options["sh_degree"] == {1: 0, 16: 3}[colors.shape[1]]
    ((fx, _, cx), (_, fy, cy), _) = options["Ks"][0].tolist()
    pose = options["viewmats"][0].double().numpy()
    view = replace(camera(options["width"], options["height"]), fx=fx, fy=fy, cx=cx, cy=cy, world_to_camera=pose)
    convention = replace(
        CONVENTIONS["gsplat-1.4"],
        near=options["near_plane"],
        far=options["far_plane"],
        low_pass=options["eps2d"],
        antialiased=options["rasterize_mode"] == "antialiased",
    )
    model = Parameters(means, scales, quats, opacities, colors)
    rgb, alpha = rasterise_tensors(model, view, convention, background=options["backgrounds"][0].tolist())
    return rgb[None], alpha[None, ..., None], {}


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    made: list[Any] = []
    monkeypatch.setattr(rasterization, "calls", made, raising=False)
    return made


@pytest.mark.parametrize("degree", [0, 3])
@pytest.mark.parametrize("antialiased", [False, True])
def test_what_gsplat_is_given_makes_the_same_picture_as_ours(degree: int, antialiased: bool, calls: list[Any]) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    convention = replace(CONVENTIONS["gsplat-1.4"], antialiased=antialiased, near=1.5, low_pass=0.2)
    gaussians, view = model(200, seed=31, degree=degree), camera(50, 40)
    draw = GsplatRasteriser(rasterization, CPU, convention)
    rgb, alpha = draw(gaussians, view, background=BACKGROUND)
    expected, opaque = rasteriser_for(CPU, convention).draw(gaussians, view, background=BACKGROUND)
    assert (rgb.dtype, rgb.shape, alpha.shape) == (np.float32, (40, 50, 3), (40, 50))
    assert np.abs(rgb - expected).mean() < 1e-6
    assert np.abs(alpha - opaque).mean() < 1e-6
    draw(gaussians, view, background=BACKGROUND)
    draw(model(200, seed=32, degree=degree), view, background=BACKGROUND)
    assert calls[0][0] is calls[1][0]
    assert calls[2][0] is not calls[0][0]


def test_gsplat_has_the_parameters_that_it_is_given(calls: list[Any]) -> None:
    gsplat = pytest.importorskip("gsplat", reason="gsplat is not installed")
    parameters = inspect.signature(gsplat.rasterization).parameters
    assert list(parameters)[:5] == ["means", "quats", "scales", "opacities", "colors"]
    draw = GsplatRasteriser(rasterization, CPU, CONVENTIONS["gsplat-1.4"])
    draw(model(5), camera(), background=BACKGROUND)
    assert calls[0][1].keys() <= parameters.keys()
    assert convention_of(gsplat.__version__) in CONVENTIONS


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("1.4.0", "gsplat-1.4"),
        ("1.5.3", "gsplat-1.5"),
        ("1.5.3+pt24cu124", "gsplat-1.5"),
        ("1.6.0", "gsplat-main"),
        ("1.3.0", None),
        ("2.0", None),
        ("unknown", None),
        (None, None),
    ],
)
def test_conventions_of_versions(version: str | None, name: str | None) -> None:
    assert convention_of(version) == name


def test_the_device_and_the_version_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gsplat_rasteriser, "installed_version", lambda: "1.5.3")
    monkeypatch.setattr(gsplat_rasteriser, "load_rasterization", lambda: rasterization)
    monkeypatch.setattr(gsplat_rasteriser, "is_compiled_at_first_use", lambda: True)
    messages: list[str] = []
    chosen = {
        (device.type, name): rasteriser_for(device, CONVENTIONS[name], notify=messages.append)
        for device in (CPU, CUDA)
        for name in CONVENTIONS
    }
    names = {key: rasteriser.name for key, rasteriser in chosen.items()}
    assert names.pop(("cuda", "gsplat-1.5")) == "gsplat 1.5.3 (CUDA)"
    assert set(names.values()) == {choice.OURS}
    assert messages == ["gsplat compiles its CUDA code when it is first used on a machine, which takes minutes."]
    monkeypatch.setattr(gsplat_rasteriser, "installed_version", lambda: None)
    assert rasteriser_for(CUDA, CONVENTIONS["gsplat-1.5"]).name == choice.OURS


def test_gsplat_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*args: Any, **options: Any) -> Any:
        raise AttributeError("'NoneType' object has no attribute 'fully_fused_projection_fwd'")

    draw = GsplatRasteriser(failing, CPU, CONVENTIONS["gsplat-1.4"])
    with pytest.raises(ResourceError, match=r"gsplat's CUDA code cannot be compiled .*pass `--device cpu`"):
        draw(model(2), camera(), background=BACKGROUND)
