"""Decoding of record files: fast for valid files, and with precise errors for all others.

Most files are read by msgspec alone, which is several times as fast as json and takes less memory.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from nvs_eval.errors import InputError, quoted, shortened
from nvs_eval.system.files import read_small
from nvs_eval.system.schema import convert

SCHEMA_VERSION = 1
_OTHER_MARKS = re.compile(rb'"\s+:|\\u0022')
"""Ends of keys, and quotation marks, in the forms that msgspec does not write."""
MOST_BYTES, _MOST_VALUES = 2**26, 4_000_000

if TYPE_CHECKING:
    Score = float
else:
    # Files have "inf" for math.inf. Only the decoder sees this type.
    Score = Annotated[float | Literal["inf"], msgspec.Meta(description='a number or "inf"')]


_Name = Annotated[str, msgspec.Meta(max_length=255)]
_Path = Annotated[str, msgspec.Meta(max_length=4096)]
Pixels = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1, description="a whole number of at least 1")]
"""A width or a height."""


class NoRecordError(InputError):
    """The file is JSON without a schema_version, such as a file of another tool with a similar name."""


@dataclass(frozen=True)
class MetricInfo:
    """Facts of a metric in a record.

    Attributes:
        unit: unit of the values, "" for none.
        higher_is_better: direction of the metric.
        signature: definition of the computation, in short.
        title: name in tables and sentences, for a metric of a plugin; None otherwise.
        decimals: number of decimals in tables, for a metric of a plugin; None otherwise.
    """

    unit: str
    higher_is_better: bool
    signature: str
    # Two metrics that are only shown differently are the same.
    title: str | None = field(default=None, compare=False)
    decimals: Annotated[int, msgspec.Meta(ge=0, le=15)] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Nearest:
    """Nearest training camera of a view.

    Attributes:
        distance: distance in the units of the scene.
        angle: angle between the viewing directions, in degrees.
        view: name of the image of the training camera.
    """

    distance: Annotated[float, msgspec.Meta(ge=0, description="a number of at least 0")]
    angle: Annotated[float, msgspec.Meta(ge=0, le=180, description="a number from 0 to 180")]
    view: _Path


@dataclass(frozen=True, slots=True)
class ViewRow:
    """The scores of one view.

    Attributes:
        name: name of the view.
        width: width in pixels.
        height: height in pixels.
        scores: scores by metric, in full precision; infinity for the PSNR of identical images, never NaN.
        render_seconds: time to render the view, or None.
        render: path of the render, relative to the record, or None.
        reference: path of the reference, relative to the record, or None.
        reference_sha256: SHA-256 of the reference's shape and float32 pixels.
        coverage: mean of the mask as used for scoring, or None without one.
        mask: path of the mask, relative to the record, or None.
        mask_sha256: SHA-256 of the mask's shape and float32 weights, or None without one.
        own: values of the model's own metrics by the model's names, never ranked with the scores; None without any.
        nearest: nearest training camera, or None if it is not known.
    """

    name: _Path
    width: Pixels
    height: Pixels
    scores: Mapping[str, Score]
    render_seconds: float | None
    render: _Path | None
    reference: _Path | None
    reference_sha256: _Name
    coverage: Annotated[float, msgspec.Meta(ge=0, le=1, description="a number from 0 to 1")] | None
    mask: _Path | None = None
    mask_sha256: _Name | None = None
    own: Mapping[str, float] | None = None
    nearest: Nearest | None = None

    @property
    def scored_mask(self) -> str | None:
        """Hash of the mask that changed the scores. A mask that the protocol ignores has no coverage."""
        return None if self.coverage is None else self.mask_sha256


class Stored(msgspec.Struct):
    """A record as stored, with means and hashes. Other keys of the file are ignored."""

    schema_version: Literal[1]
    scene: _Name
    method: _Name
    run: _Name | None
    step: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1, description="a whole number of at least 0")] | None
    split: _Name
    protocol: dict[str, Any]
    metrics: dict[_Name, MetricInfo]
    views: list[ViewRow]
    means: dict[str, Score]
    views_sha256: str
    references_sha256: str
    provenance: dict[str, Any]
    selection: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}$")] | None = None
    step_name: _Name | None = None
    neutral: tuple[str, ...] = ()


class _Definition(msgspec.Struct):
    round_means: Annotated[int, msgspec.Meta(le=100)] | None


class _Protocol(msgspec.Struct):
    name: _Name
    definition: _Definition
    fingerprint: _Name


class _Provenance(msgspec.Struct):
    failed: dict[str, str] = {}
    left_out: dict[str, str] = {}
    left_out_masks: dict[str, str | None] = {}
    reference_copies: dict[str, str] = {}
    checkpoint_sha256: str | None = None
    config_sha256: str | None = None
    data_sha256: str | None = None


class _Parts(msgspec.Struct):
    """Parts of a record's protocol and provenance that are checked. The record keeps all of both."""

    protocol: _Protocol
    provenance: _Provenance


