"""Verification of records: recomputation of their scores from the kept images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from nvs_eval.diagnostics.verify.definition import (
    COVERAGE,
    Unknown,
    family_of,
    label_of,
    unknown_parts,
    verifiable,
    wrong_claims,
    wrong_fingerprint,
)
from nvs_eval.diagnostics.verify.pair import Changed, read_pair
from nvs_eval.diagnostics.verify.scores import SecondOpinion
from nvs_eval.errors import InputError, quoted
from nvs_eval.records.files import read_record_files
from nvs_eval.records.record import Record, ViewRow

SAMPLE = 5
"""Number of views of a record that are verified by default."""


@dataclass(frozen=True)
class Compared:
    """Recorded and recomputed value of a view's metric or `coverage`; `fast` for LPIPS below float32."""

    view: str
    metric: str
    recorded: float
    recomputed: float
    fast: bool = False

    @property
    def tolerance(self) -> float:
        """1e-4 dB for PSNR, 1e-6 for coverage, 1e-5 for others; 0.5 % of the value plus 2e-4 for fast LPIPS."""
        if self.fast:
            return 0.005 * self.recomputed + 2e-4
        return {"psnr": 1e-4, COVERAGE: 1e-6}.get(family_of(self.metric), 1e-5)

    @property
    def deviation(self) -> float:
        """Absolute difference: 0 for two infinities, infinity for one or for NaN."""
        if self.recorded == self.recomputed:
            return 0.0
        difference = abs(self.recorded - self.recomputed)
        return math.inf if math.isnan(difference) else difference

    @property
    def confirmed(self) -> bool:
        """Whether the deviation is within the tolerance."""
        return self.deviation <= self.tolerance

    @property
    def deviation_text(self) -> str:
        """Deviation with two digits, or more if these would put it on the other side of the tolerance as shown."""
        shown = float(digits(self.tolerance))
        texts = [digits(self.deviation), *(f"{self.deviation:.{places}g}" for places in range(3, 18))]
        return next((text for text in texts if (float(text) <= shown) == self.confirmed), texts[-1])

    @property
    def verdict(self) -> str:
        """`confirmed` as text."""
        return "confirmed" if self.confirmed else "NOT CONFIRMED"


@dataclass(frozen=True)
class Report:
    """Result of verifying one record.

    Attributes:
        file: file of the record.
        record: content of the file.
        views: number of verified views; 0 if the images cannot be prepared.
        compared: recorded and recomputed values, view by view.
        changed: a sentence for each change since scoring, of the protocol, a metric's entry or a view's files.
        unsupported: a sentence for each part that cannot be verified: the record, a metric or a view.
    """

    file: Path
    record: Record
    views: int = 0
    compared: Sequence[Compared] = ()
    changed: Sequence[str] = ()
    unsupported: Sequence[str] = ()

    @property
    def refuted(self) -> bool:
        """Whether anything in the record is wrong."""
        return bool(self.changed) or any(not value.confirmed for value in self.compared)

    @property
    def complete(self) -> bool:
        """Whether all selected views and metrics could be verified."""
        return bool(self.compared) and not self.unsupported

    @property
    def title(self) -> str:
        """File, scene if the file has several, number of views and protocol of the record."""
        record = self.record
        views = f"{self.views} of {len(record.views)} views"
        scene = "" if record.suite is None else f"{record.scene}, "
        return f"{self.file}: {scene}{views}, protocol {record.protocol_title} {record.fingerprint}"

    @property
    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """Rows of metric, largest deviation, its view, tolerance and verdict."""
        unknown = [metric for metric in self.record.metrics if metric not in verifiable(self.record.metrics)]
        unverified = ("-", "-", "-", "not verified: no independent implementation")
        return [
            *(
                (label_of(worst.metric), worst.deviation_text, worst.view, digits(worst.tolerance), worst.verdict)
                for worst in worst_of(self.compared)
            ),
            *((self.record.metrics[metric].title or label_of(metric), *unverified) for metric in unknown),
        ]

    @property
    def words(self) -> list[str]:
        """Sentences on each wrong number, each change, and each part that cannot be verified."""
        wrong = [
            f"View {quoted(v.view)}: {v.metric} is recorded as {v.recorded}, but recomputed as {v.recomputed}."
            for v in self.compared
            if not v.confirmed
        ]
        return [*wrong, *self.changed, *self.unsupported]


Progress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]


