from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.agreement import assert_agree, generator
from support.pairs import pairs
from support.peer_networks import lpips_package, random_lpips_package, torchmetrics_network
from support.scenes import noise
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.images.files import load_image
from nvs_eval.metrics.lpips import passes as lpips_passes
from nvs_eval.metrics.lpips import plan as lpips_plan
from nvs_eval.metrics.lpips.architectures import SMALLEST
from nvs_eval.metrics.lpips.layers import Backbone
from nvs_eval.metrics.lpips.metric import Heads, Lpips, Normaliser, load_lpips
from nvs_eval.metrics.weights.pins import NETS, Net

EXAMPLE = Path(__file__).parents[2] / "examples" / "lpips_as_a_loss.py"
GOLDEN = Path(__file__).parents[1] / "golden"
LARGE = [name for name, (reference, _) in pairs().items() if min(reference.shape[-2:]) >= max(SMALLEST.values())]
HEADS: tuple[Heads, ...] = ("learned", "none")
LoadLpips = Callable[..., Lpips]

with_every_net = pytest.mark.parametrize("net", NETS)
with_every_version = pytest.mark.parametrize("version", ["0.1", "0.0"])
with_every_kind_of_heads = pytest.mark.parametrize("heads", HEADS)


@pytest.fixture
def small(lpips_of: LoadLpips) -> Lpips:
    """The smallest net, for tests in which all nets behave alike."""
    return lpips_of("squeeze")


@cache
def renders() -> tuple[Tensor, Tensor]:
    """Return a reference and five different renders."""
    reference = pairs()["odd sizes"][0]
    return reference, torch.stack(
        [(reference + 0.05 * k * noise(*reference.shape, seed=k)).clamp(0, 1) for k in range(5)]
    )


def doubles(name: str) -> tuple[Tensor, Tensor]:
    reference, render = pairs()[name]
    return reference.double(), render.double()


# --- Peers --------------------------------------------------------------------------------------------------------


@with_every_kind_of_heads
@with_every_version
@with_every_net
def test_agrees_with_the_lpips_package(net: Net, version: str, heads: str, lpips_of: LoadLpips) -> None:
    ours = lpips_of(net, version=version, heads=heads)
    theirs = lpips_package(ours)
    reference, several = renders()
    batch = reference.double().expand_as(several)
    with torch.inference_mode():
        expected = theirs(batch, several.double(), normalize=True)[:, 0, 0, 0]
        assert_agree(ours(reference.double(), several.double()), expected, "float64")
        # Without heads the values are several times larger, and so are their rounding errors.
        assert_agree(ours(reference, several), expected, "float32", times=1 if heads == "learned" else 4)
        theirs.spatial = True
        expected = theirs(batch, several.double(), normalize=True)[:, 0]
        assert_agree(ours.map(reference.double(), several.double()), expected, "float64")


@with_every_net
def test_agrees_with_the_lpips_package_on_hard_pairs(net: Net, lpips_of: LoadLpips) -> None:
    ours = lpips_of(net)
    theirs = lpips_package(ours)
    for name in LARGE:
        reference, render = doubles(name)
        with torch.inference_mode():
            expected = theirs(reference[None], render[None], normalize=True).squeeze()
        assert_agree(ours(reference, render), expected, "float64")
        assert_agree(ours(*pairs()[name]), expected, "float32")


@with_every_net
def test_unscaled_input_is_the_package_fed_without_normalize(net: Net, lpips_of: LoadLpips) -> None:
    ours = lpips_of(net, input="unscaled")
    reference, render = doubles("photograph and noise")
    with torch.inference_mode():
        theirs = lpips_package(ours)(reference[None], render[None], normalize=False).squeeze()
    assert_agree(ours(reference, render), theirs, "float64")
    assert abs(ours(reference, render) - lpips_of(net)(reference, render)) > 1e-3


