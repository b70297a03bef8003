"""The results of a verification, as tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from nvs_eval.diagnostics.verify.installation import Check
    from nvs_eval.diagnostics.verify.records import Compared, Report


def heading(report: Report) -> str:
    """File, number of views and protocol of a record."""
    record = report.record
    views = f"{report.views} of {len(record.views)} views"
    return f"{report.file}: {views}, protocol {record.protocol_title} {record.fingerprint}"


def report_table(report: Report) -> Table:
    """One row per metric: its largest deviation, the view that has it, the tolerance, and the verdict."""
    table = _new_table("metric", "largest deviation", "view", "tolerance", "verdict")
    for worst in worst_of(report.compared):
        verdict = "confirmed" if worst.confirmed else "NOT CONFIRMED"
        table.add_row(worst.metric, _digits(worst.deviation), Text(worst.view), _digits(worst.tolerance), verdict)
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


def installation_table(checks: Sequence[Check]) -> Table:
    """One row per check."""
    table = _new_table("check", "result", "deviation", "verdict")
    for check in checks:
        deviation = "-" if check.deviation is None else _digits(check.deviation)
        table.add_row(Text(check.name), Text(check.result), deviation, check.state)
    return table


def _new_table(*columns: str) -> Table:
    """A table whose cells are folded, never cut."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _digits(deviation: float) -> str:
    """Two digits, so that 0 differs from what is nearly 0."""
    return "0" if deviation == 0 else f"{deviation:.2g}"
