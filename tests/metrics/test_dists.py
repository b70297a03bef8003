"""DISTS, against its definition with torch's own layers and against dists-pytorch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from support.agreement import assert_agree, generator
from support.pairs import array_masks, pairs
from support.peer_networks import dists_package
from support.protocols import changed
from support.scoring import CPU, view
from torch import Tensor
from torch.nn import functional

from nvs_eval.errors import InputError, ResourceError
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.metrics.describe import describe
from nvs_eval.metrics.dists.metric import Dists, load_dists
from nvs_eval.metrics.dists.statistics import Weights
from nvs_eval.metrics.lpips import passes
from nvs_eval.metrics.lpips.layers import Backbone
from nvs_eval.metrics.lpips.passes import score_together
from nvs_eval.metrics.together import Request
from nvs_eval.metrics.weights import formats
from nvs_eval.metrics.weights.pins import Net, dists_pins

BLOCKS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
CHANNELS = (3, 64, 128, 256, 512, 512)
SMALL = (3, 4, 6, 8, 8, 10)
"""Channels of the random network, which is small enough for tests in float64."""


def random_backbone(channels: tuple[int, ...]) -> dict[str, Tensor]:
    """Return convolutions in the form of VGG16."""
    weights, random = {}, generator(0)
    for block, (before, after) in zip(BLOCKS, pairwise(channels), strict=True):
        for place, index in enumerate(block):
            inputs = after if place else before
            weights[f"features.{index}.weight"] = torch.randn(after, inputs, 3, 3, generator=random) / inputs**0.5 / 2
            weights[f"features.{index}.bias"] = 0.1 * torch.randn(after, generator=random)
    return weights


@pytest.fixture
def small() -> Dists:
    """DISTS of a small random network with random weights."""
    alpha, beta = (torch.rand(sum(SMALL), generator=generator(seed), dtype=torch.float64) for seed in (1, 2))
    total = alpha.sum() + beta.sum()
    weights = Weights((alpha / total).split(SMALL), (beta / total).split(SMALL))
    return Dists(Backbone("dists", random_backbone(SMALL)), weights)


def definition(metric: Dists, reference: Tensor, render: Tensor) -> Tensor:
    """Return DISTS of `[3, H, W]` images in float64, layer by layer."""
    window = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=torch.float64) / 16
    features = [images[None].double() for images in (reference, render)]
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], dtype=torch.float64)[..., None, None]
    inputs = [(images - mean) / deviation for images in features]
    total = 0.0
    for tap, (alpha, beta) in enumerate(zip(metric.weights.alpha, metric.weights.beta, strict=True)):
        if tap:
            for index in BLOCKS[tap - 1]:
                kernel, bias = (
                    metric.backbone.weights[f"features.{index}.{part}"].double() for part in ("weight", "bias")
                )
                inputs = [functional.conv2d(images, kernel, bias, padding=1).relu() for images in inputs]
            features = inputs
        x, y = (image[0].flatten(1) for image in features)
        mean_x, mean_y = x.mean(1), y.mean(1)
        var_x, var_y = ((z - mean[:, None]).square().mean(1) for z, mean in ((x, mean_x), (y, mean_y)))
        cov = ((x - mean_x[:, None]) * (y - mean_y[:, None])).mean(1)
        total = total + (alpha * (2 * mean_x * mean_y + 1e-6) / (mean_x**2 + mean_y**2 + 1e-6)).sum()
        total = total + (beta * (2 * cov + 1e-6) / (var_x + var_y + 1e-6)).sum()
        if tap:
            kernel = window[None, None].expand(inputs[0].shape[1], -1, -1, -1)
            pool = partial(functional.conv2d, weight=kernel, stride=2, padding=1, groups=len(kernel))
            inputs = [(pool(images.square()) + 1e-12).sqrt() for images in inputs]
    return 1 - torch.as_tensor(total)


@pytest.mark.parametrize("name", pairs())
def test_agrees_with_the_definition(name: str, small: Dists) -> None:
    reference, render = pairs()[name]
    expected = definition(small, reference, render)
    assert_agree(small(reference.double(), render.double()), expected, "float64", times=100)
    assert_agree(small(reference, render), expected, "float32", times=10)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 1), (17, 16)])
def test_images_of_any_size_are_compared(size: tuple[int, int], small: Dists) -> None:
    reference, render = (torch.rand(3, *size, generator=generator(seed), dtype=torch.float64) for seed in (0, 1))
    assert_agree(small(reference, render), definition(small, reference, render), "float64", times=100)


def test_several_renders_equal_single_ones_and_any_broadcast(small: Dists) -> None:
    reference, render = (image.double() for image in pairs()["odd sizes"])
    renders = torch.stack([render, reference, 1 - reference])
    expected = torch.stack([small(reference, one) for one in renders])
    assert_agree(small(reference, renders), expected, "float64")
    assert_agree(expected[1], 0.0, "float64")
    both = torch.stack([reference, render])
    expected = torch.stack([small(one, renders) for one in both])
    assert_agree(small(both[:, None], renders[None].expand(2, -1, -1, -1, -1)), expected, "float64")
    assert small(both[:0], renders[:1]).shape == (0,)


def test_an_image_passes_once(small: Dists, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, render = pairs()["odd sizes"]
    images: list[int] = []
    run = passes._pass

    def counted(network: Any, parts: Any, given: Any, plan: Any) -> None:
        images.append(len(given))
        run(network, parts, given, plan)

    monkeypatch.setattr(passes, "_pass", counted)
    mask = torch.ones(1, *reference.shape[1:])
    requests = [Request(small, reference, torch.stack([render, 1 - render]), given) for given in (None, mask)]
    values = score_together(requests)
    assert images == [3]
    assert_agree(values[0], values[1], "float64")


def test_values_do_not_depend_on_the_memory(small: Dists) -> None:
    reference, render = pairs()["photograph and noise"]
    renders = torch.stack([render, 1 - reference, render.flip(-1)])
    (plenty,) = score_together([Request(small, reference, renders, None)])
    amounts = (2**24 + need for need in range(0, 10**8, 10**5))
    values = (score_together([Request(small, reference, renders, None)], amount)[0] for amount in amounts)
    tight = next(value for value in values if not isinstance(value, ResourceError))
    assert_agree(tight, plenty, "float32")
    (refused,) = score_together([Request(small, reference, renders, None)], 2**20)
    assert str(refused).startswith(
        "DISTS of a render of 64x48 needs 17 MB besides the images, but only 1 MB may be used"
    )
    assert str(refused).endswith("or use a protocol without this DISTS.")


def test_gradient_is_the_slope(small: Dists) -> None:
    reference, render = (image[:, :20, :18].double().requires_grad_() for image in pairs()["photograph and noise"])
    small(reference, render).backward()
    step = 1e-6 * torch.randn(render.shape, generator=generator(1), dtype=torch.float64)
    with torch.no_grad():
        slopes = [
            (small(reference + step, render) - small(reference - step, render)) / 2,
            (small(reference, render + step) - small(reference, render - step)) / 2,
        ]
    for image, slope in zip((reference, render), slopes, strict=True):
        assert image.grad is not None
        assert slope.item() == pytest.approx((image.grad * step).sum().item(), rel=1e-5)


# --- Masks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["odd sizes", "photograph and noise", "as small as the window"])
def test_full_mask_equals_no_mask(name: str, small: Dists) -> None:
    reference, render = (image.double() for image in pairs()[name])
    full = torch.ones(1, *reference.shape[1:])
    for mask in (full, full > 0, 0.3 * full.double()):
        assert_agree(small(reference, render, mask=mask), small(reference, render), "float64", times=10)


def test_mask_weighs_positions(small: Dists) -> None:
    """Far from the mask, the render does not matter; and each pair may have its own mask."""
    reference, render = (image.double().repeat(1, 3, 3) for image in pairs()["odd sizes"])
    mask = torch.zeros_like(reference[:1])
    mask[:, :8, :8] = 1
    elsewhere = render.clone()
    elsewhere[:, 100:, 150:] = 0.5
    masked = small(reference, render, mask=mask)
    assert_agree(small(reference, elsewhere, mask=mask), masked, "float64", times=10)
    assert abs(masked - small(reference, render)) > 1e-4
    masks = torch.stack([mask, torch.ones_like(mask), mask.flip(-1)])
    expected = torch.stack([small(reference, render, mask=one) for one in masks])
    assert_agree(small(reference, render, mask=masks), expected, "float64", times=10)


def test_soft_mask_of_the_image_alone_weighs_its_statistics(small: Dists) -> None:
    name = "photograph and noise"
    reference, render = (image.double() for image in pairs()[name])
    mask = torch.from_numpy(array_masks()[name])[None].double()
    only_image = Weights(
        (torch.ones(3).double() / 6, *(0 * part for part in small.weights.alpha[1:])),
        (torch.ones(3).double() / 6, *(0 * part for part in small.weights.beta[1:])),
    )
    share = mask / mask.sum()
    mean_x, mean_y = ((image * share).sum((1, 2)) for image in (reference, render))
    x, y = reference - mean_x[:, None, None], render - mean_y[:, None, None]
    var, cov = ((x.square() + y.square()) * share).sum((1, 2)), (x * y * share).sum((1, 2))
    similar = (2 * mean_x * mean_y + 1e-6) / (mean_x**2 + mean_y**2 + 1e-6) + (2 * cov + 1e-6) / (var + 1e-6)
    metric = Dists(small.backbone, only_image)
    assert_agree(metric(reference, render, mask=mask), 1 - similar.sum() / 6, "float64", times=10)


@pytest.mark.parametrize("mask", ["windows", "dycheck"])
def test_masks_that_are_not_defined_are_an_error(mask: Any) -> None:
    with pytest.raises(InputError, match=rf"does not support `mask: {mask}`. Use valid-pixels, multiply, fill or bbox"):
        describe("dists", {}, mask)


# --- The published weights --------------------------------------------------------------------------------------------


@pytest.fixture
def published(weights_folder: Callable[[Net], Path | None]) -> Dists:
    pytest.importorskip("DISTS_pytorch")
    return load_dists(weights_dir=weights_folder("vgg"))


def test_agrees_with_dists_pytorch(published: Dists) -> None:
    peer = dists_package(published.backbone.weights)
    for name in ("odd sizes", "flat and flat", "as small as the window", "low contrast at two levels"):
        reference, render = pairs()[name]
        with torch.no_grad():
            theirs = peer(reference[None].double(), render[None].double())
        assert_agree(published(reference, render), theirs, "float32")


def test_scorer_loads_and_records_the_weights(published: Dists, weights_folder: Callable[[Net], Path | None]) -> None:
    protocol = changed(metrics={"dists": {}})
    assert protocol.nets == ["vgg"]
    assert protocol.signatures["dists"] == "dists|net:vgg|weights:0.1|q:round8|mask:valid-pixels|v1"
    scorer = Scorer([protocol], CPU, weights_folder("vgg"))
    reference, render = ((image.permute(1, 2, 0) * 255).round() / 255 for image in pairs()["odd sizes"])
    (scores,) = scorer.score(view(reference, render))
    expected = published(reference.permute(2, 0, 1), render.permute(2, 0, 1))
    assert scores["dists"] == pytest.approx([expected.item()], abs=1e-6)
    assert list(scorer.weights) == ["vgg"]


def test_missing_package_is_an_error_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"dists-pytorch \(20 kB\), which is not installed. Run pip install dists-pyt"):
        formats.load_dists_weights()


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {name: torch.rand(pin.shape) for name, pin in dists_pins().items()}
    torch.save(made, tmp_path / "weights.pt")
    monkeypatch.setattr(formats, "_package_folder", lambda _: tmp_path)
    with pytest.raises(InputError, match=r"The weights of DISTS in .* are wrong: all 2 tensors have other values"):
        formats.load_dists_weights()
    torch.save({"alpha": made["alpha"]}, tmp_path / "weights.pt")
    with pytest.raises(InputError, match="1 of 2 tensors are missing"):
        formats.load_dists_weights()
