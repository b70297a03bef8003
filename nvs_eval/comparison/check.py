"""The regression gate: did new results get worse than a baseline, by more than a tolerance and noise?"""

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
from nvs_eval.comparison.tables import difference_cell, exceeds, heading, mean_cell
from nvs_eval.errors import InputError, counted, some
from nvs_eval.metrics.registry import base_of
from nvs_eval.records.comparable import precision_advice
from nvs_eval.records.groups import Contender, by_protocol, methods_of
from nvs_eval.records.incomplete import check_complete
from nvs_eval.records.joint import joint
from nvs_eval.records.record import MetricInfo, Record
from nvs_eval.report.tables.columns import table_from, text_column
from nvs_eval.report.tables.table import Cell, Column, Table, decimals

_UNKNOWN_METRICS = "Tolerances must name metrics of the baseline: {metrics}. Got {unknown}."
_NO_PROTOCOL = "The new results must be scored under the baseline's {old}. Got {new}.{advice}"
_NO_METHOD = (
    "The new results must include {name} of the baseline. Got {names}. Evaluate it again, give methods and runs the "
    "names that they have in the baseline (`--method` when scoring), or use `--runs mean` if runs are seeds."
)
_NO_SCENE = "The new results of {name} lack the scene {scene} of the baseline. Evaluate it as well."
_INCOMPLETE = "{scene}: the new results of {name} lack the {kind} {missing} of the baseline. Score the same {kind}."
_SUMMARY, _NONE = "{scores} compared with the baseline: {worse}.", "none got worse"
_BEYOND_NOISE = "{count} got worse by more than the tolerance and noise"
_BLIND = "{count} got worse by more than the tolerance, with too few views to show noise"
_LOST = "{count} lost images that equalled their references ({views})"
_WITHIN_NOISE = "Worse by more than the tolerance, but within noise: {scores}."
_TOLERANCE_DECIDED = "Where there are too few views to show noise, the tolerance alone decided."
_ONE_INFINITE = "Differences skip the views where only one side is infinite."


@dataclass(frozen=True)
class MetricCheck:
    """One metric of a method on a scene, compared with the baseline's.

    Attributes:
        method: name of the method, with the run if there are several.
        scene: name of the scene; None for the mean over all scenes.
        protocol: name of the protocol.
        fingerprint: fingerprint of the protocol.
        difference: new - baseline.
        interval: mean difference and its interval, without the views where only one side is infinite.
        lost: views whose image equalled its reference in the baseline and no longer does.
        tolerance: largest loss that passes, in the metric's unit.
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
        """Loss of the mean in the metric's unit; negative if it got better, infinite if a view is in `lost`."""
        return math.inf if self.lost else self._worse_elsewhere

    @property
    def _worse_elsewhere(self) -> float:
        """Loss of the mean without the views where only one side is infinite."""
        return -self.difference.gain(self.interval.difference or 0.0)

    @property
    def blind(self) -> bool:
        """Whether there are too few views to show noise, so that the tolerance alone decides."""
        return self.interval.low is None

    @property
    def failed(self) -> bool:
        """Whether it got worse by more than the tolerance and, with enough views to show it, noise."""
        return bool(self.lost) or self.failed_elsewhere

    @property
    def failed_elsewhere(self) -> bool:
        """Whether it failed without the views where only one side is infinite."""
        return exceeds(self._worse_elsewhere, self.tolerance) and (self.blind or self.interval.sign != 0)

    @property
    def place(self) -> str:
        """Name of the scene in sentences and tables."""
        return self.scene or "all scenes"

    def to_plain(self) -> dict[str, Any]:
        """Return the check as JSON values, in full precision."""
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
    """All checks of the gate: one per method, scene and metric of the baseline, and per mean over several scenes."""

    checks: Sequence[MetricCheck]

    @property
    def failed(self) -> list[MetricCheck]:
        """Checks that failed."""
        return [check for check in self.checks if check.failed]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    @property
    def words(self) -> str:
        """Sentences: how many scores were checked, how many got worse, and which are within noise."""
        lost = [check for check in self.failed if check.lost]
        elsewhere = [check for check in self.failed if check.failed_elsewhere]
        blind = sum(check.blind for check in elsewhere)
        views = some(dict.fromkeys(view for check in lost for view in check.lost))
        counts = {_BEYOND_NOISE: len(elsewhere) - blind, _BLIND: blind, _LOST: len(lost)}
        worse = [text.format(count=count, views=views) for text, count in counts.items() if count]
        sentences = [_SUMMARY.format(scores=counted(len(self.checks), "score"), worse="; ".join(worse) or _NONE)]
        if within := [check for check in self.checks if exceeds(check.worse_by, check.tolerance) and not check.failed]:
            names = (f"{check.difference.title} of {check.place} ({check.protocol})" for check in within)
            sentences.append(_WITHIN_NOISE.format(scores=some(names)))
        if not blind and any(check.blind for check in self.checks):
            sentences.append(_TOLERANCE_DECIDED)
        return " ".join(sentences)

    @property
    def tables(self) -> list[Table]:
        """One table of the scores that got worse, with both means, difference and tolerance; none if all passed."""
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
            Column("difference", cells=[difference_cell(c.difference, c.interval, beyond=c.tolerance) for c in failed]),
            Column("tolerance", cells=[Cell(f"{check.tolerance:g}", check.tolerance) for check in failed]),
            text_column("views worse", [f"{d.wins.losses} of {d.wins.views}" for d in differences]),
        ]
        notes = [_ONE_INFINITE] if any(d.scores.infinite for d in differences) else []
        caption = "new - baseline" if all(check.blind for check in failed) else "new - baseline [95 % interval]"
        return [table_from("got worse", columns, notes=notes, caption=caption)]

    def to_plain(self) -> dict[str, Any]:
        """Return all checks as JSON values, in full precision."""
        return {"passed": self.passed, "checks": [check.to_plain() for check in self.checks]}


