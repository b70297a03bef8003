"""The rasteriser for CPUs against the definition, pixel by pixel, in every convention."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from support import splat_oracle
from support.splat_models import camera, model

from nvs_eval.errors import InputError
from nvs_eval_splat.conventions import CONVENTIONS, Convention
from nvs_eval_splat.gaussians import Gaussians
from nvs_eval_splat.pinhole import Pinhole

pytest.importorskip("numba", reason="numba is not installed")

from nvs_eval_splat import rasterise as rasteriser
from nvs_eval_splat.rasterise import rasterise

ALL = [replace(convention, antialiased=flag) for convention in CONVENTIONS.values() for flag in (False, True)]
NAMES = [f"{convention.name}{'-antialiased' * convention.antialiased}" for convention in ALL]
INRIA = CONVENTIONS["inria"]
BACKGROUND = (0.1, 0.5, 0.9)


def check(gaussians: Gaussians, convention: Convention, view: Pinhole | None = None, drawn: bool = True) -> None:
    """Check a render against the definition to 1e-5, apart from pixels with a decision that is in doubt."""
    view = view or camera()
    rgb, alpha = rasterise(gaussians, view, convention, background=BACKGROUND, threads=2)
    expected, opaque, doubt = splat_oracle.render(gaussians, view, convention, np.array(BACKGROUND))
    assert doubt.mean() < 0.01
    assert (opaque.max() > 0.05) == drawn
    assert np.abs(rgb - expected)[~doubt].max() < 1e-5
    assert np.abs(alpha - opaque)[~doubt].max() < 1e-5


@pytest.mark.parametrize("convention", ALL, ids=NAMES)
def test_random_gaussians(convention: Convention) -> None:
    check(model(150), convention)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_degrees_of_harmonics(degree: int) -> None:
    check(model(40, seed=1, degree=degree), INRIA)


SCALES = {
    "needles": (3.0, 1e-5, 1e-5),
    "long-needles": (1e4, 1e-5, 1e-5),
    "discs": (1.0, 1.0, 1e-7),
    "points": (1e-9, 1e-9, 1e-9),
    "giants": (1e5, 1e5, 1e5),
    "flat": (0.0, 0.0, 0.0),
}


@pytest.mark.parametrize("convention", ALL, ids=NAMES)
@pytest.mark.parametrize("scales", SCALES.values(), ids=SCALES)
def test_degenerate_shapes(scales: tuple[float, ...], convention: Convention) -> None:
    check(
        model(40, seed=2, scales=scales), convention, drawn=scales[1] == scales[0] > 0.5 or not convention.antialiased
    )


@pytest.mark.parametrize("convention", ALL[::2], ids=NAMES[::2])
@pytest.mark.parametrize("opacity", [0.0, 0.5 / 255, 1 / 255, 0.0039, 0.004, 0.99, 0.999, 1.0])
def test_opacities(opacity: float, convention: Convention) -> None:
    check(model(60, seed=3, opacities=opacity), convention, drawn=opacity > 0.01)


@pytest.mark.parametrize("convention", ALL[::2], ids=NAMES[::2])
def test_gaussians_around_the_near_plane(convention: Convention) -> None:
    gaussians = model(40, seed=4, scales=0.05)
    straight = replace(camera(), world_to_camera=np.eye(4))
    near = np.float32(convention.near)
    depths = np.array([-3, -0.5, 0, 1e-30, near, np.nextafter(near, np.float32(9)), np.nextafter(near, np.float32(0))])
    gaussians.means[:] *= 0.02
    gaussians.means[:, 2] = np.resize(depths, 40)
    check(gaussians, convention, straight)
    _, alpha = rasterise(only(gaussians, 4), straight, convention, background=BACKGROUND, threads=1)
    assert (alpha.max() > 0) == (convention.name != "inria")


def only(gaussians: Gaussians, place: int) -> Gaussians:
    """Return one Gaussian of a model."""
    part = slice(place, place + 1)
    return Gaussians(
        gaussians.means[part],
        gaussians.scales[part],
        gaussians.rotations[part],
        gaussians.opacities[part],
        gaussians.harmonics[part],
    )


@pytest.mark.parametrize("convention", ALL[::2], ids=NAMES[::2])
def test_gaussians_outside_the_view(convention: Convention) -> None:
    gaussians = model(80, seed=5)
    gaussians.means[:, :2] *= 8
    gaussians.scales[:] *= 6
    check(gaussians, convention)


ON_A_PIXEL = np.array([0.05, 0.1, 2.0])


@pytest.mark.parametrize("convention", ALL[::2], ids=NAMES[::2])
def test_thousands_of_gaussians_on_one_pixel(convention: Convention) -> None:
    gaussians = model(2000, seed=6, degree=0, scales=1e-3, opacities=0.02, means=ON_A_PIXEL)
    check(gaussians, convention, replace(camera(5, 5), world_to_camera=np.eye(4)))


@pytest.mark.parametrize("convention", ALL[::2], ids=NAMES[::2])
def test_equal_depths_are_drawn_in_the_order_of_the_model(convention: Convention) -> None:
    gaussians = model(30, seed=7, scales=0.3, opacities=0.6)
    gaussians.means[:, 2] = 2
    straight = replace(camera(), world_to_camera=np.eye(4))
    check(gaussians, convention, straight)


def test_two_opaque_gaussians_stop_a_pixel() -> None:
    # (1 - 0.99)**2 is below 1e-4 in single precision, so that the second Gaussian is not drawn.
    gaussians = model(2, degree=0, scales=0.5, opacities=1, means=(0, 0, 2))
    gaussians.harmonics[0], gaussians.harmonics[1] = 0, 1
    straight = replace(camera(cx=18.5, cy=14.5), world_to_camera=np.eye(4))
    black = (0.0, 0.0, 0.0)
    rgb, alpha = rasterise(gaussians, straight, INRIA, background=black, threads=1)
    assert rgb[14, 18] == pytest.approx([0.495] * 3, abs=1e-6)
    assert alpha[14, 18] == pytest.approx(0.99, abs=1e-6)
    rgb, _ = rasterise(gaussians, straight, CONVENTIONS["gsplat-1.4"], background=black, threads=1)
    assert rgb[14, 18] == pytest.approx([0.4995] * 3, abs=1e-6)


def test_conventions_differ() -> None:
    gaussians = model(150)
    gaussians.scales[:20], gaussians.opacities[:20] = 0.2, 1
    renders = [rasterise(gaussians, camera(), each, background=BACKGROUND, threads=2)[0] for each in ALL]
    pairs = [(a, b) for a in range(len(ALL)) for b in range(a)]
    assert all(np.abs(renders[a] - renders[b]).max() > 1e-5 for a, b in pairs)


def test_nothing_to_draw_is_the_background() -> None:
    for gaussians in (model(0), model(5, means=(0, 0, -3))):
        rgb, alpha = rasterise(gaussians, camera(), INRIA, background=BACKGROUND)
        assert np.array_equal(rgb, np.broadcast_to(np.array(BACKGROUND, np.float32), rgb.shape))
        assert not alpha.any()


@pytest.mark.parametrize("name", ["means", "scales", "rotations", "opacities"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_not_drawn(name: str, value: float) -> None:
    whole, rest = model(20, seed=8), model(20, seed=8)
    getattr(whole, name)[3] = value
    rest.opacities[3] = 0
    one, _ = rasterise(whole, camera(), INRIA, background=BACKGROUND)
    other, _ = rasterise(rest, camera(), INRIA, background=BACKGROUND)
    assert np.isfinite(one).all()
    if name != "opacities" or value < 0 or math.isnan(value):
        assert np.array_equal(one, other)


def test_threads_and_parts_of_the_image_do_not_change_a_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    gaussians, view = model(300, seed=9), camera(90, 70)
    whole, alpha = rasterise(gaussians, view, INRIA, background=BACKGROUND, threads=1)
    monkeypatch.setattr(rasteriser, "MOST_HITS", 200)
    monkeypatch.setattr(rasteriser, "_CHUNK", 7)
    parts, opaque = rasterise(gaussians, view, INRIA, background=BACKGROUND, threads=3)
    assert np.array_equal(whole, parts)
    assert np.array_equal(alpha, opaque)


def test_arrays_that_cannot_be_written_are_rendered() -> None:
    gaussians = model(20)
    expected, _ = rasterise(gaussians, camera(), INRIA, background=BACKGROUND)
    for name in ("means", "scales", "rotations", "opacities", "harmonics"):
        getattr(gaussians, name).flags.writeable = False
    rgb, _ = rasterise(gaussians, camera(), INRIA, background=BACKGROUND)
    assert np.array_equal(rgb, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"background": (0, 0)}, r"background must be 3 finite numbers. Got \(0, 0\)"),
        ({"background": (0, 0, math.nan)}, "background must be 3 finite numbers"),
        ({"background": (0, 0, 0), "threads": 0}, "threads must be at least 1. Got 0"),
    ],
)
def test_wrong_arguments(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rasterise(model(1), camera(), INRIA, **options)  # pyright: ignore[reportArgumentType]
