"""Colour correction: against the independent implementation of `verify`, closed forms, and its place in preparation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from support.agreement import assert_agree
from support.pairs import array_pairs, pairs
from support.protocols import LIGHT, changed, rounding
from support.scenes import float_image, image
from support.scoring import scores, view
from torch import Tensor

from nvs_eval.diagnostics.verify.pair import affine, quadratic
from nvs_eval.evaluation.prepare import prepare
from nvs_eval.images.pixels import quantise
from nvs_eval.metrics.colour_correction import Correction, correct_colours
from nvs_eval.metrics.psnr.metric import psnr
from nvs_eval.protocols import load_protocol

Array = np.ndarray[Any, np.dtype[np.float64]]
PHOTOGRAPH = "photograph and noise"
FLOATS = rounding()
with_both = pytest.mark.parametrize("how", ["quadratic", "affine"])


def decibels(a: Array, b: Array) -> float:
    error = ((a - b) ** 2).mean()
    return math.inf if error == 0 else -10 * math.log10(error)


def doubles(name: str) -> tuple[Tensor, Tensor]:
    reference, render = pairs()[name]
    return reference.double(), render.double()


FLAT = ("flat and noise", "flat and flat", "stars")  # The fit to these is underdetermined.


# The negative is restored except for rounding errors, whose decibels are meaningless.
@pytest.mark.parametrize("name", sorted(set(pairs()) - {*FLAT, "photograph and its negative"}))
@with_both
def test_agrees_with_the_definition(name: str, how: Correction) -> None:
    x, y = (picture.astype(np.float64) for picture in array_pairs()[name])
    theirs = (quadratic if how == "quadratic" else affine)(y, x)
    reference, render = doubles(name)
    ours = correct_colours(reference, render, how)
    expected = decibels(x, theirs)
    assert abs(psnr(reference, ours).item() - expected) < 1e-8
    # Computed in float64 for images of any dtype.
    assert abs(psnr(pairs()[name][0], correct_colours(*pairs()[name], how)).item() - expected) < 1e-4
    assert correct_colours(*pairs()[name], how).dtype == torch.float32
    assert abs(decibels(x, y) - expected) > 1e-3


@with_both
def test_a_render_equal_to_the_reference_is_unchanged(how: Correction) -> None:
    reference, _ = doubles(PHOTOGRAPH)
    assert_agree(correct_colours(reference, reference.clone(), how), reference, "float64", times=1000)


LINE = [(0.8, 0.1), (0.6, 0.05), (0.7, 0.25)]


def transformed(reference: Tensor) -> Tensor:
    """Scale and shift each channel without clipping."""
    return torch.stack([scale * channel + offset for channel, (scale, offset) in zip(reference, LINE, strict=True)])


def middling(reference: Tensor) -> Tensor:
    return 0.1 + 0.8 * reference


@with_both
def test_scaling_and_shifting_are_undone(how: Correction) -> None:
    reference = middling(doubles(PHOTOGRAPH)[0])
    render = transformed(reference)
    assert psnr(reference, render) < 25
    assert psnr(reference, correct_colours(reference, render, how)) > 150


def test_only_the_quadratic_fit_undoes_mixing() -> None:
    reference = middling(doubles(PHOTOGRAPH)[0])
    mixed = torch.stack([(reference[[0, 1]] * 0.5).sum(0), (reference[[1, 2]] * 0.5).sum(0), 0.9 * reference[2]])
    corrected = {how: psnr(reference, correct_colours(reference, mixed, how)) for how in ("quadratic", "affine")}
    assert corrected["quadratic"] > 150
    assert corrected["affine"] < 50


def test_the_affine_fit_can_end_up_further_away() -> None:
    # It fits the reference to the render; noise in the render is amplified when the fit is inverted.
    reference, render = doubles("two noises")
    assert psnr(reference, correct_colours(reference, render, "affine")) < psnr(reference, render) - 1
    assert psnr(reference, correct_colours(reference, render, "quadratic")) > psnr(reference, render) + 1


def test_the_affine_fit_to_a_flat_reference_subtracts_the_mean() -> None:
    render = doubles(PHOTOGRAPH)[1]
    flat = torch.full_like(render, 0.5)
    mean = render.mean(dim=(-2, -1), keepdim=True)
    # The scale is 0, so the offset is the render's mean, and a scale of 1 is used.
    assert_agree(correct_colours(flat, render, "affine"), (render - mean).clamp(0, 1), "float64")


def test_the_affine_fit_raises_the_smallest_variances() -> None:
    reference = 0.5 + 1e-5 * (doubles("two noises")[0] - 0.5)  # The variance is near 1e-11.
    render = 0.5 + 1e4 * (reference - 0.5)
    variance = reference.var(dim=(-2, -1), correction=0, keepdim=True)
    assert variance.max() < 1e-10
    # The covariance is 1e4 times the variance, and is divided by 1e-8 instead of the variance.
    scale = 1e4 * variance / 1e-8
    mean_s, mean_t = (picture.mean(dim=(-2, -1), keepdim=True) for picture in (render, reference))
    expected = ((render - (mean_s - scale * mean_t)) / scale).clamp(0, 1)
    assert_agree(correct_colours(reference, render, "affine"), expected, "float64", times=1e4)


@with_both
def test_flat_images_stay_finite_and_in_range(how: Correction) -> None:
    for name in FLAT:
        corrected = correct_colours(*pairs()[name], how)
        assert corrected.isfinite().all()
        assert 0 <= corrected.min() <= corrected.max() <= 1


# --- Preparation ----------------------------------------------------------------------------------------------------


def planes(picture: Tensor) -> Tensor:
    return picture.permute(2, 0, 1)


@with_both
def test_the_fit_uses_clamped_but_not_quantised_images(how: Any) -> None:
    reference, render = planes(float_image(0)), 1.4 * planes(float_image(0)) ** 1.2 - 0.1
    protocol = changed(out_of_range="clamp", quantise=rounding("round", "truncate")).colour_corrected(how)
    prepared = prepare(reference, render[None], None, protocol, view_name="a")
    assert prepared.corrected is not None
    fitted = correct_colours(reference, render.clamp(0, 1), how)
    assert torch.equal(prepared.corrected[0], quantise(fitted, "round"))
    for other in (
        correct_colours(reference, render, how),
        correct_colours(reference, quantise(render.clamp(0, 1), "round"), how),
        correct_colours(quantise(reference, "truncate"), render.clamp(0, 1), how),
    ):
        assert not torch.equal(prepared.corrected[0], quantise(other, "round"))
    # Plain scores use the render without the fit.
    assert torch.equal(prepared.renders[0], quantise(render.clamp(0, 1), "round"))


def test_values_kept_beyond_the_range_are_fitted_unclamped() -> None:
    reference, render = planes(float_image(0)), 1.4 * planes(float_image(0)) - 0.1
    protocol = changed(out_of_range="keep", quantise=FLOATS).colour_corrected("affine")
    prepared = prepare(reference, render[None], None, protocol, view_name="a")
    assert prepared.corrected is not None
    assert torch.equal(prepared.corrected[0], correct_colours(reference, render, "affine"))
    assert prepared.renders.max() > 1


def test_the_fit_uses_the_whole_image_and_is_cropped_afterwards() -> None:
    reference, render = planes(image(0)), planes(image(1))
    protocol = changed(crop=4, region="right-half", quantise=FLOATS).colour_corrected("quadratic")
    prepared = prepare(reference, render[None], None, protocol, view_name="a")
    assert prepared.corrected is not None
    whole = correct_colours(reference, render, "quadratic")
    assert torch.equal(prepared.corrected[0], whole[:, 4:-4, 28:-4])


@with_both
def test_corrected_scores_are_reported_beside_the_plain_ones(how: Any) -> None:
    reference = middling(planes(float_image(0)))
    renders = [transformed(reference), planes(float_image(1))]
    protocol = changed(quantise=FLOATS, metrics={"mae": {}})
    scored = view(*(picture.permute(1, 2, 0).contiguous() for picture in (reference, *renders)))
    plain, corrected = scores([protocol, protocol.colour_corrected(how)], scored)
    assert {name: corrected[name] for name in plain} == plain
    assert list(corrected) == ["psnr", "ssim", "mae", "cc_psnr", "cc_ssim", "cc_mae"]
    fitted = [correct_colours(reference, render, how) for render in renders]
    assert_agree(corrected["cc_psnr"], torch.stack([psnr(reference, render) for render in fitted]), "float32")
    assert corrected["cc_psnr"][0] > 100
    assert corrected["psnr"][0] < 25
    assert corrected["cc_ssim"][0] > 0.99999 > corrected["ssim"][0]
    assert corrected["cc_mae"][0] < 1e-6 < corrected["mae"][0]


def test_any_protocol_can_be_corrected() -> None:
    for name in ("nerf", "instant-ngp", "zipnerf-pytorch"):
        protocol = load_protocol(name)
        (corrected,) = scores(protocol.colour_corrected("quadratic"), view(image(0), image(1)))
        assert list(corrected) == [*protocol.metrics, *(f"cc_{metric}" for metric in protocol.metrics)]
        for metric in protocol.metrics:
            assert corrected[f"cc_{metric}"] != corrected[metric]
    assert "cc_psnr" not in scores(LIGHT, view(image(0), image(1)))[0]
