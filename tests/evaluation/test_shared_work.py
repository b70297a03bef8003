"""Protocols share the work on a view: network passes, corrections, preparation and metrics are each done once."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.agreement import assert_agree
from support.pairs import photograph
from support.protocols import FLOAT, LIGHT, SQUEEZE, changed, rounding
from support.scenes import float_image, image
from support.scoring import CPU, scores, view
from torch import Tensor

import nvs_eval.evaluation.prepare as prepare_module
from nvs_eval.evaluation import shared_work
from nvs_eval.evaluation.prepare import prepare
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.images import pixels
from nvs_eval.images.pixels import by_planes, quantise
from nvs_eval.metrics.describe import Described
from nvs_eval.metrics.lpips import passes as lpips_passes
from nvs_eval.metrics.lpips import plan as lpips_plan
from nvs_eval.metrics.psnr import metric as psnr_metric
from nvs_eval.metrics.psnr.metric import psnr
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import Protocol, load_protocol, named_protocols
from nvs_eval.sources.views import View

SQUEEZED = changed(metrics={"lpips_squeeze": SQUEEZE})
# Nets by their number of layers.
NETS = {7: "alex", 17: "vgg", 20: "squeeze"}


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Number of images passed through each network."""
    counts: Counter[str] = Counter()

    class Counted(lpips_passes._Batch):
        def __init__(self, images: lpips_plan.Images, layers: Any) -> None:
            counts[NETS[len(layers)]] += len(images)
            super().__init__(images, layers)

    monkeypatch.setattr(lpips_passes, "_Batch", Counted)
    return counts


# --- Networks -----------------------------------------------------------------------------------------------------


def photographs() -> tuple[Tensor, Tensor, Tensor]:
    """Return a reference and two renders in 8 bits, partly clipped like photographs."""
    reference = torch.from_numpy(photograph()) / 255
    shift = torch.tensor([0.03, -0.02, 0.01])
    first = quantise((1.1 * reference + shift).clamp(0, 1), "round")
    return reference, first, quantise(((reference + reference.roll(1, 0)) / 2).clamp(0, 1), "round")


def inputs(protocols: Sequence[Protocol], reference: Tensor, *renders: Tensor) -> Counter[str]:
    """Return the number of distinct inputs of each network."""
    contents: dict[str, set[tuple[bool, tuple[int, ...], bytes]]] = {}
    batch = torch.stack([render.permute(2, 0, 1) for render in renders])
    for protocol in protocols:
        prepared = prepare(reference.permute(2, 0, 1), batch, None, protocol, view_name="a")
        for name, parameters in protocol.metrics.items():
            if "lpips" not in name or name == "mipnerf_average":
                continue
            pictures = prepared.corrected if name.startswith("cc_") else prepared.renders
            assert pictures is not None
            for picture in (prepared.reference, *pictures):
                clamped = picture.clamp(0, 1) if parameters.get("clamp") else picture
                # Inputs are compared by their bytes; adding 0.0 makes 0.0 and -0.0 equal.
                content = (clamped + 0.0).contiguous().numpy().tobytes()
                item = (parameters["input"] == "scaled", tuple(clamped.shape), content)
                contents.setdefault(parameters["net"], set()).add(item)
    return Counter({net: len(images) for net, images in contents.items()})


@pytest.fixture(scope="module")
def all_protocols() -> list[Protocol]:
    def of_small_images(protocol: Protocol) -> Protocol:
        large = {description.name for description in protocol.descriptions if description.smallest > 31}
        metrics = {name: parameters for name, parameters in protocol.metrics.items() if name not in large}
        return replace(protocol, metrics=metrics)

    return [of_small_images(load_protocol(name)) for name in named_protocols()]


def all_weights(weights_folder: Callable[[Net], Path | None]) -> Path | None:
    folders = {weights_folder("alex"), weights_folder("vgg")}
    return folders.pop()


@pytest.mark.parametrize("eight_bits", [True, False])
def test_each_network_input_passes_once_for_all_protocols(
    eight_bits: bool,
    all_protocols: list[Protocol],
    passed: Counter[str],
    weights_folder: Callable[[Net], Path | None],
) -> None:
    pictures = photographs()
    if not eight_bits:
        pictures = (pictures[0], *(0.999 * picture + 0.0003 for picture in pictures[1:]))
    scorer = Scorer(all_protocols, CPU, all_weights(weights_folder))
    passed.clear()
    together = scorer.score(view(*pictures))
    expected = inputs(all_protocols, *pictures)
    assert passed == expected
    requests = Counter(
        parameters["net"]
        for protocol in all_protocols
        for name, parameters in protocol.metrics.items()
        if "lpips" in name and "net" in parameters
    )
    assert all(expected[net] < 3 * count for net, count in requests.items())
    if eight_bits:
        # For a reference and two renders, alex gets full and right-half images scaled, and full images unscaled; vgg
        # gets full images scaled and unscaled, and the corrected renders.
        assert expected == {"alex": 9, "vgg": 8}
    # Each protocol alone gives the same scores.
    for protocol, joint in zip(all_protocols, together, strict=True):
        (alone,) = scores(protocol, view(*pictures), weights_dir=all_weights(weights_folder))
        assert list(alone) == list(joint) == list(protocol.metrics)
        for name, values in alone.items():
            assert_agree(joint[name], values, "float32")


