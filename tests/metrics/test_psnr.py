from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from jaxtyping import TypeCheckError
from skimage.metrics import peak_signal_noise_ratio
from support.agreement import assert_agree
from support.pairs import pairs
from support.scenes import noise
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio as torchmetrics_psnr

from nvs_eval.errors import InputError
from nvs_eval.metrics.psnr.metric import mse, psnr

# --- Closed forms -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("offset", "decibels"), [(0.1, 20.0), (0.01, 40.0), (1.0, 0.0), (0.5, 20 * math.log10(2))])
def test_constant_offset(offset: float, decibels: float) -> None:
    flat = torch.zeros(3, 5, 7, dtype=torch.float64)
    assert_agree(psnr(flat, flat + offset), decibels, "float64")
    assert_agree(psnr(flat.float(), flat.float() + offset), decibels, "float32")


def test_identical_images_give_infinity_and_not_eighty_decibels() -> None:
    image = noise(3, 9, 9)
    assert psnr(image, image.clone()).item() == math.inf


def test_data_range_is_the_peak() -> None:
    flat = torch.zeros(3, 5, 7, dtype=torch.float64)
    assert_agree(psnr(flat, flat + 25.5, data_range=255), 20.0, "float64")
    image, other = noise(3, 8, 8, dtype=torch.float64), noise(3, 8, 8, seed=1, dtype=torch.float64)
    assert_agree(psnr(255 * image, 255 * other, data_range=255), psnr(image, other), "float64")


def test_mse_is_in_squared_units() -> None:
    flat = torch.zeros(3, 4, 4, dtype=torch.float64)
    assert_agree(mse(flat, flat + 3), 9.0, "float64")


def test_sums_are_in_float64() -> None:
    a, b = noise(3, 50, 60), noise(3, 50, 60, seed=1)
    squares = (a - b).square().double()
    assert_agree(mse(a, b), squares.mean(), "float64")
    mask = noise(1, 50, 60, seed=2)
    weighted = ((a - b).square() * mask).double().sum() / (3 * mask.double().sum())
    assert_agree(mse(a, b, mask=mask), weighted, "float64")


# --- Peers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", pairs())
def test_agrees_with_scikit_image(name: str) -> None:
    reference, render = pairs()[name]
    theirs = peak_signal_noise_ratio(reference.double().numpy(), render.double().numpy(), data_range=1)
    assert_agree(psnr(reference.double(), render.double()), theirs, "float64")
    assert_agree(psnr(reference, render), theirs, "float32")


@pytest.mark.parametrize("name", pairs())
def test_agrees_with_torchmetrics(name: str) -> None:
    reference, render = (image[None].double() for image in pairs()[name])
    # Its 10 / ln(10) is always a float32, so its relative error is 5e-8.
    assert_agree(psnr(reference[0], render[0]), torchmetrics_psnr(render, reference, data_range=1.0), "float32 peer")
    # torchmetrics pools the errors of a batch; the mean of decibels is another number.
    batch = torch.cat([render, 0.9 * render + 0.05])
    pooled = torchmetrics_psnr(batch, reference.expand_as(batch), data_range=1.0)
    assert_agree(10 * torch.log10(1 / mse(reference, batch).mean()), pooled, "float32 peer")


# --- Shapes -------------------------------------------------------------------------------------------------------


def loop(reference: Tensor, render: Tensor, metric: Callable[[Tensor, Tensor], Tensor] = psnr) -> Tensor:
    batch = torch.broadcast_shapes(reference.shape[:-3], render.shape[:-3])
    rows = zip(
        *(image.expand(*batch, *image.shape[-3:]).flatten(0, len(batch) - 1) for image in (reference, render)),
        strict=True,
    )
    return torch.stack([metric(a, b) for a, b in rows]).reshape(batch)


@pytest.mark.parametrize(
    ("reference", "render"),
    [((), (4,)), ((4,), ()), ((2, 1), (2, 4)), ((2, 1), (1, 4)), ((3,), (3,)), ((1,), (1,)), ((2, 1), (4,))],
)
def test_any_broadcast_equals_a_loop(reference: tuple[int, ...], render: tuple[int, ...]) -> None:
    a, b = noise(*reference, 3, 6, 8), noise(*render, 3, 6, 8, seed=1)
    assert_agree(psnr(a, b), loop(a, b), "float64")


def test_two_images_give_a_scalar() -> None:
    value = psnr(noise(3, 6, 8), noise(3, 6, 8, seed=1))
    assert value.shape == ()
    assert value.dtype == torch.float64


def test_symmetric() -> None:
    a, b = noise(3, 6, 8), noise(4, 3, 6, 8, seed=1)
    assert torch.equal(psnr(a, b), psnr(b, a))


