"""The independent implementations themselves: against other libraries, closed forms and worked examples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from reference import colour, dycheck, whole
from reference.preparation import bbox, fill, multiply, quantise, right_half
from reference.ssim import DMPIX_WITHOUT_FLOOR, TOOLS, opencv_grey, ssim_map
from scipy.ndimage import convolve1d
from skimage.metrics import structural_similarity
from support.agreement import assert_agree
from support.pairs import array_masks, array_pairs

every_pair = pytest.mark.parametrize("name", array_pairs())


def doubles(name: str) -> tuple[np.ndarray, np.ndarray]:
    reference, render = (image.astype(np.float64) for image in array_pairs()[name])
    return reference, render


@every_pair
def test_luma5_with_scipys_convolution(name: str) -> None:
    x, y = (image @ np.array([0.2126, 0.7152, 0.0722]) for image in doubles(name))

    def blur(image: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            image = convolve1d(image, [0.120078, 0.233881, 0.292082, 0.233881, 0.120078], axis=axis, mode="reflect")
        return image

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y, cov = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2, blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
    expected = luminance * (2 * cov + 9e-4) / (var_x + var_y + 9e-4)
    assert_agree(ssim_map(TOOLS["luma5"], *doubles(name), 1)[..., 0], expected, "float64", times=10)


@every_pair
def test_uniform7_gray_is_scikit_images_default_of_grey(name: str) -> None:
    x, y = (quantise(image, "truncate") for image in doubles(name))
    score: Any = structural_similarity
    theirs = score(opencv_grey(x), opencv_grey(y), data_range=255)
    assert_agree(ssim_map(TOOLS["uniform7-gray"], x, y, 255).mean(), theirs, "float64")


def test_grey_is_opencvs() -> None:
    cv2 = pytest.importorskip("cv2")
    levels = np.random.RandomState(0).randint(0, 256, (200, 300, 3)).astype(np.uint8)
    assert np.array_equal(opencv_grey(levels / 255), cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY))


@every_pair
def test_dycheck_with_a_full_mask_is_dm_pix_without_its_floor(name: str) -> None:
    x, y = doubles(name)
    full = np.ones(x.shape[:2])
    assert_agree(dycheck.ssim(x, y, full), ssim_map(DMPIX_WITHOUT_FLOOR, x, y, 1).mean(), "float64")
    assert_agree(dycheck.psnr(x, y, full), whole.psnr(x, y), "float64", times=100)  # Decibels have fewer digits.


def test_dychecks_windows_without_a_pixel_of_the_mask_count_one() -> None:
    x, y = doubles("two noises")
    assert_agree(dycheck.ssim(x, y, np.zeros(x.shape[:2])), 1.0, "float64")


def test_mipnerf_average_of_the_worked_example() -> None:
    assert round(whole.mipnerf_average(31, 0.94, 0.12), 6) == 0.028582


def test_multiplying_raises_psnr_by_the_coverage() -> None:
    x, y = doubles("photograph and noise")
    mask = (array_masks()["photograph and noise"] > 0.5).astype(np.float64)
    gain = whole.psnr(multiply(x, mask), multiply(y, mask)) - whole.psnr(x, y, mask)
    assert_agree(gain, 10 * math.log10(1 / mask.mean()), "float64", times=10)


def test_fill_bbox_and_halves_by_hand() -> None:
    x, y = np.zeros((4, 5, 3)), np.ones((4, 5, 3))
    mask = np.zeros((4, 5))
    mask[1, 2:4] = 1, 0.25
    filled = fill(x, y, mask)[..., 0]
    assert filled.sum() == 1.25
    assert filled[1, 2:4].tolist() == [1, 0.25]
    assert bbox(filled, mask).tolist() == [[1, 0.25]]
    assert right_half(np.arange(5)[None]).tolist() == [[2, 3, 4]]


def test_quantisation_by_hand() -> None:
    values = np.array([0.0, 0.49, 0.5, 1.5, 2.5, 254.99, 255.0]) / 255
    assert np.rint(quantise(values, "round") * 255).tolist() == [0, 0, 1, 2, 3, 255, 255]
    assert np.rint(quantise(values, "round half to even") * 255).tolist() == [0, 0, 0, 2, 2, 255, 255]
    assert np.rint(quantise(values, "truncate") * 255).tolist() == [0, 0, 0, 1, 2, 254, 255]


# --- Colour correction --------------------------------------------------------------------------------------------


def test_quadratic_undoes_a_quadratic_that_clips_nothing() -> None:
    render = 0.2 + 0.5 * np.random.RandomState(0).rand(20, 30, 3)
    red, green, blue = np.moveaxis(render, -1, 0)
    reference = np.stack([0.1 + red * green, 0.3 + 0.5 * blue**2, 0.9 * red - 0.1 * blue + 0.1], -1)
    assert_agree(colour.quadratic(render, reference), reference, "float64", times=100)
    assert_agree(colour.quadratic(render, reference, kind=np.float32), reference, "float32", times=10)


def test_quadratic_takes_each_channels_own_pixels() -> None:
    # Red is clipped in half of the reference, where the fit of green and blue still sees what they are.
    reference = 0.2 + 0.6 * np.random.RandomState(0).rand(20, 30, 3)
    reference[:10, :, 1] **= 2
    render = reference.copy()
    reference[:10, :, 0] = 1.0
    render[..., 1] *= 0.9
    corrected = colour.quadratic(render, reference)
    assert np.abs(corrected[10:] - reference[10:]).max() < 1e-9
    assert np.abs(corrected[:10, :, 1:] - reference[:10, :, 1:]).max() < 1e-9


def test_affine_undoes_scale_and_offset() -> None:
    reference = np.random.RandomState(0).rand(20, 30, 3)
    render = np.array([0.5, 0.9, -0.7]) * reference + np.array([0.2, 0.05, 0.8])
    assert_agree(colour.affine(render, reference), reference, "float64", times=100)


def test_affine_can_end_up_further_away() -> None:
    # It fits the reference to the render: of mere noise the slope is near 0, and its inverse throws pixels far away.
    x, y = doubles("two noises")
    assert whole.psnr(x, colour.affine(y, x)) < whole.psnr(x, y) - 1


def test_affine_of_a_flat_reference_leaves_the_render_about_its_mean() -> None:
    x, y = doubles("flat and flat")
    assert_agree(colour.affine(y, x), np.clip(y - y.mean(), 0, 1), "float64", times=10)
