"""Independent implementations compared with other libraries, closed forms and worked examples."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from skimage.metrics import structural_similarity
from support.agreement import assert_agree
from support.pairs import array_masks, array_pairs
from support.window_ssim import DMPIX_WITHOUT_FLOOR, TOOLS, extent_of_pair
from support.window_ssim import ssim_map as window_map

from nvs_eval.diagnostics.verify.pair import Pair, affine, apply_mask, masked_mean, prepare, quadratic, quantise
from nvs_eval.diagnostics.verify.scores import average_error, extent_of, mae, opencv_grey, psnr, ssim, ssim_map

DYCHECK = {"kernel": "dmpix", "data_range": 1, "variance_floor": 0}
every_pair = pytest.mark.parametrize("name", array_pairs())


def doubles(name: str) -> Pair:
    return Pair(*(image.astype(np.float64) for image in array_pairs()[name]))


# --- SSIM -------------------------------------------------------------------------------------------------------------


@every_pair
@pytest.mark.parametrize("kernel", TOOLS)
def test_ssim_agrees_with_every_window_computed_alone(name: str, kernel: str) -> None:
    pair, extent = doubles(name), 255 if kernel == "uniform7-gray" else 1
    expected = window_map(TOOLS[kernel], pair.reference, pair.render, extent)
    # Differences of moments lose digits, and dm_pix's least variance of 2^-46 is ignored.
    assert_agree(ssim_map(pair, kernel, extent), expected, "float64", times=100)


@pytest.mark.parametrize("kernel", ["valid", "dmpix", "reflect", "zero", "luma5"])
def test_ssim_with_a_least_variance_agrees_with_every_window(kernel: str) -> None:
    pair, tool = doubles("photograph and noise"), replace(TOOLS[kernel], least_variance=0.001)
    expected = window_map(tool, pair.reference, pair.render, 1)
    assert_agree(ssim_map(pair, kernel, 1, floor=0.001), expected, "float64", times=10)
    assert np.abs(ssim_map(pair, kernel, 1) - expected).max() > 0.01


@every_pair
def test_uniform7_gray_is_scikit_images_default_of_grey(name: str) -> None:
    x, y = (quantise(image, "truncate").astype(np.float64) for image in array_pairs()[name])
    score: Any = structural_similarity
    expected = score(opencv_grey(x), opencv_grey(y), data_range=255)
    assert_agree(window_map(TOOLS["uniform7-gray"], x, y, 255).mean(), expected, "float64")


def test_grey_agrees_with_opencv() -> None:
    cv2 = pytest.importorskip("cv2")
    levels = np.random.RandomState(0).randint(0, 256, (200, 300, 3)).astype(np.uint8)
    assert np.array_equal(opencv_grey(levels / 255), cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY))


@every_pair
def test_extent_of_a_pair_is_the_larger_of_both_images(name: str) -> None:
    pair = doubles(name)
    assert extent_of(pair) == extent_of_pair(pair.reference, pair.render)


@every_pair
def test_dycheck_with_a_full_mask_is_dm_pix_without_floor(name: str) -> None:
    pair = doubles(name)
    full = replace(pair, mask=np.ones(pair.reference.shape[:2]))
    expected = window_map(DMPIX_WITHOUT_FLOOR, pair.reference, pair.render, 1).mean()
    assert_agree(ssim(full, DYCHECK, "dycheck"), expected, "float64", times=10)
    assert_agree(psnr(full), psnr(pair), "float64", times=100)  # Logarithms lose digits.


def test_dychecks_windows_outside_the_mask_are_one() -> None:
    pair = doubles("two noises")
    empty = replace(pair, mask=np.zeros(pair.reference.shape[:2]))
    assert_agree(ssim(empty, DYCHECK, "dycheck"), 1.0, "float64")


# --- Means ------------------------------------------------------------------------------------------------------------


def test_masked_mean_agrees_with_a_loop() -> None:
    random = np.random.RandomState(0)
    values, mask = random.rand(6, 7, 3), random.rand(10, 11)
    weights = [mask[2 + y, 2 + x] for y in range(6) for x in range(7)]
    sums = [mask[2 + y, 2 + x] * values[y, x].sum() for y in range(6) for x in range(7)]
    assert_agree(masked_mean(values, mask), sum(sums) / (3 * sum(weights)), "float64")
    assert_agree(mae(Pair(values, values + 0.25)), 0.25, "float64")


def test_average_error_of_the_worked_example() -> None:
    assert round(average_error(31, 0.94, 0.12), 6) == 0.028582


def test_multiplying_raises_psnr_by_the_coverage() -> None:
    mask = (array_masks()["photograph and noise"] > 0.5).astype(np.float64)
    masked = replace(doubles("photograph and noise"), mask=mask)
    gain = psnr(apply_mask(masked, "multiply")) - psnr(masked)
    assert_agree(gain, 10 * math.log10(1 / mask.mean()), "float64", times=10)


# --- Preparation ------------------------------------------------------------------------------------------------------


def test_fill_and_bbox_by_hand() -> None:
    pair = Pair(np.zeros((4, 5, 3)), np.ones((4, 5, 3)), np.zeros((4, 5)))
    assert pair.mask is not None
    pair.mask[1, 2:4] = 1, 0.25
    filled = apply_mask(pair, "fill").render[..., 0]
    assert filled.sum() == 1.25
    assert filled[1, 2:4].tolist() == [1, 0.25]
    box = apply_mask(replace(pair, render=np.repeat(filled[..., None], 3, axis=-1)), "bbox")
    assert box.render[..., 0].tolist() == [[1, 0.25]]
    assert box.reference.shape == (1, 2, 3)


@pytest.mark.parametrize(("region", "crop", "columns"), [("full", 1, [1, 2, 3]), ("right-half", 0, [2, 3, 4])])
def test_regions_and_crops_by_hand(region: str, crop: int, columns: list[int]) -> None:
    image = np.broadcast_to(np.arange(5, dtype=np.float32)[:, None], (3, 5, 3))
    rules = dict.fromkeys(("render", "reference", "mask"), "none")
    definition = {"quantise": rules, "out_of_range": "keep", "region": region, "crop": crop}
    prepared = prepare(Pair(image, image, image[..., 0]), definition)
    for part in (prepared.reference[..., 0], prepared.render[..., 0], prepared.mask):
        assert part is not None
        assert part.tolist() == [columns] * (3 - 2 * crop)


def test_quantisation_by_hand() -> None:
    values = np.array([0.0, 0.49, 0.5, 1.5, 2.5, 254.99, 255.0]) / 255
    assert np.rint(quantise(values, "round") * 255).tolist() == [0, 0, 1, 2, 3, 255, 255]
    assert np.rint(quantise(values, "truncate") * 255).tolist() == [0, 0, 0, 1, 2, 254, 255]
    assert quantise(values, "none") is values


# --- Colour correction ------------------------------------------------------------------------------------------------


def test_quadratic_undoes_a_quadratic_that_clips_nothing() -> None:
    render = 0.2 + 0.5 * np.random.RandomState(0).rand(20, 30, 3)
    red, green, blue = np.moveaxis(render, -1, 0)
    reference = np.stack([0.1 + red * green, 0.3 + 0.5 * blue**2, 0.9 * red - 0.1 * blue + 0.1], -1)
    assert_agree(quadratic(render, reference), reference, "float64", times=100)


def test_quadratic_fits_channels_on_separate_pixels() -> None:
    # Red is clipped in half of the reference; the fits of green and blue still use that half.
    reference = 0.2 + 0.6 * np.random.RandomState(0).rand(20, 30, 3)
    reference[:10, :, 1] **= 2
    render = reference.copy()
    reference[:10, :, 0] = 1.0
    render[..., 1] *= 0.9
    corrected = quadratic(render, reference)
    assert np.abs(corrected[10:] - reference[10:]).max() < 1e-9
    assert np.abs(corrected[:10, :, 1:] - reference[:10, :, 1:]).max() < 1e-9


def test_affine_undoes_scale_and_offset() -> None:
    reference = np.random.RandomState(0).rand(20, 30, 3)
    render = np.array([0.5, 0.9, -0.7]) * reference + np.array([0.2, 0.05, 0.8])
    assert_agree(affine(render, reference), reference, "float64", times=100)


def test_affine_can_increase_the_error() -> None:
    # It fits the reference to the render. For noise the slope is near 0, and its inverse moves pixels far away.
    pair = doubles("two noises")
    assert psnr(replace(pair, render=affine(pair.render, pair.reference))) < psnr(pair) - 1


def test_affine_of_a_flat_reference_subtracts_the_renders_mean() -> None:
    pair = doubles("flat and flat")
    expected = np.clip(pair.render - pair.render.mean(), 0, 1)
    assert_agree(affine(pair.render, pair.reference), expected, "float64", times=10)
