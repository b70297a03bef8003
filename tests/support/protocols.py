"""Protocols for tests: small ones as text, and synthetic ones that cover every metric."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from nvs_eval.protocols import Protocol

# PSNR and SSIM need no weights. These protocols suffice for nearly all tests that are not about scores.
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


def variant(text: str = LIGHT, **fields: Any) -> str:
    """Return the text of a protocol with some fields replaced. `metrics` are added to the existing ones."""
    data = yaml.safe_load(text)
    metrics = {**data["metrics"], **fields.pop("metrics", {})}
    return yaml.safe_dump({**data, **fields, "metrics": metrics}, sort_keys=False)


def rounding(render: str = "none", reference: str = "none", mask: str = "none") -> dict[str, str]:
    """Return the field `quantise` of a protocol."""
    return {"render": render, "reference": reference, "mask": mask}


PSNR: dict[str, Any] = {"data_range": 1}
VALID: dict[str, Any] = {"kernel": "valid", "data_range": 1}
UNIFORM: dict[str, Any] = {"kernel": "uniform7-rgb", "data_range": 1}
LPIPS: dict[str, Any] = {"version": "0.1", "input": "scaled", "normaliser": "lpips"}
ALEX: dict[str, Any] = {"net": "alex", **LPIPS}
SQUEEZE: dict[str, Any] = {"net": "squeeze", **LPIPS}
AVERAGE = {"psnr": "psnr", "ssim": "ssim", "lpips": "lpips_squeeze"}
MASKED = {"psnr": PSNR, "mae": {}, "ssim": VALID, "ssim_uniform": UNIFORM, "lpips_squeeze": SQUEEZE}

FLOAT = variant(name="float", quantise=rounding(), metrics={"ssim": {"kernel": "reflect", "data_range": "pair"}})
# Rounds its renders to 8 bits, and does not quantise its references.
HALF = variant(name="half", quantise=rounding("round"))
# Ignores masks.
IGNORING = variant(name="ignoring", mask="ignored")
# Does not admit masks.
UNMASKED = variant(name="unmasked", mask="none")
CLAMPING = variant(name="clamping", out_of_range="clamp")
KEEPING = variant(name="keeping", out_of_range="keep")
WITH_LPIPS = variant(metrics={"lpips_squeeze": SQUEEZE})
BARE = variant(alpha="error", quantise=rounding(), mask="none")


def protocol_of(text: str) -> Protocol:
    from nvs_eval.protocols import parse_protocol  # Delayed, because the golden test also runs other revisions.

    return parse_protocol(yaml.safe_load(text))


def changed(text: str = LIGHT, **fields: Any) -> Protocol:
    """Return the protocol of a text with some fields replaced."""
    return protocol_of(variant(text, **fields))


def protocol_file(folder: Path, text: str = LIGHT, name: str = "light.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _corrected(name: str, kind: str, **fields: Any) -> Protocol:
    plain = {"psnr": PSNR, "mae": {}, "ssim": VALID, "lpips_alex": ALEX}
    both = {**plain, **{f"cc_{metric}": parameters for metric, parameters in plain.items()}}
    return changed(BARE, name=name, colour_correction=kind, metrics=both, **fields)


def made_up_protocols() -> dict[str, Protocol]:
    """Return synthetic protocols by name."""
    kernels = {
        "psnr": {"data_range": 255},
        "ssim": UNIFORM,
        "ssim_uniform_255": {**UNIFORM, "data_range": 255},
        "ssim_uniform_pair": {**UNIFORM, "data_range": "pair"},
        "ssim_valid_floor": {**VALID, "variance_floor": 0.004},
        "ssim_dmpix_floor": {"kernel": "dmpix", "data_range": 1, "variance_floor": 0.002},
        "ssim_reflect_floor": {"kernel": "reflect", "data_range": 1, "variance_floor": 0.003},
        "dssim_range1": {"kernel": "zero"},
        "dssim_range2": {"kernel": "uniform7-rgb"},
        "flip": {},
        "flip_far": {"pixels_per_degree": 30},
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
    without_lpips = {metric: parameters for metric, parameters in MASKED.items() if "lpips" not in metric}
    made = [
        changed(BARE, name="kernels", out_of_range="keep", metrics=kernels),
        changed(BARE, name="networks", out_of_range="clamp", metrics=networks),
        changed(BARE, name="fill", mask="fill", metrics=masked),
        changed(BARE, name="bbox", mask="bbox", metrics=masked),
        changed(BARE, name="multiply", mask="multiply", metrics=masked),
        changed(BARE, name="windows", mask="windows", metrics=without_lpips),
        changed(
            BARE,
            name="rounded mask",
            mask="valid-pixels",
            metrics={**MASKED, "flip": {}},
            quantise=rounding(mask="round"),
        ),
        changed(BARE, name="crop", crop=3, mask="valid-pixels", metrics=masked),
        changed(BARE, name="right half, crop", region="right-half", crop=2, mask="bbox", metrics=without_lpips),
        _corrected("quadratic", "quadratic", out_of_range="clamp"),
        _corrected("affine", "affine", quantise=rounding("round", "round")),
        _corrected("affine, fill", "affine", mask="fill"),
    ]
    return {protocol.name: protocol for protocol in made}
