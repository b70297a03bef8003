"""Streaming in pieces gives the values of the whole image, for any pieces, tiles and other images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data as photographs
from support.agreement import generator
from support.scenes import noise
from torch import Tensor
from torch.nn import functional

from nvs_eval.metrics.lpips import layers, winograd
from nvs_eval.metrics.lpips import plan as lpips_plan
from nvs_eval.metrics.lpips import precision as lpips_precision
from nvs_eval.metrics.lpips.architectures import NETWORKS, SMALLEST, Conv, Fire, Pool
from nvs_eval.metrics.lpips.layers import Backbone
from nvs_eval.metrics.lpips.metric import Lpips
from nvs_eval.metrics.lpips.passes import score_together
from nvs_eval.metrics.lpips.plan import Pass, bytes_needed
from nvs_eval.metrics.lpips.precision import Precision
from nvs_eval.metrics.lpips.streaming import Stream
from nvs_eval.metrics.together import Request
from nvs_eval.metrics.weights.pins import NETS, Net

CPU = torch.device("cpu")
LoadLpips = Callable[..., Lpips]
with_every_net = pytest.mark.parametrize("net", NETS)
with_fast_nets = pytest.mark.parametrize("net", ["alex", "vgg"])


def whole(net: Net, weights: Mapping[str, Tensor], images: Tensor) -> Iterator[Tensor]:
    """Yield the taps of whole images, layer by layer, in float64."""

    def convolve(name: str, images: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        weight, bias = weights[f"{name}.weight"].double(), weights[f"{name}.bias"].double()
        return functional.conv2d(images, weight, bias, stride, padding).relu()

    images = images.double()
    for layer in NETWORKS[net]:
        match layer:
            case Pool(size, stride, ceil):
                images = functional.max_pool2d(images, size, stride, ceil_mode=ceil)
            case Conv(name, stride, padding):
                images = convolve(name, images, stride, padding)
            case Fire(name):
                squeezed = convolve(f"{name}.squeeze", images)
                wide = convolve(f"{name}.expand3x3", squeezed, padding=1)
                images = torch.cat([convolve(f"{name}.expand1x1", squeezed), wide], dim=1)
        if isinstance(layer, Conv | Fire) and layer.tap:
            yield images


def streamed(metric: Lpips, images: Tensor, rows: list[int]) -> list[Tensor]:
    """Return the taps of images that are fed `rows` at a time; the last number is repeated."""
    stream = Stream(metric.layers_for(images), images.shape[-2])
    taps: dict[int, list[Tensor]] = {}
    start = 0
    while start < images.shape[-2]:
        count = rows.pop(0) if len(rows) > 1 else rows[0]
        for output in stream.feed(images[:, :, start : start + count]):
            assert output.top == sum(rows.shape[2] for rows in taps.get(output.tap, []))
            taps.setdefault(output.tap, []).append(output.rows)
        start += count
    return [torch.cat(taps[tap], dim=2) for tap in sorted(taps)]


# --- Rows ---------------------------------------------------------------------------------------------------------


@with_every_net
@settings(deadline=None, max_examples=12)
@given(data=st.data())
def test_a_stream_gives_the_taps_of_the_whole(net: Net, data: st.DataObject, lpips_of: LoadLpips) -> None:
    least = SMALLEST[net]
    height, width = (data.draw(st.integers(least, least + 60), label=side) for side in ("height", "width"))
    rows = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=4), label="rows")
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64]), label="dtype")
    images = noise(data.draw(st.integers(1, 2), label="count"), 3, height, width, dtype=dtype) * 4 - 2
    metric = lpips_of(net)
    taps = streamed(metric, images, rows)
    expected = list(whole(net, metric.backbone.weights, images))
    assert len(taps) == len(expected)
    for ours, theirs in zip(taps, expected, strict=True):
        assert ours.shape == theirs.shape
        scale = theirs.square().mean().sqrt()
        assert (ours - theirs).abs().max() <= scale * (1e-12 if dtype == torch.float64 else 1e-4)
        assert (ours - theirs).square().mean().sqrt() <= scale * (1e-12 if dtype == torch.float64 else 1e-5)


@with_every_net
def test_a_layer_keeps_no_more_rows_than_it_needs(
    net: Net, lpips_of: LoadLpips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "_TILES_AT_ONCE", 1)
    metric = lpips_of(net)
    held = []
    for height in (1600, 3200):
        images = noise(1, 3, height, 40)
        stream, most = Stream(metric.layers_for(images), height), 0
        for start in range(0, height, 8):
            for _ in stream.feed(images[:, :, start : start + 8]):
                pass
            most = max(most, sum(piece.numel() for piece in stream.waiting()))
        held.append(most)
        assert not list(stream.waiting())
    assert held[1] == held[0]


# --- Tiles --------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_tiles_give_the_convolution(data: st.DataObject) -> None:
    inputs, outputs, height, width = (data.draw(st.integers(1, 24)) for _ in range(4))
    top, bottom = data.draw(st.integers(0, 1)), data.draw(st.integers(0, 1))
    height += 2 - top - bottom
    weight, bias = noise(outputs, inputs, 3, 3, seed=1) - 0.5, noise(outputs, seed=2) - 0.5
    image = noise(1, inputs, height, width, seed=3) - 0.2
    cut = data.draw(st.integers(0, height), label="cut")
    pieces = [part[0].permute(1, 2, 0) for part in image.split([cut, height - cut], dim=2) if part.shape[2]]
    output = winograd.convolve(
        pieces, winograd.transformed_weights(weight), bias, winograd.Scratch(), top=top, bottom=bottom
    )
    padded = functional.pad(image.double(), (1, 1, top, bottom))
    expected = functional.conv2d(padded, weight.double(), bias.double()).relu()[0].permute(1, 2, 0)
    assert output.shape == expected.shape
    # The relative error of the products of a pair of channels, 9 per output, is about 4e-7.
    assert (output - expected).abs().max() <= 3e-6 * inputs


def test_reused_memory_does_not_affect_results() -> None:
    scratch = winograd.Scratch()
    weight, bias = winograd.transformed_weights(noise(5, 4, 3, 3)), torch.zeros(5)

    def score(size: int) -> Tensor:
        return winograd.convolve([noise(size, size, 4)], weight, bias, scratch, top=1, bottom=1)

    with torch.inference_mode():
        first = score(9)
    score(23)
    assert torch.equal(score(9), first)


# --- Scores -------------------------------------------------------------------------------------------------------


@with_every_net
@pytest.mark.parametrize("precision", ["exact", "fast"])
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_a_score_depends_only_on_its_pair(
    net: Net, precision: Precision, data: st.DataObject, lpips_of: LoadLpips
) -> None:
    height, width = (data.draw(st.integers(SMALLEST[net], 90), label=side) for side in ("height", "width"))
    reference = noise(3, height, width)
    several = (reference + 0.1 * noise(data.draw(st.integers(1, 3), label="K"), 3, height, width, seed=1)).clamp(0, 1)
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lpips_precision, "_multiplies_bfloat16", lambda net: True)
        metric = replace(lpips_of(net), precision=precision, backbone=Backbone(net, lpips_of(net).backbone.weights))
        alone = torch.stack([metric(reference, render) for render in several])
        patch.setattr(lpips_plan, "_PIXELS_AT_ONCE", {"cpu": data.draw(st.integers(1, 9000), label="pixels")})
        patch.setattr(lpips_plan, "_IMAGES_AT_ONCE", {"cpu": data.draw(st.integers(1, 4), label="together")})
        if precision == "exact":  # A fast score depends on its tiles, which users cannot change.
            patch.setattr(layers, "_TILES_AT_ONCE", data.draw(st.integers(1, 600), label="tiles"))
            patch.setattr(layers, "_LEAST_TILES", data.draw(st.integers(1, 60), label="least"))
        lean, one = metric.layers_for(reference, lean=True), Pass(1, 1, 2, height, width, pairs=1)
        more = data.draw(st.floats(0, 2), label="memory")
        memory = None if more > 1 else int(bytes_needed(lean, one, 1) * 10**more)
        torch.set_num_threads(data.draw(st.integers(1, 2), label="threads"))
        try:
            (together,) = score_together([Request(metric, reference, several, None)], memory)
        finally:
            torch.set_num_threads(threads)
    assert isinstance(together, Tensor), together
    assert (together - alone).abs().max() <= 1e-6


@with_every_net
def test_scores_have_identical_bits_with_other_renders(net: Net, lpips_of: LoadLpips) -> None:
    metric = lpips_of(net)
    reference, several = noise(3, 61, 75), noise(3, 3, 61, 75, seed=1)
    together = metric(reference, several)
    assert [metric(reference, render) for render in several] == together.tolist()


def test_several_threads_can_score_at_once(lpips_of: LoadLpips) -> None:
    metric = lpips_of("alex")
    reference, several = noise(3, 120, 130), noise(8, 3, 120, 130, seed=1)
    expected = metric(reference, several).tolist()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda render: metric(reference, render).item(), several)) == expected


# --- Fast ---------------------------------------------------------------------------------------------------------


@with_fast_nets
def test_fast_is_within_its_tolerance(net: Net, lpips_of: LoadLpips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lpips_precision, "_multiplies_bfloat16", lambda net: True)
    exact = lpips_of(net)
    fast = replace(exact, precision="fast", backbone=Backbone(net, exact.backbone.weights))
    reference = torch.from_numpy(photographs.astronaut()[:176, 128:336]).permute(2, 0, 1) / 255
    for strength in (0.01, 0.05, 0.2):
        render = (reference + strength * (noise(*reference.shape, seed=5) - 0.5)).clamp(0, 1)
        expected, value = exact(reference, render), fast(reference, render)
        assert value != expected
        assert abs(value - expected) <= 5e-3 * expected + 2e-4


@with_fast_nets
@pytest.mark.parametrize("level", [16, 128, 255])
@pytest.mark.parametrize("disc", [False, True])
def test_fast_is_within_its_tolerance_for_nearly_flat_images(
    net: Net, level: int, disc: bool, lpips_of: LoadLpips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lpips_precision, "_multiplies_bfloat16", lambda net: True)
    exact = lpips_of(net)
    fast = replace(exact, precision="fast", backbone=Backbone(net, exact.backbone.weights))
    reference = torch.full((3, 96, 96), float(level))
    if disc:
        row, column = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
        inside = (row - 48) ** 2 + (column - 48) ** 2 < 20**2
        reference = torch.where(inside, torch.tensor([200.0, 60, 40])[:, None, None], reference)
    noisy = reference + 0.6 * torch.randn(reference.shape, generator=generator(level))
    reference, render = ((image.clamp(0, 255).round() / 255) for image in (reference, noisy))
    expected = exact(reference, render)
    assert abs(fast(reference, render) - expected) <= 5e-3 * expected + 2e-4


@with_fast_nets
def test_fast_on_a_graphics_card_is_within_a_thousandth(
    net: Net, lpips_of: LoadLpips, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computed in float16 on the CPU."""
    exact = lpips_of(net)
    reference = torch.from_numpy(photographs.astronaut()[:96, 200:328]).permute(2, 0, 1) / 255
    render = (reference + 0.2 * (noise(*reference.shape, seed=5) - 0.5)).clamp(0, 1)
    expected = exact(reference, render)
    monkeypatch.setattr(layers, "products", lambda precision, device, net: "float16")
    monkeypatch.setattr(lpips_plan, "_IMAGES_AT_ONCE", {})
    fast = replace(exact, precision="fast", backbone=Backbone(net, exact.backbone.weights))
    value = fast(reference, render)
    assert value != expected
    assert abs(value / expected - 1) < 1e-3


@with_fast_nets
def test_fast_rounds_nothing_before_the_first_tap(
    net: Net, lpips_of: LoadLpips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lpips_precision, "_multiplies_bfloat16", lambda net: True)
    network = Backbone(net, lpips_of(net).backbone.weights).layers(CPU, torch.float32, "fast")
    first = next(index for index, layer in enumerate(network) if layer.tap)
    dtypes = [
        {part.weight.dtype for part in vars(layer).values() if isinstance(part, layers._Kernel)} for layer in network
    ]
    assert set().union(*dtypes[: first + 1]) == {torch.float32}
    assert set().union(*dtypes[first + 1 :]) == {torch.bfloat16}


def test_fast_is_exact_if_the_cpu_is_not_faster(lpips_of: LoadLpips, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, render = noise(3, 40, 40), noise(3, 40, 40, seed=1)
    for net, multiplies in (("squeeze", True), ("alex", False)):
        monkeypatch.setattr(lpips_precision, "_multiplies_bfloat16", lambda net, result=multiplies: result)
        exact = lpips_of(net)
        fast = replace(exact, precision="fast", backbone=Backbone(net, exact.backbone.weights))
        assert fast(reference, render) == exact(reference, render)
