"""A record: the result of one run under one protocol, as plain JSON. Everything downstream needs nothing else.

Nothing here imports torch, so that a table of records is there at once.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from nvs_eval.errors import InputError
from nvs_eval.whole_files import write_whole

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class MetricInfo:
    """What a record says of a metric: its unit ("" for none), which way is up, and how it was computed."""

    unit: str
    higher_is_better: bool
    signature: str


@dataclass(frozen=True)
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
    scores: Mapping[str, float]
    render_seconds: float | None
    render: str | None
    reference: str | None
    reference_sha256: str
    coverage: float | None
    mask: str | None = None
    mask_sha256: str | None = None


# Absent where there is no mask.
_LATER_FIELDS = {"mask": None, "mask_sha256": None}


@dataclass(frozen=True)
class Record:
    """The result of one run (scene, method, run, step) under one protocol.

    Attributes:
        scene: its name.
        method: its name.
        run: which training of the method, or None.
        step: of the checkpoint, or None.
        split: which views were held out, "test" where nothing else was asked for.
        protocol: name, definition and fingerprint.
        metrics: what each metric is.
        views: one row a view.
        provenance: how the record came about.
    """

    scene: str
    method: str
    run: str | None
    step: int | None
    split: str
    protocol: Mapping[str, Any]
    metrics: Mapping[str, MetricInfo]
    views: Sequence[ViewRow]
    provenance: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Of the protocol."""
        return self.protocol["fingerprint"]

    @property
    def means(self) -> dict[str, float]:
        """The mean of each metric over the views, rounded where the protocol rounds means."""
        return {name: self._mean(name) for name in self.metrics}

    def _mean(self, metric: str) -> float:
        mean = math.fsum(row.scores[metric] for row in self.views) / len(self.views)
        digits = self.protocol["definition"]["round_means"]
        return mean if digits is None or math.isinf(mean) else round(mean, digits)

    @property
    def views_sha256(self) -> str:
        """Over the views' names, a line each."""
        return _sha256_of_lines(row.name for row in self.views)

    @property
    def references_sha256(self) -> str:
        """Over the references' sha256, a line each."""
        return references_sha256(row.reference_sha256 for row in self.views)


def references_sha256(hashes: Any) -> str:
    """The identity of a list of references: the sha256 of their sha256 in hexadecimal, a line each."""
    return _sha256_of_lines(hashes)


def _sha256_of_lines(lines: Any) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")).hexdigest()


def record_folder(output_dir: Path, scene: str, method: str, run: str | None, step: int | None) -> Path:
    """The folder of a result: `<dir>/<scene>/<method>[/<run>]/<step, or final>`."""
    parts = [scene, method, *([run] if run else []), "final" if step is None else str(step)]
    return output_dir.joinpath(*(safe_name(part) for part in parts))


def record_name(protocol: str, fingerprint: str) -> str:
    """The name of a record's file."""
    return f"{safe_name(protocol)}-{fingerprint}.json"


def record_file(record: Record, output_dir: Path) -> Path:
    """Where a record is written."""
    folder = record_folder(output_dir, record.scene, record.method, record.run, record.step)
    return folder / record_name(record.protocol["name"], record.fingerprint)


def safe_name(name: str) -> str:
    """A name as one part of a path: no separators, never a hidden file or the folder above."""
    cleaned = "".join("_" if character in '/\\:*?"<>|\0' or ord(character) < 32 else character for character in name)
    return f"_{cleaned[1:]}" if cleaned.startswith(".") else cleaned or "_"


