"""What a verification found, as a table and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from nvs_eval.diagnostics.verify.checks import Check
from nvs_eval.diagnostics.verify.record import Compared, Report


def table_of(report: Report) -> Table:
    """One line a metric: its largest deviation, where that is, what would be allowed, and the verdict."""
    table = new_table("metric", "largest deviation", "view", "tolerance", "verdict")
    for worst in worst_of(report.compared):
        verdict = "confirmed" if worst.confirmed else "NOT CONFIRMED"
        table.add_row(worst.metric, show(worst.deviation), Text(worst.view), show(worst.tolerance), verdict)
    for metric in report.foreign:
        table.add_row(metric, "-", "-", "-", "not verified: a plugin's metric")
    return table


def worst_of(compared: Sequence[Compared]) -> list[Compared]:
    """Of each metric, in their order, the number that deviates most, by what it may."""
    worst: dict[str, Compared] = {}
    for each in compared:
        if each.metric not in worst or _share(each) > _share(worst[each.metric]):
            worst[each.metric] = each
    return list(worst.values())


def _share(each: Compared) -> float:
    return each.deviation / each.tolerance


def sentences(report: Report) -> Iterator[str]:
    """What is not as the record says, and what could not be looked at."""
    for each in report.compared:
        if not each.confirmed:
            said = f"{each.metric} is recorded as {each.recorded} and recomputed as {each.recomputed}"
            yield f"View {each.view!r}: {said}."
    yield from report.changed
    yield from report.unsupported


def installation_table(checks: Sequence[Check]) -> Table:
    """One line a check."""
    table = new_table("check", "result", "deviation", "verdict")
    for check in checks:
        deviation = "-" if check.deviation is None else show(check.deviation)
        table.add_row(Text(check.name), Text(check.result), deviation, check.state)
    return table


def new_table(*columns: str) -> Table:
    """A table whose cells are folded, never cut."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def show(deviation: float) -> str:
    """Two digits of a deviation, so that 0 is told from what is nearly so."""
    return "0" if deviation == 0 else f"{deviation:.2g}"
