"""The regression gate: whether new results got worse than a baseline, beyond a tolerance and beyond noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from nvs_eval.comparison.compare import compare_contenders
from nvs_eval.comparison.model import Difference, json_interval, json_number
from nvs_eval.comparison.statistics.intervals import RESAMPLES, Interval, intervals
from nvs_eval.comparison.statistics.scores import SceneScores, Scores
from nvs_eval.comparison.tables import difference_cell, heading, mean_cell
from nvs_eval.errors import InputError, counted, some
from nvs_eval.records.comparable import precision_advice
from nvs_eval.records.groups import Contender, by_protocol, methods_of
from nvs_eval.records.record import MetricInfo, Record
from nvs_eval.report.tables.columns import table_from, text_column
from nvs_eval.report.tables.table import Cell, Column, Table, decimals

_NEGATIVE = "--tolerance of {metric} is {value:g}, and it is 0 at least."
_UNKNOWN_METRICS = "--tolerance names {unknown}; the metrics are {metrics}."
_NO_PROTOCOL = "The baseline was scored under {old}, and the new results were not: they are under {new}.{advice}"
_NO_METHOD = (
    "The baseline has {name}, and the new results have {names}: evaluate it again, name records of the same methods "
    "and runs (`--method` when they are scored), or say `--runs mean` where runs are seeds."
)
_NO_SCENE = "The baseline has {name} on {scene}, and the new results have not: evaluate it, too."
_INCOMPLETE = (
    "{scene}: the new results of {name} lack the {kind} {missing} of the baseline: what is not scored cannot be "
    "checked."
)
_SUMMARY = "{scores} held against the baseline: {worse}."
_BEYOND_NOISE = "{count} got worse beyond the tolerance and beyond noise"
_BLIND = "{count} got worse beyond the tolerance, with too few views to tell noise"
_LOST = "{count} lost images that equalled their references ({views})"
_WITHIN_NOISE = "Within noise, though worse by more than the tolerance: {scores}."
_TOLERANCE_DECIDED = "Where there are too few views to tell noise, the tolerance alone decided."
_FINITE_ALONE = "Over the views on which neither side alone is infinite."


@dataclass(frozen=True)
class MetricCheck:
    """One metric of a method in a scene against the baseline's.

    Attributes:
        method: its name, with the run where there are several.
        scene: its name; None for the mean over all scenes.
        protocol: its name.
        fingerprint: of the protocol.
        difference: new - baseline.
        interval: of the difference, over the views on which neither side alone is infinite.
        lost: the views that were identical to their reference, and are no longer.
        tolerance: by how much it may be worse, in its unit.
    """

    method: str
    scene: str | None
    protocol: str
    fingerprint: str
    difference: Difference
    interval: Interval
    lost: Sequence[str]
    tolerance: float

    @property
    def worse_by(self) -> float:
        """By how much the mean got worse, in the metric's unit; below zero where it got better."""
        return math.inf if self.lost else self._worse_elsewhere

    @property
    def _worse_elsewhere(self) -> float:
        """The same on the views that lost no infinity."""
        return -self.difference.gain(self.interval.difference or 0.0)

    @property
    def blind(self) -> bool:
        """Whether there are too few views to tell noise, so that the tolerance alone decides."""
        return self.interval.low is None

    @property
    def failed(self) -> bool:
        """Whether it got worse beyond the tolerance, and beyond noise as far as there are views enough to tell."""
        return bool(self.lost) or self.failed_elsewhere

    @property
    def failed_elsewhere(self) -> bool:
        """Whether it failed by the views that lost no infinity."""
        return self._worse_elsewhere > self.tolerance and (self.blind or self.interval.sign != 0)

    @property
    def place(self) -> str:
        """The scene in a sentence or a table."""
        return self.scene or "all scenes"

    def to_plain(self) -> dict[str, Any]:
        """All of it as JSON values, in full precision."""
        difference, interval, wins = self.difference, self.interval, self.difference.wins
        return {
            "method": self.method,
            "scene": self.scene,
            "protocol": self.protocol,
            "fingerprint": self.fingerprint,
            "metric": difference.metric,
            "baseline": json_number(difference.mean_a),
            "new": json_number(difference.mean_b),
            "difference": json_number(interval.difference),
            "interval": json_interval(interval.low, interval.high),
            "reason": interval.reason,
            "no_longer_infinite": list(self.lost),
            "tolerance": self.tolerance,
            "views": {"better": wins.wins, "worse": wins.losses, "tied": wins.ties},
            "failed": self.failed,
        }


@dataclass(frozen=True)
class CheckResult:
    """The gate's checks: one for each method, scene and metric of the baseline, and for means over several scenes."""

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
        if within := [check for check in self.checks if check.worse_by > check.tolerance and not check.failed]:
            names = (f"{check.difference.title} of {check.place} ({check.protocol})" for check in within)
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
            text_column("scene", [check.place for check in failed]),
            text_column("protocol", [check.protocol for check in failed]),
            text_column("metric", [heading(d) for d in differences]),
            Column("baseline", cells=[mean_cell(d, d.mean_a, more=1) for d in differences]),
            Column("new", cells=[mean_cell(d, d.mean_b, more=1) for d in differences]),
            Column("difference", cells=[difference_cell(check.difference, check.interval) for check in failed]),
            Column("tolerance", cells=[Cell(f"{check.tolerance:g}", check.tolerance) for check in failed]),
            text_column("views worse", [f"{d.wins.losses} of {d.wins.views}" for d in differences]),
        ]
        notes = [_FINITE_ALONE] if any(d.scores.infinite for d in differences) else []
        caption = "new - baseline" if all(check.blind for check in failed) else "new - baseline [95 % interval]"
        return [table_from("got worse", columns, notes=notes, caption=caption)]

    def to_plain(self) -> dict[str, Any]:
        """All checks as JSON values, in full precision."""
        return {"passed": self.passed, "checks": [check.to_plain() for check in self.checks]}


