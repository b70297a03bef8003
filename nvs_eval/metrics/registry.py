"""What a protocol may compute: the metrics by name, each with the parameters that its number depends on."""

from __future__ import annotations

import importlib.metadata
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from typing import Protocol as Interface

from torch import Tensor

from nvs_eval.errors import InputError, unknown_name
from nvs_eval.metrics.lpips.metric import load_lpips
from nvs_eval.metrics.psnr import mae, psnr
from nvs_eval.metrics.ssim.metric import KERNELS, ssim

ENTRY_POINTS = "nvs_eval.metrics"


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
    """

    name: str
    unit: str
    higher_is_better: bool
    signature: str
    function: Function


@dataclass(frozen=True)
class Description:
    """A metric as a protocol describes it: all of `Metric` but the function, which may have weights to read."""

    name: str
    unit: str
    higher_is_better: bool
    signature: str
    load: Callable[[Path | None], Function]

    def build(self, *, weights_dir: Path | None = None) -> Metric:
        """The metric itself.

        Raises:
            InputError: its weights cannot be had, or are not the true ones.
        """
        return Metric(self.name, self.unit, self.higher_is_better, self.signature, self.load(weights_dir))


MaskMeaning = Literal["valid-pixels", "windows", "dycheck"]
"""What a mask means to a metric; the other meanings are done to the images before."""
CORRECTED = "cc_"
"""What the name of a metric begins with that is computed of the colour-corrected render."""


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
    if family in _FAMILIES:
        make = _FAMILIES[family]
        _check_parameters(name, make, parameters)
        return replace(make(plain, mask, **parameters), name=name)
    plugins = {entry.name: entry for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    if plain not in plugins:
        known = ["psnr", "mae", "ssim", "lpips_alex", "lpips_vgg", "lpips_squeeze", "mipnerf_average", *plugins]
        raise unknown_name("metric", plain, known)
    if parameters:
        raise InputError(f"The metric {name!r} takes no parameters; {', '.join(parameters)} given.")
    return replace(_from_plugin(plugins[plain]), name=name)


def _from_plugin(entry: importlib.metadata.EntryPoint) -> Description:
    where = f"the plugin {entry.dist.name if entry.dist else '?'} ({entry.value})"
    try:
        metric = entry.load()
    except Exception as error:
        raise InputError(f"The metric {entry.name!r} of {where} cannot be loaded: {error}") from error
    if not isinstance(metric, Metric):
        raise InputError(f"{where} gives a {type(metric).__name__} for {entry.name!r}, and a Metric is needed.")
    return Description(metric.name, metric.unit, metric.higher_is_better, metric.signature, lambda _: metric.function)


def _check_parameters(name: str, make: Callable[..., Description], given: Mapping[str, Any]) -> None:
    known = {p.name: p for p in inspect.signature(make).parameters.values() if p.kind is p.KEYWORD_ONLY}
    for parameter in given:
        if parameter not in known:
            raise unknown_name(f"parameter of {name}", str(parameter), known)
    missing = [name for name, p in known.items() if p.default is p.empty and name not in given]
    if missing:
        raise InputError(
            f"The metric {name!r} needs {', '.join(missing)}: nothing that changes a number has a default."
        )


def _psnr(name: str, _: MaskMeaning, *, data_range: float) -> Description:
    peak = _number(name, "data_range", data_range)
    function = partial(psnr, data_range=peak)
    return Description(name, "dB", True, f"psnr|range:{_show(peak)}|v1", lambda _: function)


def _mae(name: str, _: MaskMeaning) -> Description:
    return Description(name, "", False, "mae|v1", lambda _: mae)


def _ssim(
    name: str, mask: MaskMeaning, *, kernel: str, data_range: float | str, variance_floor: float | None = None
) -> Description:
    _check_choice(f"kernel of {name}", kernel, KERNELS)
    shown = "pair" if data_range == "pair" else _show(_number(name, "data_range", data_range))
    how = KERNELS[kernel]
    if variance_floor is not None:
        floor = _number(name, "variance_floor", variance_floor, least=0.0)
        how = replace(how, variance_floor=floor)
    if mask == "dycheck" and (how.padding != "valid" or how.sample_covariance):
        raise InputError(f"{name} has the kernel {kernel!r}, for which `mask: dycheck` has no meaning: take dmpix.")
    make: Any = ssim  # Its choices were checked above.
    function = partial(make, kernel=kernel, data_range=data_range, variance_floor=variance_floor, mask_meaning=mask)
    return Description(name, "", True, f"ssim|{how.signature(shown)}|v1", lambda _: function)


def _lpips(
    name: str,
    mask: MaskMeaning,
    *,
    net: str,
    version: str,
    input: str,
    normaliser: str,
    clamp: bool = False,
    precision: str = "exact",
) -> Description:
    choices = {
        "net": (net, ("alex", "vgg", "squeeze")),
        "version": (version, ("0.1", "0.0")),
        "input": (input, ("scaled", "unscaled")),
        "normaliser": (normaliser, ("lpips", "torchmetrics")),
        "precision": (precision, ("exact", "fast")),
    }
    for parameter, (value, known) in choices.items():
        _check_choice(f"{parameter} of {name}", value, known)
    if not isinstance(clamp, bool):
        raise InputError(f"clamp of {name} is {clamp!r}, and true or false is needed.")
    if not f"{name}_".startswith(f"lpips_{net}_"):
        raise InputError(f"The metric {name!r} has the net {net!r}: call it lpips_{net}, so that no table misnames it.")
    if mask == "windows":
        raise InputError(
            f"{name} has no windows, so that `mask: windows` has no meaning for it: take valid-pixels, multiply, fill, "
            "bbox or dycheck, or leave LPIPS out."
        )
    make: Any = load_lpips  # Its choices were checked above.
    ways = {"version": version, "input": input, "normaliser": normaliser, "clamp": clamp, "precision": precision}
    load = partial(make, net, mask_meaning=mask, **ways)
    clamped = "|clamp" if clamp else ""
    fast = "|precision:fast" if precision == "fast" else ""
    signature = f"lpips|net:{net}|heads:{version}|input:{input}{clamped}|norm:{normaliser}{fast}|v1"
    return Description(name, "", False, signature, lambda weights_dir: load(weights_dir=weights_dir))


_FAMILIES: Mapping[str, Callable[..., Description]] = {"psnr": _psnr, "mae": _mae, "ssim": _ssim, "lpips": _lpips}


def _check_choice(kind: str, given: object, known: Mapping[str, Any] | tuple[str, ...]) -> None:
    if not isinstance(given, str):
        raise InputError(
            f"The {kind} is {given!r}, and a text is needed: one of {', '.join(map(repr, sorted(known)))}."
        )
    if given not in known:
        raise unknown_name(kind, given, known)


def _number(name: str, parameter: str, given: object, *, least: float | None = None) -> float:
    """A finite number, at least `least`, or above 0."""
    if isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given):
        number = float(given)
        if number > 0 if least is None else number >= least:
            return number
    needed = "above 0" if least is None else f"of at least {least:g}"
    raise InputError(f"{parameter} of {name} is {given!r}, and a finite number {needed} is needed.")


def _show(number: float) -> str:
    """All digits of a number, since metrics of one signature are computed once: 1.0 as "1"."""
    return repr(number).removesuffix(".0")
