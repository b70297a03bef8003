"""Protocols with one field changed: the ways in which a tool may differ from a named protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, get_args

from nvs_eval.errors import InputError
from nvs_eval.images.pixels import Quantisation
from nvs_eval.metrics.describe import family_of
from nvs_eval.metrics.pair import MaskMeaning
from nvs_eval.metrics.registry import CORRECTED
from nvs_eval.metrics.ssim.formula import KERNELS
from nvs_eval.protocols import Protocol, parse_protocol

OF_METRIC = "metrics."
"""Beginning of a change of one metric's parameters; other changes concern the images of all metrics."""
_PREPARATION: Mapping[tuple[str, ...], Sequence[Any]] = {
    ("alpha",): ("composite", "drop"),
    ("out_of_range",): ("clamp", "keep"),
    ("quantise", "render"): get_args(Quantisation),
    ("quantise", "reference"): get_args(Quantisation),
    ("region",): ("full", "right-half"),
}
_MASKS: Mapping[tuple[str, ...], Sequence[Any]] = {
    ("mask",): ("ignored", "multiply", "fill", "bbox", *get_args(MaskMeaning)),
    ("quantise", "mask"): get_args(Quantisation),
}
_RANGES = (1, 2, 255)
_PARAMETERS: Mapping[str, Mapping[str, Sequence[Any]]] = {
    "psnr": {"data_range": _RANGES, "clamp": (False, True)},
    "ssim": {"kernel": tuple(KERNELS), "data_range": (*_RANGES, "pair")},
    "ms_ssim": {"data_range": _RANGES},
    "dssim": {"kernel": tuple(KERNELS)},
    "lpips": {
        "net": ("alex", "vgg", "squeeze"),
        "version": ("0.1", "0.0"),
        "input": ("scaled", "unscaled"),
        "normaliser": ("lpips", "torchmetrics"),
        "clamp": (False, True),
    },
}


def single(protocol: Protocol, metric: str) -> Protocol:
    """Return a protocol with one of its metrics alone, so that an error of one does not affect the others."""
    corrected = protocol.colour_correction if metric.startswith(CORRECTED) else "none"
    metrics = {metric: protocol.metrics[metric]}
    return replace(protocol, metrics=metrics, colour_correction=corrected, round_means=None)


def variants(protocol: Protocol, *, masked: bool) -> Iterator[tuple[str, Protocol]]:
    """Yield each change of one field, written as in a protocol file, and the changed protocol.

    Args:
        protocol: a protocol of one metric.
        masked: whether there are masks.
    """
    ((metric, given),) = protocol.metrics.items()
    fields = {**_PREPARATION, **(_MASKS if masked else {})}
    for name, values in _PARAMETERS.get(family_of(metric), {}).items():
        # A parameter that is not given is one that may be added, or that the metric does not have.
        if name in given or False in values:
            fields[("metrics", metric, name)] = values
    for path, values in fields.items():
        for value in values:
            changed: dict[str, Any] = {"name": protocol.name, **deepcopy(protocol.definition)}
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            if inner.get(path[-1], False) == value:
                continue
            inner[path[-1]] = value
            change = f"{'.'.join(path)}: {_in_yaml(value)}"
            if path[-1] == "net":  # It is part of the name.
                renamed = metric.replace(given["net"], value)
                changed["metrics"] = {renamed: inner}
                change = f"metrics.{renamed}.net: {value}, in place of {metric}"
            try:
                yield change, parse_protocol(changed)
            except InputError:
                pass  # Not every value fits every metric.


def _in_yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if str(value).startswith("0.") else str(value)
