"""Verification of the installation, and its images and protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.pairs import array_pairs
from support.protocols import PSNR, changed, rounding
from support.verifying import (
    FLAT,
    PAIRS,
    LpipsOf,
    nets_here,
)

from nvs_eval.cli import main
from nvs_eval.diagnostics.verify import installation, lpips
from nvs_eval.diagnostics.verify.installation import (
    KNOWN_LPIPS,
    Case,
    cases_for,
    made_pair,
    our_scores,
    second_opinions,
    verify_installation,
    with_mask,
)
from nvs_eval.diagnostics.verify.lpips import lpips_distance
from nvs_eval.diagnostics.verify.pair import Pair
from nvs_eval.diagnostics.verify.records import Compared
from nvs_eval.metrics.lpips.layers import Backbone
from nvs_eval.metrics.weights.backbones import Found, find_backbone
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import named_protocols


@pytest.fixture
def only_alex(monkeypatch: pytest.MonkeyPatch, lpips_of: LpipsOf) -> None:
    """Set up an installation with the weights of one net."""
    lpips_of("alex")

    def find(net: Net, *, directory: Path | None = None) -> Found:
        missing = Found(net, "nowhere", None, "no file")
        return find_backbone(net, directory=directory) if net == "alex" else missing

    monkeypatch.setattr(installation, "find_backbone", find)


@pytest.mark.parametrize("net", ["alex", "vgg", "squeeze"])
def test_known_values_are_those_of_the_lpips_package(weights_in_place: Callable[[Net], None], net: Net) -> None:
    weights_in_place(net)
    pair = made_pair()
    parameters = {"net": net, "version": "0.1", "input": "scaled", "normaliser": "lpips"}
    doubles = Pair(pair.reference.astype(np.float64), pair.render.astype(np.float64))
    assert lpips_distance(doubles, parameters, "none", None) == pytest.approx(KNOWN_LPIPS[net], abs=1e-12)


def test_lpips_in_float32_is_within_the_tolerance(lpips_of: LpipsOf, monkeypatch: pytest.MonkeyPatch) -> None:
    lpips_of("alex")
    parameters = {"net": "alex", "version": "0.1", "input": "scaled", "normaliser": "lpips"}
    pair = with_mask(made_pair())
    float64 = lpips_distance(pair, parameters, "valid-pixels", None)
    monkeypatch.setattr(lpips, "_MOST_PIXELS_IN_FLOAT64", 10)
    float32 = lpips_distance(pair, parameters, "valid-pixels", None)
    assert float32 != float64
    assert abs(float32 - float64) < Compared("", "lpips_alex", float32, float64).tolerance / 10


def test_installation_without_some_weights_is_right(only_alex: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--device", "cpu"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "and LPIPS (Alex) can be trusted here; weights of LPIPS (VGG, Squeeze) are missing." in out[-1]
    assert out[-1].startswith("PSNR, ")
    assert "SSIM" in out[-1]
    printed = "\n".join(out)
    assert "20.000001, expected 20.000000" in printed or "20.000000, expected 20.000000" in printed
    assert "WRONG" not in printed
    (row,) = [line for line in out if line.startswith("weights of vgg")]
    assert row.rstrip().endswith("missing")


def test_random_weights_are_found(
    only_alex: None, lpips_of: LpipsOf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from nvs_eval.metrics.lpips import metric as lpips

    torch.manual_seed(0)
    backbone = {name: 0.05 * torch.randn_like(tensor) for name, tensor in lpips_of("alex").backbone.weights.items()}
    monkeypatch.setattr(
        lpips, "load_lpips", lambda *_, **__: replace(lpips_of("alex"), backbone=Backbone("alex", backbone))
    )
    assert main(["verify", "--device", "cpu"]) == 1
    out = capsys.readouterr().out.splitlines()
    (row,) = [line for line in out if line.startswith("LPIPS (Alex) of a generated pair")]
    assert row.rstrip().endswith("WRONG")
    assert "LPIPS (Alex) cannot be trusted" in out[-1]
    assert out[-1].startswith("PSNR, ")


def test_wrong_weights_and_broken_metrics_are_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from nvs_eval.metrics.psnr import metric as psnr

    def find(net: Net, *, directory: Path | None = None) -> Found:
        return Found(net, "cache", tmp_path / net, "3 of its 10 tensors do not have the true values")

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel image\nis available")

    monkeypatch.setattr(installation, "find_backbone", find)
    monkeypatch.setattr(psnr, "mse", broken)
    assert main(["verify", "--device", "cpu"]) == 1
    out = capsys.readouterr().out
    assert out.count("3 of its 10 tensors do not have the true values") == 3
    assert "RuntimeError: no kernel image " in out
    assert "PSNR" in out.splitlines()[-1].partition("cannot be trusted")[0].rpartition(";")[2]


def test_device_with_other_scores_is_found(only_alex: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def scores(cases: Sequence[Case], device: torch.device, weights_dir: Path | None) -> Mapping[Any, float]:
        on_cpu = our_scores(cases, torch.device("cpu"), weights_dir)
        if device.type == "cpu":
            return on_cpu
        return {key: value + (0.001 if key[2] == "ssim" else 0) for key, value in on_cpu.items()}

    monkeypatch.setattr(installation, "our_scores", scores)
    monkeypatch.setattr(installation, "device_name", lambda device: "Accelerator 9000")
    result = verify_installation(torch.device("cuda"))
    wrong = [check for check in result.checks if check.state == "WRONG"]
    assert [check.topic for check in wrong] == ["SSIM"]
    assert wrong[0].name.startswith("SSIM on Accelerator 9000 against the CPU, ")
    assert wrong[0].deviation == pytest.approx(0.001)
    assert "SSIM cannot be trusted" in result.trust


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_this_device_is_compared_with_the_cpu(only_alex: None) -> None:
    result = verify_installation(torch.device("cuda"))
    assert any(torch.cuda.get_device_name() in check.name for check in result.checks)
    assert result.right


KERNELS = ("valid", "dmpix", "reflect", "zero", "uniform7-rgb")


def assert_confirmed(cases: Sequence[Case]) -> None:
    ours = our_scores(cases, torch.device("cpu"), None)
    independent = second_opinions(cases, ours, None)
    assert ours.keys() == independent.keys()
    compared = [Compared(str(key), key[2], ours[key], independent[key]) for key in ours]
    assert compared
    assert [value for value in compared if not value.confirmed] == []


@pytest.mark.parametrize("name", sorted(named_protocols()))
def test_every_named_protocol_is_confirmed_with_and_without_masks(name: str) -> None:
    cases = [
        replace(case, protocols=[protocol for protocol in case.protocols if protocol.name == name])
        for case in cases_for(nets_here())
    ]
    assert any(case.protocols for case in cases)
    assert_confirmed([case for case in cases if case.protocols])


def masked_pairs() -> Mapping[str, Pair]:
    pairs: dict[str, Pair] = {"made": with_mask(made_pair())}
    random = np.random.RandomState(7)
    for name in PAIRS[:4]:
        reference, render = array_pairs()[name]
        mask = random.rand(*reference.shape[:2]).astype(np.float32)
        mask[: len(mask) // 2] = 1
        mask[-6:, -20:] = 0
        pairs[name] = Pair(reference, render, mask)
    return pairs


@pytest.mark.parametrize("meaning", ["ignored", "valid-pixels", "multiply", "fill", "bbox", "windows", "dycheck"])
def test_every_meaning_of_a_mask_is_confirmed_with_every_kernel(meaning: str) -> None:
    kernels = ("valid", "dmpix") if meaning == "dycheck" else (*KERNELS, "luma5", "uniform7-gray")
    quantise = rounding("truncate", "round", "truncate")
    protocols = []
    for kernel in kernels:
        extent = 255 if kernel == "uniform7-gray" else 1
        both = {"ssim": {"kernel": kernel, "data_range": extent}, "mae": {}}
        protocols.append(changed(name=kernel, mask=meaning, quantise=quantise, metrics=both))
    assert_confirmed([Case(name, pair, protocols) for name, pair in masked_pairs().items()])


@pytest.mark.parametrize(
    ("meaning", "kernel"),
    [
        *(("valid-pixels", kernel) for kernel in ("valid", "dmpix", "reflect", "zero", "luma5")),
        *(("dycheck", kernel) for kernel in ("valid", "dmpix")),
    ],
)
def test_large_least_variance_is_confirmed(meaning: str, kernel: str) -> None:
    floor = changed(mask=meaning, metrics={"ssim": {"kernel": kernel, "data_range": 1, "variance_floor": 0.001}})
    assert_confirmed([Case(name, pair, [floor]) for name, pair in masked_pairs().items()])


@pytest.mark.parametrize("rule", ["quadratic", "affine"])
@pytest.mark.parametrize("quantise", [rounding("round", "round"), rounding()])
def test_colour_correction_is_confirmed(rule: str, quantise: dict[str, str]) -> None:
    more = {"cc_psnr": PSNR, "cc_ssim": {"kernel": "zero", "data_range": 1}, "cc_mae": {}}
    fields: Any = {"colour_correction": rule, "quantise": quantise, "out_of_range": "clamp"}
    protocols = [changed(name="corrected", metrics=more, **fields)]
    cases = [Case(name, Pair(*array_pairs()[name]), protocols) for name in (*PAIRS, *FLAT)]
    assert_confirmed([*cases, Case("tinted", tinted(), protocols)])
    corrected = our_scores([Case("tinted", tinted(), protocols)], torch.device("cpu"), None)
    assert corrected["corrected", "tinted", "cc_psnr"] > corrected["corrected", "tinted", "psnr"] + 3


def tinted() -> Pair:
    reference, render = array_pairs()["photograph and noise"]
    return Pair(reference, (render * np.float32(0.8) + np.array([0.1, 0, 0.05], np.float32)).clip(0, 1))
