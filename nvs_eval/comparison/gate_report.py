"""What a check found, as a sentence, a table and plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nvs_eval.comparison.gate import Check
from nvs_eval.comparison.plain import number
from nvs_eval.comparison.words import amount, digits_of
from nvs_eval.report.columns import Filled, table_from, text_cell
from nvs_eval.report.numbers import decimals, metric_column, shown
from nvs_eval.report.table import Cell, Column, Table

ALL_SCENES = "all scenes"


def summary(checks: Sequence[Check]) -> str:
    """How many scores were held against the baseline, and how many got worse."""
    failed = [check for check in checks if check.failed]
    within = [check for check in checks if not check.failed and check.worse_by > check.tolerance]
    noise = f" {_many(len(within), 'score')} worse by more than the tolerance, but within noise." if within else ""
    if not failed:
        return f"Nothing got worse: {_many(len(checks), 'score')} held against the baseline.{noise}"
    blind = any(check.difference.verdict == "unknown" for check in failed)
    unknown = " Where there are too few views to tell noise, the tolerance alone decides." if blind else ""
    worse = f"{len(failed)} of {_many(len(checks), 'score')} got worse beyond the tolerance and beyond noise."
    return f"{worse}{noise}{unknown}"


def failed_table(checks: Sequence[Check]) -> Table:
    """A row a score that got worse: old and new means, the difference with its interval, the tolerance, the views."""
    failed = [check for check in checks if check.failed]
    differences = [check.difference for check in failed]
    filled = [
        Filled(Column("method", numeric=False), [text_cell(check.method) for check in failed]),
        Filled(Column("scene", numeric=False), [text_cell(check.scene or ALL_SCENES) for check in failed]),
        Filled(Column("protocol", numeric=False), [text_cell(check.protocol) for check in failed]),
        Filled(Column("metric", numeric=False), [text_cell(_heading(check)) for check in failed]),
        Filled(Column("baseline"), [_mean(each.metric, each.mean_a) for each in differences]),
        Filled(Column("new"), [_mean(each.metric, each.mean_b) for each in differences]),
        Filled(Column("difference"), [_difference(check) for check in failed]),
        Filled(Column("tolerance"), [Cell(f"{check.tolerance:g}", check.tolerance) for check in failed]),
        Filled(Column("views worse", numeric=False), [text_cell(_views(check)) for check in failed]),
    ]
    return table_from("got worse", filled, notes=[], caption="new - baseline [95 % interval]")


def to_plain(checks: Sequence[Check]) -> dict[str, Any]:
    """All checks, in full precision."""
    return {"passed": not any(check.failed for check in checks), "checks": [_plain(check) for check in checks]}


def _plain(check: Check) -> dict[str, Any]:
    each, won = check.difference, check.difference.wins
    interval = None if each.interval.low is None else [number(each.interval.low), number(each.interval.high)]
    return {
        "method": check.method,
        "scene": check.scene,
        "protocol": check.protocol,
        "fingerprint": check.fingerprint,
        "metric": each.metric,
        "baseline": number(each.mean_a),
        "new": number(each.mean_b),
        "difference": number(each.interval.difference),
        "interval": interval,
        "reason": each.interval.reason,
        "verdict": each.verdict,
        "tolerance": check.tolerance,
        "views": {"better": won.wins, "worse": won.losses, "tied": won.ties},
        "failed": check.failed,
    }


def _heading(check: Check) -> str:
    return metric_column(check.difference.metric, check.difference.info).heading


def _mean(metric: str, value: float) -> Cell:
    return Cell(shown(value, decimals(metric) + 1), value)


def _difference(check: Check) -> Cell:
    interval, digits = check.difference.interval, digits_of(check.difference)
    between = "" if interval.low is None else f"[{amount(interval.low, digits)}, {amount(interval.high, digits)}]"
    return Cell(amount(interval.difference, digits), interval.difference, aside=between)


def _views(check: Check) -> str:
    won = check.difference.wins
    return f"{won.losses} of {won.wins + won.losses + won.ties}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