def write_record(path: Path, record: Record) -> None:
    """Write a record as JSON, whole or not at all.

    Raises:
        InputError: it cannot be written there.
    """
    text = json.dumps(to_plain(record), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    # What a file's name has of bytes that are no text becomes an escape, as which JSON gives it back.
    write_whole(path, lambda file: file.write(text.encode("utf-8", "backslashreplace")))


def to_plain(record: Record) -> dict[str, Any]:
    """A record as plain JSON values, in the order of the format."""
    plain = {"schema_version": SCHEMA_VERSION, **asdict(record)}
    provenance = plain.pop("provenance")
    views = [_plain_row(row) for row in plain["views"]]
    return {
        **plain,
        "views": views,
        "means": _mark_infinite(record.means),
        "views_sha256": record.views_sha256,
        "references_sha256": record.references_sha256,
        "provenance": provenance,
    }


def _plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Where there is no mask, a row says nothing of one but that its coverage is null."""
    said = {name: value for name, value in row.items() if name not in _LATER_FIELDS or value is not None}
    return {**said, "scores": _mark_infinite(row["scores"])}


def _mark_infinite(scores: Mapping[str, float]) -> dict[str, float | str]:
    for name, value in scores.items():
        if math.isnan(value) or value == -math.inf:
            raise ValueError(f"The score {name} is {value}: that is never written.")
    return {name: "inf" if math.isinf(value) else value for name, value in scores.items()}


def read_record(path: Path) -> Record:
    """Read a record and check what it repeats.

    Raises:
        InputError: the file is missing, not a record, from a newer nvs-eval, or does not agree with itself.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise InputError(f"The record {path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error}): it is damaged, or not a record of nvs-eval.") from error
    if not isinstance(plain, dict) or "schema_version" not in plain:
        raise InputError(f"{path} is not a record of nvs-eval: it has no schema_version.")
    if plain["schema_version"] != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema_version {plain['schema_version']!r}, and this nvs-eval reads {SCHEMA_VERSION}: "
            "upgrade nvs-eval."
        )
    try:
        record = _from_plain(plain)
        _check_repeated(plain, record)
    except InputError as error:
        raise InputError(f"The record {path}: {error}") from error
    except KeyError as error:
        raise InputError(f"{path} is not a whole record of nvs-eval: it lacks {error}.") from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path} is not a record of nvs-eval: {error}.") from error
    return record


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


def _from_plain(plain: Mapping[str, Any]) -> Record:
    rows = [
        ViewRow(**_typed(ViewRow, {**_LATER_FIELDS, **row, "scores": _read_scores(row["scores"])}))
        for row in plain["views"]
    ]
    metrics = {name: MetricInfo(**_typed(MetricInfo, info)) for name, info in plain["metrics"].items()}
    if not rows or not metrics:
        raise InputError("it has no views or no metrics.")
    for row in rows:
        if set(row.scores) != set(metrics):
            raise InputError(f"view {row.name!r} has scores for {sorted(row.scores)}, not for {sorted(metrics)}.")
    names = ("scene", "method", "run", "step", "split", "protocol", "provenance")
    values = {**{name: plain[name] for name in names}, "metrics": metrics, "views": rows}
    _typed(_ProtocolInfo, plain["protocol"])
    return Record(**_typed(Record, values))


@dataclass(frozen=True)
class _ProtocolInfo:
    """What is read of a record's protocol."""

    name: str
    definition: Mapping[str, Any]
    fingerprint: str


def _typed(kind: type, plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values for the fields of a dataclass, each checked to be of the field's type."""
    for name, hint in get_type_hints(kind).items():
        if not _fits(plain[name], hint):
            raise TypeError(f"{name} is {plain[name]!r}")
    return plain


def _fits(value: object, hint: Any) -> bool:
    if get_origin(hint) is UnionType:
        return any(_fits(value, part) for part in get_args(hint))
    if isinstance(value, bool):
        return hint is bool
    if hint is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, get_origin(hint) or hint)


def _read_scores(scores: Mapping[str, Any]) -> dict[str, float]:
    for name, value in scores.items():
        if value != "inf" and not _fits(value, float):
            raise InputError(f'its score {name} is {value!r}, and a number or "inf" is needed.')
    return {name: math.inf if value == "inf" else value for name, value in scores.items()}


def _check_repeated(plain: Mapping[str, Any], record: Record) -> None:
    if set(plain["means"]) != set(record.metrics):
        raise InputError(f"its means are of {sorted(plain['means'])}, and its metrics are {sorted(record.metrics)}.")
    for name, said in _read_scores(plain["means"]).items():
        mean = record.means[name]
        if not math.isclose(said, mean, rel_tol=1e-9, abs_tol=1e-9):
            raise InputError(f"its mean {name} is {said}, and its views say {mean}: it was changed by hand.")
    for name in ("views_sha256", "references_sha256"):
        if plain[name] != getattr(record, name):
            raise InputError(f"its {name} is not that of its views: it was changed by hand.")
