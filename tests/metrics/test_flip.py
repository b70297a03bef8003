"""FLIP, against its definition in two dimensions and against NVIDIA's flip-evaluator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from support.agreement import assert_agree, generator
from support.flip_definition import definition
from support.pairs import array_masks, array_pairs, pairs
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.metrics.describe import describe
from nvs_eval.metrics.flip import metric as module
from nvs_eval.metrics.flip.metric import PIXELS_PER_DEGREE, flip, flip_map

with_every_pair = pytest.mark.parametrize("name", pairs())


@with_every_pair
def test_agrees_with_the_definition(name: str) -> None:
    arrays = [image.astype(np.float64) for image in array_pairs()[name]]
    reference, render = pairs()[name]
    expected = definition(arrays[0], arrays[1])
    # Where colours are nearly equal, the power of 0.7 enlarges rounding errors.
    assert_agree(flip_map(reference.double(), render.double()), expected, "float64", times=1e4)
    assert_agree(flip(reference, render), expected.mean(), "float32")


@pytest.mark.parametrize("ppd", [1, 7.5, 30, 120])
def test_agrees_with_the_definition_at_other_distances(ppd: float) -> None:
    reference, render = pairs()["photograph and noise"]
    arrays = [image.astype(np.float64) for image in array_pairs()["photograph and noise"]]
    expected = definition(arrays[0], arrays[1], ppd)
    assert_agree(flip(reference, render, pixels_per_degree=ppd), expected.mean(), "float32")


@with_every_pair
def test_agrees_with_flip_evaluator(name: str) -> None:
    peer = pytest.importorskip("flip_evaluator")
    theirs, _, parameters = peer.evaluate(*array_pairs()[name], "LDR", applyMagma=False)
    assert parameters["ppd"] == pytest.approx(PIXELS_PER_DEGREE, rel=1e-6)
    ours = flip_map(*pairs()[name])
    # It computes in float32; its mean is taken in float64, because its own sum is a float32.
    assert_agree(ours.mean(), theirs.astype(np.float64).mean(), "float32 peer")
    assert np.abs(theirs.squeeze() - ours.numpy()).max() < 5e-3
    assert np.abs(theirs.squeeze() - ours.numpy()).mean() < 1e-5


# --- The form of a metric ---------------------------------------------------------------------------------------------


def test_value_is_the_mean_of_the_map_and_known_for_extremes() -> None:
    reference, render = pairs()["photograph and noise"]
    assert_agree(flip(reference, render), flip_map(reference, render).mean(), "float64")
    assert_agree(flip(reference, reference), 0.0, "float64")
    flat = torch.zeros(3, 12, 9)
    green, blue = flat.clone(), flat.clone()
    green[1], blue[2] = 1, 1
    assert_agree(flip(green, blue), 1.0, "float32")  # The largest difference of all.


def test_several_renders_equal_single_ones_and_any_broadcast() -> None:
    reference, render = pairs()["photograph and noise"]
    renders = torch.stack([render, reference, reference.flip(-1)])
    assert_agree(flip(reference, renders), torch.stack([flip(reference, one) for one in renders]), "float64")
    both = torch.stack([reference, render])
    expected = torch.stack([flip(one, renders) for one in both])
    assert_agree(flip(both[:, None], renders[None].expand(2, -1, -1, -1, -1)), expected, "float64")
    maps = flip_map(both[:, None], renders[None].expand(2, -1, -1, -1, -1))
    assert_agree(maps.mean(dim=(-2, -1)), expected, "float64")
    assert flip(both[:0], renders[:1]).shape == (0,)


@pytest.mark.parametrize("tile", [(16, 24), (40, 512), (9, 50)])
def test_tiles_equal_the_whole(tile: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    reference, render = pairs()["odd sizes"]
    whole = flip_map(reference, render)
    monkeypatch.setattr(module, "_TILE", tile)
    assert_agree(flip_map(reference, render), whole, "float64", times=1e3)
    assert_agree(flip(reference, render), whole.mean(), "float64")


def test_a_reference_is_seen_once_for_all_its_renders(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, render = pairs()["photograph and noise"]
    images: list[Tensor] = []
    see = module._seen

    def counted(image: Tensor, *arguments: Any) -> Any:
        images.append(image)
        return see(image, *arguments)

    monkeypatch.setattr(module, "_seen", counted)
    flip(reference, torch.stack([render, render, reference]))
    assert len(images) == 1 + 3


@with_every_pair
def test_mask_weighs_the_map(name: str) -> None:
    reference, render = pairs()[name]
    weights = array_masks()[name].astype(np.float64)
    mask = torch.from_numpy(array_masks()[name])[None]
    expected = (flip_map(reference, render).numpy() * weights).sum() / weights.sum()
    assert_agree(flip(reference, render, mask=mask), expected, "float32")
    assert_agree(flip(reference, render, mask=torch.ones_like(mask)), flip(reference, render), "float64")


def test_values_outside_the_range_are_clamped() -> None:
    reference, render = pairs()["photograph and noise"]
    beyond = 1.3 * render - 0.1
    assert_agree(flip(reference, beyond), flip(reference, beyond.clamp(0, 1)), "float64")


def test_gradient_is_the_slope() -> None:
    # Within the range, because values are clamped.
    images = (0.1 + 0.8 * image[:, :24, :20].double() for image in pairs()["photograph and noise"])
    reference, render = (image.requires_grad_() for image in images)
    flip(reference, render).backward()
    step = 1e-6 * torch.randn(render.shape, generator=generator(1), dtype=torch.float64)
    with torch.no_grad():
        slope = (flip(reference, render + step) - flip(reference, render - step)) / 2
    assert render.grad is not None
    assert reference.grad is not None
    assert slope.item() == pytest.approx((render.grad * step).sum().item(), rel=1e-4)
    assert reference.grad.isfinite().all()


def test_gradient_of_equal_images_is_finite() -> None:
    image = torch.full((3, 12, 12), 0.5, dtype=torch.float64, requires_grad=True)
    flip(image, image.detach()).backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()


# --- Protocols --------------------------------------------------------------------------------------------------------


def test_signature_has_the_pixels_per_degree() -> None:
    assert describe("flip", {}).signature == "flip|ppd:67.02064327658226|v1"
    assert describe("flip", {"pixels_per_degree": 30}).signature == "flip|ppd:30|v1"
    assert describe("flip_far", {"pixels_per_degree": 30.5}).signature == "flip|ppd:30.5|v1"
    reference, render = pairs()["odd sizes"]
    metric = describe("flip", {"pixels_per_degree": 30}).build()
    assert_agree(metric.function(reference, render), flip(reference, render, pixels_per_degree=30), "float64")


@pytest.mark.parametrize("ppd", [0, 0.5, 1001, math.nan, "67", True])
@pytest.mark.usefixtures("unchecked")
def test_pixels_per_degree_out_of_range_are_an_error(ppd: Any) -> None:
    image = torch.rand(3, 8, 8)
    with pytest.raises(InputError, match="pixels_per_degree"):
        flip(image, image, pixels_per_degree=ppd)
    with pytest.raises(InputError, match="pixels_per_degree"):
        describe("flip", {"pixels_per_degree": ppd})


@pytest.mark.parametrize("mask", ["windows", "dycheck"])
def test_masks_that_are_not_defined_are_an_error(mask: Any) -> None:
    with pytest.raises(InputError, match=rf"does not support `mask: {mask}`. Use valid-pixels, multiply, fill or bbox"):
        describe("flip", {}, mask)
