from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from support.agreement import assert_agree, generator
from support.scenes import noise
from torch import Tensor
from torchvision.utils import save_image

from nvs_eval.errors import InputError
from nvs_eval.images.pixels import (
    Quantisation,
    by_planes,
    check_image,
    check_mask,
    composite,
    crop_border,
    linear_to_srgb,
    quantise,
    sha256_of_image,
    sha256_of_mask,
)
from nvs_eval.metrics.psnr.metric import psnr

LEVELS = torch.arange(256) / 255


# --- The contract -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(4, 5, 3, dtype=torch.uint8), r"^It must be float32 in \[0, 1\]\. Got torch.uint8"),
        (torch.zeros(4, 5, 3, dtype=torch.float64), r"^It must be float32 in \[0, 1\]\. Got torch.float64"),
        (torch.zeros(3, 4, 5), r"^It must have shape \[height, width, 3\]\. Got \[3, 4, 5\]"),
        (torch.zeros(4, 5, 4), r"^It must have shape .*\[4, 5, 4\]"),
        (torch.zeros(4, 3), r"^It must have shape .*\[4, 3\]"),
        (torch.zeros(0, 5, 3), r"^It must have shape .*\[0, 5, 3\]"),
        (torch.zeros(4, 5, 3).index_fill(0, torch.tensor(1), torch.nan), r"^It .* NaN or infinite .* in 5 pixels"),
        (torch.zeros(4, 5, 3).index_fill(2, torch.tensor(1), torch.inf), r"^It .* NaN or infinite .* in 20 pixels"),
    ],
)
def test_images_that_violate_the_contract_are_refused(image: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_image(image, what="It")


def test_an_image_beyond_0_and_1_passes() -> None:
    check_image(3 * noise(4, 5, 3) - 0.5, what="It")
    few = noise(40, 50, 3)
    few[0, :20] = -8.0  # 1 %.
    assert check_image(few, what="It")[0] == -8


def test_images_from_minus_1_to_1_are_refused() -> None:
    image = 2 * noise(40, 50, 3) - 1
    share = 100 * (image < -0.5).float().mean()
    with pytest.raises(InputError, match=rf"^It must be in \[0, 1\]\. Got .* down to -0\.9.*, {share:.0f} % of them"):
        check_image(image, what="It")
    check_image((image + 1) / 2, what="It")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(4, 5, dtype=torch.bool), r"^It must be float32 of shape \[4, 5\].* Got torch.bool of shape"),
        (torch.ones(5, 4), r"^It must be float32 of shape \[4, 5\].* Got torch.float32 of shape \[5, 4\]"),
        (torch.ones(4, 5, 1), r"^It must be .* Got torch.float32 of shape \[4, 5, 1\]"),
        (torch.full((4, 5), 255.0), r"^It has values outside \[0, 1\]"),
        (torch.full((4, 5), torch.nan), r"^It has values outside \[0, 1\]"),
    ],
)
def test_masks_that_do_not_fit_the_image_are_refused(mask: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_mask(mask, torch.zeros(4, 5, 3), what="It")
    check_mask(noise(4, 5), torch.zeros(4, 5, 3), what="It")


def test_sha256_is_over_shape_and_little_endian_pixels() -> None:
    image = noise(2, 3, 3)
    data = struct.pack("<3q", 2, 3, 3) + struct.pack("<18f", *image.flatten().tolist())
    assert sha256_of_image(image) == hashlib.sha256(data).hexdigest()
    # The hash does not depend on the memory layout.
    turned = image.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert sha256_of_image(turned) == sha256_of_image(image)
    assert sha256_of_image(image.reshape(3, 2, 3)) != sha256_of_image(image)


def test_sha256_of_a_mask_is_over_its_two_sizes_and_weights() -> None:
    mask = noise(2, 3)
    data = struct.pack("<2q", 2, 3) + struct.pack("<6f", *mask.flatten().tolist())
    assert sha256_of_mask(mask) == hashlib.sha256(data).hexdigest() != sha256_of_mask(mask.reshape(3, 2))


# --- 8 bits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["none", "round", "truncate"])
@pytest.mark.parametrize("levels", [LEVELS, torch.arange(256).double() / 255])
def test_all_levels_are_unchanged(rule: Quantisation, levels: Tensor) -> None:
    assert torch.equal(quantise(levels, rule), levels)


@pytest.mark.parametrize("rule", ["round", "truncate"])
def test_an_image_of_levels_is_not_copied(rule: Quantisation) -> None:
    levels = (torch.arange(256).double() / 255).reshape(16, 16)
    assert quantise(levels, rule) is levels
    assert quantise(levels + 1e-3, rule) is not levels


def test_by_planes_keeps_the_values() -> None:
    image = noise(4, 5, 3)
    turned = by_planes(image)
    assert torch.equal(turned, image)
    assert turned.permute(2, 0, 1).is_contiguous()
    assert by_planes(turned).data_ptr() == turned.data_ptr()


def test_round_is_to_the_nearest_and_truncate_to_the_level_below() -> None:
    between = (torch.arange(255).double()[:, None] + torch.tensor([0.1, 0.4, 0.6, 0.9])) / 255
    below, above = torch.arange(255).double() / 255, torch.arange(1, 256).double() / 255
    assert torch.equal(quantise(between, "truncate"), below[:, None].expand(-1, 4))
    assert torch.equal(quantise(between, "round"), torch.stack([below, below, above, above], dim=-1))


def test_ties_go_up() -> None:
    ties = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])
    assert (ties * 255).tolist() == [25.5, 76.5, 127.5, 178.5, 229.5]
    assert (quantise(ties, "round") * 255).tolist() == [26, 77, 128, 179, 230]  # Half to even would be 76, 178, ...


