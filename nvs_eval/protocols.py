"""A protocol: how images are prepared and what is computed of them, as data.

A score means nothing without the way it was computed. A protocol says all of it, and its canonical form hashes to the
fingerprint that stands beside every number. Named protocols are the files in `configs/protocols/`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import yaml

from nvs_eval.configs import config_folder
from nvs_eval.errors import InputError, unknown_name
from nvs_eval.images import AlphaRule, Quantisation
from nvs_eval.metrics.registry import Description, describe

DEFAULT = "standard"


@dataclass(frozen=True)
class Quantise:
    """How each image is brought to 8 bits: `none`, `round` or `truncate`."""

    render: Quantisation
    reference: Quantisation
    mask: Literal["none"]


@dataclass(frozen=True)
class Protocol:
    """How images are prepared, in the order of the fields, and what is computed of them.

    Attributes:
        name: what it is called; not part of the definition.
        alpha: `composite` lays an image with alpha over the background that the user gives, `drop` ignores the alpha,
            `error` admits none.
        colour_correction: fitted to the reference before anything else; only `none` so far.
        out_of_range: a render outside [0, 1] is an `error`, is `clamp`ed, or is `keep`t.
        quantise: to 8 bits.
        region: the part of the image that is scored; only `full` so far.
        crop: pixels cut from each side.
        mask: what a mask means: `none`, or `valid-pixels`, the mean over them alone.
        metrics: each metric's parameters by its key.
        round_means: decimals to which means are rounded, or None.
    """

    name: str
    alpha: AlphaRule
    colour_correction: Literal["none"]
    out_of_range: Literal["error", "clamp", "keep"]
    quantise: Quantise
    region: Literal["full"]
    crop: int
    mask: Literal["none", "valid-pixels"]
    metrics: Mapping[str, Mapping[str, Any]]
    round_means: int | None

    @cached_property
    def definition(self) -> dict[str, Any]:
        """Everything but the name, as plain data in the order of a protocol file."""
        plain = asdict(self)
        del plain["name"]
        return plain

    @cached_property
    def descriptions(self) -> tuple[Description, ...]:
        """The metrics, in the order of the file."""
        return tuple(describe(name, parameters) for name, parameters in self.metrics.items())

    @cached_property
    def signatures(self) -> dict[str, str]:
        """Each metric's signature: its own, with what the preparation adds before the version."""
        added = self._preparation_signature()
        return {
            d.name: "|".join([d.signature.rpartition("|")[0], *added, d.signature.rpartition("|")[2]])
            for d in self.descriptions
        }

    @cached_property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits of the sha256 of the definition and the signatures in canonical form.

        The signatures are in it because they carry the metrics' versions: a metric that comes to mean something else
        changes the fingerprint of every protocol that has it.
        """
        canonical = {"definition": _canonical(self.definition), "signatures": self.signatures}
        text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def exact_in_png(self) -> bool:
        """Whether an 8-bit PNG of a render, clamped and rounded, scores the same as the render itself."""
        return self.quantise.render == "round" and self.out_of_range != "keep"

    def _preparation_signature(self) -> list[str]:
        rules = (self.quantise.render, self.quantise.reference)
        short = {"none": "float", "round": "round8", "truncate": "trunc8"}
        parts = ["q:" + "/".join(dict.fromkeys(short[rule] for rule in rules))]
        if self.alpha == "drop":
            parts.append("alpha:drop")
        if self.out_of_range != "error":
            parts.append(f"beyond:{self.out_of_range}")
        if self.crop:
            parts.append(f"crop:{self.crop}")
        if self.mask != "none":
            parts.append(f"mask:{self.mask}")
        return parts


def _canonical(value: Any) -> Any:
    """Numbers as floats, so that `1` and `1.0` in a file mean the same definition."""
    if isinstance(value, Mapping):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def load_protocol(name_or_path: str | Path) -> Protocol:
    """A named protocol, or one from a YAML file.

    Raises:
        InputError: the name is unknown, or the file is not a protocol; the message names the field.
    """
    named = named_protocols()
    if str(name_or_path) in named:
        return _read(named[str(name_or_path)])
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        return _read(path)
    raise InputError(f"{unknown_name('protocol', str(name_or_path), named)} A file of your own must end in .yaml.")


def named_protocols() -> dict[str, Path]:
    """The protocols that come with nvs-eval, by name."""
    return {path.stem: path for path in sorted((config_folder() / "protocols").glob("*.yaml"))}


def _read(path: Path) -> Protocol:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The protocol file {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"The protocol file {path} is not YAML: {error}") from error
    try:
        return parse_protocol(data)
    except InputError as error:
        raise InputError(f"The protocol file {path}: {error}") from error


def parse_protocol(data: object) -> Protocol:
    """A protocol from plain data, every field of it checked.

    Raises:
        InputError: a field is unknown, missing or has a value that is not known; the message names it.
    """
    values = _fields(data, Protocol, "a protocol")
    values["quantise"] = Quantise(**_fields(values["quantise"], Quantise, "quantise"))
    if not isinstance(values["name"], str) or not values["name"]:
        raise InputError(f"name is {values['name']!r}, and a text is needed.")
    for field, optional in (("crop", False), ("round_means", True)):
        _check_count(field, values[field], optional=optional)
    _check_metrics(values["metrics"])
    protocol = Protocol(**values)
    _ = protocol.fingerprint  # Describing the metrics checks their parameters.
    return protocol


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
