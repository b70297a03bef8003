"""A record: the result of one run under one protocol, as plain JSON. Tables and comparisons need nothing else.

Nothing here imports torch, so that a table of records is fast.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec

from nvs_eval.errors import InputError, quoted, some
from nvs_eval.records.plain import mark_infinite, plain_row, without_absent
from nvs_eval.records.result_id import ResultId, safe_name, sha256_of_lines
from nvs_eval.records.schema import SCHEMA_VERSION, MetricInfo, Stored, ViewRow, read_stored
from nvs_eval.system.files import write_whole

_IDENTITY = ("scene", "method", "run", "step", "step_name", "split", "selection")
LINES = ".jsonl"
"""Suffix of files with one record per line."""
PARTIAL = ".partial"
"""Name of folders of unfinished results."""


@dataclass(frozen=True)
class Record:
    """The result of one run (scene, method, run, step) under one protocol.

    Attributes:
        scene: name of the scene.
        method: name of the method.
        run: name of the training run, or None.
        step: step of the checkpoint, or None.
        split: split of the views, "test" by default.
        protocol: name, definition and fingerprint of the protocol.
        metrics: facts of each metric, by key.
        views: one row per view.
        provenance: software, device, files and times behind the scores.
        selection: identifier of the views that were to be scored if they are a part of the split; None for all.
        step_name: name of a checkpoint without a step number, or None.
        neutral: steps that changed nothing, in the order of `records.signatures.NEUTRAL`; empty if unknown.
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
    selection: str | None = None
    step_name: str | None = None
    neutral: Sequence[str] = ()

    @property
    def id(self) -> ResultId:
        """Identity of the result. An empty run name counts as none."""
        return ResultId(
            self.scene, self.method, self.run or None, self.step, self.split, self.selection, self.step_name
        )

    @property
    def cell(self) -> tuple[ResultId, str]:
        """Result, whatever the selection of its views, and fingerprint: records of one cell exclude each other."""
        return replace(self, selection=None).id, self.fingerprint

    @property
    def failed(self) -> Mapping[str, str]:
        """Views that could not be scored, with the reasons: the record is incomplete. Empty for a complete record."""
        return _texts(self.provenance.get("failed"))

    @property
    def left_out(self) -> Mapping[str, str]:
        """Views that were left out, with the reasons: no counterpart (`--allow-missing`), or an empty mask."""
        return _texts(self.provenance.get("left_out"))

    @property
    def suite(self) -> str | None:
        """Name of the suite whose scenes are kept in one file, with this record, or None."""
        suite = self.provenance.get("suite")
        return suite if isinstance(suite, str) else None

    @property
    def is_part(self) -> bool:
        """Whether views of the split are missing: they were not selected, or failed."""
        return bool(self.selection or self.failed)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the protocol."""
        return self.protocol["fingerprint"]

    @property
    def fast(self) -> bool:
        """Whether any metric was computed with `--precision fast`, which makes it a different metric."""
        return any(map(is_fast, self.metrics.values()))

    @property
    def protocol_title(self) -> str:
        """Name of the protocol beside numbers, with `fast` if LPIPS is fast."""
        return f"{self.protocol['name']}, fast" if self.fast else self.protocol["name"]

    @property
    def means(self) -> dict[str, float]:
        """Mean of each metric over the views, rounded if the protocol rounds means."""
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
        """SHA-256 of the names of the views, one per line."""
        return sha256_of_lines([row.name for row in self.views])

    @cached_property
    def references_sha256(self) -> str:
        """SHA-256 of the references' SHA-256, one per line."""
        return references_sha256([row.reference_sha256 for row in self.views])

    @cached_property
    def images_sha256(self) -> str:
        """SHA-256 of everything that comparable means share: names, references, sizes and masks of the views.

        Views are hashed in their order.
        """
        columns = (
            [row.width for row in self.views],
            [row.height for row in self.views],
            [None if row.coverage is None else row.mask_sha256 for row in self.views],
        )
        # Values shared by all views are hashed once (much faster).
        rest = [repr(column if len(set(column)) > 1 else column[:1]) for column in columns]
        return sha256_of_lines([self.views_sha256, self.references_sha256, *rest])


_FIELDS = tuple(field.name for field in fields(Record))
Records = Annotated[
    Sequence[Record],
    msgspec.Meta(
        description="a list of records, as score, run or read_records return it; put a single record in [brackets]"
    ),
]
"""Argument of the Python API that takes records."""


def _texts(entry: Any) -> dict[str, str]:
    """Return an entry of the provenance, which anyone can edit, as texts by name."""
    return {str(name): str(text) for name, text in entry.items()} if isinstance(entry, dict) else {}


def is_fast(metric: MetricInfo) -> bool:
    """Return whether a metric, or a metric that it is made of, was computed with `--precision fast`."""
    # The signature of a metric that is made of others contains theirs.
    return "|precision:fast|" in metric.signature


