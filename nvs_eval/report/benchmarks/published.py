"""Numbers from papers and from tools' own pages, each with its source and the protocol that it was computed by.

They are data, the files in `configs/published/`; docs/published.md says what is in them. Nothing here imports torch or
numpy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError, unknown_name
from nvs_eval.metrics.registry import known_metrics
from nvs_eval.report.benchmarks.suites import load_suite, named_suites
from nvs_eval.system.yaml_files import (
    checked_count,
    checked_keys,
    checked_list,
    checked_mapping,
    checked_text,
    find_file,
    named_files,
    read_as,
)

_BOUNDS = {metric: about.bounds for metric, about in known_metrics().items() if about.bounds}
"""What may be published, and between which values a method that works at all lies: beyond them it is a slip."""
_NEEDED = ("name", "title", "source", "protocol", "suites", "scores")
_OPTIONAL = ("means", "differs", "steps", "note")


@dataclass(frozen=True)
class Value:
    """A published number.

    Attributes:
        value: in the metric's unit, as it was published.
        text: its digits as they were published, trailing zeros too.
    """

    value: float
    text: str

    @property
    def decimals(self) -> int:
        """How many decimals were published."""
        return len(self.text.partition(".")[2])


@dataclass(frozen=True)
class Published:
    """The numbers of one method from one source.

    Attributes:
        name: by which they are asked for.
        title: the method, as a table shows it.
        source: where the numbers are from: paper or page, and where it is found.
        protocol_name: the protocol of this project that they were computed by.
        fingerprint: of that protocol.
        suites: the names of the suites whose scenes these are: what tells the two scenes called room apart.
        scores: of each scene, by metric.
        means: of each suite whose mean was published, by metric.
        differs: metrics that are not what the protocol computes, though the key is the same, with the reason.
        steps: of the training, or None where that is not what names the result.
        note: what else a reader should know, or "".
    """

    name: str
    title: str
    source: str
    protocol_name: str
    fingerprint: str
    suites: Sequence[str]
    scores: Mapping[str, Mapping[str, Value]]
    means: Mapping[str, Mapping[str, Value]]
    differs: Mapping[str, str]
    steps: int | None = None
    note: str = ""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of which there is any number, in the order of their first."""
        rows = (*self.scores.values(), *self.means.values())
        return tuple(dict.fromkeys(metric for row in rows for metric in row))


def named_published() -> dict[str, Path]:
    """The published numbers that come with nvs-eval: their files by name."""
    return named_files("published")


def load_published(name_or_path: str | Path) -> Published:
    """Published numbers by name, or from a YAML file.

    Raises:
        InputError: the name is unknown, or the file does not hold published numbers; the message names the field.
    """
    kind = "published"
    return read_as(find_file(name_or_path, f"{kind} result", named_published()), kind, parse_published)


def parse_published(data: object) -> Published:
    """Published numbers from plain data, every field of it checked.

    Raises:
        InputError: a field is unknown, missing, of the wrong type or beyond what is plausible; the message names it.
    """
    values = checked_keys(data, "published numbers", _NEEDED, _OPTIONAL)
    name, title, source = (checked_text(values[field], field) for field in ("name", "title", "source"))
    protocol = checked_keys(values["protocol"], "protocol", ("name", "fingerprint"))
    suites = _suites(values["suites"])
    steps, note = values.get("steps"), values.get("note")
    published = Published(
        name,
        title,
        source,
        checked_text(protocol["name"], "the protocol's name"),
        _fingerprint(protocol["fingerprint"]),
        suites,
        _rows(values["scores"], "scores"),
        _rows(values["means"], "means") if "means" in values else {},
        _reasons(values["differs"]) if "differs" in values else {},
        None if steps is None else checked_count(steps, "steps"),
        "" if note is None else checked_text(note, "note"),
    )
    _check_known(published)
    return published


def _fingerprint(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{8}", value):
        raise InputError(
            f"the protocol's fingerprint is {value!r}, and eight hexadecimal digits in quotes are needed, as "
            "`nvs-eval protocols` prints them."
        )
    return value


def _suites(value: object) -> tuple[str, ...]:
    names = tuple(checked_text(name, "a suite") for name in checked_list(value, "suites", "suites: [mipnerf360]"))
    repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if repeated:
        raise InputError(f"the suite {repeated[0]} is given twice: leave one out.")
    return names


def _rows(value: object, what: str) -> dict[str, dict[str, Value]]:
    example = 'garden: {psnr: "27.41", ssim: "0.868"}'
    rows = checked_mapping(value, what, example)
    return {place: _row(checked_mapping(row, f"{what} of {place}", example), place) for place, row in rows.items()}


def _row(row: Mapping[str, Any], place: str) -> dict[str, Value]:
    return {metric: _value(value, metric, place) for metric, value in row.items()}


def _value(value: object, metric: str, place: str) -> Value:
    if metric not in _BOUNDS:
        raise unknown_name(f"metric of {place}", metric, _BOUNDS)
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        raise InputError(
            f"{metric} of {place} is {value!r}, and a number in quotes is needed, with the digits that were published: "
            'unquoted, 26.550 would be 26.55. Say `"26.550"`.'
        )
    low, high = _BOUNDS[metric]
    if not low <= float(value) <= high:
        raise InputError(f"{metric} of {place} is {value}, and it lies between {low:g} and {high:g}: see the source.")
    return Value(float(value), value)


def _reasons(value: object) -> dict[str, str]:
    reasons = checked_mapping(value, "differs", "ssim: windows wholly inside")
    return {metric: checked_text(reason, f"differs of {metric}") for metric, reason in reasons.items()}


def _check_known(published: Published) -> None:
    """Check that each scene is of one of the suites, and that means and differences are of what is there."""
    suites = [load_suite(_known(name, "suite", named_suites())) for name in published.suites]
    for scene in published.scores:
        homes = [suite.name for suite in suites if scene in suite.names]
        if not homes:
            raise unknown_name("scene", scene, (name for suite in suites for name in suite.names))
        if len(homes) > 1:
            raise InputError(f"the scene {scene} is of {' and of '.join(homes)}: make a file for each.")
    for name in published.means:
        _known(name, "suite of means", named_suites())
    for metric in published.differs:
        _known(metric, "metric of differs", published.metrics)


def _known(name: str, kind: str, known: Iterable[str]) -> str:
    names = list(known)
    if name not in names:
        raise unknown_name(kind, name, names)
    return name
