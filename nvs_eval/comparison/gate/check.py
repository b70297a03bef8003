"""The gate's answer: whether all checks passed, in words, as a table and as JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nvs_eval.comparison.gate.baseline import MetricCheck, checks_of
from nvs_eval.comparison.model import Difference, json_interval, json_number
from nvs_eval.comparison.statistics.intervals import RESAMPLES
from nvs_eval.comparison.tables import difference_cell, heading
from nvs_eval.errors import counted, some
from nvs_eval.records.record import Record
from nvs_eval.report.tables.columns import table_from, text_column
from nvs_eval.report.tables.table import Cell, Column, Table, decimals, shown

ALL_SCENES = "all scenes"

_SUMMARY = "{scores} held against the baseline: {worse}."
_BEYOND_NOISE = "{count} got worse beyond the tolerance and beyond noise"
_BLIND = "{count} got worse beyond the tolerance, with too few views to tell noise"
_LOST = "{count} lost images that equalled their references ({views})"
_WITHIN_NOISE = "Within noise, though worse by more than the tolerance: {scores}."
_TOLERANCE_DECIDED = "Where there are too few views to tell noise, the tolerance alone decided."
_FINITE_ALONE = "Over the views on which neither side alone is infinite."


@dataclass(frozen=True)
class CheckResult:
    """The result of the gate.

    Attributes:
        checks: one for each method, scene and metric of the baseline, and for the mean over several scenes.
    """

    checks: Sequence[MetricCheck]

    @property
    def failed(self) -> list[MetricCheck]:
        """The checks that failed."""
        return [check for check in self.checks if check.failed]

    @property
    def passed(self) -> bool:
        """Whether nothing got worse."""
        return not self.failed

    @property
    def words(self) -> str:
        """How many scores were checked, how many got worse, and what noise has to do with it."""
        lost = [check for check in self.failed if check.lost]
        elsewhere = [check for check in self.failed if check.failed_elsewhere]
        blind = sum(check.blind for check in elsewhere)
        views = some(dict.fromkeys(view for check in lost for view in check.lost))
        worse = [
            *([_BEYOND_NOISE.format(count=len(elsewhere) - blind)] if len(elsewhere) > blind else []),
            *([_BLIND.format(count=blind)] if blind else []),
            *([_LOST.format(count=len(lost), views=views)] if lost else []),
        ]
        scores = counted(len(self.checks), "score")
        sentences = [_SUMMARY.format(scores=scores, worse="; ".join(worse) or "none got worse")]
        if within := [check for check in self.checks if check.beyond_tolerance and not check.failed]:
            names = (f"{check.difference.metric} of {_scene(check)} ({check.protocol})" for check in within)
            sentences.append(_WITHIN_NOISE.format(scores=some(names)))
        if not blind and any(check.blind for check in self.checks):
            sentences.append(_TOLERANCE_DECIDED)
        return " ".join(sentences)

    @property
    def tables(self) -> list[Table]:
        """A table of the scores that got worse, if any did: both means, the difference, the tolerance, the views."""
        if self.passed:
            return []
        failed, differences = self.failed, [check.difference for check in self.failed]
        columns = [
            text_column("method", [check.method for check in failed]),
            text_column("scene", [_scene(check) for check in failed]),
            text_column("protocol", [check.protocol for check in failed]),
            text_column("metric", [heading(d) for d in differences]),
            Column("baseline", cells=[_mean(d, d.mean_a) for d in differences]),
            Column("new", cells=[_mean(d, d.mean_b) for d in differences]),
            Column("difference", cells=[difference_cell(check.difference, check.interval) for check in failed]),
            Column("tolerance", cells=[Cell(f"{check.tolerance:g}", check.tolerance) for check in failed]),
            text_column("views worse", [f"{d.wins.losses} of {d.wins.views}" for d in differences]),
        ]
        notes = [_FINITE_ALONE] if any(d.scores.infinite for d in differences) else []
        caption = "new - baseline" if all(check.blind for check in failed) else "new - baseline [95 % interval]"
        return [table_from("got worse", columns, notes=notes, caption=caption)]

    def to_plain(self) -> dict[str, Any]:
        """All checks as JSON values, in full precision."""
        return {"passed": self.passed, "checks": [_plain(check) for check in self.checks]}


def check(
    new: Sequence[Record],
    baseline: Sequence[Record],
    *,
    tolerances: Mapping[str, float] | None = None,
    runs: Literal["each", "mean"] = "each",
    resamples: int = RESAMPLES,
) -> CheckResult:
    """Check every metric of every method and scene of a baseline against new results: the last checkpoint of each run.

    Args:
        new: the records of the new results.
        baseline: records, all of whose methods, scenes, views and metrics the new results must have.
        tolerances: by how much the mean of a metric may be worse (default: half the last decimal that tables show).
        runs: whether several runs of a method are checked each against that of the same name, or by their mean.
        resamples: number of bootstrap resamples.

    Raises:
        InputError: a tolerance is below zero or of no metric; something of the baseline is missing in the new results,
            or was scored on other images.
    """
    return CheckResult(checks_of(new, baseline, tolerances=tolerances or {}, runs=runs, resamples=resamples))


def _scene(check: MetricCheck) -> str:
    return check.scene or ALL_SCENES


def _mean(difference: Difference, value: float) -> Cell:
    return Cell(shown(value, decimals(difference.metric, difference.info) + 1), value)


def _plain(check: MetricCheck) -> dict[str, Any]:
    difference, interval = check.difference, check.interval
    wins = difference.wins
    return {
        "method": check.method,
        "scene": check.scene,
        "protocol": check.protocol,
        "fingerprint": check.fingerprint,
        "metric": difference.metric,
        "baseline": json_number(difference.mean_a),
        "new": json_number(difference.mean_b),
        "difference": json_number(interval.difference),
        "interval": json_interval(interval.low, interval.high),
        "reason": interval.reason,
        "no_longer_infinite": list(check.lost),
        "tolerance": check.tolerance,
        "views": {"better": wins.wins, "worse": wins.losses, "tied": wins.ties},
        "failed": check.failed,
    }
