"""MS-SSIM and the three D-SSIMs."""

from __future__ import annotations

from typing import Any

import pytest
import pytorch_msssim
import torch
from skimage.data import astronaut, chelsea
from skimage.metrics import structural_similarity
from support.agreement import assert_agree, generator
from support.protocols import UNIFORM, VALID, changed
from support.scoring import scores, view
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.metrics.describe import describe
from nvs_eval.metrics.ms_ssim.metric import ms_ssim
from nvs_eval.metrics.ssim import averages as averages_module
from nvs_eval.metrics.ssim.metric import ssim
from nvs_eval.metrics.together import Request

MS: dict[str, Any] = {"data_range": 1}


def photographs() -> dict[str, tuple[Tensor, Tensor]]:
    """Return pairs of photographs with even and odd sides at each scale, `[3, H, W]`."""
    cat, face = (torch.from_numpy(image.copy()).permute(2, 0, 1) / 255 for image in (chelsea(), astronaut()))
    cat, small, odd = cat[:, 40:216, 100:292], face[:, 60:221, 180:341], face[:, 30:203, 150:341]
    noise = 0.05 * torch.randn(odd.shape, generator=generator(0))
    return {
        "8 bits": (cat, (cat * 0.9 * 255).round() / 255),
        "smallest": (small, small.roll(1, -1)),
        "odd sides and floats": (odd, (odd + noise).clamp(0, 1)),
        "no likeness": (odd, 1 - odd),
    }


PAIRS = photographs()
with_every_pair = pytest.mark.parametrize("name", PAIRS)


def peer(reference: Tensor, render: Tensor, data_range: float = 1.0) -> Tensor:
    """Return pytorch-msssim's MS-SSIM in float64, with a window in float64."""
    place = torch.arange(11, dtype=torch.float64) - 5
    taps = torch.exp(-(place**2) / (2 * 1.5**2))
    window = (taps / taps.sum())[None, None].repeat(3, 1, 1, 1)
    images = (image[None].double() for image in (render, reference))
    return pytorch_msssim.ms_ssim(*images, data_range=data_range, size_average=False, win=window)[0]


@with_every_pair
def test_agrees_with_pytorch_msssim(name: str) -> None:
    reference, render = PAIRS[name]
    assert_agree(ms_ssim(reference.double(), render.double()), peer(reference, render), "float64")
    assert_agree(ms_ssim(reference, render), peer(reference, render), "float32")
    assert_agree(ms_ssim(reference, render, data_range=3.0), peer(reference, render, 3.0), "float32")


def test_constants_give_the_closed_form() -> None:
    """Flat images differ in luminance alone, of which only the coarsest scale's counts."""
    dark, bright = torch.full((3, 176, 192), 0.25), torch.full((3, 176, 192), 0.5)
    luminance = (2 * 0.25 * 0.5 + 1e-4) / (0.25**2 + 0.5**2 + 1e-4)
    assert_agree(ms_ssim(dark, bright), luminance**0.1333, "float32")
    assert_agree(ms_ssim(dark, dark), 1.0, "float64")


def test_several_renders_equal_single_ones_and_any_broadcast() -> None:
    reference, render = PAIRS["smallest"]
    renders = torch.stack([render, reference, 1 - reference])
    assert_agree(ms_ssim(reference, renders), torch.stack([ms_ssim(reference, one) for one in renders]), "float64")
    both = torch.stack([reference, render])
    expected = torch.stack([ms_ssim(one, renders[:2]) for one in both])
    assert_agree(ms_ssim(both[:, None], renders[None, :2].expand(2, -1, -1, -1, -1)), expected, "float64")


@with_every_pair
def test_full_mask_equals_no_mask(name: str) -> None:
    reference, render = PAIRS[name]
    full = torch.ones(1, *reference.shape[1:])
    for meaning in ("valid-pixels", "windows"):
        masked = ms_ssim(reference, render, mask=full, mask_meaning=meaning)
        assert_agree(masked, ms_ssim(reference, render), "float64")


def test_masks_count_at_every_scale() -> None:
    reference, render = PAIRS["8 bits"]
    left = torch.zeros(1, *reference.shape[1:])
    left[..., :176] = 1  # Whole pixels at every scale.
    inside = ms_ssim(reference, render, mask=left, mask_meaning="windows")
    assert_agree(inside, ms_ssim(reference[..., :176], render[..., :176]), "float64")
    assert inside != ms_ssim(reference, render)
    changed_right = torch.where(left > 0, render, 0.5)
    assert_agree(ms_ssim(reference, changed_right, mask=left, mask_meaning="windows"), inside, "float64")
    assert ms_ssim(reference, changed_right, mask=left) != ms_ssim(reference, render, mask=left)
    assert ms_ssim(reference, render, mask=torch.zeros_like(left), mask_meaning="windows").isnan()


