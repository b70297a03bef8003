"""A signature stands for a number: one that changes without it is noticed here.

If a test here fails because a metric is meant to say something else, give it a new version in its signature (and say so
in CHANGELOG.md), and only then make the golden file again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from formula import Values, said, views

import nvs_eval.metrics.ssim as ssim_module
import nvs_eval.prepare as prepare_module
from nvs_eval import colour
from nvs_eval.protocols import load_protocol, named_protocols
from nvs_eval.weights import Net

GOLDEN: Values = json.loads((Path(__file__).parent / "golden" / "signatures.json").read_text())["values"]
with_every_protocol = pytest.mark.parametrize("name", named_protocols())


def changed(values: Values) -> list[str]:
    """The signatures of what is not the number that it was."""
    for signature, numbers in values.items():
        assert numbers.keys() == GOLDEN[signature].keys(), signature
    return [
        signature
        for signature, numbers in values.items()
        if any(abs(number - GOLDEN[signature][view]) > 1e-6 for view, number in numbers.items())
    ]


def of_pixels(name: str) -> Values:
    protocol = load_protocol(name)
    return said(protocol, [metric for metric in protocol.metrics if "lpips" not in metric])


@with_every_protocol
def test_what_a_signature_stands_for_has_not_changed(name: str) -> None:
    assert changed(of_pixels(name)) == []


@pytest.mark.parametrize(
    ("name", "metric"),
    [(name, metric) for name in named_protocols() for metric in load_protocol(name).metrics if "lpips" in metric],
)
def test_what_the_signature_of_an_lpips_stands_for_has_not_changed(
    name: str, metric: str, weights_folder: Callable[[Net], Path | None]
) -> None:
    protocol = load_protocol(name)
    folder = weights_folder(protocol.metrics[metric]["net"])
    assert changed(said(protocol, [metric], weights_dir=folder)) == []


def test_every_signature_of_every_protocol_is_held_and_no_other() -> None:
    signatures = {s for name in named_protocols() for s in load_protocol(name).signatures.values()}
    assert set(GOLDEN) == signatures


def test_no_two_signatures_stand_for_the_same_numbers_but_where_nothing_tells_them_apart() -> None:
    """The views see what the signatures speak of: of all pairs of one family, few say the same."""
    beyond = [(signature, numbers["beyond"]) for signature, numbers in GOLDEN.items() if "beyond" in numbers]
    assert len({value for _, value in beyond}) > 0.8 * len(beyond)
    for signature, numbers in GOLDEN.items():
        assert "inside" in numbers
        assert ("masked" in numbers) == ("mask:" in signature or "region:right-half" in signature)


def test_the_views_are_between_levels_and_beyond_the_range() -> None:
    made = views()
    assert made["inside"].renders[0].image.aminmax().max < 1
    assert made["beyond"].renders[0].image.min() < -0.01
    assert made["beyond"].renders[0].image.max() > 1.01
    between = made["inside"].renders[0].image * 255
    assert ((between - between.round()).abs() > 0.2).all()
    assert ((between % 1 - 0.5).abs() > 0.2).all()


# --- That it would be noticed -------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [(2, 1), (1, 1.01)])
def test_another_constant_of_ssim_is_noticed(times: tuple[float, float], monkeypatch: pytest.MonkeyPatch) -> None:
    constants = ssim_module._constants

    def other(*given: Any) -> tuple[torch.Tensor, torch.Tensor]:
        c1, c2 = constants(*given)
        return times[0] * c1, times[1] * c2

    monkeypatch.setattr(ssim_module, "_constants", other)
    for name in ("standard", "nerfstudio", "instant-ngp", "zipnerf-pytorch", "dycheck"):
        protocol = load_protocol(name)
        assert changed(of_pixels(name)) == [protocol.signatures["ssim"]]


def test_another_rounding_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_module, "quantise", lambda image, rule: image)
    assert set(changed(of_pixels("standard"))) == {load_protocol("standard").signatures[m] for m in ("psnr", "ssim")}


def test_another_number_of_iterations_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colour, "_ITERATIONS", 4)
    multinerf = load_protocol("multinerf").signatures
    assert set(changed(of_pixels("multinerf"))) == {multinerf["cc_psnr"], multinerf["cc_ssim"]}


def test_another_half_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_module, "_cut", lambda image, protocol: image[..., image.shape[-1] // 2 + 1 :])
    assert len(changed(of_pixels("nerfbaselines-nerfw"))) == 3