def default_tolerance(metric: str, info: MetricInfo | None = None) -> float:
    """Half a unit of the last decimal that tables show."""
    return 0.5 * 10.0 ** -decimals(metric, info)


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
    tolerances = tolerances or {}
    _check_arguments(new, baseline, tolerances)
    checks: list[MetricCheck] = []
    fresh = by_protocol(new)
    for protocol, members in by_protocol(baseline).items():
        if protocol not in fresh:
            under = some(map(_protocol, fresh.values()))
            advice = precision_advice([*members, *new])
            raise InputError(_NO_PROTOCOL.format(old=_protocol(members), new=under, advice=advice))
        ours, theirs = (_by_name(methods_of(records, runs=runs)) for records in (fresh[protocol], members))
        for name, old in theirs.items():
            checks += _of_method(name, old, ours.get(name) or _only_run(ours, theirs, name), tolerances, resamples)
    metrics = dict.fromkeys(check.difference.metric for check in checks)
    if unknown := set(tolerances) - set(metrics):
        raise InputError(_UNKNOWN_METRICS.format(unknown=", ".join(sorted(unknown)), metrics=", ".join(metrics)))
    return CheckResult(checks)


def _check_arguments(new: Sequence[Record], baseline: Sequence[Record], tolerances: Mapping[str, float]) -> None:
    for side, records in (("new", new), ("baseline", baseline)):
        if not records:
            raise InputError(f"{side} must hold at least one record. Got none.")
    for metric, value in tolerances.items():
        if not value >= 0:  # Nor is nan one.
            raise InputError(_NEGATIVE.format(metric=metric, value=value))


def _protocol(records: Sequence[Record]) -> str:
    first = records[0]
    return f"{first.protocol_title} ({first.fingerprint}), {first.split} views"


def _by_name(contenders: Sequence[Contender]) -> dict[str, Contender]:
    return {side.method if side.run is None else f"{side.method}/{side.run}": side for side in contenders}


def _only_run(ours: Mapping[str, Contender], theirs: Mapping[str, Contender], name: str) -> Contender:
    """The new contender for one whose run has another name, where each side has one run of the method."""
    method = theirs[name].method
    fresh, old = ([side for side in sides.values() if side.method == method] for sides in (ours, theirs))
    if len(fresh) == len(old) == 1:
        return fresh[0]
    raise InputError(_NO_METHOD.format(name=name, names=some(ours)))


def _of_method(
    name: str, old: Contender, fresh: Contender, tolerances: Mapping[str, float], resamples: int
) -> list[MetricCheck]:
    _check_complete(name, old, fresh)
    # Both may have one name: errors must tell them apart.
    old, fresh = replace(old, label=f"{name} (baseline)"), replace(fresh, label=f"{name} (new)")
    checks = []
    for scene in [*old.records, None] if len(old.records) > 1 else old.records:
        comparison = compare_contenders([old, fresh], scenes=None if scene is None else [scene], resamples=resamples)
        for metric, difference in comparison.pairs[0].differences.items():
            tolerance = tolerances.get(metric, default_tolerance(metric, difference.info))
            identity = (name, scene, comparison.protocol, comparison.fingerprint)
            checks.append(MetricCheck(*identity, difference, *_over_finite(difference, resamples), tolerance))
    return checks


def _over_finite(difference: Difference, resamples: int) -> tuple[Interval, list[str]]:
    """The interval over the views on which neither side alone is infinite, and the views that lost an infinity."""
    if not difference.scores.infinite:
        return difference.interval, []
    lost = [change.view for change in difference.changes if difference.gain(change.difference) == -math.inf]
    kept = [(scene, np.isfinite(scene.differences)) for scene in difference.scores.scenes]
    scenes = [
        SceneScores(scene.name, tuple(np.array(scene.views)[finite]), scene.a[:, finite], scene.b[:, finite])
        for scene, finite in kept
        if finite.any()
    ]
    if not scenes:
        return Interval(None, reason="There is no view on which both are finite."), lost
    return intervals({"": Scores(tuple(scenes))}, resamples=resamples)[""], lost


def _check_complete(name: str, old: Contender, fresh: Contender) -> None:
    """Check that nothing of the baseline is missing, since what is not scored cannot fail."""
    for scene, records in old.records.items():
        if scene not in fresh.records:
            raise InputError(_NO_SCENE.format(name=name, scene=scene))
        for kind in ("views", "metrics"):
            needed = dict.fromkeys(part for record in records for part in _names(record, kind))
            scored = set.intersection(*(set(_names(record, kind)) for record in fresh.records[scene]))
            if missing := [part for part in needed if part not in scored]:
                raise InputError(_INCOMPLETE.format(scene=scene, name=name, kind=kind, missing=some(missing)))


def _names(record: Record, kind: str) -> list[str]:
    return [row.name for row in record.views] if kind == "views" else list(record.metrics)
