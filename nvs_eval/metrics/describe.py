"""Metrics of a protocol, built from their names and parameters."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any
from typing import Protocol as Interface

from msgspec import Meta
from torch import Tensor

from nvs_eval.errors import InputError, quoted, shortened, unknown_name
from nvs_eval.metrics.pair import MaskMeaning
from nvs_eval.metrics.registry import CORRECTED, FAMILIES, about_of, family_of_key, known_metrics
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.system.plugins import entry_names, load_entry
from nvs_eval.system.schema import Field, convert_fields

ENTRY_POINTS = "nvs_eval.metrics"
_PLUGIN = "If {name} is a metric of a plugin, install the plugin."

_LARGEST = sys.float_info.max
Positive = Annotated[float, Meta(gt=0, le=_LARGEST, description="a finite number above 0")]
NotNegative = Annotated[float, Meta(ge=0, le=_LARGEST, description="a finite number of at least 0")]


class Function(Interface):
    """Interface of all metrics: two `[..., 3, H, W]` images, leading dimensions broadcast, to values `[...]`."""

    def __call__(self, reference: Tensor, render: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Return one value per image."""
        ...


@dataclass(frozen=True)
class Metric:
    """A metric that is ready to be computed.

    Attributes:
        name: key in records and tables.
        unit: unit of the values, or "".
        higher_is_better: whether a higher value is better.
        signature: everything that changes the value, in the style of sacreBLEU, with the version last:
            "ssim|win:gauss11s1.5|pad:valid|range:1|cov:population|v1". When the meaning of the number changes, the
            version increases.
        function: computes the values.
        title: name in sentences and in LaTeX, for a metric of a plugin (default: the key).
        decimals: number of decimals in tables, for a metric of a plugin (default: 4).
        smallest: smallest height and width of an image that the function accepts, in pixels.
        undefined: reason why a value may be NaN, as sentences (default: the mask of a view).
    """

    name: str
    unit: str
    higher_is_better: bool
    signature: str
    function: Function
    title: str | None = None
    decimals: int | None = None
    smallest: int = 1
    undefined: str = ""


Load = Callable[[Path | None], Function]
"""Builds the function of a metric. The argument is the folder that is searched first for weights."""


@dataclass(frozen=True, kw_only=True)
class Described:
    """Result of the `describe` of a built-in metric for the parameters of a protocol.

    Attributes:
        signature: as in `Metric`.
        load: loads the function.
        smallest: as in `Metric`.
        undefined: as in `Metric`.
        nets: backbones whose weights it needs.
        is_fast: whether it computes below float32.
    """

    signature: str
    load: Load = field(repr=False)
    smallest: int = 1
    undefined: str = ""
    nets: tuple[Net, ...] = ()
    is_fast: bool = False


@dataclass(frozen=True, kw_only=True)
class Description(Described):
    """A metric as described by a protocol: a `Metric` whose function, which may read weights, is not loaded yet."""

    name: str
    unit: str
    higher_is_better: bool
    title: str | None = None
    decimals: int | None = None

    def build(self, *, weights_dir: Path | None = None) -> Metric:
        """Load the function and return the metric.

        Raises:
            InputError: the weights are unavailable or have the wrong hash.
        """
        facts = {field.name: getattr(self, field.name) for field in fields(Metric) if field.name != "function"}
        return Metric(**facts, function=self.load(weights_dir))


def describe(name: str, parameters: Mapping[str, Any], mask: MaskMeaning = "valid-pixels") -> Description:
    """Describe the metric that a protocol lists under a key.

    A key belongs to the longest registered name, of nvs-eval or of a plugin, that equals it or is followed by `_`.

    Args:
        name: key of the metric, prefixed with `cc_` if it is computed on the colour-corrected render.
        parameters: parameters that determine the value.
        mask: meaning of a mask.

    Raises:
        InputError: the metric is unknown; a parameter is unknown, missing or invalid; or the metric does not support
            this meaning of a mask.
    """
    plain, family = name.removeprefix(CORRECTED), family_of(name)
    if family in FAMILIES:
        make = _built_in(family)
        try:
            arguments = convert_fields(parameters, _parameters(make), name)
        except InputError as error:
            raise (
                error if plain in known_metrics() else InputError(f"{error} {_PLUGIN.format(name=shortened(name))}")
            ) from error
        about, made = about_of(plain), make(plain, mask, **arguments)
        facts = {field.name: getattr(made, field.name) for field in fields(Described)}
        return Description(name=name, unit=about.unit, higher_is_better=bool(about.higher_is_better), **facts)
    metric = _from_plugin(family, parameters, name)
    facts: dict[str, Any] = {field.name: getattr(metric, field.name) for field in fields(Metric)}
    del facts["function"]
    suffix = plain.removeprefix(family).replace("_", " ")  # Several keys of one metric have different titles.
    title = metric.title and f"{metric.title}{suffix}"
    return Description(**facts | {"name": name, "title": title}, load=lambda _: metric.function)


