"""The verification of an installation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.verifying import (
    LpipsOf,
)

from nvs_eval.cli import main
from nvs_eval.diagnostics.verify import installation, lpips
from nvs_eval.diagnostics.verify.installation import verify_installation
from nvs_eval.diagnostics.verify.lpips import lpips_distance
from nvs_eval.diagnostics.verify.prepare import Pair
from nvs_eval.diagnostics.verify.records import tolerance_of
from nvs_eval.diagnostics.verify.trials import (
    KNOWN_LPIPS,
    Case,
    made_pair,
    our_scores,
    with_mask,
)
from nvs_eval.metrics.lpips.layers import Backbone
from nvs_eval.metrics.weights.backbones import Found, find_backbone
from nvs_eval.metrics.weights.pins import Net


@pytest.fixture
def only_alex(monkeypatch: pytest.MonkeyPatch, lpips_of: LpipsOf) -> None:
    """An installation with the weights of one net."""
    lpips_of("alex")

    def find(net: Net, *, directory: Path | None = None) -> Found:
        lacking = Found(net, "nowhere", None, False, "no file of it here")
        return find_backbone(net, directory=directory) if net == "alex" else lacking

    monkeypatch.setattr(installation, "find_backbone", find)


@pytest.mark.parametrize("net", ["alex", "vgg", "squeeze"])
def test_the_known_values_are_those_of_the_lpips_package(weights_in_place: Callable[[Net], None], net: Net) -> None:
    weights_in_place(net)
    pair = made_pair()
    parameters = {"net": net, "version": "0.1", "input": "scaled", "normaliser": "lpips"}
    wide = Pair(pair.reference.astype(np.float64), pair.render.astype(np.float64))
    assert lpips_distance(wide, parameters, "none", None) == pytest.approx(KNOWN_LPIPS[net], abs=1e-12)


def test_lpips_in_float32_is_within_the_tolerance(lpips_of: LpipsOf, monkeypatch: pytest.MonkeyPatch) -> None:
    lpips_of("alex")
    parameters = {"net": "alex", "version": "0.1", "input": "scaled", "normaliser": "lpips"}
    pair = with_mask(made_pair())
    wide = lpips_distance(pair, parameters, "valid-pixels", None)
    monkeypatch.setattr(lpips, "_MOST_PIXELS_IN_FLOAT64", 10)
    narrow = lpips_distance(pair, parameters, "valid-pixels", None)
    assert narrow != wide
    assert abs(narrow - wide) < tolerance_of("lpips_alex") / 10


def test_an_installation_without_all_weights_is_right(only_alex: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--device", "cpu"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "and LPIPS (alex) can be trusted here; LPIPS (vgg, squeeze) have no weights." in out[-1]
    assert out[-1].startswith("PSNR, ")
    assert "SSIM" in out[-1]
    said = "\n".join(out)
    assert "20.000001, known 20.000000" in said or "20.000000, known 20.000000" in said
    assert "WRONG" not in said
    (row,) = [line for line in out if line.startswith("weights of vgg")]
    assert row.rstrip().endswith("not here")


def test_random_weights_are_noticed(
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
    (row,) = [line for line in out if line.startswith("LPIPS (alex) of a made pair")]
    assert row.rstrip().endswith("WRONG")
    assert "LPIPS (alex) cannot be trusted: see the table." in out[-1]
    assert out[-1].startswith("PSNR, ")


def test_wrong_weights_and_broken_metrics_are_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from nvs_eval.metrics.psnr import metric as psnr

    def find(net: Net, *, directory: Path | None = None) -> Found:
        return Found(net, "cache", tmp_path / net, False, "3 of its 10 tensors do not have the true values")

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel image\nis available")

    monkeypatch.setattr(installation, "find_backbone", find)
    monkeypatch.setattr(psnr, "mse", broken)
    assert main(["verify", "--device", "cpu"]) == 1
    out = capsys.readouterr().out
    assert out.count("3 of its 10 tensors do not have the true values") == 3
    assert "RuntimeError: no kernel image " in out
    assert "PSNR" in out.splitlines()[-1].partition("cannot be trusted")[0].rpartition(";")[2]


def test_a_device_that_computes_something_else_is_noticed(only_alex: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def scores(cases: Sequence[Case], device: torch.device, weights_dir: Path | None) -> Mapping[Any, float]:
        on_cpu = our_scores(cases, torch.device("cpu"), weights_dir)
        if device.type == "cpu":
            return on_cpu
        return {key: value + (0.001 if key[2] == "ssim" else 0) for key, value in on_cpu.items()}

    monkeypatch.setattr(installation, "our_scores", scores)
    monkeypatch.setattr(installation, "device_name", lambda device: "Accelerator 9000")
    found = verify_installation(torch.device("cuda"))
    wrong = [check for check in found.checks if check.state == "WRONG"]
    assert [check.topic for check in wrong] == ["SSIM"]
    assert wrong[0].name.startswith("ssim and Accelerator 9000, CPU, ")
    assert wrong[0].deviation == pytest.approx(0.001)
    assert "SSIM cannot be trusted" in found.trust


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_this_device_is_compared_with_the_cpu(only_alex: None) -> None:
    found = verify_installation(torch.device("cuda"))
    assert any(torch.cuda.get_device_name() in check.name for check in found.checks)
    assert found.right