@pytest.mark.parametrize("seeds", [[0], [0, 1], [0, 0, 0], [1, 1]])
def test_repeated_image_is_passed_once(
    seeds: list[int], passed: Counter[str], weights_folder: Callable[[Net], Path | None]
) -> None:
    pictures = [image(seed) for seed in seeds]
    scorer = Scorer([SQUEEZED], CPU, weights_folder("squeeze"))
    passed.clear()
    (result,) = scorer.score(view(image(0), *pictures))
    # A render equal to the reference is not passed again.
    assert passed == {"squeeze": len({0, *seeds})}
    for seed, value in zip(seeds, result["lpips_squeeze"], strict=True):
        (alone,) = scorer.score(view(image(0), image(seed)))
        assert_agree(value, alone["lpips_squeeze"][0], "float32")
        assert (value == 0) == (seed == 0)


def test_lpips_variants_of_one_network_share_passes(
    passed: Counter[str], weights_folder: Callable[[Net], Path | None]
) -> None:
    protocols = [
        changed(metrics={"lpips_squeeze": {**SQUEEZE, **choices}})
        for choices in ({}, {"normaliser": "torchmetrics"}, {"input": "unscaled"}, {"version": "0.0"}, {"clamp": True})
    ]
    scorer = Scorer(protocols, CPU, weights_folder("squeeze"))
    passed.clear()
    results = scorer.score(view(image(0), image(1)))
    # The normaliser comes after the network, and clamping changes nothing here; the others need different inputs.
    assert passed == {"squeeze": 2 * 3}
    values = [scored["lpips_squeeze"][0] for scored in results]
    assert values[0] == values[4]
    assert len({values[0], values[2], values[3]}) == 3


# --- Metrics ------------------------------------------------------------------------------------------------------


@pytest.fixture
def psnr_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of renders in each computation of PSNR."""
    calls: list[int] = []

    def counted(reference: Tensor, render: Tensor, *, mask: Tensor | None = None) -> Tensor:
        calls.append(len(render))
        return psnr(reference, render, mask=mask)

    def describe(name: str, _: Any, *, data_range: float) -> Described:
        return Described(signature=f"psnr|range:{data_range:g}|v1", load=lambda _: counted)

    monkeypatch.setattr(psnr_metric, "describe", describe)
    return calls


def test_metric_shared_by_two_protocols_is_computed_once(psnr_calls: list[int]) -> None:
    eight_bits = view(image(0), image(1), image(2))
    first, second = scores([LIGHT, FLOAT], eight_bits)
    assert psnr_calls == [2]
    assert first["psnr"] == second["psnr"]
    assert first["ssim"] != second["ssim"]
    psnr_calls.clear()
    # Rounding changes images with values between the levels.
    first, second = scores([LIGHT, FLOAT], view(float_image(0), float_image(1), float_image(2)))
    assert psnr_calls == [2, 2]
    assert first["psnr"] != second["psnr"]


def test_metrics_differ_by_mask_and_its_meaning(psnr_calls: list[int]) -> None:
    mask = torch.ones(40, 48)
    mask[:20] = 0
    scored = view(image(0), image(1), mask=mask)
    results = scores([changed(mask=meaning) for meaning in ("ignored", "valid-pixels", "multiply")], scored)
    assert len(psnr_calls) == 3
    assert len({result["psnr"][0] for result in results}) == 3
    psnr_calls.clear()
    scores([LIGHT, changed(round_means=3), changed(mask="ignored"), changed(mask="ignored", round_means=3)], scored)
    assert len(psnr_calls) == 2


def test_protocols_score_the_same_together_and_alone() -> None:
    protocols: list[Any] = [LIGHT, FLOAT, changed(crop=3), changed(out_of_range="clamp"), changed(mask="multiply")]
    protocols += [changed(region="right-half"), changed().colour_corrected("affine")]
    mask = torch.zeros(40, 48)
    mask[4:] = 0.5
    for pair in ((image(0), image(1)), (float_image(0), float_image(1))):
        for scored in (view(*pair), view(*pair, mask=mask)):
            assert scores(protocols, scored) == [scores(protocol, scored)[0] for protocol in protocols]


# --- Preparation --------------------------------------------------------------------------------------------------


@pytest.fixture
def corrections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Kind of each correction that was computed."""
    kinds: list[str] = []
    correct = prepare_module.correct_colours
    monkeypatch.setattr(prepare_module, "correct_colours", lambda *args: kinds.append(str(args[2])) or correct(*args))
    return kinds


