"""A protocol: how images are prepared and what is computed of them, as data.

A score means nothing without the way it was computed. A protocol says all of it, and its canonical form hashes to the
fingerprint that stands beside every number. Named protocols are the files in `configs/protocols/`.
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

from nvs_eval.errors import InputError, unknown_name
from nvs_eval.images.pixels import AlphaRule, Quantisation
from nvs_eval.metrics.describe import Description, describe
from nvs_eval.metrics.pair import MaskMeaning
from nvs_eval.metrics.registry import CORRECTED, about_of
from nvs_eval.records.record import MetricInfo
from nvs_eval.system.schema import Field, Text, convert, convert_fields
from nvs_eval.system.yaml_files import find_file, named_files, read_as

if TYPE_CHECKING:
    from nvs_eval.metrics.lpips.precision import Precision
    from nvs_eval.metrics.weights.pins import Net

DEFAULT = "standard"
AVERAGE = "mipnerf_average"
"""The metric that is made of three others."""
_AVERAGED = ("psnr", "ssim", "lpips")

Decimals = Annotated[int, Meta(ge=0)]
Metrics = Annotated[
    Mapping[str, Mapping[str, Any]],
    Meta(min_length=1, description="a mapping of metrics to their parameters", examples=["psnr: {data_range: 1}"]),
]


@dataclass(frozen=True)
class Quantise:
    """How each image is brought to 8 bits: `none`, `round` or `truncate`."""

    render: Quantisation
    reference: Quantisation
    mask: Quantisation


@dataclass(frozen=True)
class Protocol:
    """How images are prepared and what is computed of them.

    They are prepared in the order of the fields, but that a render is clamped before its colours are corrected, as the
    tools do that clamp.

    Attributes:
        name: what it is called; not part of the definition.
        alpha: `composite` lays an image with alpha over the background that the user gives, `drop` ignores the alpha,
            `error` admits none.
        colour_correction: how the renders of the metrics that begin with `cc_` are fitted to the reference: `none`,
            `quadratic` (multinerf's) or `affine` (gsplat's).
        out_of_range: an image outside [0, 1] is an `error`, is `clamp`ed, or is `keep`t.
        quantise: to 8 bits.
        region: the part of the image that is scored: `full`, or the `right-half`, from column W//2.
        crop: pixels cut from each side of it.
        mask: what a mask means: `none`, where one is an error; `ignored`; `valid-pixels`, the mean over them alone;
            `multiply`, where both images are multiplied by it; `fill`, where the render is replaced by the reference;
            `bbox`, where both are cut to its bounding box; `windows`, the SSIM windows wholly inside; `dycheck`, its
            partial convolution.
        metrics: each metric's parameters by its key.
        round_means: decimals to which means are rounded, or None.
    """

    name: Text
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
        """Everything but the name, as plain data in the order of a protocol file."""
        plain = asdict(self)
        del plain["name"]
        return plain

    @cached_property
    def descriptions(self) -> tuple[Description, ...]:
        """The metrics that are computed of images, in the order of the file."""
        own = get_args(MaskMeaning)
        meaning: Any = self.mask if self.mask in own else own[0]
        return tuple(
            describe(name, parameters, meaning) for name, parameters in self.metrics.items() if name != AVERAGE
        )

    @cached_property
    def infos(self) -> dict[str, MetricInfo]:
        """What a record says of each metric, in the order of the file; what the preparation adds to its signature too.

        The signature of a metric of other metrics says theirs.
        """
        infos = {
            d.name: MetricInfo(d.unit, d.higher_is_better, self._signature(d), d.title, d.decimals)
            for d in self.descriptions
        }
        if AVERAGE in self.metrics:
            own = {d.name: d.signature for d in self.descriptions}
            parts = " ".join(own[part] for part in self.metrics[AVERAGE].values())
            added = "|".join(self._preparation_signature())
            about = about_of(AVERAGE)
            infos[AVERAGE] = MetricInfo(about.unit, bool(about.higher_is_better), f"{AVERAGE}|of:[{parts}]|{added}|v1")
        return {name: infos[name] for name in self.metrics}

    @property
    def signatures(self) -> dict[str, str]:
        """Each metric's signature."""
        return {name: info.signature for name, info in self.infos.items()}

    def _signature(self, metric: Description) -> str:
        own, _, version = metric.signature.rpartition("|")
        corrected = metric.name.startswith(CORRECTED)
        cc = [f"cc:{self.colour_correction}"] if corrected else []
        return "|".join([own, *cc, *self._preparation_signature(), version])

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
    def stamp(self) -> dict[str, Any]:
        """Name, definition and fingerprint, as a record carries them."""
        return {"name": self.name, "definition": self.definition, "fingerprint": self.fingerprint}

    @property
    def exact_in_png(self) -> bool:
        """Whether an 8-bit PNG of a render, clamped and rounded, scores the same as the render itself."""
        return self.quantise.render == "round" and self.out_of_range != "keep" and self.colour_correction == "none"

    @property
    def preparation(self) -> Hashable:
        """All that says how images are prepared: protocols in which it is the same share the prepared images."""
        colours = (self.alpha, self.colour_correction, self.out_of_range, self.quantise)
        return (*colours, self.region, self.crop, self.mask)

    @property
    def nets(self) -> list[Net]:
        """The LPIPS nets that its metrics need, sorted."""
        return sorted({given["net"] for name, given in self.metrics.items() if _is_lpips(name)})

    @property
    def precision(self) -> Precision:
        """`fast` if any of its LPIPS is."""
        return "fast" if any(given.get("precision") == "fast" for given in self.metrics.values()) else "exact"

    @property
    def takes_masks(self) -> bool:
        """Whether a mask means anything here."""
        return self.mask not in ("none", "ignored")

    def colour_corrected(self, how: Literal["quadratic", "affine"]) -> Protocol:
        """This protocol with the `cc_` scores beside each of its own, of renders corrected in this way."""
        plain = {name: given for name, given in self.metrics.items() if not name.startswith(CORRECTED)}
        corrected = {CORRECTED + name: given for name, given in plain.items() if name != AVERAGE}
        return replace(self, colour_correction=how, metrics={**plain, **corrected})

    @property
    def label(self) -> str:
        """What stands before the slash in the names of scalars, as when records are logged."""
        return f"{self.name}-fast" if self.precision == "fast" else self.name

    def with_precision(self, precision: Precision) -> Protocol:
        """This protocol with each LPIPS of it exact or fast, which are different metrics; without LPIPS it stays."""
        fast = {"precision": precision} if precision != "exact" else {}

        def changed(given: Mapping[str, Any]) -> Mapping[str, Any]:
            return {**{key: value for key, value in given.items() if key != "precision"}, **fast}

        metrics = {name: changed(given) if _is_lpips(name) else given for name, given in self.metrics.items()}
        return replace(self, metrics=metrics)

    def _preparation_signature(self) -> list[str]:
        rules = (self.quantise.render, self.quantise.reference)
        short = {"none": "float", "round": "round8", "truncate": "trunc8"}
        parts = ["q:" + "/".join(dict.fromkeys(short[rule] for rule in rules))]
        if self.alpha == "drop":
            parts.append("alpha:drop")
        if self.out_of_range != "error":
            parts.append(f"beyond:{self.out_of_range}")
        if self.region != "full":
            parts.append(f"region:{self.region}")
        if self.crop:
            parts.append(f"crop:{self.crop}")
        if self.takes_masks:
            parts.append(f"mask:{self.mask}")
            if self.quantise.mask != "none":
                parts.append(f"qmask:{short[self.quantise.mask]}")
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
    return read_as(find_file(name_or_path, "protocol", named_protocols()), "protocol", parse_protocol)