@with_every_net
def test_torchmetrics_normaliser_agrees_with_torchmetrics(net: Net, lpips_of: LoadLpips) -> None:
    from torchmetrics.functional.image.lpips import _lpips_update

    ours = lpips_of(net, normaliser="torchmetrics")
    theirs = torchmetrics_network(ours)
    for name in ("photograph and noise", "flat and flat"):
        reference, render = doubles(name)
        with torch.inference_mode():
            expected = _lpips_update(reference[None], render[None], net=theirs, normalize=True)
        assert_agree(ours(reference, render), expected, "float64")
    # The two normalisers differ by 1e-10 where features are small, which this comparison detects.
    assert abs(lpips_of(net)(reference, render) - expected) > 5e-11


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize(("version", "normaliser"), [("1.2.0", "lpips"), ("1.4.1", "torchmetrics")])
@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_agrees_with_stored_values_of_older_torchmetrics(
    net: Net, version: str, normaliser: Normaliser, scaled: bool, lpips_of: LoadLpips
) -> None:
    golden = json.loads((GOLDEN / f"torchmetrics-{version}.json").read_text())["values"]
    values = golden[f"lpips_{net}, {'scaled' if scaled else 'unscaled'}"]
    assert sorted(values) == sorted(LARGE)
    ours = lpips_of(net, normaliser=normaliser, input="scaled" if scaled else "unscaled")
    for name, (theirs, _) in values.items():
        assert_agree(ours(*doubles(name)), theirs, "float64")
        assert_agree(ours(*pairs()[name]), theirs, "float32")


@with_every_net
def test_gradient_agrees_with_the_lpips_package(net: Net, lpips_of: LoadLpips) -> None:
    ours = lpips_of(net)
    theirs = lpips_package(ours)
    reference, render = (image[..., :37, :41].clone().requires_grad_() for image in doubles("photograph and noise"))
    gradients = torch.autograd.grad(ours(reference, render), (reference, render))
    expected = torch.autograd.grad(theirs(reference[None], render[None], normalize=True).sum(), (reference, render))
    assert max(gradient.abs().max() for gradient in gradients) > 1e-4
    assert_agree(gradients[0], expected[0], "float64")
    assert_agree(gradients[1], expected[1], "float64")


# --- Known answers ------------------------------------------------------------------------------------------------


def example_pair(shared: Path) -> tuple[Tensor, Tensor]:
    first, second = (load_image(shared / "golden" / "lpips" / name) for name in ("ex_ref.png", "ex_p0.png"))
    return first.permute(2, 0, 1), second.permute(2, 0, 1)


@pytest.mark.parametrize(("net", "value"), [("alex", 0.722), ("vgg", 0.569)])
def test_published_values(net: Net, value: float, shared: Path, lpips_of: LoadLpips) -> None:
    known = json.loads((shared / "golden" / "known.json").read_text())["lpips"]
    assert [entry["value"] for entry in known if entry["net"] == net] == [value]
    assert round(lpips_of(net)(*example_pair(shared)).item(), 3) == value


def test_torchmetrics_published_values_of_seeded_noise(lpips_of: LoadLpips) -> None:
    seeded = generator(42)
    a, b = (torch.rand(2, 3, 100, 100, generator=seeded) for _ in range(2))
    values = lpips_of("squeeze", normaliser="torchmetrics")(a, b)
    assert [round(value, 4) for value in values.tolist()] == [0.1024, 0.0938]


def test_random_backbone_gives_a_far_too_small_value(shared: Path, tmp_path: Path) -> None:
    torch.save(random_lpips_package("alex").state_dict(), tmp_path / "random.pth")
    value = load_lpips("alex", weights=tmp_path / "random.pth")(*example_pair(shared)).item()
    assert 0.02 < value < 0.08  # The right weights give 0.722.


