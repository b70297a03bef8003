"""What several protocols ask of one view is done once: networks' passes, corrections, preparations, metrics."""

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
from nvs_eval.evaluation import scorer as scorer_module
from nvs_eval.evaluation.prepare import prepare
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.images import pixels
from nvs_eval.images.pixels import by_planes, quantise
from nvs_eval.metrics import psnr as psnr_metric
from nvs_eval.metrics.describe import Load
from nvs_eval.metrics.lpips import passes as lpips_passes
from nvs_eval.metrics.lpips import plan as lpips_plan
from nvs_eval.metrics.psnr import psnr
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import Protocol, load_protocol, named_protocols
from nvs_eval.sources.views import View

SQUEEZED = changed(metrics={"lpips_squeeze": SQUEEZE})
# By the number of their layers.
NETS = {7: "alex", 17: "vgg", 20: "squeeze"}


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many images went through each network."""
    counts: Counter[str] = Counter()

    class Counted(lpips_passes._Batch):
        def __init__(self, images: lpips_plan.Images, layers: Any) -> None:
            counts[NETS[len(layers)]] += len(images)
            super().__init__(images, layers)

    monkeypatch.setattr(lpips_passes, "_Batch", Counted)
    return counts


# --- Networks -----------------------------------------------------------------------------------------------------


def photographs() -> tuple[Tensor, Tensor, Tensor]:
    """A reference and two renders at the levels of 8 bits, clipped in places as photographs are."""
    reference = torch.from_numpy(photograph()) / 255
    shift = torch.tensor([0.03, -0.02, 0.01])
    first = quantise((1.1 * reference + shift).clamp(0, 1), "round")
    return reference, first, quantise(((reference + reference.roll(1, 0)) / 2).clamp(0, 1), "round")


def inputs(protocols: Sequence[Protocol], reference: Tensor, *renders: Tensor) -> Counter[str]:
    """The distinct images that each network must see, by what is done to them on the way in."""
    seen: dict[str, set[tuple[bool, tuple[int, ...], bytes]]] = {}
    batch = torch.stack([render.permute(2, 0, 1) for render in renders])
    for protocol in protocols:
        prepared = prepare(reference.permute(2, 0, 1), batch, None, protocol, view_name="a")
        for name, given in protocol.metrics.items():
            if "lpips" not in name or name == "mipnerf_average":
                continue
            pictures = prepared.corrected if name.startswith("cc_") else prepared.renders
            assert pictures is not None
            for picture in (prepared.reference, *pictures):
                fed = picture.clamp(0, 1) if given.get("clamp") else picture
                # What went through is told apart by its bytes; 0.0 and -0.0 are one number.
                content = (fed + 0.0).contiguous().numpy().tobytes()
                seen.setdefault(given["net"], set()).add((given["input"] == "scaled", tuple(fed.shape), content))
    return Counter({net: len(images) for net, images in seen.items()})


@pytest.fixture(scope="module")
def all_protocols() -> list[Protocol]:
    return [load_protocol(name) for name in named_protocols()]


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
    asked = Counter(
        given["net"] for p in all_protocols for name, given in p.metrics.items() if "lpips" in name and "net" in given
    )
    assert all(expected[net] < 3 * count for net, count in asked.items())
    if eight_bits:
        # Of a reference and two renders, alex sees the whole and the right half scaled, and the whole unscaled; vgg
        # the whole scaled and unscaled, and the renders that were corrected.
        assert expected == {"alex": 9, "vgg": 8}
    # And each alone says the same.
    for protocol, found in zip(all_protocols, together, strict=True):
        (alone,) = scores(protocol, view(*pictures), weights_dir=all_weights(weights_folder))
        assert list(alone) == list(found) == list(protocol.metrics)
        for name, values in alone.items():
            assert_agree(found[name], values, "float32")


@pytest.mark.parametrize("same", [[0], [0, 1], [0, 0, 0], [1, 1]])
def test_an_image_that_comes_twice_is_passed_once(
    same: list[int], passed: Counter[str], weights_folder: Callable[[Net], Path | None]
) -> None:
    pictures = [image(seed) for seed in same]
    scorer = Scorer([SQUEEZED], CPU, weights_folder("squeeze"))
    passed.clear()
    (found,) = scorer.score(view(image(0), *pictures))
    # A render that is the reference need not go through again.
    assert passed == {"squeeze": len({0, *same})}
    for seed, value in zip(same, found["lpips_squeeze"], strict=True):
        (alone,) = scorer.score(view(image(0), image(seed)))
        assert_agree(value, alone["lpips_squeeze"][0], "float32")
        assert (value == 0) == (seed == 0)


def test_lpips_of_one_network_share_what_they_can(
    passed: Counter[str], weights_folder: Callable[[Net], Path | None]
) -> None:
    protocols = [
        changed(metrics={"lpips_squeeze": {**SQUEEZE, **choices}})
        for choices in ({}, {"normaliser": "torchmetrics"}, {"input": "unscaled"}, {"version": "0.0"}, {"clamp": True})
    ]
    scorer = Scorer(protocols, CPU, weights_folder("squeeze"))
    passed.clear()
    found = scorer.score(view(image(0), image(1)))
    # The normaliser comes after the network, and clamping changes nothing here; the others are another input.
    assert passed == {"squeeze": 2 * 3}
    values = [each["lpips_squeeze"][0] for each in found]
    assert values[0] == values[4]
    assert len({values[0], values[2], values[3]}) == 3


# --- Metrics ------------------------------------------------------------------------------------------------------


@pytest.fixture
def psnr_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many renders each computation of PSNR had."""
    calls: list[int] = []

    def counted(reference: Tensor, render: Tensor, *, mask: Tensor | None = None) -> Tensor:
        calls.append(len(render))
        return psnr(reference, render, mask=mask)

    def describe(name: str, _: Any, *, data_range: float) -> tuple[str, Load]:
        return f"psnr|range:{data_range:g}|v1", lambda _: counted

    monkeypatch.setattr(psnr_metric, "describe_psnr", describe)
    return calls


