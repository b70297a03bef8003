"""A signature identifies a number: these tests fail if a number changes and its signature does not.

If a metric changes intentionally, increase the version in its signature and describe the change in CHANGELOG.md. Only
then regenerate the golden file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.formula import Values, signature_scores, views
from support.protocols import made_up_protocols

import nvs_eval.evaluation.prepare as prepare_module
from nvs_eval.metrics import colour_correction as colour
from nvs_eval.metrics.ssim.formula import Constants
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import load_protocol, named_protocols

GOLDEN: Values = json.loads((Path(__file__).parents[1] / "golden" / "signatures.json").read_text())["values"]
PROTOCOLS = {name: load_protocol(name) for name in named_protocols()} | made_up_protocols()
AVERAGE = "mipnerf_average"
with_every_protocol = pytest.mark.parametrize("name", PROTOCOLS)


def changed(values: Values) -> list[str]:
    """Return the signatures whose numbers have changed."""
    for signature, numbers in values.items():
        assert numbers.keys() == GOLDEN[signature].keys(), signature
    return [
        signature
        for signature, numbers in values.items()
        if any(abs(number - GOLDEN[signature][view]) > 1e-6 for view, number in numbers.items())
    ]


def of_pixels(name: str) -> Values:
    protocol = PROTOCOLS[name]
    return signature_scores(
        protocol, [metric for metric in protocol.metrics if "lpips" not in metric and metric != AVERAGE]
    )


@with_every_protocol
def test_numbers_of_a_signature_have_not_changed(name: str) -> None:
    assert changed(of_pixels(name)) == []


@pytest.mark.parametrize(
    ("name", "metric"),
    [(name, metric) for name, protocol in PROTOCOLS.items() for metric in protocol.metrics if "lpips" in metric],
)
def test_numbers_of_an_lpips_signature_have_not_changed(
    name: str, metric: str, weights_folder: Callable[[Net], Path | None]
) -> None:
    protocol = PROTOCOLS[name]
    folder = weights_folder(protocol.metrics[metric]["net"])
    assert changed(signature_scores(protocol, [metric], weights_dir=folder)) == []


@pytest.mark.parametrize("name", [name for name, protocol in PROTOCOLS.items() if AVERAGE in protocol.metrics])
def test_numbers_of_an_average_signature_have_not_changed(
    name: str, weights_folder: Callable[[Net], Path | None]
) -> None:
    parts = PROTOCOLS[name].metrics[AVERAGE]
    assert (
        changed(signature_scores(PROTOCOLS[name], [*parts.values(), AVERAGE], weights_dir=weights_folder("squeeze")))
        == []
    )


def test_the_golden_file_has_exactly_the_signatures_of_all_protocols() -> None:
    signatures = {s for protocol in PROTOCOLS.values() for s in protocol.signatures.values()}
    assert set(GOLDEN) == signatures


def test_different_signatures_have_different_numbers() -> None:
    """The views are sensitive to the parameters in a signature: few signatures share a number."""
    beyond = [(signature, numbers["beyond"]) for signature, numbers in GOLDEN.items() if "beyond" in numbers]
    assert len({value for _, value in beyond}) > 0.8 * len(beyond)
    for signature, numbers in GOLDEN.items():
        assert "inside" in numbers
        assert ("masked" in numbers) == ("mask:" in signature or "region:right-half" in signature)


def test_the_meanings_of_a_mask_have_different_numbers() -> None:
    """Checked for SSIM, because pixel errors are equal for some of the meanings."""
    meanings = ("multiply", "fill", "bbox", "windows", "rounded mask")
    for metric in ("ssim", "ssim_uniform"):
        values = sorted(GOLDEN[PROTOCOLS[name].signatures[metric]]["masked"] for name in meanings)
        assert all(second - first > 1e-3 for first, second in pairwise(values)), metric


def test_the_views_are_between_levels_and_beyond_the_range() -> None:
    made = views()
    assert made["inside"].renders[0].image.aminmax().max < 1
    assert made["beyond"].renders[0].image.min() < -0.01
    assert made["beyond"].renders[0].image.max() > 1.01
    between = made["inside"].renders[0].image * 255
    assert ((between - between.round()).abs() > 0.2).all()
    assert ((between % 1 - 0.5).abs() > 0.2).all()


# --- Sensitivity --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [(2, 1), (1, 1.01)])
def test_another_constant_of_ssim_is_noticed(times: tuple[float, float], monkeypatch: pytest.MonkeyPatch) -> None:
    of = Constants.of

    def altered(*args: Any) -> Constants:
        constants = of(*args)
        return replace(constants, c1=times[0] * constants.c1, c2=times[1] * constants.c2)

    monkeypatch.setattr(Constants, "of", altered)
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


@pytest.mark.parametrize("mask", ["fill", "bbox", "multiply"])
def test_a_mask_that_is_not_applied_is_noticed(mask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_module, "_masked", lambda prepared, *_: prepared)
    monkeypatch.setattr(prepare_module, "_boxed", lambda prepared, _: prepared)
    signatures = PROTOCOLS[mask].signatures
    assert set(changed(of_pixels(mask))) == {signatures[m] for m in ("psnr", "mae", "ssim", "ssim_uniform")}
