"""New results against a baseline, metric by metric: whether one got worse beyond a tolerance, and beyond noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from nvs_eval.comparison.compare import compare_contenders
from nvs_eval.comparison.model import Difference
from nvs_eval.comparison.statistics.intervals import RESAMPLES, Interval, intervals
from nvs_eval.comparison.statistics.scores import SceneScores, Scores
from nvs_eval.errors import InputError, some
from nvs_eval.records.comparable import precision_advice
from nvs_eval.records.groups import Contender, by_protocol, methods_of
from nvs_eval.records.record import MetricInfo, Record
from nvs_eval.report.tables.table import decimals

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
        """By how much it got worse on the views that lost no infinity."""
        change = self.interval.difference or 0.0
        return -change if self.difference.info.higher_is_better else change

    @property
    def blind(self) -> bool:
        """Whether there are too few views to tell noise, so that the tolerance alone decides."""
        return self.interval.low is None

    @property
    def beyond_tolerance(self) -> bool:
        """Whether it got worse by more than it may."""
        return self.worse_by > self.tolerance

    @property
    def failed(self) -> bool:
        """Whether it got worse beyond the tolerance, and beyond noise as far as there are views enough to tell."""
        return bool(self.lost) or self.failed_elsewhere

    @property
    def failed_elsewhere(self) -> bool:
        """Whether it failed by the views that lost no infinity."""
        return self._worse_elsewhere > self.tolerance and (self.blind or self.interval.sign != 0)


def default_tolerance(metric: str, info: MetricInfo | None = None) -> float:
    """Half a unit of the last decimal that tables show."""
    return 0.5 * 10.0 ** -decimals(metric, info)


def checks_of(
    new: Sequence[Record],
    baseline: Sequence[Record],
    *,
    tolerances: Mapping[str, float],
    runs: Literal["each", "mean"],
    resamples: int = RESAMPLES,
) -> list[MetricCheck]:
    """Check every metric of every method and scene of a baseline; the arguments and errors are those of `check`."""
    for metric, value in tolerances.items():
        if value < 0:
            raise InputError(_NEGATIVE.format(metric=metric, value=value))
    checks: list[MetricCheck] = []
    fresh = by_protocol(new)
    for protocol, members in by_protocol(baseline).items():
        if protocol not in fresh:
            under = some(map(_protocol, fresh.values()))
            advice = precision_advice([*members, *new])
            raise InputError(_NO_PROTOCOL.format(old=_protocol(members), new=under, advice=advice))
        ours, theirs = (
            {_name(contender): contender for contender in methods_of(records, runs=runs)}
            for records in (fresh[protocol], members)
        )
        for name, old in theirs.items():
            counterpart = ours.get(name) or _only_run(ours, theirs, name)
            checks += _of_method(name, old, counterpart, tolerances, resamples)
    metrics = dict.fromkeys(check.difference.metric for check in checks)
    if unknown := set(tolerances) - set(metrics):
        raise InputError(_UNKNOWN_METRICS.format(unknown=", ".join(sorted(unknown)), metrics=", ".join(metrics)))
    return checks


def _protocol(records: Sequence[Record]) -> str:
    first = records[0]
    return f"{first.protocol_title} ({first.fingerprint}), {first.split} views"


def _name(contender: Contender) -> str:
    return contender.method if contender.run is None else f"{contender.method}/{contender.run}"


def _only_run(ours: Mapping[str, Contender], theirs: Mapping[str, Contender], name: str) -> Contender:
    """The new contender for one whose run has another name, where each side has one run of the method.

    Raises:
        InputError: there is none of that method, or there are several.
    """
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
    scenes: list[str | None] = [*old.records]
    checks = []
    for scene in [*scenes, None] if len(scenes) > 1 else scenes:
        only = None if scene is None else [scene]
        comparison = compare_contenders([old, fresh], scenes=only, resamples=resamples)
        for metric, difference in comparison.pairs[0].differences.items():
            tolerance = tolerances.get(metric, default_tolerance(metric, difference.info))
            interval, lost = _over_finite(difference, resamples)
            identity = (name, scene, comparison.protocol, comparison.fingerprint)
            checks.append(MetricCheck(*identity, difference, interval, lost, tolerance))
    return checks


def _over_finite(difference: Difference, resamples: int) -> tuple[Interval, list[str]]:
    """The interval over the views on which neither side alone is infinite, and the views that lost an infinity."""
    if not difference.scores.infinite:
        return difference.interval, []
    lost = [
        change.view for change in difference.changes if math.isinf(change.difference) and difference.gain(change) < 0
    ]
    kept = [(scene, np.isfinite(scene.differences)) for scene in difference.scores.scenes]
    scenes = [
        SceneScores(scene.name, tuple(np.array(scene.views)[finite]), scene.a[:, finite], scene.b[:, finite])
        for scene, finite in kept
        if finite.any()
    ]
    if not scenes:
        return Interval(None, reason="There is no view on which both are finite."), lost
    metric = difference.metric
    return intervals({metric: Scores(tuple(scenes))}, resamples=resamples)[metric], lost


def _check_complete(name: str, old: Contender, fresh: Contender) -> None:
    """Check that nothing of the baseline is missing, since what is not scored cannot fail.

    Raises:
        InputError: naming what is missing.
    """
    for scene, records in old.records.items():
        if scene not in fresh.records:
            raise InputError(_NO_SCENE.format(name=name, scene=scene))
        for kind, names in (("views", _views), ("metrics", _metrics)):
            needed = dict.fromkeys(thing for record in records for thing in names(record))
            scored = set.intersection(*(set(names(record)) for record in fresh.records[scene]))
            if missing := [thing for thing in needed if thing not in scored]:
                raise InputError(_INCOMPLETE.format(scene=scene, name=name, kind=kind, missing=some(missing)))


def _views(record: Record) -> list[str]:
    return [row.name for row in record.views]


def _metrics(record: Record) -> list[str]:
    return list(record.metrics)
