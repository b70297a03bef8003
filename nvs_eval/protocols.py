"""Protocols: how images are prepared and which metrics are computed, as data.

A score means nothing without the way it was computed. A protocol defines all of it, and the hash of its canonical form
is the fingerprint beside every number. Named protocols are the files in `configs/protocols/`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from msgspec import Meta

from nvs_eval.errors import InputError, listed, quoted, unknown_name
from nvs_eval.images.pixels import AlphaRule, Quantisation
from nvs_eval.metrics.describe import Description, describe, family_of, has_parameter, without_defaults
from nvs_eval.metrics.pair import MaskMeaning
from nvs_eval.metrics.registry import AVERAGE, CORRECTED, about_of
from nvs_eval.records.record import MetricInfo
from nvs_eval.system.schema import Field, Name, convert, convert_fields, fields_of
from nvs_eval.system.yaml_files import find_file, named_files, read_as

if TYPE_CHECKING:
    from nvs_eval.metrics.lpips.precision import Precision
    from nvs_eval.metrics.weights.pins import Net

DEFAULT = "standard"
_MOST_METRICS = 64
_AVERAGED = ("psnr", "ssim", "lpips")

Decimals = Annotated[int, Meta(ge=0)]
Metrics = Annotated[
    Mapping[str, Mapping[str, Any]],
    Meta(min_length=1, description="a mapping of metrics to their parameters", examples=["psnr: {data_range: 1}"]),
]


@dataclass(frozen=True)
class Quantise:
    """Conversion of each image to 8 bits: `none`, `round` or `truncate`."""

    render: Quantisation
    reference: Quantisation
    mask: Quantisation


@dataclass(frozen=True)
class Protocol:
    """Preparation of images, and the metrics to compute.

    Images are prepared in the order of the fields, except that a render is clamped before its colours are corrected,
    as in the tools that clamp.

    Attributes:
        name: name of the protocol; not part of the definition.
        alpha: images with alpha: `composite` over the user's background, `drop` the alpha, or raise an `error`.
        colour_correction: fit of the render to the reference, for metrics that begin with `cc_`: `none`, `quadratic`
            (multinerf) or `affine` (gsplat).
        out_of_range: images outside [0, 1]: raise an `error`, `clamp`, or `keep` them.
        quantise: conversion to 8 bits.
        region: scored part of the image: `full`, or `right-half` (from column W // 2).
        crop: pixels cut from each side of the region.
        mask: use of masks: `none` (a mask is an error), `ignored`, `valid-pixels` (means over valid pixels only),
            `multiply` (both images by the mask), `fill` (the render by the reference outside the mask), `bbox` (crop
            both to the bounding box), `windows` (SSIM windows inside the mask) or `dycheck` (its partial convolution).
        metrics: parameters of each metric, by key.
        round_means: number of decimals of means, or None for no rounding.
    """

    name: Name
    alpha: AlphaRule
    colour_correction: Literal["none", "quadratic", "affine"]
    out_of_range: Literal["error", "clamp", "keep"]
    quantise: Quantise
    region: Literal["full", "right-half"]
    crop: Decimals
    mask: Literal["none", "ignored", "valid-pixels", "multiply", "fill", "bbox", "windows", "dycheck"]
    metrics: Metrics
    round_means: Decimals | None

    @cached_property
    def definition(self) -> dict[str, Any]:
        """All fields except the name, as plain data in the order of a protocol file."""
        return {field: value for field, value in asdict(self).items() if field != "name"}

    @cached_property
    def descriptions(self) -> tuple[Description, ...]:
        """Metrics that are computed from images, in the order of the file."""
        meanings = get_args(MaskMeaning)
        meaning: Any = self.mask if self.mask in meanings else meanings[0]
        return tuple(describe(*metric, meaning) for metric in self.metrics.items() if metric[0] != AVERAGE)

    @cached_property
    def infos(self) -> dict[str, MetricInfo]:
        """Facts of each metric as a record has them, in the order of the file.

        Signatures include the preparation. That of a metric made of others contains theirs.
        """
        infos = {
            d.name: MetricInfo(d.unit, d.higher_is_better, self._signature(d), d.title, d.decimals)
            for d in self.descriptions
        }
        if AVERAGE in self.metrics:
            signatures, about = {d.name: d.signature for d in self.descriptions}, about_of(AVERAGE)
            parts = " ".join(signatures[part] for part in self.metrics[AVERAGE].values())
            signature = "|".join([AVERAGE, f"of:[{parts}]", *self._preparation_signature(), "v1"])
            infos[AVERAGE] = MetricInfo(about.unit, bool(about.higher_is_better), signature)
        return {name: infos[name] for name in self.metrics}

    @property
    def signatures(self) -> dict[str, str]:
        """Signature of each metric."""
        return {name: info.signature for name, info in self.infos.items()}

    def _signature(self, metric: Description) -> str:
        definition, _, version = metric.signature.rpartition("|")
        cc = [f"cc:{self.colour_correction}"] if metric.name.startswith(CORRECTED) else []
        return "|".join([definition, *cc, *self._preparation_signature(), version])

    @cached_property
    def fingerprint(self) -> str:
        """First eight hexadecimal digits of the SHA-256 of definition and signatures in canonical form.

        Signatures contain the versions of the metrics: a metric whose meaning changes gives every protocol that uses
        it another fingerprint.
        """
        canonical = {"definition": _canonical(self.definition), "signatures": self.signatures}
        text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def stamp(self) -> dict[str, Any]:
        """Name, definition and fingerprint, as a record has them."""
        return {"name": self.name, "definition": self.definition, "fingerprint": self.fingerprint}

    @property
    def exact_in_png(self) -> bool:
        """Whether an 8-bit PNG of a render scores the same as the float render."""
        return self.quantise.render == "round" and self.out_of_range != "keep" and self.colour_correction == "none"

    @property
    def preparation(self) -> Hashable:
        """Key of the preparation. Protocols with the same key share the prepared images."""
        colours = (self.alpha, self.colour_correction, self.out_of_range, self.quantise)
        return (*colours, self.region, self.crop, self.mask)

    @property
    def nets(self) -> list[Net]:
        """Nets whose weights the metrics use, sorted."""
        return sorted({net for description in self.descriptions for net in description.nets})

    @property
    def precision(self) -> Precision:
        """`fast` if any LPIPS metric is fast."""
        return "fast" if any(description.is_fast for description in self.descriptions) else "exact"

    @property
    def takes_masks(self) -> bool:
        """Whether masks change the scores."""
        return self.mask not in ("none", "ignored")

    def colour_corrected(self, how: Literal["quadratic", "affine"]) -> Protocol:
        """Return this protocol with a colour-corrected `cc_` metric for each of its metrics."""
        plain = {name: parameters for name, parameters in self.metrics.items() if not name.startswith(CORRECTED)}
        corrected = {CORRECTED + name: parameters for name, parameters in plain.items() if name != AVERAGE}
        return replace(self, colour_correction=how, metrics={**plain, **corrected})

    @property
    def label(self) -> str:
        """Prefix of the names of logged scalars, before the slash."""
        return f"{self.name}-fast" if self.precision == "fast" else self.name

    def with_precision(self, precision: Precision) -> Protocol:
        """Return this protocol with exact or fast LPIPS, which are different metrics. Other metrics do not change."""
        metrics = {name: dict(parameters) for name, parameters in self.metrics.items()}
        for parameters in (parameters for name, parameters in metrics.items() if has_parameter(name, "precision")):
            parameters.pop("precision", None)
            parameters.update({"precision": precision} if precision != "exact" else {})
        return replace(self, metrics=metrics)

    def _preparation_signature(self) -> list[str]:
        rules = (self.quantise.render, self.quantise.reference)
        short = {"none": "float", "round": "round8", "truncate": "trunc8"}
        parts = {
            "q:" + "/".join(dict.fromkeys(short[rule] for rule in rules)): True,
            "alpha:drop": self.alpha == "drop",
            f"beyond:{self.out_of_range}": self.out_of_range != "error",
            f"region:{self.region}": self.region != "full",
            f"crop:{self.crop}": self.crop > 0,
            f"mask:{self.mask}": self.takes_masks,
            f"qmask:{short[self.quantise.mask]}": self.takes_masks and self.quantise.mask != "none",
        }
        return [part for part, applies in parts.items() if applies]


def _canonical(value: Any) -> Any:
    """Convert numbers to floats, so that `1` and `1.0` in a file are the same definition."""
    if isinstance(value, Mapping):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise InputError(f"A number of a protocol must fit into a float64. Got {quoted(value)}.") from error
    return value


def load_protocol(name_or_path: str | Path) -> Protocol:
    """Load a protocol by name, or from a YAML file.

    Raises:
        InputError: the name is unknown, the file is not a protocol, or its name is that of a protocol of nvs-eval with
            another definition. The message names the field.
    """
    named = named_protocols()
    file = find_file(name_or_path, "protocol", named)
    protocol = read_as(file, "protocol", parse_protocol)
    own = named.get(protocol.name, file)
    if own != file and protocol.fingerprint != (theirs := load_protocol(own)).fingerprint:
        raise InputError(
            f"The protocol file {file}: name {quoted(protocol.name)} belongs to the protocol {theirs.fingerprint} of "
            f"nvs-eval, which is defined otherwise than this one ({protocol.fingerprint}). Choose another name."
        )
    return protocol


def named_protocols() -> dict[str, Path]:
    """Return the files of the protocols that come with nvs-eval, by name."""
    return named_files("protocols")


def parse_protocol(data: object) -> Protocol:
    """Make a protocol from plain data, and check every field.

    Raises:
        InputError: a field is missing or unknown, or its value is. The message names the field.
    """
    _check_complete(data)
    given = data.get("metrics") if isinstance(data, Mapping) else None
    if isinstance(given, Mapping) and len(given) > _MOST_METRICS:
        raise InputError(f"metrics must be at most {_MOST_METRICS}. Got {len(given)}. Split the protocol.")
    protocol = convert(data, Protocol, "a protocol")
    # Defaults are removed, so that writing them in a file does not change the fingerprint.
    metrics = {name: without_defaults(name, parameters) for name, parameters in protocol.metrics.items()}
    protocol = replace(protocol, metrics=metrics)
    _check_together(protocol)
    _ = protocol.fingerprint  # This checks the parameters of the metrics.
    return protocol


def _check_complete(data: object) -> None:
    """Check that no field is missing, unless another is unknown, which may be the missing one."""
    known = fields_of(Protocol)
    if isinstance(data, Mapping) and data.keys() <= known.keys():
        if missing := [name for name, field in known.items() if field.required and name not in data]:
            verb = "is" if len(missing) == 1 else "are"
            raise InputError(f"{listed(missing)} {verb} missing: every field of a protocol must be given.")


def _check_together(protocol: Protocol) -> None:
    """Check the fields that depend on each other."""
    corrected = [name for name in protocol.metrics if name.startswith(CORRECTED)]
    if corrected and protocol.colour_correction == "none":
        raise InputError(
            f"colour_correction must be quadratic or affine for {', '.join(corrected)}. Got none. Set it, or remove "
            "these metrics."
        )
    if protocol.colour_correction != "none" and not corrected:
        raise InputError(
            f"colour_correction must be none without metrics that begin with cc_. Got {protocol.colour_correction}. "
            "Add metrics of the corrected render, such as cc_psnr."
        )
    rules = (protocol.quantise.render, protocol.quantise.reference)
    for name, parameters in protocol.metrics.items():
        if parameters.get("kernel") == "uniform7-gray" and "none" in rules:
            raise InputError(
                f"quantise.render and quantise.reference must be round or truncate for the kernel 'uniform7-gray' of "
                f"{name}, which needs 8-bit levels. Got none."
            )
    if AVERAGE in protocol.metrics:
        _check_average(protocol.metrics)


def _check_average(metrics: Mapping[str, Mapping[str, Any]]) -> None:
    fields = {family: Field(str, required=True) for family in _AVERAGED}
    if missing := [family for family in _AVERAGED if family not in metrics[AVERAGE]]:
        raise InputError(
            f"{AVERAGE} lacks {listed(missing)}. Its fields {listed(list(_AVERAGED))} name metrics of the protocol, "
            "such as {psnr: psnr, ssim: ssim, lpips: lpips_vgg}."
        )
    for family, name in convert_fields(metrics[AVERAGE], fields, AVERAGE).items():
        candidates = [metric for metric in metrics if not metric.startswith(CORRECTED) and family_of(metric) == family]
        if name not in candidates:
            raise unknown_name(f"{family} of {AVERAGE}", name, candidates)
