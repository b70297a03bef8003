"""Numbers that a tool reported: means or values of views, with the decimals that it showed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError, quoted, some
from nvs_eval.metrics.registry import CORRECTED, known_metrics

_LPIPS = tuple(key for key in known_metrics() if key.startswith("lpips_"))
_DSSIM = tuple(key for key in known_metrics() if key.startswith("dssim_"))
# Metrics by the names that tools use, in lower case and without punctuation. Those of dycheck begin with m.
_NAMES: Mapping[str, tuple[str, ...]] = {
    **{key.replace("_", ""): (key,) for key in known_metrics()},
    "mpsnr": ("psnr",),
    "mssim": ("ssim",),
    **dict.fromkeys(("lpips", "mlpips"), _LPIPS),
    "dssim": _DSSIM,
    "dssim1": ("dssim_range1",),
    "dssim2": ("dssim_range2",),
}
_WITHOUT_MEANING = ("mean", "avg", "average", "fine", "test", "ours", "db")


@dataclass(frozen=True)
class Number:
    """A number as a tool shows it.

    Attributes:
        value: the number.
        unit: unit of its last decimal, such as 0.001; 0 if it has all digits.
    """

    value: float
    unit: float

    @classmethod
    def of(cls, text: str) -> Number:
        """Return the number in a text.

        Raises:
            ValueError: it is not a number, or NaN.
        """
        try:
            exact = Decimal(text.strip())
        except InvalidOperation:
            raise ValueError(f"{quoted(text)} is not a number") from None
        exponent = exact.as_tuple().exponent
        if exact.is_nan() or (isinstance(exponent, int) and not -1000 < exact.adjusted() < 300):
            raise ValueError(f"{quoted(text)} is not a number that a metric can have")
        return cls(float(exact), 10.0**exponent if isinstance(exponent, int) else 0.0)


@dataclass
class Reported:
    """Numbers of one metric.

    Attributes:
        name: name of the metric in the file.
        keys: metrics of a protocol that the name can stand for.
        mean: the mean over views, if the file has it.
        views: numbers of views, with their names; a name is "" if the file has only their order.
    """

    name: str
    keys: tuple[str, ...]
    mean: Number | None = None
    views: Sequence[tuple[str, Number]] = ()

    def of_views(self, names: Sequence[str]) -> dict[str, Number]:
        """Return the number of each view, by the names of the views, in the order of the file.

        Raises:
            InputError: the file has another view, or another number of views without names.
        """
        given = [name for name, _ in self.views]
        counts = sorted(given) == sorted(map(str, range(len(names))))
        if not any(given) or (counts and not set(given) <= set(names)):
            places = names if not any(given) else [names[int(name)] for name in given]
            if len(places) != len(given):
                raise InputError(
                    f"The numbers of {self.name} must be of the {len(names)} views. Got {len(given)} without names. "
                    "Name the views in a first column, or identify the renders of these views alone."
                )
        else:
            last = Counter(Path(name).name for name in names)
            known = {Path(name).name: name for name in names if last[Path(name).name] == 1} | {
                name: name for name in names
            }
            places = [known.get(name) or known.get(_stem(name)) or known.get(Path(_stem(name)).name) for name in given]
            unknown = [name for name, place in zip(given, places, strict=True) if place is None]
            if unknown or len(set(places)) < len(places):
                wrong = f"{some(unknown)}" if unknown else "a view twice"
                raise InputError(f"The numbers of {self.name} must be of the views {some(names)}. Got {wrong}.")
        return {str(place): number for place, (_, number) in zip(places, self.views, strict=True)}


@dataclass
class Numbers:
    """Numbers of one result.

    Attributes:
        label: what the file calls the result, such as "ours_30000"; "" for a file of one result.
        metrics: metrics by their names in the file.
        ignored: names of other numbers.
    """

    label: str
    metrics: dict[str, Reported] = field(default_factory=dict)
    ignored: dict[str, None] = field(default_factory=dict)

    def add(self, name: str, value: Number | Sequence[tuple[str, Number]]) -> None:
        """Add a mean, or the numbers of views with their names."""
        if not (keys := keys_of(name)):
            self.ignored[name] = None
            return
        reported = self.metrics.setdefault(name, Reported(name, keys))
        if isinstance(value, Number):
            reported.mean = value
        else:
            reported.views = value


def keys_of(name: str) -> tuple[str, ...]:
    """Return the metrics that a tool's name can stand for; none if it is not the name of a metric."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    plain = "".join(word for word in words if word not in _WITHOUT_MEANING)
    if keys := _NAMES.get(plain):
        return keys
    return tuple(CORRECTED + key for key in _NAMES.get(plain.removeprefix("cc"), ())) if plain[:2] == "cc" else ()


def given_numbers(values: Mapping[str, Any]) -> list[Numbers]:
    """Return the numbers of a mapping of metrics to means, such as `{"psnr": 25.25, "ssim": "0.770"}`.

    Raises:
        InputError: a value is not a number, or no key is a metric.
    """
    numbers = Numbers("")
    for name, value in values.items():
        try:
            numbers.add(name, Number.of(value if isinstance(value, str) else repr(float(value))))
        except (ValueError, TypeError):
            raise InputError(f"numbers[{quoted(name)}] must be a number. Got {quoted(value)}.") from None
    if not numbers.metrics:
        raise InputError(f"numbers must have a metric, such as psnr. Got {some(values) or 'none'}.")
    return [numbers]


def _stem(name: str) -> str:
    """Return a view's name without the extension of an image file."""
    return re.sub(r"\.(png|jpe?g|exr|npy|webp|tiff?)$", "", name, flags=re.IGNORECASE)
