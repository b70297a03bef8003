"""Verification of a record without its images: is its protocol supported, and do its claims agree with it?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec

from nvs_eval.errors import InputError, quoted
from nvs_eval.records.record import MetricInfo, Record
from nvs_eval.system.schema import convert

AVERAGE = "mipnerf_average"
COVERAGE = "coverage"
CORRECTED = "cc_"
UPGRADE = "Upgrade nvs-eval."


class Unknown(InputError):
    """A protocol contains something without a second opinion. The message is one or more sentences."""


def first_line(error: Exception) -> str:
    """Return an error in one line: its type, and the first line of its message."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def family_of(metric: str) -> str:
    """Return the family of a metric: its key up to the first underscore, without `cc_`."""
    return AVERAGE if metric == AVERAGE else metric.removeprefix(CORRECTED).partition("_")[0]


def verifiable(metrics: Mapping[str, MetricInfo]) -> list[str]:
    """Return the metrics that have a second opinion here; a plugin's metric, such as `psnr_hvs`, has none."""
    heads = {metric: info.signature.partition("|")[0] for metric, info in metrics.items()}
    return [metric for metric, head in heads.items() if head == family_of(metric) in _FAMILIES]


_TITLES = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "ms_ssim": "MS-SSIM",
    "mae": "MAE",
    "dists": "DISTS",
    "flip": "FLIP",
    "dssim_ms": "D-SSIM (MS)",
    "dssim_range1": "D-SSIM (range 1)",
    "dssim_range2": "D-SSIM (range 2)",
    "lpips_alex": "LPIPS (Alex)",
    "lpips_vgg": "LPIPS (VGG)",
    "lpips_squeeze": "LPIPS (Squeeze)",
    AVERAGE: "average error",
}
"""Titles of metrics. The registry is not imported, because verification shares no code with the metrics."""


def label_of(metric: str) -> str:
    """Return the name of a metric in a table: its title, after `cc-` if colour-corrected, or its key if unknown."""
    plain = metric.removeprefix(CORRECTED)
    if plain not in _TITLES:
        return metric
    return _TITLES[plain] if plain == metric else f"cc-{_TITLES[plain]}"


# --- Schema of supported definitions, and of the parameters of each family of metrics --------------------------------

_Quantiser = Literal["none", "round", "truncate"]
_Positive = Annotated[float, msgspec.Meta(gt=0, description="a number above 0")]


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    """Refuses unknown fields, which may change numbers."""


class _Quantise(_Strict):
    render: _Quantiser
    reference: _Quantiser
    mask: _Quantiser


class _Definition(_Strict):
    alpha: Literal["composite", "drop", "error"]
    colour_correction: Literal["none", "quadratic", "affine"]
    out_of_range: Literal["error", "clamp", "keep"]
    quantise: _Quantise
    region: Literal["full", "right-half"]
    crop: Annotated[int, msgspec.Meta(ge=0)]
    mask: Literal["none", "ignored", "valid-pixels", "multiply", "fill", "bbox", "windows", "dycheck"]
    metrics: dict[str, Any]
    round_means: int | None


class _Psnr(_Strict):
    data_range: _Positive
    clamp: bool = False


class _Mae(_Strict):
    pass


class _Ssim(_Strict):
    kernel: Literal["valid", "valid-sample", "dmpix", "reflect", "zero", "uniform7-rgb", "uniform7-gray", "luma5"]
    data_range: _Positive | Literal["pair"]
    variance_floor: Annotated[float, msgspec.Meta(ge=0)] | None = None


class _Lpips(_Strict):
    net: Literal["alex", "vgg", "squeeze"]
    version: Literal["0.0", "0.1"]
    input: Literal["scaled", "unscaled"]
    normaliser: Literal["lpips", "torchmetrics"]
    clamp: bool = False
    precision: Literal["exact", "fast"] = "exact"


class _Average(_Strict):
    psnr: str
    ssim: str
    lpips: str


_FAMILIES = {"psnr": _Psnr, "mae": _Mae, "ssim": _Ssim, "lpips": _Lpips, AVERAGE: _Average}


def unknown_parts(record: Record) -> dict[str, str]:
    """Return why metrics are not supported, by key; the key "" stands for the preparation of images."""
    definition = record.protocol["definition"]
    try:
        convert(definition, _Definition, "its protocol")
    except InputError as error:
        return {"": f"{error} {UPGRADE}"}
    reasons = {}
    for metric in verifiable(record.metrics):
        try:
            check_metric(definition, metric)
        except Unknown as error:
            reasons[metric] = str(error)
    return reasons


def check_metric(definition: Mapping[str, Any], metric: str) -> None:
    """Check the parameters of a metric that has a second opinion.

    Raises:
        Unknown: a parameter is missing, or its value is not supported.
    """
    metrics = definition["metrics"]
    if metric not in metrics:
        raise Unknown(f"its protocol does not define it. {UPGRADE}")
    try:
        convert(metrics[metric], _FAMILIES[family_of(metric)], f"metrics.{metric}")
    except InputError as error:
        raise Unknown(f"{error} {UPGRADE}") from error


# --- Claims that no fingerprint covers, and the fingerprint -----------------------------------------------------------

_BETTER_HIGHER = ("psnr", "ssim")
_UNITS = {"psnr": "dB"}
_BY_HAND = "The record was changed by hand."


def wrong_claims(record: Record) -> Iterator[str]:
    """Yield a sentence for each wrong direction (which decides the best in tables) or unit of a metric."""
    for metric in verifiable(record.metrics):
        info, family = record.metrics[metric], family_of(metric)
        higher, unit = family in _BETTER_HIGHER, _UNITS.get(family, "")
        if info.higher_is_better != higher:
            recorded, true = ("lower", "higher") if higher else ("higher", "lower")
            yield f"The record says that {recorded} {metric} is better, but {true} is better. {_BY_HAND}"
        if info.unit != unit:
            recorded, true = quoted(info.unit), quoted(unit)
            yield f"The record says that the unit of {metric} is {recorded}, but it is {true}. {_BY_HAND}"


def wrong_fingerprint(record: Record) -> Iterator[str]:
    """Yield a sentence if the fingerprint does not match the definition and the signatures.

    The fingerprint of a definition that is not supported may rightly differ.
    """
    if (true := fingerprint_of(record)) != record.fingerprint:
        recorded = f"The record says that its fingerprint is {record.fingerprint}"
        yield f"{recorded}, but the definition and signatures have {true}. {_BY_HAND}"


def fingerprint_of(record: Record) -> str:
    """Return the fingerprint of definition (numbers as floats) and signatures, as canonical JSON."""
    signatures = {name: info.signature for name, info in record.metrics.items()}
    hashed = {"definition": _as_floats(record.protocol["definition"]), "signatures": signatures}
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _as_floats(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_floats(item) for key, item in value.items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
