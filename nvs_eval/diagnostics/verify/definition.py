"""Whether a record's protocol asks for nothing but what is known here; that of a later version may ask for more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nvs_eval.diagnostics.verify.prepare import Unknown
from nvs_eval.diagnostics.verify.scores import AVERAGE, family_of
from nvs_eval.errors import InputError

Rule = Callable[[Any], bool]

# What a value causes that is of the wrong kind, or leaves images that nothing can be computed of: torch's errors are
# RuntimeErrors.
_MISUNDERSTOOD = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError)


def _one_of(*choices: str) -> Rule:
    return lambda value: isinstance(value, str) and value in choices


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


_PREPARATION: Mapping[str, Rule] = {
    "alpha": _one_of("composite", "drop", "error"),
    "colour_correction": _one_of("none", "quadratic", "affine"),
    "out_of_range": _one_of("error", "clamp", "keep"),
    "quantise": _is_mapping,
    "region": _one_of("full", "right-half"),
    "crop": lambda value: _is_whole(value) and value >= 0,
    "mask": _one_of("none", "ignored", "valid-pixels", "multiply", "fill", "bbox", "windows", "dycheck"),
    "metrics": _is_mapping,
    "round_means": lambda value: value is None or _is_whole(value),
}
_QUANTISE: Mapping[str, Rule] = dict.fromkeys(("render", "reference", "mask"), _one_of("none", "round", "truncate"))
_NEEDED: Mapping[str, Mapping[str, Rule]] = {
    "psnr": {"data_range": lambda value: _is_number(value) and value > 0},
    "mae": {},
    "ssim": {
        "kernel": _one_of("valid", "dmpix", "reflect", "zero", "uniform7-rgb", "uniform7-gray", "luma5"),
        "data_range": lambda value: value == "pair" or (_is_number(value) and value > 0),
    },
    "lpips": {
        "net": _one_of("alex", "vgg", "squeeze"),
        "version": _one_of("0.0", "0.1"),
        "input": _one_of("scaled", "unscaled"),
        "normaliser": _one_of("lpips", "torchmetrics"),
    },
}
_OPTIONAL: Mapping[str, Mapping[str, Rule]] = {
    "ssim": {"variance_floor": lambda value: value is None or (_is_number(value) and value >= 0)},
    "lpips": {"clamp": lambda value: isinstance(value, bool), "precision": _one_of("exact", "fast")},
}


def check_preparation(definition: Mapping[str, Any]) -> None:
    """Check all of a definition that concerns every metric.

    Raises:
        Unknown: something of it is missing, or not known here.
    """
    _check(definition, "", _PREPARATION, {})
    _check(definition["quantise"], "quantise", _QUANTISE, {})


def check_metric(definition: Mapping[str, Any], metric: str) -> None:
    """Check the parameters of a metric, by its key; those of a plugin's metric are the plugin's business.

    Raises:
        Unknown: something of them is missing, or not known here.
    """
    family, metrics = family_of(metric), definition["metrics"]
    if family is None:
        return
    if metric not in metrics:
        raise _unknown(f"its protocol has no metrics.{metric}, and a record with its scores")
    parts: Mapping[str, Rule] = {part: _one_of(*metrics) for part in ("psnr", "ssim", "lpips")}
    needed = parts if family == AVERAGE else _NEEDED[family]
    _check(metrics[metric], f"metrics.{metric}", needed, _OPTIONAL.get(family, {}))


def _check(values: Any, where: str, needed: Mapping[str, Rule], optional: Mapping[str, Rule]) -> None:
    if not isinstance(values, Mapping):
        raise _unknown(f"its protocol's {where} {values!r}")
    prefix, rules = f"{where}." if where else "", {**needed, **optional}
    for key in needed:
        if key not in values:
            raise _unknown(f"its protocol has no {prefix}{key}, and one without it")
    for key, value in values.items():
        if key not in rules or not rules[key](value):
            raise _unknown(f"its protocol's {prefix}{key} {value!r}")


def _unknown(what: str) -> Unknown:
    return Unknown(f"{what} is not known here: upgrade nvs-eval")


@contextmanager
def interpreting(what: object) -> Iterator[None]:
    """Whatever goes wrong while a part of a definition is followed is one that is not known here.

    Raises:
        Unknown: something did, with that part and what happened.
    """
    try:
        yield
    except InputError:  # Which says for itself what is wrong.
        raise
    except _MISUNDERSTOOD as error:
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise Unknown(f"what its protocol says, {what!r} ({reason}), is not known here: upgrade nvs-eval") from error
