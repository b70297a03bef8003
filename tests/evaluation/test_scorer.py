from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from support.agreement import assert_agree
from support.peer_networks import lpips_package
from support.protocols import FLOAT, LIGHT, SQUEEZE, WITH_LPIPS, changed, protocol_of
from support.scenes import float_image, image
from support.scoring import CPU, outcomes, scores, view
from support.window_ssim import TOOLS, ssim_map

from nvs_eval.errors import InputError
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.images.files import load_image, save_png
from nvs_eval.metrics.lpips.architectures import SMALLEST as SMALLEST_OF_NETS
from nvs_eval.metrics.mipnerf_average.metric import mipnerf_average
from nvs_eval.metrics.psnr.metric import psnr
from nvs_eval.metrics.ssim.metric import KERNELS
from nvs_eval.metrics.weights.pins import NETS, Net, backbone_sha256
from nvs_eval.protocols import load_protocol

# --- Scores ---------------------------------------------------------------------------------------------------------


def test_standard_scores_computed_by_hand(
    weights_folder: Callable[[Net], Path | None], lpips_of: Callable[..., Any]
) -> None:
    folder = {weights_folder("alex"), weights_folder("vgg")}
    reference, render = float_image(0), (float_image(0) + 0.1 * float_image(1) - 0.05).clamp(0, 1)
    (result,) = scores(load_protocol("standard"), view(reference, render), weights_dir=folder.pop())

    # Both images rounded to 8 bits.
    x, y = (np.floor(picture.numpy() * np.float32(255) + np.float32(0.5)) / 255 for picture in (reference, render))
    expected = {
        "psnr": peak_signal_noise_ratio(x, y, data_range=1),
        "ssim": ssim_map(TOOLS["valid"], x.astype(np.float64), y.astype(np.float64), 1.0).mean(),
    }
    batch = [torch.from_numpy(picture).double().permute(2, 0, 1)[None] for picture in (x, y)]
    for net in ("alex", "vgg"):
        with torch.inference_mode():
            expected[f"lpips_{net}"] = lpips_package(lpips_of(net))(*batch, normalize=True).item()

    assert list(result) == ["psnr", "ssim", "lpips_alex", "lpips_vgg"]
    for name, value in expected.items():
        assert_agree(result[name], [value], "float32", times=2)
    # Without rounding, the score differs by more than the tolerance.
    assert abs(psnr(reference.permute(2, 0, 1), render.permute(2, 0, 1)) - expected["psnr"]) > 1e-4


def test_identical_images_score_perfectly(weights_folder: Callable[[Net], Path | None]) -> None:
    picture = image(0)
    (result,) = scores(WITH_LPIPS, view(picture, picture.clone()), weights_dir=weights_folder("squeeze"))
    assert (result["psnr"], result["lpips_squeeze"]) == ([math.inf], [0.0])
    assert_agree(result["ssim"], [1.0], "float64")


def test_renders_score_the_same_together_and_one_by_one(weights_folder: Callable[[Net], Path | None]) -> None:
    reference, renders = float_image(0), [float_image(seed) for seed in range(1, 4)]
    scorer = Scorer([protocol_of(WITH_LPIPS)], CPU, weights_folder("squeeze"))
    (together,) = scorer.score(view(reference, *renders))
    alone = [scorer.score(view(reference, render))[0] for render in renders]
    for name, values in together.items():
        assert_agree(values, [separate[name][0] for separate in alone], "float32")
    assert len({*together["psnr"]}) == 3


def test_flat_offset_is_rounded_before_scoring() -> None:
    # 0.1 * 255 = 25.5 is rounded up to 26 levels; without rounding the PSNR would be 20 dB.
    black, grey = torch.zeros(16, 16, 3), torch.full((16, 16, 3), 0.1)
    assert_agree(scores(LIGHT, view(black, grey))[0]["psnr"], [20 * math.log10(255 / 26)], "float32")
    assert_agree(scores(changed(crop=2), view(black, grey))[0]["psnr"], [20 * math.log10(255 / 26)], "float32")


# --- Refused images -------------------------------------------------------------------------------------------------


def test_render_that_is_not_finite_raises_before_scoring() -> None:
    with pytest.raises(InputError, match=r"The render of view 'cam/7' \(their\.png\) .*NaN"):
        view(image(0), image(1).index_fill(0, torch.tensor(3), torch.nan))