def test_what_two_protocols_share_is_computed_once(psnr_calls: list[int]) -> None:
    eight_bits = view(image(0), image(1), image(2))
    first, second = scores([LIGHT, FLOAT], eight_bits)
    assert psnr_calls == [2]
    assert first["psnr"] == second["psnr"]
    assert first["ssim"] != second["ssim"]
    psnr_calls.clear()
    # Images between the levels are others once they are rounded.
    first, second = scores([LIGHT, FLOAT], view(float_image(0), float_image(1), float_image(2)))
    assert psnr_calls == [2, 2]
    assert first["psnr"] != second["psnr"]


def test_a_mask_and_what_it_means_tell_metrics_apart(psnr_calls: list[int]) -> None:
    mask = torch.ones(40, 48)
    mask[:20] = 0
    scored = view(image(0), image(1), mask=mask)
    found = scores([changed(mask=meaning) for meaning in ("ignored", "valid-pixels", "multiply")], scored)
    assert len(psnr_calls) == 3
    assert len({each["psnr"][0] for each in found}) == 3
    psnr_calls.clear()
    scores([LIGHT, changed(round_means=3), changed(mask="ignored"), changed(mask="ignored", round_means=3)], scored)
    assert len(psnr_calls) == 2


def test_several_protocols_score_as_each_alone() -> None:
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
    """How each correction that was made was made."""
    made: list[str] = []
    correct = prepare_module.correct_colours
    monkeypatch.setattr(prepare_module, "correct_colours", lambda *pair: made.append(str(pair[2])) or correct(*pair))
    return made


def test_a_correction_that_two_protocols_share_is_made_once(corrections: list[str]) -> None:
    first = changed(quantise=rounding("round", "round")).colour_corrected("affine")
    second = changed(quantise=rounding(), crop=2, mask="none").colour_corrected("affine")
    third = changed().colour_corrected("quadratic")
    pair = view(float_image(0), float_image(1), float_image(2))
    found = scores([first, second, third], pair)
    assert corrections == ["affine", "affine", "quadratic", "quadratic"]  # Of each of two renders.
    assert found == [scores(protocol, pair)[0] for protocol in (first, second, third)]
    corrections.clear()
    # Where the one clamps what the other keeps, it is of other images.
    scores([changed(out_of_range=rule).colour_corrected("affine") for rule in ("clamp", "keep")], beyond())
    assert corrections == ["affine", "affine"]


def beyond() -> View:
    return view(image(0), 1.5 * image(1))


def test_images_are_prepared_once_for_all_like_protocols(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[str] = []

    def counted(*given: Any, **more: Any) -> Any:
        prepared.append(given[3].name)
        return prepare(*given, **more)

    monkeypatch.setattr(scorer_module, "prepare", counted)
    protocols = [load_protocol(name) for name in named_protocols()]
    light = [replace(p, metrics={"psnr": {"data_range": 1}}) for p in protocols]
    found = scores(light, view(float_image(0), float_image(1)))
    assert len(prepared) == len({p.preparation for p in protocols}) < len(protocols)
    assert len(found) == len(protocols)


def test_images_are_let_go_once_they_are_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    made, left = [], []
    on_device, compute = scorer_module.SharedWork._on_device, scorer_module.score_together

    def watched(work: scorer_module.SharedWork, rule: Any) -> Any:
        found = on_device(work, rule)
        made.extend(weakref.ref(image) for image in found[1:])
        return found

    def late(*given: Any) -> Any:
        left.extend(each() is not None for each in made)
        return compute(*given)

    monkeypatch.setattr(scorer_module.SharedWork, "_on_device", watched)
    monkeypatch.setattr(scorer_module, "score_together", late)
    scored = view(float_image(0), float_image(1))
    scores(changed(quantise=rounding("round", "round")), scored)
    assert left == [False, False]
    left.clear()
    made.clear()
    scores(changed(quantise=rounding(), out_of_range="keep"), scored)
    assert left == [True, True]  # They are what is scored.


def test_an_image_that_is_scored_as_it_was_read_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    read = view(by_planes(image(0)), by_planes(image(1)))
    scored = []

    def watched(reference: Tensor, renders: Tensor, *, mask: Tensor | None) -> Tensor:
        scored.extend([reference, *renders])
        return psnr(reference, renders, mask=mask)

    protocol = changed(quantise=rounding("round", "round"))
    scorer = Scorer([protocol], CPU)
    for name, metric in scorer._metrics[0].items():
        monkeypatch.setitem(scorer._metrics[0], name, replace(metric, function=watched))
    scorer.score(read)
    assert {each.data_ptr() for each in scored} == {read.reference.data_ptr(), read.renders[0].image.data_ptr()}


def test_shared_refusal_names_each_protocol() -> None:
    scorer = Scorer([replace(changed(), name=name) for name in ("one", "two")], CPU)
    said = [str(outcome.error) for outcome in scorer.outcomes(beyond())]
    assert ["the protocol 'one'" in said[0], "the protocol 'two'" in said[1]] == [True, True]


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
