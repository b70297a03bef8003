"""Arguments that all metrics share: half precision, and values of other types."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from support.agreement import assert_agree
from support.scenes import noise
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.metrics.colour_correction import correct_colours
from nvs_eval.metrics.lpips.metric import Lpips
from nvs_eval.metrics.mae.metric import mae
from nvs_eval.metrics.mipnerf_average.metric import mipnerf_average
from nvs_eval.metrics.psnr.metric import mse, psnr
from nvs_eval.metrics.ssim.metric import KERNELS, ssim, ssim_map

with_both_halves = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])

# --- Half precision -----------------------------------------------------------------------------------------------


@with_both_halves
def test_an_error_whose_square_is_0_in_float16_counts(dtype: torch.dtype) -> None:
    flat = torch.zeros(3, 5, 7, dtype=dtype)
    assert_agree(psnr(flat, flat + 2**-14), 20 * math.log10(2**14), "float64")  # 84.29 dB, where float16 gave inf
    assert_agree(mae(flat, flat + 2**-14), 2.0**-14, "float64")


@with_both_halves
def test_half_precision_agrees_with_scikit_image(dtype: torch.dtype) -> None:
    a, b = noise(3, 40, 50).to(dtype), noise(3, 40, 50, seed=1).to(dtype)
    theirs = peak_signal_noise_ratio(a.double().numpy(), b.double().numpy(), data_range=1)
    assert_agree(psnr(a, b), theirs, "float32")
    assert psnr(a, b).dtype == torch.float64


@with_both_halves
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("data_range", [1.0, "pair"])
def test_ssim_of_half_precision_is_that_of_the_same_values(dtype: torch.dtype, kernel: str, data_range: Any) -> None:
    a, b = noise(3, 24, 26).to(dtype), noise(3, 24, 26, seed=1).to(dtype)
    how: Any = {"kernel": kernel, "data_range": data_range}
    assert_agree(ssim(a, b, **how), ssim(a.double(), b.double(), **how), "float64")
    assert_agree(ssim_map(a, b, **how), ssim_map(a.double(), b.double(), **how), "float64")


@with_both_halves
def test_lpips_of_half_precision_is_that_of_the_same_values(dtype: torch.dtype, lpips_of: Callable[..., Lpips]) -> None:
    lpips = lpips_of("squeeze")
    a, b = noise(3, 40, 40).to(dtype), noise(3, 40, 40, seed=1).to(dtype)
    assert_agree(lpips(a, b), lpips(a.float(), b.float()), "float64")


@with_both_halves
@pytest.mark.parametrize("metric", [psnr, mae, mse, ssim])
def test_gradients_have_the_dtype_of_the_images(dtype: torch.dtype, metric: Callable[..., Tensor]) -> None:
    a, b = noise(3, 16, 16).to(dtype), noise(3, 16, 16, seed=1).to(dtype)
    halves, floats = a.clone().requires_grad_(), a.float().requires_grad_()
    metric(b, halves).backward()
    metric(b.float(), floats).backward()
    assert halves.grad is not None
    assert floats.grad is not None
    assert halves.grad.dtype == dtype
    assert torch.equal(halves.grad, floats.grad.to(dtype))


# --- Errors -------------------------------------------------------------------------------------------------------

IMAGE = noise(3, 40, 40)
ARRAY = IMAGE.numpy()
TENSOR = r"must be a torch tensor of shape .*\. Got {}\. Convert it"


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("metric", [psnr, mse, mae, ssim, ssim_map, lambda a, b: correct_colours(a, b, "affine")])
@pytest.mark.parametrize(("other", "name"), [(ARRAY, "numpy.ndarray"), (ARRAY.tolist(), "list"), (None, "NoneType")])
def test_images_that_are_no_tensors_are_an_error(metric: Callable[..., Tensor], other: Any, name: str) -> None:
    with pytest.raises(InputError, match="The reference " + TENSOR.format(name)):
        metric(other, IMAGE)
    with pytest.raises(InputError, match="The render " + TENSOR.format(name)):
        metric(IMAGE, other)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("metric", [psnr, mse, mae, ssim])
def test_a_mask_that_is_no_tensor_is_an_error(metric: Callable[..., Tensor]) -> None:
    with pytest.raises(InputError, match="The mask " + TENSOR.format("numpy.ndarray")):
        metric(IMAGE, IMAGE, mask=np.ones((1, 40, 40), np.float32))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("metric", [psnr, ssim, ssim_map])
@pytest.mark.parametrize("data_range", [None, 0, -1, math.nan, math.inf, True, "1", np.ones(2), torch.ones(2)])
def test_data_range_is_a_finite_number_above_0(metric: Callable[..., Tensor], data_range: Any) -> None:
    with pytest.raises(InputError, match=r"data_range must be a finite number above 0.*\. Got .*Use 1 for images in "):
        metric(IMAGE, IMAGE, data_range=data_range)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("metric", [psnr, ssim, ssim_map])
@pytest.mark.parametrize("data_range", [1e200, 1e13, 1e-13, 1e-200, torch.tensor(1e-30)])
def test_a_data_range_whose_square_is_not_accurate_is_an_error(metric: Callable[..., Tensor], data_range: Any) -> None:
    with pytest.raises(InputError, match=r"data_range must be from 1e-12 to 1e12\. Got "):
        metric(IMAGE, IMAGE, data_range=data_range)


@pytest.mark.parametrize("data_range", [1e-12, 1e12])
def test_data_ranges_are_only_a_scale(data_range: float) -> None:
    a, b = noise(3, 40, 40), noise(3, 40, 40, seed=1)
    scaled = [image.double() * data_range for image in (a, b)]
    assert_agree(psnr(*scaled, data_range=data_range), psnr(a.double(), b.double()), "float64")
    assert_agree(ssim(*scaled, data_range=data_range), ssim(a.double(), b.double()), "float64")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("metric", [psnr, mse, mae, ssim, ssim_map])
def test_sparse_tensors_are_an_error(metric: Callable[..., Tensor]) -> None:
    with pytest.raises(InputError, match=r"The render must be a dense tensor\. Got the layout torch\.sparse_coo\. Use"):
        metric(IMAGE, IMAGE.to_sparse())
    with pytest.raises(InputError, match="The mask must be a dense tensor"):
        psnr(IMAGE, IMAGE, mask=torch.ones(1, 40, 40).to_sparse())


@pytest.mark.usefixtures("unchecked")
def test_the_average_needs_numbers() -> None:
    expected = (10**-2.5 * 0.1**0.5 * 0.2) ** (1 / 3)
    kinds: tuple[Any, ...] = (float, np.float32, torch.tensor)
    for kind in kinds:
        assert mipnerf_average(*map(kind, (25.0, 0.9, 0.2))) == pytest.approx(expected, rel=1e-6)
    assert mipnerf_average(math.inf, 0.9, 0.2) == 0
    assert math.isnan(mipnerf_average(25.0, math.nan, 0.2))
    wrong: Any = (("25", 0.9, 0.2), (25.0, None, 0.2), (torch.ones(2), 0.9, 0.2), (25.0, 0.9, True))
    for scores in wrong:
        with pytest.raises(InputError, match=r"must be a number, the score of one view\. Got "):
            mipnerf_average(*scores)
    with pytest.raises(InputError, match=r"lpips must be at least 0\. Got -0\.1\."):
        mipnerf_average(25.0, 0.9, -0.1)
    with pytest.raises(InputError, match=r"psnr must be in dB\. Got -100000\."):
        mipnerf_average(-1e5, 0.9, 0.1)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("data_range", [np.float32(2), np.int64(2), torch.tensor(2.0)])
def test_data_range_may_be_any_number(data_range: Any) -> None:
    other = noise(3, 40, 40, seed=1)
    assert psnr(IMAGE, other, data_range=data_range) == psnr(IMAGE, other, data_range=2)
    assert ssim(IMAGE, other, data_range=data_range) == ssim(IMAGE, other, data_range=2)


@pytest.mark.usefixtures("unchecked")
def test_channels_last_get_advice() -> None:
    with pytest.raises(InputError, match=r"Got \[40, 40, 3\]\. Move the channels with `\.movedim\(-1, -3\)`\."):
        psnr(IMAGE.permute(1, 2, 0), IMAGE)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"kernel": None}, r"Unknown SSIM kernel None\. Known: dmpix"),
        ({"kernel": ["valid"]}, r"Unknown SSIM kernel \['valid'\]\. Did you mean 'valid'\?"),
        ({"mask_meaning": "multiply"}, r"Unknown mask meaning of SSIM 'multiply'\."),
        ({"variance_floor": -1e-3}, r"variance_floor must be a finite number, at least 0\. Got -0\.001"),
    ],
)
def test_unknown_choices_of_ssim_are_errors(how: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ssim(IMAGE, IMAGE, **how)


@pytest.mark.usefixtures("unchecked")
def test_wrong_arguments_of_colour_correction_are_errors() -> None:
    how: Any = "quad"
    with pytest.raises(InputError, match=r"Unknown colour correction 'quad'\. Did you mean 'quadratic'\?"):
        correct_colours(IMAGE, IMAGE, how)
    with pytest.raises(InputError, match=r"Got 4 dimensions"):
        correct_colours(IMAGE[None], IMAGE[None], "affine")
    with pytest.raises(InputError, match=r"Got 40x40 and 39x40"):
        correct_colours(IMAGE, IMAGE[..., :39], "affine")


@pytest.mark.usefixtures("unchecked")
def test_images_of_lpips_that_are_no_tensors_are_an_error(lpips_of: Callable[..., Lpips]) -> None:
    lpips: Any = lpips_of("squeeze")
    for call in (lpips, lpips.map):
        with pytest.raises(InputError, match="The render " + TENSOR.format("numpy.ndarray")):
            call(IMAGE, ARRAY)


@pytest.mark.usefixtures("unchecked")
def test_lpips_is_prepared_as_a_module_would_be(lpips_of: Callable[..., Lpips]) -> None:
    lpips = lpips_of("squeeze")
    assert lpips.to("cpu").eval() is lpips
    assert lpips.to(torch.device("cpu")) is lpips
    dtype: Any = torch.float16
    with pytest.raises(
        InputError, match=r"device must be a device such as 'cuda'\. Got torch\.float16\. LPIPS computes"
    ):
        lpips.to(dtype)
