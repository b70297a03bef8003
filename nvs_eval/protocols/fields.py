"""The check of a protocol's fields: none unknown, none missing, each of a value that is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args, get_type_hints

from nvs_eval.errors import InputError, unknown_name
from nvs_eval.metrics.registry import CORRECTED

AVERAGE = "mipnerf_average"
"""The metric that is made of three others."""
_AVERAGED = ("psnr", "ssim", "lpips")


def checked_fields(data: object, kind: type, quantise: type) -> dict[str, Any]:
    """The fields of a protocol from plain data.

    Raises:
        InputError: one is unknown, missing or has a value that is not known; the message names it.
    """
    values = _fields(data, kind, "a protocol")
    values["quantise"] = quantise(**_fields(values["quantise"], quantise, "quantise"))
    if not isinstance(values["name"], str) or not values["name"]:
        raise InputError(f"name is {values['name']!r}, and a text is needed.")
    for field, optional in (("crop", False), ("round_means", True)):
        _check_count(field, values[field], optional=optional)
    _check_metrics(values["metrics"])
    # A parameter that says what is so without it is left out, so that it makes no other fingerprint.
    values["metrics"] = {
        name: {key: value for key, value in parameters.items() if not _says_nothing(name, key, value)}
        for name, parameters in values["metrics"].items()
    }
    _check_together(values)
    return values


def is_lpips(metric: str) -> bool:
    """Whether a metric of a protocol is an LPIPS, by its key."""
    return metric.removeprefix(CORRECTED).split("_")[0] == "lpips"


def _says_nothing(metric: str, key: str, value: object) -> bool:
    """Whether a parameter says what is so without it."""
    return value is None or value is False or (is_lpips(metric) and (key, value) == ("precision", "exact"))


def _check_together(values: Mapping[str, Any]) -> None:
    """Check what only makes sense together."""
    metrics: Mapping[str, Mapping[str, Any]] = values["metrics"]
    corrected = [name for name in metrics if name.startswith(CORRECTED)]
    if corrected and values["colour_correction"] == "none":
        raise InputError(
            f"{', '.join(corrected)} are of the colour-corrected render, and colour_correction is none: say quadratic "
            "or affine."
        )
    if values["colour_correction"] != "none" and not corrected:
        raise InputError(
            f"colour_correction is {values['colour_correction']}, and no metric begins with cc_: add cc_psnr, ... for "
            "the corrected render, beside those of the render as it is."
        )
    for name, parameters in metrics.items():
        rules = (values["quantise"].render, values["quantise"].reference)
        if parameters.get("kernel") == "uniform7-gray" and "none" in rules:
            raise InputError(
                f"{name} has the kernel 'uniform7-gray', which is of 8-bit levels: quantise render and reference by "
                "round or truncate."
            )
    if AVERAGE in metrics:
        _check_average(metrics)


def _check_average(metrics: Mapping[str, Mapping[str, Any]]) -> None:
    parts = metrics[AVERAGE]
    if set(parts) != set(_AVERAGED):
        raise InputError(
            f"{AVERAGE} needs the parameters {', '.join(_AVERAGED)}: which metrics of this protocol they are."
        )
    for family, name in parts.items():
        if not isinstance(name, str) or name not in metrics or name.split("_")[0] != family:
            known = [known for known in metrics if known.split("_")[0] == family]
            raise unknown_name(f"{family} of {AVERAGE}", str(name), known)


def _fields(data: object, kind: type, what: str) -> dict[str, Any]:
    """The data as the fields of a dataclass, none unknown, none missing, choices among those known."""
    names = [field.name for field in fields(kind)]
    if not isinstance(data, Mapping):
        raise InputError(f"{what} must be a mapping with the fields {', '.join(names)}.")
    for name in data:
        if name not in names:
            raise unknown_name(f"field of {what}", str(name), names)
    missing = [name for name in names if name not in data]
    if missing:
        raise InputError(f"{what} lacks {', '.join(missing)}: nothing that changes a number has a default.")
    for name, hint in get_type_hints(kind).items():
        choices = get_args(hint)
        if choices and all(isinstance(choice, str) for choice in choices) and data[name] not in choices:
            raise unknown_name(f"value of {name}", str(data[name]), choices)
    return dict(data)


def _check_metrics(metrics: object) -> None:
    if not isinstance(metrics, Mapping) or not metrics or not all(isinstance(p, Mapping) for p in metrics.values()):
        raise InputError("metrics must be a mapping of at least one metric to its parameters: `psnr: {data_range: 1}`.")
    for name in metrics:
        if not isinstance(name, str):
            raise InputError(f"metrics has the key {name!r}, and the name of a metric is needed.")


def _check_count(field: str, value: object, *, optional: bool) -> None:
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"{field} is {value!r}, and a whole number of at least 0 is needed.")