# --- Whole networks from a file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@with_every_kind_of_heads
def test_trained_network_from_a_file(suffix: str, heads: Heads, tmp_path: Path) -> None:
    """The paper's `tune` and `scratch` are trained modules of the package; random weights serve as well here."""
    trained = random_lpips_package("squeeze")
    seeded = generator(1)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(1 + 0.2 * torch.rand(parameter.shape, generator=seeded))
    trained.lpips = heads == "learned"
    path = tmp_path / f"tune{suffix}"
    state = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)

    ours = load_lpips("squeeze", heads=heads, weights=path)
    reference, several = renders()
    with torch.inference_mode():
        theirs = trained(reference.expand_as(several), several, normalize=True)[:, 0, 0, 0]
    assert_agree(ours(reference, several), theirs, "float32 peer")


# --- Shapes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "render"), [((), (3,)), ((3,), ()), ((2, 1), (2, 3)), ((2, 1), (1, 3)), ((3,), (3,)), ((1,), (1,))]
)
def test_any_broadcast_equals_a_loop(reference: tuple[int, ...], render: tuple[int, ...], small: Lpips) -> None:
    a, b = (noise(*batch, 3, 33, 35, seed=seed) for seed, batch in enumerate((reference, render)))
    batch = torch.broadcast_shapes(reference, render)
    rows = list(zip(*(image.expand(*batch, 3, 33, 35).reshape(-1, 3, 33, 35) for image in (a, b)), strict=True))
    with torch.inference_mode():
        assert_agree(small(a, b), torch.stack([small(x, y) for x, y in rows]).reshape(batch), "float32")
        maps = torch.stack([small.map(x, y) for x, y in rows]).reshape(*batch, 33, 35)
        assert_agree(small.map(a, b), maps, "float32", times=10)


@pytest.mark.parametrize("batch", [(0,), (2, 0)])
def test_no_images_have_no_values(batch: tuple[int, ...], small: Lpips) -> None:
    nothing = noise(*batch, 3, 33, 35)
    assert small(nothing, nothing).shape == batch
    assert small(noise(3, 33, 35), nothing).shape == batch
    assert small.map(nothing, nothing).shape == (*batch, 33, 35)


