"""What a check found, as a sentence, a table and plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nvs_eval.comparison.gate.checks import Check
from nvs_eval.comparison.model import Difference
from nvs_eval.comparison.plain import number
from nvs_eval.comparison.words.amounts import amount, digits_of
from nvs_eval.errors import some
from nvs_eval.report.tables.columns import table_from, text_column
from nvs_eval.report.tables.numbers import decimals, metric_column, shown
from nvs_eval.report.tables.table import Cell, Column, Table

ALL_SCENES = "all scenes"


def summary(checks: Sequence[Check]) -> str:
    """How many scores were held against the baseline, how many got worse, and what noise has to do with it."""
    failed = [check for check in checks if check.failed]
    lost = [check for check in failed if check.lost]
    told, blind = (sum(check.blind is each and check.failed_elsewhere for check in failed) for each in (False, True))
    worse = [
        *([f"{told} got worse beyond the tolerance and beyond noise"] if told else []),
        *([f"{blind} got worse beyond the tolerance, with too few views to tell noise"] if blind else []),
        *([f"{len(lost)} lost images that equalled their references ({_lost(lost)})"] if lost else []),
    ]
    said = [f"{_many(len(checks), 'score')} held against the baseline: {'; '.join(worse) or 'none got worse'}."]
    if within := [check for check in checks if check.beyond_tolerance and not check.failed]:
        said.append(f"Within noise, though worse by more than the tolerance: {some(map(_named, within))}.")
    if not blind and any(check.blind for check in checks):
        said.append("Where there are too few views to tell noise, the tolerance alone decided.")
    return " ".join(said)


def _lost(checks: Sequence[Check]) -> str:
    return some(dict.fromkeys(view for check in checks for view in check.lost))


def _named(check: Check) -> str:
    return f"{check.difference.metric} of {check.scene or ALL_SCENES} ({check.protocol})"


def failed_table(checks: Sequence[Check]) -> Table:
    """A row a score that got worse: old and new means, the difference with its interval, the tolerance, the views."""
    failed = [check for check in checks if check.failed]
    differences = [check.difference for check in failed]
    columns = [
        text_column("method", [check.method for check in failed]),
        text_column("scene", [check.scene or ALL_SCENES for check in failed]),
        text_column("protocol", [check.protocol for check in failed]),
        text_column("metric", [_heading(check) for check in failed]),
        Column("baseline", cells=[_mean(each, each.mean_a) for each in differences]),
        Column("new", cells=[_mean(each, each.mean_b) for each in differences]),
        Column("difference", cells=[_difference(check) for check in failed]),
        Column("tolerance", cells=[Cell(f"{check.tolerance:g}", check.tolerance) for check in failed]),
        text_column("views worse", [_views(check) for check in failed]),
    ]
    infinite = any(check.difference.scores.infinite for check in failed)
    notes = ["Over the views on which neither side alone is infinite."] if infinite else []
    told = any(not check.blind for check in failed)
    return table_from("got worse", columns, notes=notes, caption=f"new - baseline{' [95 % interval]' if told else ''}")


def to_plain(checks: Sequence[Check]) -> dict[str, Any]:
    """All checks, in full precision."""
    return {"passed": not any(check.failed for check in checks), "checks": [_plain(check) for check in checks]}


def _plain(check: Check) -> dict[str, Any]:
    each, won = check.difference, check.difference.wins
    interval = None if check.interval.low is None else [number(check.interval.low), number(check.interval.high)]
    return {
        "method": check.method,
        "scene": check.scene,
        "protocol": check.protocol,
        "fingerprint": check.fingerprint,
        "metric": each.metric,
        "baseline": number(each.mean_a),
        "new": number(each.mean_b),
        "difference": number(check.interval.difference),
        "interval": interval,
        "reason": check.interval.reason,
        "no_longer_infinite": list(check.lost),
        "tolerance": check.tolerance,
        "views": {"better": won.wins, "worse": won.losses, "tied": won.ties},
        "failed": check.failed,
    }


def _heading(check: Check) -> str:
    return metric_column(check.difference.metric, check.difference.info).heading


def _mean(difference: Difference, value: float) -> Cell:
    return Cell(shown(value, decimals(difference.metric, difference.info) + 1), value)


def _difference(check: Check) -> Cell:
    interval, digits = check.interval, digits_of(check.difference)
    between = "" if interval.low is None else f"[{amount(interval.low, digits)}, {amount(interval.high, digits)}]"
    return Cell(amount(interval.difference, digits), interval.difference, aside=between)


def _views(check: Check) -> str:
    won = check.difference.wins
    return f"{won.losses} of {won.wins + won.losses + won.ties}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