def test_gradient() -> None:
    a, b = (noise(2, 3, 4, 5, seed=seed, dtype=torch.float64).requires_grad_() for seed in (0, 1))
    assert torch.autograd.gradcheck(psnr, (a, b))
    mask = noise(1, 4, 5, seed=2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x, y: psnr(x, y, mask=mask), (a, b))


# --- Masks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "full", [torch.ones(1, 6, 8), torch.ones(1, 6, 8, dtype=torch.bool), torch.full((1, 6, 8), 0.3)]
)
def test_full_mask_has_no_effect(full: Tensor) -> None:
    a, b = noise(3, 6, 8), noise(4, 3, 6, 8, seed=1)
    assert_agree(psnr(a, b, mask=full), psnr(a, b), "float32")


def test_masked_pixels_do_not_count() -> None:
    a, b = noise(3, 6, 8), noise(3, 6, 8, seed=1)
    mask = torch.zeros(1, 6, 8, dtype=torch.bool)
    mask[:, 1:5, 2:7] = True
    inverted = torch.where(mask, b, 1 - b)
    assert_agree(psnr(a, inverted, mask=mask), psnr(a[:, 1:5, 2:7], b[:, 1:5, 2:7]), "float32")
    assert psnr(a, inverted) != psnr(a, b)


def test_mask_values_are_weights_of_the_mean() -> None:
    a, b = (noise(3, 6, 8, seed=seed, dtype=torch.float64) for seed in (0, 1))
    weights = noise(1, 6, 8, seed=2, dtype=torch.float64)
    squares = (a - b).square()
    assert_agree(mse(a, b, mask=weights), (squares * weights).sum() / (3 * weights.sum()), "float64")


def test_multiplying_by_a_mask_adds_its_coverage_in_decibels() -> None:
    a, b = (noise(3, 6, 8, seed=seed, dtype=torch.float64) for seed in (0, 1))
    mask = (noise(1, 6, 8, seed=2) > 0.7).double()
    gain = 10 * math.log10(1 / mask.mean().item())
    assert_agree(psnr(a * mask, b * mask), psnr(a, b, mask=mask) + gain, "float64")


def test_each_image_of_a_batch_has_its_own_mask() -> None:
    a, b, masks = noise(2, 3, 6, 8), noise(2, 3, 6, 8, seed=1), noise(2, 1, 6, 8, seed=2)
    separate = torch.stack([psnr(a[i], b[i], mask=masks[i]) for i in range(2)])
    assert_agree(psnr(a, b, mask=masks), separate, "float64")
    assert psnr(a[0], b[0], mask=masks).shape == (2,)


# --- Errors -------------------------------------------------------------------------------------------------------

IMAGE = torch.zeros(3, 6, 8)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("reference", "render", "mask", "message"),
    [
        (IMAGE.byte(), IMAGE, None, r"reference must .* \[0, 1\]\. Got torch.uint8"),
        (IMAGE, IMAGE.byte(), None, r"render must .* \[0, 1\]\. Got torch.uint8"),
        (IMAGE, IMAGE[0], None, r"render must .* \[..., 3, height, width\]\. Got \[6, 8\]"),
        (IMAGE.permute(1, 2, 0), IMAGE, None, r"reference must .* \[..., 3, height, width\]\. Got \[6, 8, 3\]"),
        (IMAGE, IMAGE[..., :7], None, r"same size\. Got 8x6 and 7x6"),
        (IMAGE[..., :0], IMAGE[..., :0], None, r"reference must .* pixel\. Got shape \[3, 6, 0\]"),
        (IMAGE, IMAGE.double(), None, r"Got torch.float32 on cpu and torch.float64 on cpu"),
        (IMAGE.expand(2, 3, 6, 8), IMAGE.expand(5, 3, 6, 8), None, r"must broadcast.* Got \[2\] and \[5\]"),
        (IMAGE, IMAGE, IMAGE, r"mask must have shape \[..., 1, 6, 8\] for images of 8x6\. Got \[3, 6, 8\]"),
        (IMAGE, IMAGE, IMAGE[0], r"mask must have shape \[..., 1, 6, 8\] .*Got \[6, 8\]"),
        (IMAGE, IMAGE, IMAGE[:1].byte(), r"mask must .* \[0, 1\]\. Got torch.uint8"),
    ],
)
def test_wrong_input_is_an_error(reference: Tensor, render: Tensor, mask: Tensor | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        psnr(reference, render, mask=mask)


@pytest.mark.parametrize(
    ("reference", "render"),
    [(IMAGE, IMAGE[..., :7]), (IMAGE, IMAGE.byte()), (IMAGE.expand(2, 3, 6, 8), IMAGE.expand(5, 3, 6, 8))],
)
def test_shapes_in_annotations_are_checked_under_test(reference: Tensor, render: Tensor) -> None:
    with pytest.raises(TypeCheckError, match=r"nvs_eval\.metrics\.psnr\.metric\.psnr"):
        psnr(reference, render)
