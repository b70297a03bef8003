"""The metrics of a protocol, made from their names and parameters."""

from __future__ import annotations

import importlib
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from typing import Protocol as Interface

from msgspec import Meta
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.metrics.pair import MaskMeaning
from nvs_eval.metrics.registry import CORRECTED, FAMILIES, about_of, known_metrics
from nvs_eval.system.plugins import load_entry
from nvs_eval.system.schema import Field, convert_fields

ENTRY_POINTS = "nvs_eval.metrics"

_LARGEST = sys.float_info.max
Positive = Annotated[float, Meta(gt=0, le=_LARGEST, description="a finite number above 0")]
NotNegative = Annotated[float, Meta(ge=0, le=_LARGEST, description="a finite number of at least 0")]


class Function(Interface):
    """The one shape of every metric: `[..., 3, H, W]` twice, leading dimensions broadcast, to `[...]`."""

    def __call__(self, reference: Tensor, render: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """One value an image."""
        ...


@dataclass(frozen=True)
class Metric:
    """A metric, ready to be computed.

    Attributes:
        name: its key in records and tables.
        unit: of its values, "" for none.
        higher_is_better: which way is up.
        signature: everything that changes its value, in the manner of sacreBLEU, its version last:
            "ssim|win:gauss11s1.5|pad:valid|range:1|cov:population|v1". A number that comes to mean something else gets
            a new version.
        function: of the one shape.
        title: its name in sentences and in LaTeX, for a metric of a plugin. Default: its key.
        decimals: number of decimals in tables, for a metric of a plugin. Default: 4.
    """

    name: str
    unit: str
    higher_is_better: bool
    signature: str
    function: Function
    title: str | None = None
    decimals: int | None = None


Load = Callable[[Path | None], Function]
"""Makes the function of a metric. Its argument is the folder in which to look for weights first."""


@dataclass(frozen=True)
class Description:
    """A metric as a protocol describes it: all of `Metric` but the function, which may have weights to read."""

    name: str
    unit: str
    higher_is_better: bool
    signature: str
    load: Load
    title: str | None = None
    decimals: int | None = None

    def build(self, *, weights_dir: Path | None = None) -> Metric:
        """The metric itself.

        Raises:
            InputError: its weights cannot be had, or are not the true ones.
        """
        function = self.load(weights_dir)
        return Metric(self.name, self.unit, self.higher_is_better, self.signature, function, self.title, self.decimals)


def describe(name: str, parameters: Mapping[str, Any], mask: MaskMeaning = "valid-pixels") -> Description:
    """The metric that a protocol asks for under a name; the part before the first underscore says which one it is.

    Args:
        name: with `cc_` before it where it is computed of the colour-corrected render.
        parameters: what its number depends on.
        mask: what a mask means.

    Raises:
        InputError: the metric or one of its parameters is unknown, missing or has a value that is not known, or the
            metric has no such meaning of a mask.
    """
    plain = name.removeprefix(CORRECTED)
    family = plain.split("_", 1)[0]
    if family in FAMILIES:
        module = importlib.import_module(f"nvs_eval.metrics.{FAMILIES[family]}")
        make: Callable[..., tuple[str, Load]] = getattr(module, f"describe_{family}")
        signature, load = make(plain, mask, **convert_fields(parameters, _parameters(make), name))
        about = about_of(plain)
        return Description(name, about.unit, bool(about.higher_is_better), signature, load)
    metric = load_entry(ENTRY_POINTS, plain, kind="metric", others=known_metrics())
    if not isinstance(metric, Metric):
        raise InputError(f"The metric {plain!r} of a plugin is a {type(metric).__name__}, and a Metric is needed.")
    convert_fields(parameters, {}, name)
    facts = (metric.unit, metric.higher_is_better, metric.signature)
    return Description(name, *facts, lambda _: metric.function, metric.title, metric.decimals)


def _parameters(make: Callable[..., object]) -> dict[str, Field]:
    """The parameters of a metric: the keywords of the function that describes it, with their types."""
    hints = typing.get_type_hints(make, include_extras=True)
    keywords = [p for p in inspect.signature(make).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return {p.name: Field(hints[p.name], p.default is p.empty) for p in keywords}


def all_digits(number: float) -> str:
    """All digits of a number, since metrics of one signature are computed once: 1.0 as "1"."""
    return repr(number).removesuffix(".0")