def test_gradient_is_the_slope() -> None:
    reference, render = (image.double() for image in PAIRS["smallest"])
    render.requires_grad_()
    ms_ssim(reference, render).backward()
    assert render.grad is not None
    step = 1e-6 * torch.randn(render.shape, generator=generator(1), dtype=torch.float64)
    with torch.no_grad():
        slope = (ms_ssim(reference, render + step) - ms_ssim(reference, render - step)) / 2
    assert slope.item() == pytest.approx((render.grad * step).sum().item(), rel=1e-5)
    unlike = (1 - reference).requires_grad_()
    ms_ssim(reference, unlike).backward()
    assert unlike.grad is not None
    assert unlike.grad.isfinite().all()


def test_small_images_and_unknown_masks_are_errors() -> None:
    small = torch.rand(3, 161, 160)
    with pytest.raises(InputError, match=r"^MS-SSIM requires images of at least 161x161 pixels. Got 160x161.$"):
        ms_ssim(small, small)
    with pytest.raises(InputError, match="mask meaning of MS-SSIM 'dycheck'"):
        ms_ssim(small, small, mask_meaning="dycheck")
    for name, parameters in (("ms_ssim", MS), ("dssim_ms", {})):
        with pytest.raises(InputError, match=rf"^{name} has five scales.* multiply, fill or bbox"):
            describe(name, parameters, "dycheck")


# --- D-SSIM -------------------------------------------------------------------------------------------------------


def test_dissimilarities_are_half_of_what_lacks() -> None:
    reference, render = PAIRS["odd sides and floats"]
    arrays = [image.double().permute(1, 2, 0).numpy() for image in (reference, render)]
    for data_range in (1, 2):
        metric = describe(f"dssim_range{data_range}", {"kernel": "uniform7-rgb"}).build()
        compare: Any = structural_similarity
        theirs = compare(*arrays, channel_axis=-1, data_range=data_range)
        assert_agree(metric.function(reference, render), (1 - theirs) / 2, "float32")
    metric = describe("dssim_ms", {}).build()
    assert_agree(metric.function(reference, render), (1 - peer(reference, render)) / 2, "float32")
    assert not metric.higher_is_better


def test_signature_says_of_which_similarity_a_dissimilarity_is() -> None:
    assert describe("dssim_ms", {}).signature == f"dssim|half:{describe('ms_ssim', MS).signature}"
    ranged = {name: describe(name, {"kernel": "zero"}).signature for name in ("dssim_range1", "dssim_range2")}
    assert ranged["dssim_range1"] == f"dssim|half:{describe('ssim', {'kernel': 'zero', 'data_range': 1}).signature}"
    assert ranged["dssim_range2"] == ranged["dssim_range1"].replace("range:1", "range:2")


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("dssim", {}, "must be called dssim_ms or dssim_range1 or dssim_range2. Got 'dssim'"),
        ("dssim_ms", {"kernel": "zero"}, "dssim_ms is made of MS-SSIM, which has no kernel"),
        ("dssim_range1", {}, "dssim_range1 lacks its kernel.* valid, valid-sample, dmpix"),
        ("dssim_range2", {"kernel": "gauss"}, "kernel of dssim_range2"),
        ("dssim_range1", {"kernel": "zero", "data_range": 2}, "data_range"),
    ],
)
def test_wrong_parameters_of_a_dissimilarity_are_errors(name: str, parameters: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        describe(name, parameters)


# --- Shared work --------------------------------------------------------------------------------------------------


def test_metrics_of_the_same_windows_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, render = (image.permute(1, 2, 0) for image in PAIRS["8 bits"])
    metrics = {
        "ssim": VALID,
        "ms_ssim": MS,
        "dssim_ms": {},
        "dssim_range1": {"kernel": "valid"},
        "dssim_range2": {"kernel": "valid"},
        "ssim_uniform": UNIFORM,
    }
    alone = {name: scores(changed(metrics={name: given}), view(reference, render)) for name, given in metrics.items()}
    sizes: list[int] = []
    score = averages_module.Pairs.score

    def counted(pairs: Any, *arguments: Any, **options: Any) -> Any:
        sizes.append(pairs._render.shape[-2])
        return score(pairs, *arguments, **options)

    monkeypatch.setattr(averages_module.Pairs, "score", counted)
    together = scores(changed(metrics=metrics), view(reference, render))
    # Gaussian windows of range 1 once per scale, of range 2 once, uniform ones once.
    assert sorted(sizes) == [11, 22, 44, 88, 176, 176, 176]
    assert {name: together[0][name] for name in metrics} == {name: alone[name][0][name] for name in metrics}


def test_image_too_small_for_one_metric_is_scored_by_the_others() -> None:
    reference, render = torch.rand(3, 20, 30), torch.rand(3, 20, 30)
    named = (("ssim", VALID), ("ms_ssim", MS))
    functions: list[Any] = [describe(name, given).build().function for name, given in named]
    requests = [Request(one, reference, render[None], None) for one in functions]
    value, error = functions[0].together(requests)
    assert_agree(value, ssim(reference, render[None]), "float64")
    assert "MS-SSIM requires images of at least 161x161 pixels. Got 30x20." in str(error)