def default_tolerance(metric: str, info: MetricInfo | None = None) -> float:
    """Return half a unit of the last decimal that tables show."""
    return 0.5 * 10.0 ** -decimals(metric, info)


def check(
    new: Sequence[Record],
    baseline: Sequence[Record],
    *,
    tolerances: Mapping[str, float] | None = None,
    runs: Literal["each", "mean"] = "each",
    resamples: int = RESAMPLES,
) -> CheckResult:
    """Compare new results with every metric of every method and scene of a baseline, at the last step of each run.

    Args:
        new: records of the new results.
        baseline: records whose methods, scenes, views and metrics the new results must include.
        tolerances: largest loss of the mean that passes, by metric (default: half the last decimal that tables show).
        runs: compare several runs of a method by name (`each`) or by their mean (`mean`).
        resamples: number of bootstrap resamples.

    Raises:
        InputError: a tolerance is negative or names no metric; a record lacks views that failed; part of the baseline
            is missing in the new results or was scored on other images.
    """
    tolerances = tolerances or {}
    _check_arguments(new, baseline, tolerances)
    checks: list[MetricCheck] = []
    new_records = by_protocol(new)
    for protocol, old_records in by_protocol(baseline).items():
        same = new_records.get(protocol)
        parts = [(same, old_records)] if same else [part.sides for part in joint(new, old_records, whole=False)]
        both = next((sides for sides in parts if all(sides)), None)
        if both is None:
            got = some(map(_protocol, new_records.values()))
            advice = precision_advice([*old_records, *new])
            raise InputError(_NO_PROTOCOL.format(old=_protocol(old_records), new=got, advice=advice))
        new_sides, old_sides = (_by_name(methods_of(records, runs=runs)) for records in both)
        for name, old in old_sides.items():
            side = new_sides.get(name) or _only_run(new_sides, old_sides, name)
            checks += _check_method(name, old, side, tolerances, resamples)
    metrics = dict.fromkeys(base_of(check.difference.metric) for check in checks)
    if unknown := set(tolerances) - set(metrics):
        raise InputError(_UNKNOWN_METRICS.format(unknown=", ".join(sorted(unknown)), metrics=", ".join(metrics)))
    return CheckResult(checks)


