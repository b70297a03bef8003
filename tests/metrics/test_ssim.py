from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import pytorch_msssim
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity
from support.agreement import TOLERANCE, assert_agree
from support.pairs import array_pairs, pairs
from support.scenes import noise
from support.window_ssim import TOOLS, extent_of_pair
from support.window_ssim import ssim_map as reference_map
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure as torchmetrics_ssim

import nvs_eval.metrics.ssim.shares as module
from nvs_eval.errors import InputError
from nvs_eval.metrics.ssim.metric import KERNELS, ssim, ssim_map

GOLDEN = Path(__file__).parents[1] / "golden"
FLAT = "flat and flat"
# Kernels of grey images have a range of the grey values or levels; no tool derives it from the pair.
OF_COLOURS = [name for name, kernel in KERNELS.items() if kernel.grey is None]
# Clamping at dm_pix's variance floor of 2^-46 is skipped if C2 is much larger: its effect is 2^-45 / C2 = 3e-11.
WITHOUT_FLOOR = {"dmpix": 40.0}
with_every_kernel = pytest.mark.parametrize("kernel", KERNELS)
with_every_kernel_of_colours = pytest.mark.parametrize("kernel", OF_COLOURS)
with_every_pair = pytest.mark.parametrize("name", pairs())


def doubles(name: str) -> tuple[Tensor, Tensor]:
    reference, render = pairs()[name]
    return reference.double(), render.double()


# --- The definition -----------------------------------------------------------------------------------------------


@with_every_kernel
@with_every_pair
def test_agrees_with_the_definition(name: str, kernel: str) -> None:
    x, y = (image.astype(np.float64) for image in array_pairs()[name])
    score = partial(ssim, kernel=kernel, data_range=255.0 if kernel == "uniform7-gray" else 1.0)
    theirs = reference_map(TOOLS[kernel], x, y, score.keywords["data_range"])
    ours = ssim_map(*doubles(name), **score.keywords)
    times = WITHOUT_FLOOR.get(kernel, 1)
    assert_agree(ours, theirs.transpose(2, 0, 1), "float64", times=max(times, 10))
    assert_agree(score(*doubles(name)), theirs.mean(), "float64", times=times)
    assert_agree(score(*pairs()[name]), theirs.mean(), "float32")


@with_every_kernel_of_colours
@pytest.mark.parametrize("name", [name for name in pairs() if name != FLAT])
def test_agrees_with_the_definition_over_the_range_of_the_pair(name: str, kernel: str) -> None:
    x, y = (image.astype(np.float64) for image in array_pairs()[name])
    theirs = reference_map(TOOLS[kernel], x, y, extent_of_pair(x, y)).mean()
    # A small range makes C2 small too, so rounding errors of the variances have a larger effect: up to 1e-16 / C2.
    assert_agree(ssim(*doubles(name), kernel=kernel, data_range="pair"), theirs, "float64", times=100)
    assert_agree(ssim(*pairs()[name], kernel=kernel, data_range="pair"), theirs, "float32")


@with_every_kernel_of_colours
def test_data_range_scales_the_constants(kernel: str) -> None:
    x, y = doubles("photograph and noise")
    assert_agree(ssim(255 * x, 255 * y, kernel=kernel, data_range=255), ssim(x, y, kernel=kernel), "float64")


def test_variances_are_raised_to_dm_pixs_floor() -> None:
    # Variances of 1e-16, below the floor of 1.4e-14, have an effect because the constants are even smaller.
    x, y = (np.random.RandomState(seed).randn(16, 16, 3) * 1e-8 for seed in (0, 1))
    ours = [torch.from_numpy(image).permute(2, 0, 1) for image in (x, y)]
    clamped, free = (reference_map(TOOLS[kernel], x, y, 1e-6).mean() for kernel in ("dmpix", "valid"))
    assert abs(clamped - free) > 0.01
    assert_agree(ssim(*ours, kernel="dmpix", data_range=1e-6), clamped, "float64")
    assert_agree(ssim(*ours, kernel="valid", data_range=1e-6), free, "float64")


def test_the_lowest_contrast_keeps_its_digits() -> None:
    # Without subtracting a constant, E[x^2] - E[x]^2 would be wrong by 1e-5 here, even in float64.
    x, y = (0.8 + 1e-4 * np.random.RandomState(seed).rand(16, 18, 3) for seed in (0, 1))
    ours = [torch.from_numpy(image).permute(2, 0, 1) for image in (x, y)]
    for kernel in OF_COLOURS:
        theirs = reference_map(TOOLS[kernel], x, y, extent_of_pair(x, y)).mean()
        assert_agree(ssim(*ours, kernel=kernel, data_range="pair"), theirs, "float64", times=1000)


# --- Low precision ------------------------------------------------------------------------------------------------