@pytest.mark.parametrize(("value", "bounds"), [(1.01, "0 to 1.01"), (-0.01, "-0.01 to ")])
def test_out_of_range_error_names_the_view_and_values(value: float, bounds: str) -> None:
    bad = image(1)
    bad[0, 0, 0] = 0
    bad[3, 4, 1] = value
    message = r"'cam/7'.* " + bounds + r".* 'light' .*\[0, 1\].*`out_of_range: clamp`"
    with pytest.raises(InputError, match=r"The render of view 'cam/7' \(their\.png\)"):
        scores(LIGHT, view(image(0), image(2), bad))
    with pytest.raises(InputError, match=message):
        scores(LIGHT, view(bad, image(0)))
    clamped = scores(changed(out_of_range="clamp"), view(image(0), bad))
    assert clamped == scores(LIGHT, view(image(0), bad.clamp(0, 1)))
    assert clamped != scores(changed(out_of_range="keep"), view(image(0), bad))


def test_rounding_errors_are_not_out_of_range() -> None:
    almost = image(1)
    almost[0, 0], almost[0, 1] = 1 + 5e-7, -5e-7
    assert scores(FLOAT, view(image(0), almost)) == scores(FLOAT, view(image(0), almost.clamp(0, 1)))


def test_flat_pair_has_no_ssim_over_its_own_range() -> None:
    flat = view(torch.full((16, 16, 3), 0.5), torch.full((16, 16, 3), 0.25))
    with pytest.raises(InputError, match=r"ssim .*'cam/7' .*range:pair"):
        scores(FLOAT, flat)
    assert scores(LIGHT, flat)[0]["ssim"][0] > 0


SMALLEST = {
    "valid": 11,
    "valid-sample": 11,
    "dmpix": 11,
    "uniform7-rgb": 7,
    "uniform7-gray": 7,
    "reflect": 6,
    "luma5": 2,
}


@pytest.mark.parametrize(("kernel", "least"), SMALLEST.items())
def test_images_below_the_window_raise_with_its_size(kernel: str, least: int) -> None:
    protocol = changed(metrics={"ssim": {"kernel": kernel, "data_range": 1}})
    assert scores(protocol, view(image(0, least, least), image(1, least, least)))
    small = view(image(0, least - 1, 40), image(1, least - 1, 40))
    message = rf"View 'cam/7': SSIM .*'{kernel}' .*{least}x{least} .*40x{least - 1}"
    with pytest.raises(InputError, match=message):
        scores(protocol, small)


def test_every_kernel_except_zero_padding_has_a_smallest_size() -> None:
    assert {*SMALLEST, "zero"} == set(KERNELS)


@pytest.mark.parametrize("net", NETS)
def test_images_below_a_nets_minimum_raise_with_its_size(
    net: Net, weights_folder: Callable[[Net], Path | None]
) -> None:
    protocol = changed(metrics={f"lpips_{net}": {**SQUEEZE, "net": net}})
    least = SMALLEST_OF_NETS[net]
    scorer = Scorer([protocol, protocol_of(LIGHT)], CPU, weights_folder(net))
    assert scorer.score(view(image(0, least, least), image(1, least, least)))
    small = view(image(0, 40, least - 1), image(1, 40, least - 1))
    refused, scored = scorer.outcomes(small)
    with pytest.raises(InputError, match=rf"View 'cam/7': LPIPS .*{net} .*{least}x{least} "):
        scorer.score(small)
    # The error of one protocol does not affect the other.
    assert refused.scores == {}
    assert isinstance(refused.error, InputError)
    assert list(scored.scores) == ["psnr", "ssim"]
    assert scored.error is None


def test_error_of_one_protocol_does_not_affect_others() -> None:
    beyond = view(image(0), 1.5 * image(1))
    strict, clamping = outcomes([LIGHT, changed(out_of_range="clamp")], beyond)
    assert "'light'" in str(strict.error)
    assert clamping.scores == scores(changed(out_of_range="clamp"), beyond)[0]


# --- The average ----------------------------------------------------------------------------------------------------


def test_average_error_of_the_papers() -> None:
    assert round(mipnerf_average(31, 0.94, 0.12), 6) == 0.028582
    expected = math.exp((math.log(10**-3.1) + math.log(math.sqrt(1 - 0.94)) + math.log(0.12)) / 3)
    assert_agree(mipnerf_average(31, 0.94, 0.12), expected, "float64")
    assert mipnerf_average(math.inf, 1.0, 0.0) == 0.0
    assert mipnerf_average(31, 1 + 1e-15, 0.12) == 0.0  # An SSIM above 1 by rounding counts as 1.


