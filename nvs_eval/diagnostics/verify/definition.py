"""The text of a record, without its images: a protocol that is understood here, and claims that agree with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError
from nvs_eval.records.record import Record

AVERAGE = "mipnerf_average"
CORRECTED = "cc_"

# Allowed words, or a test of the value.
Rule = tuple[str, ...] | Callable[[Any], bool]


class Unknown(InputError):
    """A protocol asks for something that has no second opinion here."""


def family_of(metric: str) -> str | None:
    """Kind of metric of a protocol's key, its part before the first underscore without `cc_`; None of a plugin's."""
    if metric == AVERAGE:
        return AVERAGE
    family = metric.removeprefix(CORRECTED).partition("_")[0]
    return family if family in _METRICS else None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_whole(value) or isinstance(value, float)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


_PREPARATION: Mapping[str, Rule] = {
    "alpha": ("composite", "drop", "error"),
    "colour_correction": ("none", "quadratic", "affine"),
    "out_of_range": ("error", "clamp", "keep"),
    "quantise": _is_mapping,
    "region": ("full", "right-half"),
    "crop": lambda value: _is_whole(value) and value >= 0,
    "mask": ("none", "ignored", "valid-pixels", "multiply", "fill", "bbox", "windows", "dycheck"),
    "metrics": _is_mapping,
    "round_means": lambda value: value is None or _is_whole(value),
}
_QUANTISE: Mapping[str, Rule] = dict.fromkeys(("render", "reference", "mask"), ("none", "round", "truncate"))
_METRICS: Mapping[str, Mapping[str, Rule]] = {
    "psnr": {"data_range": _is_positive},
    "mae": {},
    "ssim": {
        "kernel": ("valid", "dmpix", "reflect", "zero", "uniform7-rgb", "uniform7-gray", "luma5"),
        "data_range": lambda value: value == "pair" or _is_positive(value),
    },
    "lpips": {
        "net": ("alex", "vgg", "squeeze"),
        "version": ("0.0", "0.1"),
        "input": ("scaled", "unscaled"),
        "normaliser": ("lpips", "torchmetrics"),
    },
}
_OPTIONAL: Mapping[str, Mapping[str, Rule]] = {
    "ssim": {"variance_floor": lambda value: value is None or (_is_number(value) and value >= 0)},
    "lpips": {"clamp": lambda value: isinstance(value, bool), "precision": ("exact", "fast")},
}


def known_metrics(record: Record, file: Path) -> tuple[Sequence[str] | None, list[str]]:
    """The metrics that are known here, None if images cannot be prepared; and a sentence for each unknown part."""
    definition = record.protocol["definition"]
    try:
        check_preparation(definition)
    except Unknown as error:
        return None, [f"The record {file} cannot be verified: {error}."]
    metrics, unsupported = [], []
    for metric in record.metrics:
        try:
            check_metric(definition, metric)
        except Unknown as error:
            unsupported.append(f"The {metric} of the record {file} cannot be verified: {error}.")
        else:
            metrics.append(metric)
    return metrics, unsupported


def check_preparation(definition: Mapping[str, Any]) -> None:
    """Check the part of a definition that concerns every metric.

    Raises:
        Unknown: a field is missing, or its value is not known here.
    """
    _check(definition, "", _PREPARATION)
    _check(definition["quantise"], "quantise", _QUANTISE)


def check_metric(definition: Mapping[str, Any], metric: str) -> None:
    """Check the parameters of a metric; a plugin checks those of its own.

    Raises:
        Unknown: a parameter is missing, or its value is not known here.
    """
    family, metrics = family_of(metric), definition["metrics"]
    if family is None:
        return
    if metric not in metrics:
        raise _unknown(f"its protocol has no metrics.{metric}, and a record with its scores")
    parts: Mapping[str, Rule] = dict.fromkeys(("psnr", "ssim", "lpips"), tuple(metrics))
    required = parts if family == AVERAGE else _METRICS[family]
    _check(metrics[metric], f"metrics.{metric}", required, _OPTIONAL.get(family, {}))


def _check(values: Any, where: str, required: Mapping[str, Rule], optional: Mapping[str, Rule] | None = None) -> None:
    if not isinstance(values, Mapping):
        raise _unknown(f"its protocol's {where} {values!r}")
    prefix, rules = f"{where}." if where else "", {**required, **(optional or {})}
    for key in required:
        if key not in values:
            raise _unknown(f"its protocol has no {prefix}{key}, and one without it")
    for key, value in values.items():
        if key not in rules or not _allows(rules[key], value):
            raise _unknown(f"its protocol's {prefix}{key} {value!r}")


def _allows(rule: Rule, value: Any) -> bool:
    return isinstance(value, str) and value in rule if isinstance(rule, tuple) else rule(value)


def _unknown(subject: str) -> Unknown:
    return Unknown(f"{subject} is not known here: upgrade nvs-eval")


@contextmanager
def interpreting(part: object) -> Iterator[None]:
    """Turn any failure to follow a part of a definition into `Unknown`; torch's errors are RuntimeErrors.

    Raises:
        Unknown: with that part and the failure.
    """
    try:
        yield
    except InputError:  # It names the fault already.
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise _unknown(f"what its protocol says, {part!r} ({first_line(error)}),") from error


def first_line(error: Exception) -> str:
    """An error in one line: its type, and the first line of its message."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


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
    """A sentence, where the fingerprint is not that of the definition and the signatures."""
    if (fingerprint := fingerprint_of(record)) != record.fingerprint:
        yield (
            f"The fingerprint is recorded as {record.fingerprint}, and the definition and signatures have "
            f"{fingerprint}: {_BY_HAND}"
        )


def fingerprint_of(record: Record) -> str:
    """Fingerprint of the definition, its numbers as floats, and the signatures, as canonical JSON."""
    signatures = {name: info.signature for name, info in record.metrics.items()}
    hashed = {"definition": _as_floats(record.protocol["definition"]), "signatures": signatures}
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _as_floats(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_floats(item) for key, item in value.items()}
    return float(value) if _is_whole(value) else value
