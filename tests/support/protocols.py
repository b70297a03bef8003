"""The one maker of protocols: small ones as the text of their files, and some that nobody uses, of every metric."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from nvs_eval.protocols import Protocol, parse_protocol

# PSNR and SSIM need no weights, so that these protocols do for nearly everything around the numbers.
LIGHT = """\
name: light
alpha: composite
colour_correction: none
out_of_range: error
quantise: {render: round, reference: round, mask: none}
region: full
crop: 0
mask: valid-pixels
metrics:
  psnr: {data_range: 1}
  ssim: {kernel: valid, data_range: 1}
round_means: null
"""
FLOAT = (
    LIGHT.replace("name: light", "name: float")
    .replace("{render: round, reference: round, mask: none}", "{render: none, reference: none, mask: none}")
    .replace("kernel: valid, data_range: 1", "kernel: reflect, data_range: pair")
)
# A protocol that quantises its renders, as PNGs do, and takes its references as they are.
HALF = LIGHT.replace("name: light", "name: half").replace("reference: round", "reference: none")
CLAMPING = LIGHT.replace("name: light", "name: clamping").replace("out_of_range: error", "out_of_range: clamp")
# It does not look at masks.
IGNORING = LIGHT.replace("name: light", "name: ignoring").replace("mask: valid-pixels", "mask: ignored")
# It has no meaning for them.
UNMASKED = LIGHT.replace("name: light", "name: unmasked").replace("mask: valid-pixels", "mask: none")
WITH_LPIPS = LIGHT.replace(
    "round_means",
    "  lpips_squeeze: {net: squeeze, version: '0.1', input: scaled, normaliser: lpips}\nround_means",
)

UNQUANTISED = {"render": "none", "reference": "none", "mask": "none"}
ROUNDED = {"render": "round", "reference": "round", "mask": "none"}
PSNR: dict[str, Any] = {"data_range": 1}
VALID: dict[str, Any] = {"kernel": "valid", "data_range": 1}
UNIFORM: dict[str, Any] = {"kernel": "uniform7-rgb", "data_range": 1}
LPIPS: dict[str, Any] = {"version": "0.1", "input": "scaled", "normaliser": "lpips"}
ALEX: dict[str, Any] = {"net": "alex", **LPIPS}
SQUEEZE: dict[str, Any] = {"net": "squeeze", **LPIPS}
AVERAGE = {"psnr": "psnr", "ssim": "ssim", "lpips": "lpips_squeeze"}
MASKED = {"psnr": PSNR, "mae": {}, "ssim": VALID, "ssim_uniform": UNIFORM, "lpips_squeeze": SQUEEZE}


def protocol_of(text: str) -> Protocol:
    return parse_protocol(yaml.safe_load(text))


def protocol_file(folder: Path, text: str = LIGHT, name: str = "light.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def changed(text: str = LIGHT, **changes: Any) -> Protocol:
    """A protocol with some of its fields changed; `metrics` are added to those it has."""
    protocol = protocol_of(text)
    metrics = {**protocol.metrics, **changes.pop("metrics", {})}
    return replace(protocol, **changes, metrics=metrics)


def _protocol(name: str, **fields: Any) -> Protocol:
    rest = {
        "alpha": "error",
        "colour_correction": "none",
        "out_of_range": "error",
        "quantise": UNQUANTISED,
        "region": "full",
        "crop": 0,
        "mask": "none",
        "round_means": None,
    }
    return parse_protocol({**rest, "name": name, **fields})


def _corrected(name: str, how: str, **fields: Any) -> Protocol:
    plain = {"psnr": PSNR, "mae": {}, "ssim": VALID, "lpips_alex": ALEX}
    both = {**plain, **{f"cc_{metric}": given for metric, given in plain.items()}}
    return _protocol(name, colour_correction=how, metrics=both, **fields)


def made_up_protocols() -> dict[str, Protocol]:
    """By name."""
    kernels = {
        "psnr": {"data_range": 255},
        "ssim": UNIFORM,
        "ssim_uniform_255": {**UNIFORM, "data_range": 255},
        "ssim_uniform_pair": {**UNIFORM, "data_range": "pair"},
        "ssim_valid_floor": {**VALID, "variance_floor": 0.004},
        "ssim_dmpix_floor": {"kernel": "dmpix", "data_range": 1, "variance_floor": 0.002},
        "ssim_reflect_floor": {"kernel": "reflect", "data_range": 1, "variance_floor": 0.003},
    }
    networks = {
        "psnr": PSNR,
        "ssim": VALID,
        "lpips_alex": {**ALEX, "version": "0.0"},
        "lpips_vgg": {"net": "vgg", **LPIPS, "version": "0.0"},
        "lpips_squeeze": SQUEEZE,
        "lpips_squeeze_old": {**SQUEEZE, "version": "0.0", "normaliser": "torchmetrics"},
        "mipnerf_average": AVERAGE,
    }
    masked = {**MASKED, "mipnerf_average": AVERAGE}
    without_lpips = {metric: given for metric, given in MASKED.items() if "lpips" not in metric}
    made = [
        _protocol("kernels", out_of_range="keep", metrics=kernels),
        _protocol("networks", out_of_range="clamp", metrics=networks),
        _protocol("fill", mask="fill", metrics=masked),
        _protocol("bbox", mask="bbox", metrics=masked),
        _protocol("multiply", mask="multiply", metrics=masked),
        _protocol("windows", mask="windows", metrics=without_lpips),
        _protocol("rounded mask", mask="valid-pixels", metrics=MASKED, quantise={**UNQUANTISED, "mask": "round"}),
        _protocol("crop", crop=3, mask="valid-pixels", metrics=masked),
        _protocol("right half, crop", region="right-half", crop=2, mask="bbox", metrics=without_lpips),
        _corrected("quadratic", "quadratic", out_of_range="clamp"),
        _corrected("affine", "affine", quantise=ROUNDED),
        _corrected("affine, fill", "affine", mask="fill"),
    ]
    return {protocol.name: protocol for protocol in made}
