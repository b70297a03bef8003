"""Verification of records: their scores computed again from the kept images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from nvs_eval.diagnostics.verify.definition import (
    AVERAGE,
    Unknown,
    family_of,
    interpreting,
    known_metrics,
    wrong_claims,
    wrong_fingerprint,
)
from nvs_eval.diagnostics.verify.pair import Changed, read_pair
from nvs_eval.diagnostics.verify.scores import SecondOpinion, average_error
from nvs_eval.errors import InputError
from nvs_eval.records.files import read_record_files
from nvs_eval.records.record import Record, ViewRow

SAMPLE = 5
"""Number of views of a record that are verified by default."""
_COVERAGE = "coverage"

_NOT_KEPT = (
    "The record {file} cannot be verified: its renders were not kept. Run it again with `--keep-renders all`, or `png` "
    "where the protocol rounds renders to 8 bits."
)
_COPIES = (
    "The record {file} cannot be verified: what was kept are {kept}, and {protocol} scored floats. With such copies "
    "only a protocol that rounds to 8 bits can be verified; run it again with `--keep-renders all`."
)


@dataclass(frozen=True)
class Compared:
    """A view's number under a metric's key, or `coverage`, and its second opinion: how far apart they may be."""

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
        views, weights_dir: as for `verify`.
        on_view: called after each view.

    Raises:
        InputError: nothing of the record can be verified, or the weights cannot be had.
    """
    check_supported(record, file)
    compared: list[Compared] = []
    changed = list(wrong_claims(record))
    metrics, unsupported = known_metrics(record, file)
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
        raise InputError(_NOT_KEPT.format(file=file))
    if kept != "as scored":
        raise InputError(_COPIES.format(file=file, kept=kept, protocol=record.protocol["name"]))


def spread(rows: Sequence[ViewRow], count: int | None) -> Sequence[ViewRow]:
    """A number of the rows, the first and the last among them, evenly apart; always the same ones."""
    if count is None or count >= len(rows):
        return rows
    if count == 1:
        return [rows[len(rows) // 2]]
    return [rows[round(index * (len(rows) - 1) / (count - 1))] for index in range(count)]


def tolerance_of(metric: str, *, fast_value: float | None = None) -> float:
    """Tolerance: 1e-4 dB of PSNR, 1e-6 of coverage, 1e-5 of all else; 0.5 % plus 2e-4 of a value of fast LPIPS."""
    if fast_value is not None:
        return 0.005 * fast_value + 2e-4
    return {"psnr": 1e-4, _COVERAGE: 1e-6}.get(family_of(metric) or metric, 1e-5)


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
            fast = metric != _COVERAGE and part.get("precision") == "fast"
            yield Compared(row.name, metric, score, value, tolerance_of(metric, fast_value=value if fast else None))


def _recompute(row: ViewRow, metric: str, parameters: Mapping[str, Any], opinion: SecondOpinion) -> float:
    if metric != AVERAGE:
        return opinion.score(metric)
    # Made of the recorded parts, each of which is compared by itself: where all three are next to nothing, the root of
    # their rounding errors is not.
    return average_error(*(row.scores[parameters[part]] for part in ("psnr", "ssim", "lpips")))


def heading(report: Report) -> str:
    """File, number of views and protocol of a record."""
    record = report.record
    views = f"{report.views} of {len(record.views)} views"
    return f"{report.file}: {views}, protocol {record.protocol_title} {record.fingerprint}"


def report_table(report: Report) -> Table:
    """One row per metric: its largest deviation, the view that has it, the tolerance, and the verdict."""
    table = new_table("metric", "largest deviation", "view", "tolerance", "verdict")
    for worst in worst_of(report.compared):
        verdict = "confirmed" if worst.confirmed else "NOT CONFIRMED"
        table.add_row(worst.metric, digits(worst.deviation), Text(worst.view), digits(worst.tolerance), verdict)
    for metric in report.foreign:
        table.add_row(metric, "-", "-", "-", "not verified: a plugin's metric")
    return table


def worst_of(compared: Sequence[Compared]) -> list[Compared]:
    """The number of each metric, in their order, that deviates most for its tolerance."""
    metrics: dict[str, list[Compared]] = {}
    for number in compared:
        metrics.setdefault(number.metric, []).append(number)
    return [max(numbers, key=lambda number: number.deviation / number.tolerance) for numbers in metrics.values()]


def sentences(report: Report) -> Iterator[str]:
    """A sentence for each number that is wrong, each change, and each part that cannot be verified."""
    for number in report.compared:
        if not number.confirmed:
            values = f"recorded as {number.recorded} and recomputed as {number.recomputed}"
            yield f"View {number.view!r}: {number.metric} is {values}."
    yield from report.changed
    yield from report.unsupported


def new_table(*columns: str) -> Table:
    """A table whose cells are folded, never cut."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def digits(deviation: float) -> str:
    """Two digits, so that 0 differs from what is nearly 0."""
    return "0" if deviation == 0 else f"{deviation:.2g}"
