"""Verification of records: their scores computed again from the kept images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from nvs_eval.diagnostics.verify.definition import (
    AVERAGE,
    Unknown,
    check_metric,
    check_preparation,
    family_of,
    interpreting,
    wrong_claims,
    wrong_fingerprint,
)
from nvs_eval.diagnostics.verify.files import Changed, read_pair
from nvs_eval.diagnostics.verify.scores import SecondOpinion, average_error
from nvs_eval.errors import InputError
from nvs_eval.records.files import read_record_files
from nvs_eval.records.record import Record, ViewRow

SAMPLE = 5
"""Number of views of a record that are verified by default."""
_COVERAGE, _COVERAGE_TOLERANCE = "coverage", 1e-6


@dataclass(frozen=True)
class Compared:
    """A number of a record beside its second opinion.

    Attributes:
        view: whose number it is.
        metric: its key, or `coverage`.
        recorded: number in the record.
        recomputed: number by the independent implementation.
        tolerance: how far apart they may be.
    """

    view: str
    metric: str
    recorded: float
    recomputed: float
    tolerance: float

    @property
    def deviation(self) -> float:
        """Distance of the two: 0 for two infinities, infinity for one or for no number at all."""
        if self.recorded == self.recomputed:
            return 0.0
        difference = abs(self.recorded - self.recomputed)
        return math.inf if math.isnan(difference) else difference

    @property
    def confirmed(self) -> bool:
        """Whether that is within the tolerance."""
        return self.deviation <= self.tolerance


@dataclass(frozen=True)
class Report:
    """The verification of one record.

    Attributes:
        file: of the record.
        record: as it was read.
        views: number of views that were looked at; 0 where the images cannot be prepared.
        compared: the numbers, view by view.
        changed: a sentence for each change since: of the protocol, of what is recorded of a metric, of a view's files.
        unsupported: a sentence for each part that cannot be verified: the record, a metric or a view.
        foreign: metrics of plugins, which have no second opinion here.
    """

    file: Path
    record: Record
    views: int = 0
    compared: Sequence[Compared] = ()
    changed: Sequence[str] = ()
    unsupported: Sequence[str] = ()
    foreign: Sequence[str] = ()

    @property
    def refuted(self) -> bool:
        """Whether anything in the record is wrong."""
        return bool(self.changed) or any(not number.confirmed for number in self.compared)

    @property
    def complete(self) -> bool:
        """Whether every view that was asked for was looked at, and something of it compared."""
        return bool(self.compared) and not self.unsupported


Progress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]


def verify(
    records: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    views: int | None = SAMPLE,
    weights_dir: Path | None = None,
    progress: Progress = lambda title, total: nullcontext(lambda: None),
    on_report: Callable[[Report], None] = lambda report: None,
) -> list[Report]:
    """Verify records one after the other; one that cannot be verified does not stop the others.

    Args:
        records: files, folders of records, or patterns.
        views: number of views of each record, spread evenly over them; None for all.
        weights_dir: a folder to look for LPIPS backbones first.
        progress: opened for each record with a title and its number of views; gives what to call after each view.
        on_report: called after each record.

    Raises:
        InputError: there is no such record, or the only one cannot be verified.
    """
    if views is not None and views < 1:
        raise InputError(f"views must be at least 1, or None for all. Got {views}.")
    files = read_record_files([records] if isinstance(records, str | PathLike) else records, copies=True)
    reports = []
    for file, record in files:
        try:
            check_supported(record, file)
            with progress(f"Verifying {file.name}", len(spread(record.views, views))) as advance:
                report = verify_record(record, file, views=views, weights_dir=weights_dir, on_view=advance)
        except InputError as error:
            if len(files) == 1:
                raise
            report = Report(file, record, unsupported=[str(error)])
        on_report(report)
        reports.append(report)
    return reports


def verify_record(
    record: Record,
    file: Path,
    *,
    views: int | None = SAMPLE,
    weights_dir: Path | None = None,
    on_view: Callable[[], None] = lambda: None,
) -> Report:
    """Compute the numbers of some views of a record again, and compare.

    Args:
        record: as read from its file, which has checked that it agrees with itself.
        file: of the record.
        views: number of its views, spread evenly over them; None for all.
        weights_dir: a folder to look for LPIPS backbones first.
        on_view: called after each view.

    Raises:
        InputError: nothing of the record can be verified, or the weights cannot be had.
    """
    check_supported(record, file)
    compared: list[Compared] = []
    changed = list(wrong_claims(record))
    metrics, unsupported = _known_metrics(record, file)
    # A definition that is not understood may have another fingerprint by right.
    (unsupported if unsupported else changed).extend(wrong_fingerprint(record))
    rows = spread(record.views, views) if metrics is not None else []
    for row in rows:
        try:
            pair = read_pair(record, row, file.parent)
        except Changed as error:
            changed.append(f"View {row.name!r}: {error}.")
        except InputError as error:
            unsupported.append(f"View {row.name!r} cannot be verified: {str(error).rstrip('.')}.")
        else:
            opinion = SecondOpinion(pair, record.protocol["definition"], weights_dir)
            compared += _compare(record, row, metrics or [], opinion, unsupported)
        on_view()
    foreign = [name for name in record.metrics if family_of(name) is None]
    return Report(file, record, len(rows), compared, changed, unsupported, foreign)


def check_supported(record: Record, file: Path) -> None:
    """Check that the images that were scored were kept.

    Raises:
        InputError: they were not, with what to do.
    """
    kept = record.provenance.get("kept_renders", "as scored")
    if kept == "none":
        raise InputError(
            f"The record {file} cannot be verified: its renders were not kept. Run it again with `--keep-renders all`, "
            "or `png` where the protocol rounds renders to 8 bits."
        )
    if kept != "as scored":
        raise InputError(
            f"The record {file} cannot be verified: what was kept are {kept}, and {record.protocol['name']} scored "
            "floats. With such copies only a protocol that rounds to 8 bits can be verified; run it again with "
            "`--keep-renders all`."
        )


def spread(rows: Sequence[ViewRow], count: int | None) -> Sequence[ViewRow]:
    """A number of the rows, the first and the last among them, evenly apart; always the same ones."""
    if count is None or count >= len(rows):
        return rows
    if count == 1:
        return [rows[len(rows) // 2]]
    return [rows[round(index * (len(rows) - 1) / (count - 1))] for index in range(count)]


def tolerance_of(metric: str, *, fast_value: float | None = None) -> float:
    """Tolerance of a number: 1e-4 dB for PSNR, 1e-5 for all else; 0.5 % plus 2e-4 for a value of fast LPIPS."""
    if fast_value is not None:
        return 0.005 * fast_value + 2e-4
    return 1e-4 if family_of(metric) == "psnr" else 1e-5


def _known_metrics(record: Record, file: Path) -> tuple[Sequence[str] | None, list[str]]:
    """The metrics that are known here, None if images cannot be prepared; and a sentence for each unknown part."""
    definition = record.protocol["definition"]
    try:
        check_preparation(definition)
    except Unknown as error:
        return None, [f"The record {file} cannot be verified: {error}."]
    metrics, unsupported = [], []
    for metric in record.metrics:
        try:
            check_metric(definition, metric)
        except Unknown as error:
            unsupported.append(f"The {metric} of the record {file} cannot be verified: {error}.")
        else:
            metrics.append(metric)
    return metrics, unsupported


def _compare(
    record: Record, row: ViewRow, metrics: Sequence[str], opinion: SecondOpinion, unsupported: list[str]
) -> Iterator[Compared]:
    """Compare the numbers of a view; sentences on those that cannot be computed go to `unsupported`."""
    definition = record.protocol["definition"]
    recorded = {metric: row.scores[metric] for metric in metrics if family_of(metric) is not None}
    if row.coverage is not None:
        recorded[_COVERAGE] = row.coverage
    for metric, score in recorded.items():
        part = definition["mask"] if metric == _COVERAGE else definition["metrics"][metric]
        try:
            with interpreting(part):
                value = opinion.coverage if metric == _COVERAGE else _recompute(row, metric, part, opinion)
        except Unknown as error:
            unsupported.append(f"The {metric} of view {row.name!r} cannot be verified: {error}.")
            continue
        if value is not None:
            yield Compared(row.name, metric, score, value, _tolerance(metric, part, value))


def _tolerance(metric: str, part: Any, value: float) -> float:
    if metric == _COVERAGE:
        return _COVERAGE_TOLERANCE
    return tolerance_of(metric, fast_value=value if part.get("precision") == "fast" else None)


def _recompute(row: ViewRow, metric: str, parameters: Mapping[str, Any], opinion: SecondOpinion) -> float:
    if metric != AVERAGE:
        return opinion.score(metric)
    # Made of the recorded parts, each of which is compared by itself: where all three are next to nothing, the root of
    # their rounding errors is not.
    return average_error(*(row.scores[parameters[part]] for part in ("psnr", "ssim", "lpips")))