def named_protocols() -> dict[str, Path]:
    """The protocols that come with nvs-eval, by name."""
    return named_files("protocols")


def parse_protocol(data: object) -> Protocol:
    """A protocol from plain data, every field of it checked.

    Raises:
        InputError: a field is unknown, missing or has a value that is not known; the message names it.
    """
    protocol = convert(data, Protocol, "a protocol")
    metrics = {
        # A parameter with its default is left out, so that it does not change the fingerprint.
        name: {key: value for key, value in parameters.items() if not _is_default(name, key, value)}
        for name, parameters in protocol.metrics.items()
    }
    protocol = replace(protocol, metrics=metrics)
    _check_together(protocol)
    _ = protocol.fingerprint  # Describing the metrics checks their parameters.
    return protocol


def _is_lpips(metric: str) -> bool:
    return metric.removeprefix(CORRECTED).split("_")[0] == "lpips"


def _is_default(metric: str, key: str, value: object) -> bool:
    return value is None or value is False or (_is_lpips(metric) and (key, value) == ("precision", "exact"))


def _check_together(protocol: Protocol) -> None:
    """Check the fields that depend on each other."""
    corrected = [name for name in protocol.metrics if name.startswith(CORRECTED)]
    if corrected and protocol.colour_correction == "none":
        raise InputError(
            f"{', '.join(corrected)} are of the colour-corrected render, and colour_correction is none: say quadratic "
            "or affine."
        )
    if protocol.colour_correction != "none" and not corrected:
        raise InputError(
            f"colour_correction is {protocol.colour_correction}, and no metric begins with cc_: add cc_psnr, ... for "
            "the corrected render, beside those of the render as it is."
        )
    rules = (protocol.quantise.render, protocol.quantise.reference)
    for name, parameters in protocol.metrics.items():
        if parameters.get("kernel") == "uniform7-gray" and "none" in rules:
            raise InputError(
                f"{name} has the kernel 'uniform7-gray', which is of 8-bit levels: quantise render and reference by "
                "round or truncate."
            )
    if AVERAGE in protocol.metrics:
        _check_average(protocol.metrics)


def _check_average(metrics: Mapping[str, Mapping[str, Any]]) -> None:
    fields = {family: Field(str, required=True) for family in _AVERAGED}
    for family, name in convert_fields(metrics[AVERAGE], fields, AVERAGE).items():
        candidates = [metric for metric in metrics if metric.split("_")[0] == family]
        if name not in candidates:
            raise unknown_name(f"{family} of {AVERAGE}", name, candidates)
