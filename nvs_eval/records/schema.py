"""A record's file, read into its types at once where all is well, and with care where it is not.

Most files are read by msgspec alone, several times as fast as by json and into less memory.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from nvs_eval.errors import InputError
from nvs_eval.system.schema import convert

SCHEMA_VERSION = 1

if TYPE_CHECKING:
    Score = float
else:
    # Files have "inf" where a record in memory has math.inf. Only the decoder sees this type.
    Score = Annotated[float | Literal["inf"], msgspec.Meta(description='a number or "inf"')]


class NoRecordError(InputError):
    """JSON that does not say that it is a record: another tool's file, where the name alone promised one."""


@dataclass(frozen=True)
class MetricInfo:
    """What a record says of a metric.

    Attributes:
        unit: of its values, "" for none.
        higher_is_better: the direction.
        signature: how it was computed.
        title: its name in sentences and LaTeX; absent but for a metric of a plugin, which says it.
        decimals: number of decimals in tables; likewise.
    """

    unit: str
    higher_is_better: bool
    signature: str
    # How a number is shown makes no other metric of it.
    title: str | None = field(default=None, compare=False)
    decimals: Annotated[int, msgspec.Meta(ge=0, le=15)] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ViewRow:
    """The scores of one view.

    Attributes:
        name: of the view.
        width: in pixels.
        height: in pixels.
        scores: by metric, in full precision; infinity for identical images under PSNR, never NaN.
        render_seconds: what the render took, or None.
        render: where the render lies, relative to the record, or None.
        reference: where the reference lies, relative to the record, or None.
        reference_sha256: over the reference's shape and float32 pixels.
        coverage: the mean of the mask as it was scored with, or None without one.
        mask: where the mask lies, relative to the record, or None.
        mask_sha256: over the mask's shape and float32 weights, or None without one.
    """

    name: str
    width: int
    height: int
    scores: Mapping[str, Score]
    render_seconds: float | None
    render: str | None
    reference: str | None
    reference_sha256: str
    coverage: float | None
    mask: str | None = None
    mask_sha256: str | None = None

    @property
    def scored_mask(self) -> str | None:
        """The mask that the view was scored with; one that the protocol ignores changed no number, has no coverage."""
        return None if self.coverage is None else self.mask_sha256


class Stored(msgspec.Struct):
    """A record as its file has it, with what it repeats. Other keys of the file are ignored."""

    schema_version: Literal[1]
    scene: str
    method: str
    run: str | None
    step: int | None
    split: str
    protocol: dict[str, Any]
    metrics: dict[str, MetricInfo]
    views: list[ViewRow]
    means: dict[str, Score]
    views_sha256: str
    references_sha256: str
    provenance: dict[str, Any]


class _Definition(msgspec.Struct):
    round_means: int | None


class _Protocol(msgspec.Struct):
    name: str
    definition: _Definition
    fingerprint: str


class _WithProtocol(msgspec.Struct):
    """The parts of a record's protocol that are read. The whole of it is kept."""

    protocol: _Protocol


_DECODER = msgspec.json.Decoder(Stored)


def read_stored(path: Path) -> Stored:
    """Read a record's file and check the type of each part, but not that the parts agree.

    Raises:
        NoRecordError: It is JSON without a schema_version.
        InputError: It cannot be read, is damaged, from a newer nvs-eval, or lacks a part.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"The record {path} cannot be read: {error.strerror}.") from error
    try:
        stored = _DECODER.decode(data)
        msgspec.convert(stored.protocol, _Protocol)
    except (ValueError, RecursionError):
        stored = _read_with_care(data, path)
    for scores in [stored.means, *[row.scores for row in stored.views if "inf" in row.scores.values()]]:
        _read_infinities(scores)
    return stored


def _read_infinities(scores: Any) -> None:
    for name in [name for name, value in scores.items() if value == "inf"]:
        scores[name] = math.inf


def _read_with_care(data: bytes, path: Path) -> Stored:
    """Read what the decoder refused: a record with names that are not UTF-8, or with an error that must be named."""
    try:
        plain = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error}): it is damaged, or not a record of nvs-eval.") from error
    if not isinstance(plain, dict) or "schema_version" not in plain:
        raise NoRecordError(f"{path} is not a record of nvs-eval: it has no schema_version.")
    _check_version(plain["schema_version"], path)
    try:
        stored = convert(plain, Stored, "it")
        convert(plain, _WithProtocol, "it")
    except InputError as error:
        raise InputError(f"{path} is not a record of nvs-eval: {error}") from error
    return stored


def _check_version(version: object, path: Path) -> None:
    if isinstance(version, bool) or not isinstance(version, int) or version < SCHEMA_VERSION:
        raise InputError(
            f"{path} is not a record of nvs-eval: its schema_version is {json.dumps(version)}, and that of a record "
            f"is the number {SCHEMA_VERSION}."
        )
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema_version {version}, and this nvs-eval reads {SCHEMA_VERSION}: upgrade nvs-eval."
        )


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"{number} is beyond what a number can be")
    return value