def _check_arguments(new: Sequence[Record], baseline: Sequence[Record], tolerances: Mapping[str, float]) -> None:
    if not (new and baseline):
        raise InputError(f"{'baseline' if new else 'new'} must contain at least one record. Got none.")
    for metric, value in tolerances.items():
        if not value >= 0:  # Also refuses NaN.
            raise InputError(f"The tolerance of {metric} must be at least 0. Got {value:g}.")


def _protocol(records: Sequence[Record]) -> str:
    first = records[0]
    return f"{first.protocol_title} ({first.fingerprint}), {first.split} views"


def _by_name(contenders: Sequence[Contender]) -> dict[str, Contender]:
    return {side.method if side.run is None else f"{side.method}/{side.run}": side for side in contenders}


def _only_run(new: Mapping[str, Contender], old: Mapping[str, Contender], name: str) -> Contender:
    """Return the new contender of a method whose run has another name, if each side has a single run of the method."""
    method = old[name].method
    new_runs, old_runs = ([side for side in sides.values() if side.method == method] for sides in (new, old))
    if len(new_runs) == len(old_runs) == 1:
        return new_runs[0]
    raise InputError(_NO_METHOD.format(name=name, names=some(new)))


def _check_method(
    name: str, old: Contender, new: Contender, tolerances: Mapping[str, float], resamples: int
) -> list[MetricCheck]:
    _check_complete(name, old, new)
    # Labels tell the two apart in errors, even if their names are equal.
    old, new = replace(old, label=f"{name} (baseline)"), replace(new, label=f"{name} (new)")
    checks = []
    for scene in [*old.records, None] if len(old.records) > 1 else old.records:
        comparison = compare_contenders([old, new], scenes=None if scene is None else [scene], resamples=resamples)
        for metric, difference in comparison.pairs[0].differences.items():
            tolerance = tolerances.get(base_of(metric), default_tolerance(metric, difference.info))
            identity = (name, scene, comparison.protocol, comparison.fingerprint)
            checks.append(MetricCheck(*identity, difference, *_finite_interval(difference, resamples), tolerance))
    return checks


def _finite_interval(difference: Difference, resamples: int) -> tuple[Interval, list[str]]:
    """Return the interval without the views where only one side is infinite, and those where only the baseline is."""
    if not difference.scores.infinite:
        return difference.interval, []
    lost = [change.view for change in difference.changes if difference.gain(change.difference) == -math.inf]
    scenes = [
        SceneScores(scene.name, tuple(np.array(scene.views)[finite]), scene.a[:, finite], scene.b[:, finite])
        for scene in difference.scores.scenes
        if (finite := np.isfinite(scene.differences)).any()
    ]
    if not scenes:
        return Interval(None, reason="No view has finite scores on both sides."), lost
    return intervals({"": Scores(tuple(scenes))}, resamples=resamples)[""], lost


def _check_complete(name: str, old: Contender, new: Contender) -> None:
    """Check that no view failed, and no scene, view or metric of the baseline is missing: they could not get worse."""
    check_complete(new.records_of([*old.records]), "The new results")
    check_complete(old.all_records, "The baseline")
    for scene, records in old.records.items():
        if scene not in new.records:
            raise InputError(_NO_SCENE.format(name=name, scene=scene))
        for kind in ("views", "metrics"):
            required = dict.fromkeys(name for record in records for name in _names(record, kind))
            scored = set.intersection(*(set(_names(record, kind)) for record in new.records[scene]))
            if missing := [name for name in required if name not in scored]:
                text = _INCOMPLETE.format(scene=scene, name=name, kind=kind, missing=some(missing))
                raise InputError(f"{text}{precision_advice([*records, *new.records[scene]])}")


def _names(record: Record, kind: str) -> list[str]:
    return [row.name for row in record.views] if kind == "views" else list(record.metrics)