def test_correction_shared_by_two_protocols_is_computed_once(corrections: list[str]) -> None:
    first = changed(quantise=rounding("round", "round")).colour_corrected("affine")
    second = changed(quantise=rounding(), crop=2, mask="none").colour_corrected("affine")
    third = changed().colour_corrected("quadratic")
    pair = view(float_image(0), float_image(1), float_image(2))
    results = scores([first, second, third], pair)
    assert corrections == ["affine", "affine", "quadratic", "quadratic"]  # Once per render.
    assert results == [scores(protocol, pair)[0] for protocol in (first, second, third)]
    corrections.clear()
    # If one clamps and the other does not, they correct different images.
    scores([changed(out_of_range=rule).colour_corrected("affine") for rule in ("clamp", "keep")], beyond())
    assert corrections == ["affine", "affine"]


def beyond() -> View:
    return view(image(0), 1.5 * image(1))


def test_images_are_prepared_once_per_kind_of_preparation(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[str] = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        prepared.append(args[3].name)
        return prepare(*args, **kwargs)

    monkeypatch.setattr(shared_work, "prepare", counted)
    protocols = [load_protocol(name) for name in named_protocols()]
    light = [replace(p, metrics={"psnr": {"data_range": 1}}) for p in protocols]
    results = scores(light, view(float_image(0), float_image(1)))
    assert len(prepared) == len({p.preparation for p in protocols}) < len(protocols)
    assert len(results) == len(protocols)


def test_unprepared_images_are_freed_before_scoring(monkeypatch: pytest.MonkeyPatch) -> None:
    unprepared, alive = [], []
    on_device, compute = shared_work.SharedWork._on_device, shared_work._values

    def watched(work: shared_work.SharedWork, rule: Any) -> Any:
        images = on_device(work, rule)
        unprepared.extend(weakref.ref(image) for image in images[1:])
        return images

    def late(*args: Any) -> Any:
        alive.extend(reference() is not None for reference in unprepared)
        return compute(*args)

    monkeypatch.setattr(shared_work.SharedWork, "_on_device", watched)
    monkeypatch.setattr(shared_work, "_values", late)
    scored = view(float_image(0), float_image(1))
    scores(changed(quantise=rounding("round", "round")), scored)
    assert alive
    assert not any(alive)
    alive.clear()
    unprepared.clear()
    scores(changed(quantise=rounding(), out_of_range="keep"), scored)
    assert alive
    assert all(alive)  # Without preparation, these images are scored themselves.


def test_image_that_needs_no_preparation_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    source = view(by_planes(image(0)), by_planes(image(1)))
    scored = []

    def watched(reference: Tensor, renders: Tensor, *, mask: Tensor | None) -> Tensor:
        scored.extend([reference, *renders])
        return psnr(reference, renders, mask=mask)

    protocol = changed(quantise=rounding("round", "round"))
    scorer = Scorer([protocol], CPU)
    for name, metric in scorer._metrics[0].items():
        monkeypatch.setitem(scorer._metrics[0], name, replace(metric, function=watched))
    scorer.score(source)
    assert {image.data_ptr() for image in scored} == {
        source.reference.data_ptr(),
        source.renders[0].image.data_ptr(),
    }


def test_shared_refusal_names_each_protocol() -> None:
    scorer = Scorer([replace(changed(), name=name) for name in ("one", "two")], CPU)
    first, second = (str(outcome.error) for outcome in scorer.outcomes(beyond()))
    assert "'one'" in first
    assert "'two'" in second


def test_bounds_of_each_image_are_read_once_for_all_protocols(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    bounds = pixels.bounds

    def counted(values: Tensor) -> tuple[float, float]:
        read.append(values.data_ptr())
        return bounds(values)

    monkeypatch.setattr(pixels, "bounds", counted)
    protocols = [replace(load_protocol(name), metrics={"psnr": {"data_range": 1}}) for name in named_protocols()]
    pair = view(by_planes(image(0)), by_planes(image(1)))
    scores([protocol for protocol in protocols if protocol.colour_correction == "none"], pair)
    assert sorted(read) == sorted([pair.reference.data_ptr(), pair.renders[0].image.data_ptr()])