def has_parameter(name: str, parameter: str) -> bool:
    """Return whether a metric of nvs-eval has a parameter, such as `precision`."""
    family = family_of(name)
    return family in FAMILIES and parameter in _parameters(_built_in(family))


def without_defaults(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a metric that differ from their defaults."""
    family = family_of(name)
    make = _built_in(family) if family in FAMILIES else _plugin_maker(family)
    keywords = {} if make is None else inspect.signature(make).parameters
    defaults = {key: keywords[key].default for key in parameters if key in keywords}
    return {
        key: value
        for key, value in parameters.items()
        if key not in defaults or value != defaults[key] or isinstance(value, bool) != isinstance(defaults[key], bool)
    }


def family_of(name: str) -> str:
    """Return the longest registered name that a metric's key belongs to, without `cc_`, or the key itself."""
    key = name.removeprefix(CORRECTED)
    if "_" not in key or key in known_metrics():
        return family_of_key(key) or key
    return family_of_key(key, *entry_names(ENTRY_POINTS)) or key


def _built_in(family: str) -> Callable[..., Described]:
    return importlib.import_module(f"nvs_eval.metrics.{family}.metric").describe


def _plugin_maker(family: str) -> Callable[..., Any] | None:
    """Return the function of keyword arguments that makes a plugin's metric; None if its entry point is another."""
    entry = load_entry(ENTRY_POINTS, family, kind="metric") if family in entry_names(ENTRY_POINTS) else None
    keywords = inspect.signature(entry).parameters.values() if inspect.isroutine(entry) else None
    return entry if keywords is not None and all(p.kind is p.KEYWORD_ONLY for p in keywords) else None


def _from_plugin(family: str, parameters: Mapping[str, Any], name: str) -> Metric:
    """Load the metric of a plugin, or create it with its parameters."""
    if family not in entry_names(ENTRY_POINTS):
        error = unknown_name("metric", family, [*known_metrics(), *entry_names(ENTRY_POINTS)])
        raise InputError(f"{error} {_PLUGIN.format(name=shortened(family))}")
    make = _plugin_maker(family)
    try:
        arguments = convert_fields(parameters, {} if make is None else _parameters(make), name)
        metric = load_entry(ENTRY_POINTS, family, kind="metric") if make is None else make(**arguments)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"The plugin's metric {quoted(family)} cannot be made: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(metric, Metric):
        raise InputError(
            f"The plugin's metric {quoted(family)} must be a Metric, or a function of keyword arguments that returns "
            f"one. Got a {type(metric).__name__}."
        )
    _check_facts(metric, family)
    return metric


def _check_facts(metric: Metric, family: str) -> None:
    """Check the fields of a plugin's metric that records and tables rely on."""
    valid = {
        "unit must be a string": isinstance(metric.unit, str),
        "higher_is_better must be True or False": isinstance(metric.higher_is_better, bool),
        f"signature must be like '{family}|...|v1'": isinstance(metric.signature, str)
        and re.fullmatch(rf"{re.escape(family)}\|(.+\|)?v\d+", metric.signature) is not None,
        "title must be a string or None": isinstance(metric.title, str | None),
        "decimals must be a whole number from 0 on, or None": metric.decimals is None
        or (isinstance(metric.decimals, int) and metric.decimals >= 0),
        "smallest must be a whole number from 1 on": isinstance(metric.smallest, int) and metric.smallest >= 1,
        "undefined must be a string": isinstance(metric.undefined, str),
    }
    if wrong := [rule for rule, is_valid in valid.items() if not is_valid]:
        raise InputError(f"The plugin's metric {quoted(family)} is wrong: its {wrong[0]}. Got {quoted(metric)}.")


def _parameters(make: Callable[..., object]) -> dict[str, Field]:
    """Return the parameters of a metric: the typed keyword-only arguments of the function that describes it."""
    hints = typing.get_type_hints(make, include_extras=True)
    keywords = [p for p in inspect.signature(make).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return {p.name: Field(hints.get(p.name, Any), p.default is p.empty) for p in keywords}


def all_digits(number: float) -> str:
    """Format a number with all its digits (1.0 as "1"), because metrics with equal signatures are computed once."""
    return repr(number).removesuffix(".0")