@pytest.mark.parametrize("pixels_at_once", [1, 300, 2**20])
def test_splitting_the_work_changes_nothing(pixels_at_once: int, small: Lpips, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = noise(2, 1, 3, 33, 35), noise(2, 3, 3, 33, 35, seed=1)
    whole = small(a, b)
    monkeypatch.setattr(lpips_plan, "_PIXELS_AT_ONCE", {"cpu": pixels_at_once})
    assert_agree(small(a, b), whole, "float32")


def test_two_images_give_a_scalar(small: Lpips) -> None:
    value = small(*pairs()["odd sizes"])
    assert value.shape == ()
    assert value.dtype == torch.float64
    assert small.map(*pairs()["odd sizes"]).shape == (37, 53)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("mapped", [False, True])
def test_the_reference_goes_through_the_network_once(
    count: int, mapped: bool, small: Lpips, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = []

    class Counted(lpips_passes._Batch):
        def __init__(self, images: lpips_plan.Images, layers: Any) -> None:
            passed.append(len(images))
            super().__init__(images, layers)

    monkeypatch.setattr(lpips_passes, "_Batch", Counted)
    reference, several = renders()
    (small.map if mapped else small)(reference, several[:count])
    assert sum(passed) == 1 + count


def test_clamping_affects_only_the_input(lpips_of: LoadLpips) -> None:
    plain, clamping = lpips_of("squeeze"), lpips_of("squeeze", clamp=True)
    reference, several = renders()
    assert torch.equal(clamping(reference, several), plain(reference, several))
    beyond, below = 1.5 * several, reference - 0.2
    assert torch.equal(clamping(below, beyond), plain(below.clamp(0, 1), beyond.clamp(0, 1)))
    assert (clamping(below, beyond) - plain(below, beyond)).abs().min() > 1e-3


@with_every_net
def test_symmetric_and_zero_for_identical_images(net: Net, lpips_of: LoadLpips) -> None:
    metric = lpips_of(net)
    a, b = pairs()["odd sizes"]
    assert_agree(metric(a, b), metric(b, a), "float32")
    assert metric(a, a.clone()).item() == 0
    assert metric(a, b).item() > 1e-3


# --- Gradients ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normaliser", ["lpips", "torchmetrics"])
@with_every_net
def test_gradient_is_finite_where_features_vanish(net: Net, normaliser: Normaliser, lpips_of: LoadLpips) -> None:
    # Unscaled black is 0 at the first layer, and without biases it is 0 at all layers.
    loaded = lpips_of(net, version="0.0", input="unscaled", normaliser=normaliser)
    weights = loaded.backbone.weights.items()
    backbone = {name: 0 * tensor if name.endswith("bias") else tensor for name, tensor in weights}
    metric = Lpips(net, "0.0", "learned", "unscaled", normaliser, Backbone(net, backbone), loaded.head_weights)
    black = torch.zeros(3, 33, 33, requires_grad=True)
    # A square root of 0 would give an intermediate NaN. The ReLUs before it happen to hide it; anomaly detection does
    # not.
    with torch.autograd.set_detect_anomaly(True):
        for reference in (torch.zeros(3, 33, 33), noise(3, 33, 33)):
            (gradient,) = torch.autograd.grad(metric(reference, black), black)
            assert gradient.isfinite().all()
        (gradient,) = torch.autograd.grad(lpips_of(net)(noise(3, 33, 33), black), black)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


def test_scoring_under_inference_mode_keeps_the_gradient(weights_folder: Callable[[Net], Path | None]) -> None:
    metric = load_lpips("squeeze", weights_dir=weights_folder("squeeze"))
    image, other = (noise(3, 20, 20, seed=seed, dtype=torch.float64) for seed in (0, 1))
    with torch.inference_mode():
        metric(image, other)  # In float64, so that the weights are copied.
    other.requires_grad_()
    assert torch.autograd.grad(metric(image, other), other)[0].abs().max() > 0


def test_loading_under_inference_mode_keeps_the_gradient(
    weights_folder: Callable[[Net], Path | None], tmp_path: Path
) -> None:
    path = tmp_path / "tune.pth"
    torch.save(random_lpips_package("squeeze").state_dict(), path)
    image, other = noise(3, 20, 20), noise(3, 20, 20, seed=1).requires_grad_()
    with torch.inference_mode():
        loaded = [load_lpips("squeeze", heads=heads, weights_dir=weights_folder("squeeze")) for heads in HEADS]
        loaded += [load_lpips("squeeze", weights=path)]
    for metric in loaded:
        assert torch.autograd.grad(metric(image, other), other)[0].abs().max() > 0


def test_autocast_does_not_reach_the_network(small: Lpips) -> None:
    reference, render = pairs()["odd sizes"]
    plain = small(reference, render)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        # Products outside the metric are rounded.
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
        assert torch.equal(small(reference, render), plain)


def test_the_weights_are_constants(small: Lpips) -> None:
    assert not any(tensor.requires_grad for tensor in [*small.backbone.weights.values(), *small.head_weights])


@cache
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location(EXAMPLE.stem, EXAMPLE)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_example_lowers_lpips_by_gradient_descent(
    weights_folder: Callable[[Net], Path | None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments: Sequence[str] = ["--net", "squeeze", "--steps", "15", "--output", str(tmp_path / "drawn.png")]
    if folder := weights_folder("squeeze"):
        arguments = [*arguments, "--weights-dir", str(folder)]
    before, after = example().main(arguments)
    assert before > 0.1
    assert after < 0.4 * before
    assert capsys.readouterr().out.startswith(f"LPIPS (squeeze) {before:.4f} -> {after:.4f} in 15 steps")
    assert load_image(tmp_path / "drawn.png").shape == (96, 96, 3)


# --- Masks --------------------------------------------------------------------------------------------------------


def test_mask_averages_the_map(small: Lpips) -> None:
    reference, several = renders()
    weights = noise(1, *reference.shape[-2:], seed=9)
    values = small.map(reference, several).double()
    expected = (values * weights).sum((-2, -1)) / weights.double().sum()
    assert_agree(small(reference, several, mask=weights), expected, "float32")
    half = torch.zeros(1, *reference.shape[-2:], dtype=torch.bool)
    half[..., 20:] = True
    assert_agree(small(reference, several, mask=half), values[..., 20:].mean((-2, -1)), "float32")


@with_every_net
def test_full_mask_gives_the_mean_of_the_map(net: Net, lpips_of: LoadLpips) -> None:
    reference, several = renders()
    metric = lpips_of(net)
    full = metric(reference, several, mask=torch.ones(1, *reference.shape[-2:]))
    assert_agree(full, metric.map(reference, several).double().mean((-2, -1)), "float32")
    assert (full - metric(reference, several)).abs().max() < 1e-4


# --- Errors -------------------------------------------------------------------------------------------------------


@with_every_net
def test_smaller_images_than_the_net_can_take_are_an_error(net: Net, lpips_of: LoadLpips) -> None:
    metric, least = lpips_of(net), SMALLEST[net]
    assert metric(noise(3, least, least), noise(3, least, least, seed=1)).isfinite()
    for height, width in ((least - 1, least), (least, least - 1)):
        image = noise(3, height, width)
        with pytest.raises(InputError, match=rf"{net} requires .* {least}x{least} pixels.*Got {width}x{height}"):
            metric(image, image)
        # The limit is the network's.
        with pytest.raises(RuntimeError, match=r"(?i)output size is too small|kernel size can't be greater"):
            lpips_package(metric).net(image[None].double())


@pytest.mark.usefixtures("unchecked")
def test_wrong_input_is_an_error(small: Lpips) -> None:
    image = noise(3, 40, 40)
    with pytest.raises(InputError, match=r"Got 40x40 and 39x40"):
        small(image, image[..., :39])
    with pytest.raises(InputError, match=r"render must .*Got torch.uint8"):
        small(image, image.byte())
    with pytest.raises(InputError, match=r"Got torch.float32 on cpu and torch.float64 on cpu"):
        small(image, image.double())
    with pytest.raises(InputError, match=r"mask must .*Got \[1, 40, 39\]"):
        small(image, image, mask=image[:1, :, :39])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"net": "vgg19"}, r"LPIPS net 'vgg19'. Did you mean 'vgg'\? Known: alex, squeeze, vgg"),
        ({"version": "0.2"}, r"LPIPS version '0.2'. Did you mean '0\.\d'\? Known: 0.0, 0.1"),
        ({"heads": "learnt"}, r"LPIPS heads 'learnt'. Did you mean 'learned'\?"),
        ({"input": "scale"}, r"LPIPS input 'scale'. Did you mean 'scaled'\?"),
        ({"normaliser": "torchmetric"}, r"LPIPS normaliser 'torchmetric'. Did you mean 'torchmetrics'\?"),
        ({"mask_meaning": "windows"}, r"mask meaning of LPIPS 'windows'.* Known: dycheck, valid-pixels"),
        ({"precision": "quick"}, r"LPIPS precision 'quick'\..* Known: exact, fast"),
    ],
)
def test_unknown_choice_lists_the_known_ones(choices: dict[str, str], message: str) -> None:
    make: Callable[..., Lpips] = load_lpips
    with pytest.raises(InputError, match=message):
        make(**{"net": "alex", **choices})


# --- Devices ------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_agrees_with_the_processor(small: Lpips) -> None:
    reference, several = renders()
    on_device = small(reference.cuda(), several.cuda())
    assert on_device.device.type == "cuda"
    assert_agree(on_device, small(reference, several), "float32")