def test_round_is_what_torchvision_saves(tmp_path: Path) -> None:
    from imageio.v3 import imread

    image = torch.cat(
        [noise(3, 60, 40), torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]).expand(3, 8, 5).repeat(1, 1, 8)], dim=1
    )
    save_image(image, tmp_path / "saved.png")
    saved = torch.from_numpy(imread(tmp_path / "saved.png")).permute(2, 0, 1) / 255
    assert torch.equal(quantise(image, "round"), saved)


def test_truncate_is_nerfs_to8b() -> None:
    image = noise(3, 60, 40)
    to8b = (255 * np.clip(image.numpy(), 0, 1)).astype(np.uint8)
    assert torch.equal(quantise(image, "truncate"), torch.from_numpy(to8b) / 255)


@pytest.mark.parametrize(("before", "cost"), [(35, 0.07), (40, 0.22), (45, 0.65)])
def test_truncation_lowers_psnr(before: float, cost: float) -> None:
    seeded = generator(0)
    reference = torch.randint(60, 200, (3, 400, 400), generator=seeded) / 255
    render = reference + 10 ** (-before / 20) * torch.randn(reference.shape, generator=seeded)
    assert psnr(reference, render).item() == pytest.approx(before, abs=0.02)
    truncated = psnr(quantise(reference, "truncate"), quantise(render, "truncate")).item()
    assert before - truncated == pytest.approx(cost, abs=0.03)
    rounded = psnr(quantise(reference, "round"), quantise(render, "round")).item()
    assert before - rounded < cost / 2


# --- Colour -------------------------------------------------------------------------------------------------------


def srgb_to_linear(image: Tensor) -> Tensor:
    """Inverse of the tested function, as IEC 61966-2-1 defines it."""
    curve = ((image.clamp(min=0.04045) + 0.055) / 1.055).pow(2.4)
    return torch.where(image <= 0.04045, image / 12.92, curve)


def test_srgb_round_trip() -> None:
    values = torch.cat([torch.linspace(0, 1, 10_001), torch.tensor([-0.1, 1.5, 0.0031308, 0.04045])])
    assert_agree(srgb_to_linear(linear_to_srgb(values)), values, "float32")
    assert_agree(linear_to_srgb(srgb_to_linear(values)), values, "float32")


@pytest.mark.parametrize(
    ("linear", "encoded"),
    [(0.0, 0.0), (1.0, 1.0), (0.5, 0.7353569830524495), (0.18, 0.4613561295004416), (0.002, 0.02584), (-0.1, -1.292)],
)
def test_srgb_known_values(linear: float, encoded: float) -> None:
    assert_agree(linear_to_srgb(torch.tensor(linear, dtype=torch.float64)), encoded, "float64")
    assert_agree(srgb_to_linear(torch.tensor(encoded, dtype=torch.float64)), linear, "float64")


def test_srgb_has_no_step_and_a_finite_gradient() -> None:
    joint = torch.tensor([0.0031308 - 1e-9, 0.0031308 + 1e-9], dtype=torch.float64)
    assert linear_to_srgb(joint).diff().abs().item() < 1e-7
    values = torch.tensor([-1.0, 0.0, 0.001, 0.5, 1.0], requires_grad=True)
    for curve in (linear_to_srgb, srgb_to_linear):
        (gradient,) = torch.autograd.grad(curve(values).sum(), values)
        assert gradient.isfinite().all()
        assert (gradient > 0).all()


def test_composite_lays_straight_alpha_over_a_background() -> None:
    image, alpha = noise(4, 5, 3), noise(4, 5, 1, seed=1)
    assert torch.equal(composite(image, torch.ones(4, 5, 1), (0.2, 0.4, 0.6)), image)
    assert torch.equal(composite(image, torch.zeros(4, 5, 1), (0.25, 0.5, 1))[3, 4], torch.tensor([0.25, 0.5, 1.0]))
    over = composite(image, alpha, (1.0, 1.0, 1.0))
    assert_agree(over[2, 3, 1], (image[2, 3, 1] * alpha[2, 3, 0] + 1 - alpha[2, 3, 0]).item(), "float32")


# --- Cropping -----------------------------------------------------------------------------------------------------


def test_crop_removes_pixels_on_each_side() -> None:
    image = noise(2, 3, 7, 9)
    assert torch.equal(crop_border(image, 0), image)
    assert torch.equal(crop_border(image, 2), image[..., 2:5, 2:7])
    assert crop_border(image, 3).shape == (2, 3, 1, 3)
    with pytest.raises(InputError, match=r"4 pixels .* 9x7"):
        crop_border(image, 4)
