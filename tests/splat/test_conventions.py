"""Conventions of rasterisers, their signatures, and the containers of Gaussians and cameras."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nvs_eval.errors import InputError
from nvs_eval_splat.conventions import CONVENTIONS, signature
from nvs_eval_splat.gaussians import Gaussians
from nvs_eval_splat.pinhole import Pinhole

SIGNATURES = {
    "inria": "raster|inria|lowpass:0.3|cutoff:3sigma|alpha:0.99|near:0.2|pp:centre|aa:0|bg:0,0,0|v1",
    "gsplat-1.4": "raster|gsplat-1.4|lowpass:0.3|cutoff:3sigma|alpha:0.999|near:0.01|pp:camera|aa:0|bg:0,0,0|v1",
    "gsplat-1.5": "raster|gsplat-1.5|lowpass:0.3|cutoff:alpha|alpha:0.999|near:0.01|pp:camera|aa:0|bg:0,0,0|v1",
    "gsplat-main": "raster|gsplat-main|lowpass:0.3|cutoff:alpha|alpha:0.99|near:0.01|pp:camera|aa:0|bg:0,0,0|v1",
}


def test_signatures_of_all_conventions() -> None:
    assert {name: signature(value, (0, 0, 0)) for name, value in CONVENTIONS.items()} == SIGNATURES


def test_the_signature_of_an_antialiased_model_on_white() -> None:
    convention = replace(CONVENTIONS["inria"], antialiased=True)
    assert signature(convention, (1.0, 1.0, 0.5)).endswith("|aa:1|bg:1,1,0.5|v1")


def arrays(count: int, bands: int) -> dict[str, np.ndarray]:
    shapes = {"means": (3,), "scales": (3,), "rotations": (4,), "opacities": (), "harmonics": (bands, 3)}
    return {name: np.ones((count, *shape), np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize(("bands", "degree"), [(1, 0), (4, 1), (9, 2), (16, 3)])
def test_count_and_degree(bands: int, degree: int) -> None:
    gaussians = Gaussians(**arrays(5, bands))
    assert (gaussians.count, gaussians.degree) == (5, degree)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("scales", np.ones((4, 3), np.float32), r"scales must be .* of shape \(5, 3\). Got float32 of shape \(4, 3\)"),
        ("means", np.ones((5, 3)), "means must be a C-contiguous float32 array .* Got float64"),
        ("rotations", np.ones((4, 5), np.float32).T, "rotations must be a C-contiguous"),
        ("opacities", np.ones((5, 1), np.float32), r"opacities must be .* shape \(5,\)"),
        ("harmonics", np.ones((5, 3, 3), np.float32), "harmonics must have 1, 4, 9 or 16 .* Got 3"),
    ],
)
def test_arrays_of_another_shape_are_refused(name: str, value: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Gaussians(**{**arrays(5, 4), name: value})


def camera(**changes: object) -> Pinhole:
    values = {"width": 4, "height": 3, "fx": 5.0, "fy": 5.0, "cx": 2.0, "cy": 1.5, "world_to_camera": np.eye(4)}
    return Pinhole(**{**values, **changes})  # pyright: ignore[reportArgumentType]


def test_the_position_of_a_camera_is_its_centre_in_the_world() -> None:
    pose = np.array([[0.0, -1, 0, 4], [1, 0, 0, 5], [0, 0, 1, 6], [0, 0, 0, 1]])
    position = camera(world_to_camera=pose).position
    assert np.allclose(pose @ [*position, 1], [0, 0, 0, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "positive size. Got 0x3"),
        ({"fx": -1.0}, "positive focal lengths .* Got fx -1.0"),
        ({"cy": float("nan")}, "finite principal point"),
        ({"world_to_camera": np.eye(4, dtype=np.float32)}, "float64 array of shape"),
        ({"world_to_camera": np.full((4, 4), np.inf)}, "finite float64"),
    ],
)
def test_impossible_cameras_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        camera(**changes)
