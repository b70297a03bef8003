"""A record: the result of one run under one protocol, as plain JSON. Everything downstream needs nothing else.

Nothing here imports torch, so that a table of records is there at once.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec

from nvs_eval.errors import InputError
from nvs_eval.records.result_id import ResultId, safe_name
from nvs_eval.records.schema import SCHEMA_VERSION, MetricInfo, Stored, ViewRow, read_stored
from nvs_eval.system.files import write_whole

# Absent where there is no mask, and where a metric is none of a plugin.
_LATER_FIELDS = ("mask", "mask_sha256", "title", "decimals")


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
    def id(self) -> ResultId:
        """Identity of the result. A run without a name is none."""
        return ResultId(self.scene, self.method, self.run or None, self.step, self.split)

    @property
    def fingerprint(self) -> str:
        """Of the protocol."""
        return self.protocol["fingerprint"]

    @property
    def fast(self) -> bool:
        """Whether any of its metrics was computed with `--precision fast`, which makes it another metric."""
        return any(map(is_fast, self.metrics.values()))

    @property
    def protocol_title(self) -> str:
        """What the protocol is called beside numbers: its name, and `fast` where that makes them other ones."""
        return f"{self.protocol['name']}, fast" if self.fast else self.protocol["name"]

    @property
    def means(self) -> dict[str, float]:
        """The mean of each metric over the views, rounded where the protocol rounds means."""
        return dict(self._means)

    @cached_property
    def _means(self) -> Mapping[str, float]:
        scores = [row.scores for row in self.views]
        means = {name: math.fsum([row[name] for row in scores]) / len(scores) for name in self.metrics}
        digits = self.protocol["definition"]["round_means"]
        if digits is None:
            return means
        return {name: mean if math.isinf(mean) else round(mean, digits) for name, mean in means.items()}

    @cached_property
    def views_sha256(self) -> str:
        """Over the views' names, a line each."""
        return _sha256_of_lines([row.name for row in self.views])

    @cached_property
    def references_sha256(self) -> str:
        """Over the references' sha256, a line each."""
        return references_sha256([row.reference_sha256 for row in self.views])

    @cached_property
    def images_sha256(self) -> str:
        """Over all that two means must have in common to be compared, in the order of the views.

        That is the names, references and sizes of the views, and the masks that they were scored with.
        """
        columns = (
            [row.width for row in self.views],
            [row.height for row in self.views],
            [None if row.coverage is None else row.mask_sha256 for row in self.views],
        )
        # What is the same of all views, as mostly, is said once: that is much the faster.
        rest = [repr(column if len(set(column)) > 1 else column[:1]) for column in columns]
        return _sha256_of_lines([self.views_sha256, self.references_sha256, *rest])


Records = Annotated[
    Sequence[Record],
    msgspec.Meta(description="a list of records: what score, run or read_records gave, in [brackets] if one"),
]
"""Records as an argument of the Python API."""


def is_fast(metric: MetricInfo) -> bool:
    """Whether a metric was computed with `--precision fast`, or is made of such."""
    # The signature of a metric that is made of others says theirs.
    return "|precision:fast|" in metric.signature


def references_sha256(hashes: Iterable[str]) -> str:
    """The identity of a list of references: the sha256 of their sha256 in hexadecimal, a line each."""
    return _sha256_of_lines(hashes)


def _sha256_of_lines(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join([*lines, ""]).encode("utf-8", "surrogatepass")).hexdigest()


def record_name(protocol: str, fingerprint: str) -> str:
    """The name of a record's file."""
    return f"{safe_name(protocol)}-{fingerprint}.json"


def record_file(record: Record, output_dir: Path) -> Path:
    """Where a record is written."""
    return output_dir / record.id.folder / record_name(record.protocol["name"], record.fingerprint)


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
        "metrics": {name: _without_absent(info) for name, info in plain["metrics"].items()},
        "views": views,
        "means": _mark_infinite(record.means),
        "views_sha256": record.views_sha256,
        "references_sha256": record.references_sha256,
        "provenance": provenance,
    }


def _plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Where there is no mask, a row says nothing of one but that its coverage is null."""
    return {**_without_absent(row), "scores": _mark_infinite(row["scores"])}


def _without_absent(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in _LATER_FIELDS or value is not None}


def _mark_infinite(scores: Mapping[str, float]) -> dict[str, float | str]:
    for name, value in scores.items():
        if math.isnan(value) or value == -math.inf:
            raise ValueError(f"The score {name} is {value}: that is never written.")
    return {name: "inf" if math.isinf(value) else value for name, value in scores.items()}


def read_record(path: Path) -> Record:
    """Read a record and check what it repeats.

    Raises:
        NoRecordError: it is JSON without a schema_version.
        InputError: the file is missing, not a record, from a newer nvs-eval, does not agree with itself, or has two
            views of one name.
    """
    stored = read_stored(path)
    record = Record(**{field.name: getattr(stored, field.name) for field in fields(Record)})
    try:
        _check_rows(record)
        _check_repeated(stored, record)
    except (InputError, OverflowError) as error:
        raise InputError(f"The record {path}: {error}") from error
    return record


def _check_rows(record: Record) -> None:
    metrics = record.metrics.keys()
    if not record.views or not metrics:
        raise InputError("it has no views or no metrics.")
    for row in [row for row in record.views if row.scores.keys() != metrics]:
        raise InputError(f"view {row.name!r} has scores for {sorted(row.scores)}, not for {sorted(metrics)}.")
    if len({row.name for row in record.views}) < len(record.views):
        (name, times), *_ = Counter(row.name for row in record.views).most_common(1)
        raise InputError(f"view {name!r} is there {times} times, and a view is scored once: it was changed by hand.")


def _check_repeated(stored: Stored, record: Record) -> None:
    if stored.means.keys() != record.metrics.keys():
        raise InputError(f"its means are of {sorted(stored.means)}, and its metrics are {sorted(record.metrics)}.")
    for name, mean in record.means.items():
        said = stored.means[name]
        if not math.isclose(said, mean, rel_tol=1e-9, abs_tol=1e-9):
            raise InputError(f"its mean {name} is {said}, and its views say {mean}: it was changed by hand.")
    for name in ("views_sha256", "references_sha256"):
        if getattr(stored, name) != getattr(record, name):
            raise InputError(f"its {name} is not that of its views: it was changed by hand.")