@with_every_kernel
@pytest.mark.parametrize(
    ("name", "data_range"),
    [(name, data_range) for name in pairs() for data_range in (1.0, "pair") if (name, data_range) != (FLAT, "pair")],
)
def test_float32_is_as_good_as_float64(name: str, kernel: str, data_range: float) -> None:
    score = partial(ssim, kernel=kernel, data_range=data_range)
    assert_agree(score(*pairs()[name]), score(*doubles(name)), "float32")


@st.composite
def hard_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Draw a reference and render, `[16, 18, 3]` float32, of any level and contrast, some with a flat half."""
    random = np.random.RandomState(draw(st.integers(0, 100)))
    level, contrast = draw(st.floats(0, 1)), draw(st.floats(1e-3, 1))
    reference = level + contrast * random.rand(16, 18, 3)
    if draw(st.booleans()):
        reference[:, :9] = level
    error, offset = draw(st.floats(1e-3, 0.1)), draw(st.floats(-0.2, 0.2))
    render = reference + offset + error * random.randn(*reference.shape)
    # Not clamped: the metric accepts any value, and clamping would make some images flat.
    return reference.astype(np.float32), render.astype(np.float32)


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(pair=hard_pairs(), kernel=st.sampled_from(OF_COLOURS), data_range=st.sampled_from([1.0, "pair"]))
def test_float32_agrees_with_the_definition_at_any_contrast(
    pair: tuple[np.ndarray, np.ndarray], kernel: str, data_range: float
) -> None:
    x, y = (image.astype(np.float64) for image in pair)
    theirs = reference_map(TOOLS[kernel], x, y, extent_of_pair(x, y) if data_range == "pair" else 1.0).mean()
    ours = [torch.from_numpy(image).permute(2, 0, 1) for image in pair]
    assert_agree(ssim(*ours, kernel=kernel, data_range=data_range), theirs, "float32")


# --- Peers --------------------------------------------------------------------------------------------------------


@with_every_pair
@pytest.mark.parametrize("kernel", ["valid", "valid-sample", "uniform7-rgb"])
def test_agrees_with_scikit_image(name: str, kernel: str) -> None:
    x, y = (image.astype(np.float64) for image in array_pairs()[name])
    choices = {"use_sample_covariance": kernel != "valid"} | (
        {} if kernel == "uniform7-rgb" else {"gaussian_weights": True, "sigma": 1.5}
    )
    theirs = structural_similarity(x, y, data_range=1, channel_axis=-1, **choices)
    assert_agree(ssim(*doubles(name), kernel=kernel), theirs, "float64")
    assert_agree(ssim(*pairs()[name], kernel=kernel), theirs, "float32")


@with_every_pair
def test_agrees_with_pytorch_msssim(name: str) -> None:
    x, y = (image[None] for image in doubles(name))
    # It builds its window in float32, with an effect of up to 4e-6; with the exact window, it agrees to float64.
    assert_agree(ssim(x[0], y[0]), pytorch_msssim.ssim(y, x, data_range=1), "float32 peer")
    line = torch.exp(-((torch.arange(11) - 5).double() ** 2) / (2 * 1.5**2))
    window = (line / line.sum()).repeat(3, 1, 1, 1)
    assert_agree(ssim(x[0], y[0]), pytorch_msssim.ssim(y, x, data_range=1, win=window), "float64")


@with_every_pair
def test_agrees_with_torchmetrics(name: str) -> None:
    x, y = (image[None] for image in doubles(name))
    assert_agree(ssim(x[0], y[0], kernel="reflect"), torchmetrics_ssim(y, x, data_range=1.0), "float64")
    if name != FLAT:
        # It computes variances as E[x^2] - E[x]^2 of the raw values, with a rounding error of 1e-16 / C2, large for a
        # small range. (The definition, which has no cancellation, agrees with ours: see above.)
        c2 = (0.03 * extent_of_pair(x.numpy(), y.numpy())) ** 2
        theirs = torchmetrics_ssim(y, x, data_range=None)
        times = max(1.0, 1e-15 / c2 / TOLERANCE["float64"])
        assert_agree(ssim(x[0], y[0], kernel="reflect", data_range="pair"), theirs, "float64", times=times)


@with_every_pair
def test_agrees_with_stored_values_of_dm_pix(name: str) -> None:
    theirs = json.loads((GOLDEN / "dm-pix.json").read_text())["values"]["ssim"][name][0]
    assert_agree(ssim(*doubles(name), kernel="dmpix"), theirs, "float64", times=WITHOUT_FLOOR["dmpix"])
    assert_agree(ssim(*pairs()[name], kernel="dmpix"), theirs, "float32")


@with_every_pair
@pytest.mark.parametrize("version", ["1.2.0", "1.4.1"])
def test_agrees_with_stored_values_of_older_torchmetrics(name: str, version: str) -> None:
    golden = json.loads((GOLDEN / f"torchmetrics-{version}.json").read_text())["values"]
    assert_agree(ssim(*doubles(name), kernel="valid"), golden["ssim"][name][0], "float64")
    if name != FLAT:
        theirs = golden["ssim, range of the pair"][name][0]
        assert_agree(ssim(*doubles(name), kernel="valid", data_range="pair"), theirs, "float64")


def test_camera_and_noise_give_the_value_of_scikit_images_test(shared: Path) -> None:
    from skimage.data import camera

    (golden,) = json.loads((shared / "golden" / "known.json").read_text())["ssim"]
    clean = camera()
    noisy = np.clip(clean + 20 * np.random.RandomState(5).randn(*clean.shape), 0, 255).astype(clean.dtype)
    grey = [torch.from_numpy(image.astype(np.float64)).expand(3, -1, -1) for image in (clean, noisy)]
    assert_agree(ssim(*grey, kernel="uniform7-rgb", data_range=golden["data_range"]), golden["value"], "float64")


def test_the_range_of_the_pair_is_another_metric() -> None:
    x, y = pairs()["low contrast"]
    assert ssim(x, y, kernel="reflect") - ssim(x, y, kernel="reflect", data_range="pair") > 0.1


# --- Shapes -------------------------------------------------------------------------------------------------------


@with_every_kernel
@pytest.mark.parametrize("data_range", [1.0, "pair"])
@pytest.mark.parametrize(
    ("reference", "render"), [((), (4,)), ((4,), ()), ((2, 1), (2, 3)), ((2, 1), (1, 3)), ((3,), (3,)), ((1,), (1,))]
)
def test_any_broadcast_equals_a_loop(
    kernel: str, data_range: float, reference: tuple[int, ...], render: tuple[int, ...]
) -> None:
    score = partial(ssim, kernel=kernel, data_range=data_range)
    # The images have different ranges.
    a, b = (noise(*batch, 3, 12, 13, seed=seed) for seed, batch in enumerate((reference, render)))
    a, b = (image * noise(*image.shape[:-3], 1, 1, 1, seed=2) for image in (a, b))
    batch = torch.broadcast_shapes(reference, render)
    rows = zip(*(image.expand(*batch, 3, 12, 13).reshape(-1, 3, 12, 13) for image in (a, b)), strict=True)
    assert_agree(score(a, b), torch.stack([score(x, y) for x, y in rows]).reshape(batch), "float64")


def test_two_images_give_a_scalar() -> None:
    value = ssim(noise(3, 12, 13), noise(3, 12, 13, seed=1))
    assert value.shape == ()
    assert value.dtype == torch.float64


@pytest.mark.parametrize("renders", [1, 5])
def test_reference_is_blurred_once_for_all_renders(renders: int, monkeypatch: pytest.MonkeyPatch) -> None:
    blurred = []
    blur = module.blur
    monkeypatch.setattr(module, "blur", lambda x, taps: blurred.append(x.shape) or blur(x, taps))
    ssim(noise(3, 12, 13), noise(renders, 3, 12, 13, seed=1))
    # Per channel: the reference; and per render, the render, its product with the reference, and the sum of squares.
    assert len(blurred) == 3 * (1 + 3 * renders)


@with_every_kernel
def test_symmetric_and_one_for_identical_images(kernel: str) -> None:
    x, y = pairs()["odd sizes"]
    assert_agree(ssim(x, y, kernel=kernel), ssim(y, x, kernel=kernel), "float64")
    assert_agree(ssim(x, x.clone(), kernel=kernel), 1.0, "float64")


def test_tiles_equal_the_whole() -> None:
    x, y = pairs()["photograph and noise"]
    whole = ssim_map(x, y)
    assert_agree(ssim_map(x[..., :30, :], y[..., :30, :]), whole[..., :20, :], "float64", times=10)


@with_every_kernel
def test_gradient(kernel: str) -> None:
    x, y = (noise(3, 12, 12, seed=seed, dtype=torch.float64).requires_grad_() for seed in (0, 1))
    assert torch.autograd.gradcheck(partial(ssim, kernel=kernel), (x, y), fast_mode=True)
    mask = noise(1, 12, 12, seed=2, dtype=torch.float64)
    assert torch.autograd.gradcheck(partial(ssim, kernel=kernel, mask=mask), (x, y), fast_mode=True)


@with_every_kernel
def test_gradient_of_flat_images_is_finite(kernel: str) -> None:
    y = torch.full((3, 12, 12), 0.4, requires_grad=True)
    (gradient,) = torch.autograd.grad(ssim(torch.full((3, 12, 12), 0.5), y, kernel=kernel), y)
    assert gradient.isfinite().all()


# --- Masks --------------------------------------------------------------------------------------------------------


@with_every_kernel
@pytest.mark.parametrize("full", [torch.ones(1, 20, 24), torch.ones(1, 20, 24, dtype=torch.bool)])
def test_full_mask_has_no_effect(kernel: str, full: Tensor) -> None:
    x, y = noise(3, 20, 24), noise(4, 3, 20, 24, seed=1)
    assert_agree(ssim(x, y, mask=full, kernel=kernel), ssim(x, y, kernel=kernel), "float32")


@with_every_kernel
def test_mask_weights_the_map_at_its_pixels(kernel: str) -> None:
    x, y = noise(3, 20, 24, dtype=torch.float64), noise(3, 20, 24, seed=1, dtype=torch.float64)
    values = ssim_map(x, y, kernel=kernel)
    border = {"valid": 5, "valid-sample": 5, "dmpix": 5, "uniform7-rgb": 3, "uniform7-gray": 3}.get(kernel, 0)
    channels = 3 if kernel in OF_COLOURS else 1
    assert values.shape == (channels, 20 - 2 * border, 24 - 2 * border)
    # A single pixel: the mask at (8, 9) of the image selects the map at the same position.
    point = torch.zeros(1, 20, 24)
    point[0, 8, 9] = 1
    assert_agree(ssim(x, y, mask=point, kernel=kernel), values[:, 8 - border, 9 - border].mean(), "float64")
    weights = noise(1, 20, 24, seed=2, dtype=torch.float64)
    inside = weights[:, border : 20 - border, border : 24 - border]
    expected = (values * inside).sum() / (channels * inside.sum())
    assert_agree(ssim(x, y, mask=weights, kernel=kernel), expected, "float64")


# --- Errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kernel", "smallest"), [("valid", 11), ("dmpix", 11), ("uniform7-rgb", 7), ("reflect", 6)])
@pytest.mark.parametrize("wide", [True, False])
def test_smaller_images_than_the_window_are_an_error(kernel: str, smallest: int, wide: bool) -> None:
    least = noise(3, smallest, smallest)
    assert ssim(least, least.flip(-1), kernel=kernel).isfinite()
    small = least[..., 1:, :] if wide else least[..., 1:]
    size = f"{smallest}x{smallest - 1}" if wide else f"{smallest - 1}x{smallest}"
    with pytest.raises(InputError, match=rf"{kernel}' requires .* {smallest}x{smallest}.*Got {size}"):
        ssim(small, small, kernel=kernel)


def test_zero_padding_takes_any_size() -> None:
    assert ssim(noise(3, 1, 1), noise(3, 1, 1, seed=1), kernel="zero").isfinite()


def test_unknown_kernel_lists_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(
        InputError, match=r"SSIM kernel 'uniform7_rgb'. Did you mean 'uniform7-rgb'\? Known: dmpix, luma5, ref"
    ):
        ssim(noise(3, 12, 12), noise(3, 12, 12), kernel="uniform7_rgb")


@with_every_kernel
def test_two_flat_images_have_no_range(kernel: str) -> None:
    x, y = pairs()[FLAT]
    assert ssim(x, y, kernel=kernel, data_range="pair").isnan()
    one_of_two = ssim(x, torch.stack([y, noise(*y.shape)]), kernel=kernel, data_range="pair")
    assert one_of_two.isnan().tolist() == [True, False]


@pytest.mark.usefixtures("unchecked")
def test_wrong_input_is_an_error() -> None:
    image = noise(3, 12, 13)
    with pytest.raises(InputError, match=r"reference must .*Got torch.uint8"):
        ssim(image.byte(), image.byte())
    with pytest.raises(InputError, match=r"Got 13x12 and 12x12"):
        ssim(image, image[..., :12])
    with pytest.raises(InputError, match=r"mask must .*Got \[1, 12, 12\]"):
        ssim(image, image, mask=image[:1, :, :12])


def test_signatures_tell_the_kernels_apart() -> None:
    signatures = {name: kernel.signature("1") for name, kernel in KERNELS.items()}
    assert signatures == {
        "valid": "win:gauss11s1.5|pad:valid|range:1|cov:population",
        "valid-sample": "win:gauss11s1.5|pad:valid|range:1|cov:sample",
        "dmpix": "win:gauss11s1.5|pad:valid|range:1|cov:population|floor:2^-46|covclamp",
        "reflect": "win:gauss11s1.5|pad:reflect|range:1|cov:population|floor:0",
        "zero": "win:gauss11s1.5|pad:zero|range:1|cov:population",
        "uniform7-rgb": "win:uniform7|pad:valid|range:1|cov:sample",
        "uniform7-gray": "win:uniform7|pad:valid|range:1|cov:sample|grey:bt601-8bit",
        "luma5": "win:ngp5|pad:symmetric|range:1|cov:population|grey:bt709",
    }