def references_sha256(hashes: Iterable[str]) -> str:
    """Return the SHA-256 of references' SHA-256 in hexadecimal, one per line: the identity of the list."""
    return sha256_of_lines(hashes)


def record_name(protocol: str, fingerprint: str, selection: str | None = None, *, incomplete: bool = False) -> str:
    """Return the file name of a record: `<protocol>-<fingerprint>[-<selection>][-incomplete].json`."""
    parts = (safe_name(protocol), fingerprint, selection, "incomplete" if incomplete else None)
    return f"{'-'.join(filter(None, parts))}.json"


def record_file(record: Record, output_dir: Path) -> Path:
    """Return the path that a record is written to."""
    return record_files(record, output_dir)[bool(record.failed)]


def record_files(record: Record, output_dir: Path) -> tuple[Path, Path]:
    """Return the paths of the complete and of the incomplete record of a record's result and protocol."""
    if record.suite is not None:
        file = lines_file(output_dir, record.suite, record.id, record.protocol["name"], record.fingerprint)
        return file, file
    folder, names = output_dir / record.id.folder, (record.protocol["name"], record.fingerprint, record.selection)
    return folder / record_name(*names), folder / record_name(*names, incomplete=True)


def lines_file(output_dir: Path, suite: str, result: ResultId, protocol: str, fingerprint: str) -> Path:
    """Return the file with the records of all scenes of a suite, one per line, for a result of one of them."""
    name = record_name(protocol, fingerprint)
    return output_dir / result.folder_in(suite) / Path(name).with_suffix(LINES).name


def write_record(path: Path, record: Record, *, replace: bool = True) -> bool:
    """Write a record as JSON, completely or not at all.

    Args:
        path: file to write.
        record: record to write.
        replace: whether to replace an existing file.

    Returns:
        Whether the record was written; False only if the file exists and must not be replaced.

    Raises:
        InputError: the file cannot be written.
    """
    text = json.dumps(to_plain(record), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    # Bytes of a file name that are not UTF-8 are written as JSON escapes, from which they are read back.
    content = text.encode("utf-8", "backslashreplace")
    return write_whole(path, lambda file: file.write(content), replace=replace, durable=True)


def to_plain(record: Record) -> dict[str, Any]:
    """Return a record as plain JSON values, in the order of the format."""
    plain = asdict(record)
    identity = without_absent({name: plain[name] for name in _IDENTITY})
    return {
        "schema_version": SCHEMA_VERSION,
        **identity,
        "protocol": plain["protocol"],
        "metrics": {name: without_absent(info) for name, info in plain["metrics"].items()},
        "views": [plain_row(row) for row in plain["views"]],
        "means": mark_infinite(record.means),
        "views_sha256": record.views_sha256,
        "references_sha256": record.references_sha256,
        **({"neutral": list(record.neutral)} if record.neutral else {}),
        "provenance": plain["provenance"],
    }


def read_record(path: Path) -> Record:
    """Read a record, and check its means and hashes against its views.

    Raises:
        NoRecordError: the file is JSON without a schema_version.
        InputError: the file is missing, not a record, from a newer nvs-eval, inconsistent, or has two views of one
            name.
    """
    return checked_record(read_stored(path), f"{path}")


def checked_record(stored: Stored, name: str) -> Record:
    """Return a record as stored, after a check of its means and hashes against its views.

    Args:
        stored: the decoded record.
        name: name of its file, and its place there.

    Raises:
        InputError: the record is inconsistent, or has two views of one name.
    """
    record = Record(**{field: getattr(stored, field) for field in _FIELDS})
    try:
        _check_rows(record)
        _check_repeated(stored, record)
    except (InputError, OverflowError) as error:
        raise InputError(f"The record {name}: {error}") from error
    return record


def _check_rows(record: Record) -> None:
    metrics = record.metrics.keys()
    if not record.views or not metrics:
        raise InputError("it must have at least one view and one metric.")
    for row in [row for row in record.views if row.scores.keys() != metrics]:
        raise InputError(
            f"view {quoted(row.name)} must have scores of {some(sorted(metrics))}. Got {some(sorted(row.scores))}."
        )
    if len({row.name for row in record.views}) < len(record.views):
        (name, times), *_ = Counter(row.name for row in record.views).most_common(1)
        raise InputError(
            f"view {quoted(name)} must be listed once. Got {times} rows. The record was edited; score again."
        )


def _check_repeated(stored: Stored, record: Record) -> None:
    if stored.means.keys() != record.metrics.keys():
        raise InputError(
            f"its means must be of its metrics {some(sorted(record.metrics))}. Got {some(sorted(stored.means))}."
        )
    for name, mean in record.means.items():
        recorded = stored.means[name]
        if not math.isclose(recorded, mean, rel_tol=1e-9, abs_tol=1e-9):
            raise InputError(
                f"its mean {name} must be {mean}, from its views. Got {recorded}. The record was edited; score again."
            )
    for name in ("views_sha256", "references_sha256"):
        if getattr(stored, name) != getattr(record, name):
            raise InputError(f"its {name} must be that of its views. The record was edited; score again.")
