"""The text of a record, without its images: a protocol that is understood here, and claims that agree with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec

from nvs_eval.errors import InputError
from nvs_eval.records.record import Record
from nvs_eval.system.schema import convert

AVERAGE = "mipnerf_average"
COVERAGE = "coverage"
CORRECTED = "cc_"
UPGRADE = "Upgrade nvs-eval."


class Unknown(InputError):
    """A protocol asks for something that has no second opinion here. The message is a sentence or more."""


def first_line(error: Exception) -> str:
    """An error in one line: its type, and the first line of its message."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def family_of(metric: str) -> str | None:
    """Kind of metric: its key before the first underscore, without `cc_`; None where it has no second opinion."""
    family = AVERAGE if metric == AVERAGE else metric.removeprefix(CORRECTED).partition("_")[0]
    return family if family in _FAMILIES else None


_TITLES = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "mae": "MAE",
    "lpips_alex": "LPIPS (Alex)",
    "lpips_vgg": "LPIPS (VGG)",
    "lpips_squeeze": "LPIPS (Squeeze)",
    AVERAGE: "average error",
}
"""Titles of metrics. The registry has them too, and is not imported: verification shares no code with the metrics."""


def label_of(metric: str) -> str:
    """Return the name of a metric in a table: its title, after `cc-` for the colour-corrected render, else its key."""
    plain = metric.removeprefix(CORRECTED)
    if plain not in _TITLES:
        return metric
    return _TITLES[plain] if plain == metric else f"cc-{_TITLES[plain]}"


# --- What is understood: the definition of a protocol, and the parameters of each family of metrics -----------------

_Quantiser = Literal["none", "round", "truncate"]
_Positive = Annotated[float, msgspec.Meta(gt=0, description="a number above 0")]


class _Known(msgspec.Struct, forbid_unknown_fields=True):
    """A field that is not here may change numbers."""


class _Quantise(_Known):
    render: _Quantiser
    reference: _Quantiser
    mask: _Quantiser


class _Definition(_Known):
    alpha: Literal["composite", "drop", "error"]
    colour_correction: Literal["none", "quadratic", "affine"]
    out_of_range: Literal["error", "clamp", "keep"]
    quantise: _Quantise
    region: Literal["full", "right-half"]
    crop: Annotated[int, msgspec.Meta(ge=0)]
    mask: Literal["none", "ignored", "valid-pixels", "multiply", "fill", "bbox", "windows", "dycheck"]
    metrics: dict[str, Any]
    round_means: int | None


class _Psnr(_Known):
    data_range: _Positive


class _Mae(_Known):
    pass


class _Ssim(_Known):
    kernel: Literal["valid", "dmpix", "reflect", "zero", "uniform7-rgb", "uniform7-gray", "luma5"]
    data_range: _Positive | Literal["pair"]
    variance_floor: Annotated[float, msgspec.Meta(ge=0)] | None = None


class _Lpips(_Known):
    net: Literal["alex", "vgg", "squeeze"]
    version: Literal["0.0", "0.1"]
    input: Literal["scaled", "unscaled"]
    normaliser: Literal["lpips", "torchmetrics"]
    clamp: bool = False
    precision: Literal["exact", "fast"] = "exact"


class _Average(_Known):
    psnr: str
    ssim: str
    lpips: str


_FAMILIES = {"psnr": _Psnr, "mae": _Mae, "ssim": _Ssim, "lpips": _Lpips, AVERAGE: _Average}


def unknown_parts(record: Record) -> dict[str, str]:
    """Why the parameters of metrics, by their keys, are not understood; by "" why no image can be prepared."""
    definition = record.protocol["definition"]
    try:
        convert(definition, _Definition, "its protocol")
    except InputError as error:
        return {"": f"{error} {UPGRADE}"}
    reasons = {}
    for metric in record.metrics:
        try:
            check_metric(definition, metric)
        except Unknown as error:
            reasons[metric] = str(error)
    return reasons


def check_metric(definition: Mapping[str, Any], metric: str) -> None:
    """Check the parameters of a metric; one without a second opinion may have any.

    Raises:
        Unknown: a parameter is missing, or its value is not known here.
    """
    family, metrics = family_of(metric), definition["metrics"]
    if family is None:
        return
    if metric not in metrics:
        raise Unknown(f"its protocol lacks it. {UPGRADE}")
    try:
        convert(metrics[metric], _FAMILIES[family], f"metrics.{metric}")
    except InputError as error:
        raise Unknown(f"{error} {UPGRADE}") from error


# --- Claims that no fingerprint covers, and the fingerprint -----------------------------------------------------------

_BETTER_HIGHER = ("psnr", "ssim")
_UNITS = {"psnr": "dB"}
_BY_HAND = "the record was changed by hand."


def wrong_claims(record: Record) -> Iterator[str]:
    """A sentence for each direction (by which tables mark the best) or unit that is not the metric's own."""
    for metric, info in record.metrics.items():
        if (family := family_of(metric)) is None:
            continue
        higher, unit = family in _BETTER_HIGHER, _UNITS.get(family, "")
        if info.higher_is_better != higher:
            recorded, true = ("lower", "higher") if higher else ("higher", "lower")
            yield f"The {metric} is recorded as better the {recorded} it is, and it is better the {true}: {_BY_HAND}"
        if info.unit != unit:
            yield f"The unit of {metric} is recorded as {info.unit!r}, and it is {unit!r}: {_BY_HAND}"


def wrong_fingerprint(record: Record) -> Iterator[str]:
    """A sentence, where the fingerprint is not that of the definition and the signatures.

    A definition that is not understood may have another one by right.
    """
    if (true := fingerprint_of(record)) != record.fingerprint:
        recorded = f"The fingerprint is recorded as {record.fingerprint}"
        yield f"{recorded}, and the definition and signatures have {true}: {_BY_HAND}"


def fingerprint_of(record: Record) -> str:
    """Fingerprint of the definition, its numbers as floats, and the signatures, as canonical JSON."""
    signatures = {name: info.signature for name, info in record.metrics.items()}
    hashed = {"definition": _as_floats(record.protocol["definition"]), "signatures": signatures}
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _as_floats(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_floats(item) for key, item in value.items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