def verify(
    records: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    views: int | None = SAMPLE,
    weights_dir: Path | None = None,
    progress: Progress = lambda title, total: nullcontext(lambda: None),
) -> Iterator[Report]:
    """Verify records one after the other. One that cannot be verified does not stop the others.

    Args:
        records: files, folders of records, or patterns.
        views: number of views to verify per record, evenly spread; None for all.
        weights_dir: folder that is searched first for LPIPS backbones.
        progress: context manager that is opened for each record with a title and the number of its views, and that
            returns a callback for each verified view.

    Raises:
        InputError: there is no such record, or the only one cannot be verified.
    """
    if views is not None and views < 1:
        raise InputError(f"views must be at least 1, or None for all. Got {views}.")
    files = read_record_files([records] if isinstance(records, str | PathLike) else records, copies=True)
    for file, record in files:
        rows = spread(record.views, views)
        try:
            _check_kept(record, file)
            with progress(f"Verifying {file.name}", len(rows)) as on_view:
                report = verify_record(record, file, rows, weights_dir=weights_dir, on_view=on_view)
        except InputError as error:
            if len(files) == 1:
                raise
            report = Report(file, record, unsupported=[str(error)])
        yield report


def _check_kept(record: Record, file: Path) -> None:
    """Check that the scored images were kept."""
    kept = record.provenance.get("kept_renders", "as scored")
    if kept == "none":
        raise InputError(
            f"The record {file} cannot be verified: its renders were not kept. Run it again with `--keep-renders all`, "
            "or `png` if the protocol rounds renders to 8 bits."
        )
    if kept != "as scored":
        raise InputError(
            f"The record {file} cannot be verified: its renders were kept as {kept}, but {record.protocol['name']} "
            "scores floats. Run it again with `--keep-renders all`."
        )


def verify_record(
    record: Record,
    file: Path,
    rows: Sequence[ViewRow],
    *,
    weights_dir: Path | None = None,
    on_view: Callable[[], None] = lambda: None,
) -> Report:
    """Recompute the numbers of some views of a record, and compare.

    Args:
        record: record with kept images, which was checked for consistency when it was read.
        file: file of the record.
        rows: rows of the views to verify.
        weights_dir: folder that is searched first for LPIPS backbones.
        on_view: called after each view.

    Raises:
        InputError: the weights cannot be loaded.
    """
    compared: list[Compared] = []
    changed, reasons = list(wrong_claims(record)), unknown_parts(record)
    subjects = {metric: f"{metric} of the record {file}" if metric else f"record {file}" for metric in reasons}
    unsupported = [f"The {subjects[metric]} cannot be verified: {reason}" for metric, reason in reasons.items()]
    (unsupported if unsupported else changed).extend(wrong_fingerprint(record))
    if "" in reasons:
        return Report(file, record, changed=changed, unsupported=unsupported)
    metrics = [metric for metric in verifiable(record.metrics) if metric not in reasons]
    for row in rows:
        try:
            pair = read_pair(record, row, file.parent)
        except Changed as error:
            changed.append(f"View {quoted(row.name)}: {error}.")
        except InputError as error:
            unsupported.append(f"View {quoted(row.name)} cannot be verified: {str(error).rstrip('.')}.")
        else:
            opinion = SecondOpinion(pair, record.protocol["definition"], weights_dir)
            compared += _compare(row, metrics, opinion, unsupported)
        on_view()
    return Report(file, record, len(rows), compared, changed, unsupported)


def _compare(
    row: ViewRow, metrics: Sequence[str], opinion: SecondOpinion, unsupported: list[str]
) -> Iterator[Compared]:
    """Compare the numbers of a view, and append sentences on those that cannot be recomputed to `unsupported`."""
    recorded = {metric: row.scores[metric] for metric in metrics}
    if row.coverage is not None and opinion.pair.mask is not None:
        recorded[COVERAGE] = row.coverage
    for metric, score in recorded.items():
        try:
            value = opinion.score(metric, row.scores)
        except Unknown as error:
            unsupported.append(f"The {metric} of view {quoted(row.name)} cannot be verified: {error}")
        else:
            yield Compared(row.name, metric, score, value, fast=opinion.is_fast(metric))


def spread(rows: Sequence[ViewRow], count: int | None) -> Sequence[ViewRow]:
    """Return a number of evenly spaced rows with the first and the last one, always the same."""
    if count is None or count >= len(rows):
        return rows
    if count == 1:
        return [rows[len(rows) // 2]]
    return [rows[round(index * (len(rows) - 1) / (count - 1))] for index in range(count)]


def worst_of(compared: Sequence[Compared]) -> list[Compared]:
    """Return the value of each metric with the largest deviation relative to its tolerance, in order."""
    metrics: dict[str, list[Compared]] = {}
    for value in compared:
        metrics.setdefault(value.metric, []).append(value)
    return [max(values, key=lambda value: value.deviation / value.tolerance) for values in metrics.values()]


def digits(deviation: float) -> str:
    """Format a deviation with two digits, so that 0 differs from nearly 0."""
    return "0" if deviation == 0 else f"{deviation:.2g}"