AVERAGED = {
    "lpips_squeeze": SQUEEZE,
    "mipnerf_average": {"psnr": "psnr", "ssim": "ssim", "lpips": "lpips_squeeze"},
    "mae": {},
}


def test_average_uses_the_scores_of_each_view(weights_folder: Callable[[Net], Path | None]) -> None:
    scorer = Scorer([changed(metrics=AVERAGED)], CPU, weights_folder("squeeze"))
    (result,) = scorer.score(view(image(0), image(1), image(2), image(0)))
    assert list(result) == ["psnr", "ssim", "lpips_squeeze", "mipnerf_average", "mae"]
    triples = zip(result["psnr"], result["ssim"], result["lpips_squeeze"], strict=True)
    assert result["mipnerf_average"] == [mipnerf_average(*triple) for triple in triples]
    assert result["mipnerf_average"][0] != result["mipnerf_average"][1]
    assert result["mipnerf_average"][2] == 0.0


# --- The input of LPIPS ---------------------------------------------------------------------------------------------


def test_clamping_lpips_affects_only_its_input(weights_folder: Callable[[Net], Path | None]) -> None:
    plain = changed(out_of_range="keep", metrics={"lpips_squeeze": SQUEEZE})
    clamping = changed(out_of_range="keep", metrics={"lpips_squeeze": {**SQUEEZE, "clamp": True}})
    scorer = Scorer([plain, clamping], CPU, weights_folder("squeeze"))
    inside, again = scorer.score(view(image(0), image(1)))
    assert inside == again
    beyond, clamped = scorer.score(view(image(0), 1.5 * image(1)))
    assert (clamped["psnr"], clamped["ssim"]) == (beyond["psnr"], beyond["ssim"])
    assert clamped["lpips_squeeze"] != beyond["lpips_squeeze"]
    by_hand, _ = scorer.score(view(image(0), (1.5 * image(1)).clamp(0, 1)))
    assert_agree(clamped["lpips_squeeze"], by_hand["lpips_squeeze"], "float32")


# --- Weights and settings -------------------------------------------------------------------------------------------


def test_weights_in_use_are_identified(weights_folder: Callable[[Net], Path | None]) -> None:
    scorer = Scorer([protocol_of(WITH_LPIPS), protocol_of(FLOAT)], CPU, weights_folder("squeeze"))
    assert scorer.weights == {"squeeze": backbone_sha256("squeeze")}
    assert Scorer([protocol_of(LIGHT)], CPU).weights == {}


def test_missing_weights_raise_before_anything_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise InputError("no network in tests")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("NVS_EVAL_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr("nvs_eval.metrics.weights.backbones.download", refuse)
    with pytest.raises(InputError, match="squeeze"):
        Scorer([protocol_of(WITH_LPIPS)], CPU)


def test_torch_settings_of_the_user_are_kept_and_have_no_effect(weights_folder: Callable[[Net], Path | None]) -> None:
    scored = view(float_image(0), float_image(1))
    scorer = Scorer([protocol_of(WITH_LPIPS)], CPU, weights_folder("squeeze"))
    plain = scorer.score(scored)
    torch.set_float32_matmul_precision("high")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert scorer.score(scored) == plain
            assert torch.is_autocast_enabled("cpu")
        assert torch.get_float32_matmul_precision() == "high"
        assert not torch.is_inference_mode_enabled()
    finally:
        torch.set_float32_matmul_precision("highest")


# --- From files -----------------------------------------------------------------------------------------------------


def test_saved_pngs_score_exactly_like_their_floats(
    tmp_path: Path, weights_folder: Callable[[Net], Path | None]
) -> None:
    pictures = [float_image(seed) for seed in range(3)]
    for index, picture in enumerate(pictures):
        save_png(tmp_path / f"{index}.png", picture)
    saved = [load_image(tmp_path / f"{index}.png") for index in range(3)]
    scorer = Scorer([protocol_of(WITH_LPIPS)], CPU, weights_folder("squeeze"))
    assert scorer.score(view(*pictures)) == scorer.score(view(*saved))
    assert scores(FLOAT, view(*pictures)) != scores(FLOAT, view(*saved))