_DECODER = msgspec.json.Decoder(Stored)


def read_stored(path: Path) -> Stored:
    """Read a record file and check all types, but not the consistency of the parts.

    Raises:
        NoRecordError: the file is JSON without a schema_version.
        InputError: the file cannot be read, is damaged, from a newer nvs-eval, or lacks a field.
    """
    return decode_stored(read_content(path), f"{path}")


def read_content(path: Path, largest: int = MOST_BYTES) -> bytes:
    """Return the bytes of a file of records.

    Raises:
        InputError: the file cannot be read, or is too large.
    """
    try:
        return read_small(path, largest)
    except IsADirectoryError as error:
        raise InputError(f"The record {path} is a folder. Pass its .json file.") from error
    except OSError as error:
        raise InputError(f"The record {path} cannot be read: {error.strerror}.") from error


def decode_stored(data: bytes, name: str) -> Stored:
    """Decode the JSON of a record and check all types.

    Args:
        data: the JSON.
        name: name of its file, and its place there.

    Raises:
        NoRecordError: it has no schema_version.
        InputError: it is damaged, from a newer nvs-eval, or lacks a field.
    """
    if sum(map(data.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise InputError(f"{name} must have at most {_MOST_VALUES} values. It is damaged, or not a record of nvs-eval.")
    try:
        _check_keys(data)
        stored = _DECODER.decode(data)
        msgspec.convert(stored.protocol, _Protocol)
        msgspec.convert(stored.provenance, _Provenance)
    except (ValueError, RecursionError):
        stored = _read_with_care(data, name)
    for scores in [stored.means, *[row.scores for row in stored.views if "inf" in row.scores.values()]]:
        read_infinities(scores)
    return stored


def read_infinities(scores: Any) -> None:
    """Replace "inf", as files have it, by infinity in place."""
    for name in [name for name, value in scores.items() if value == "inf"]:
        scores[name] = math.inf


def _check_keys(data: bytes) -> None:
    """Check that no object of a JSON text has a key twice: readers differ in which of the values they take.

    A key is lost in decoding if it is a second one. Files of other programs may be refused here and read with care.

    Raises:
        ValueError: the text is not JSON, or may have a key twice.
    """
    mark = b'":'
    written = msgspec.json.encode(msgspec.json.decode(data))
    if data.count(mark) != written.count(mark) or _OTHER_MARKS.search(data):
        raise ValueError("A key may be given twice")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        key, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"{quoted(key)} is given twice")
    return values


def _read_with_care(data: bytes, path: str) -> Stored:
    """Read a file that the decoder refused: names may not be UTF-8, or the error must be described."""
    try:
        plain = json.loads(
            data.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_distinct,
        )
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error}). It is damaged, or not a record of nvs-eval.") from error
    if not isinstance(plain, dict) or "schema_version" not in plain:
        raise NoRecordError(f"{path} is not a record of nvs-eval: it has no schema_version.")
    _check_version(plain["schema_version"], path)
    try:
        stored = convert(plain, Stored, "it")
        convert(plain, _Parts, "it")
    except InputError as error:
        raise InputError(f"{path} is not a record of nvs-eval: {error}") from error
    return stored


def _check_version(version: object, path: str) -> None:
    if isinstance(version, bool) or not isinstance(version, int) or version < SCHEMA_VERSION:
        raise InputError(
            f"{path} must be a record of nvs-eval, with the schema_version {SCHEMA_VERSION}. Got "
            f"{shortened(json.dumps(version))}."
        )
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{path} must have a schema_version of at most {SCHEMA_VERSION}. Got {shortened(str(version))}. Upgrade "
            "nvs-eval."
        )


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is not a JSON number")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"{shortened(number)} is too large for a float64")
    return value
