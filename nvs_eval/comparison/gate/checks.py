"""Whether results got worse than those that they are held against: beyond a tolerance, and beyond noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from nvs_eval.comparison.comparing import compared
from nvs_eval.comparison.model import Difference
from nvs_eval.comparison.statistics.intervals import RESAMPLES, Interval, intervals
from nvs_eval.comparison.statistics.scores import SceneScores, Scores
from nvs_eval.errors import InputError, some
from nvs_eval.records.comparable import precision_advice
from nvs_eval.records.groups import Contender, by_protocol, methods_of
from nvs_eval.records.record import MetricInfo, Record
from nvs_eval.report.tables.numbers import decimals


@dataclass(frozen=True)
class Check:
    """One metric of a method in a scene, held against the baseline's.

    Attributes:
        method: its name, with the run where there are several.
        scene: its name; None for the mean over all scenes.
        protocol: its name.
        fingerprint: of the protocol.
        difference: new - baseline, and all there is to say of it.
        interval: of the same, over the views on which neither side alone is infinite.
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
        """Likewise, on the views that lost no infinity."""
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
        """Likewise, by the views that lost no infinity."""
        return self._worse_elsewhere > self.tolerance and (self.blind or self.interval.sign != 0)


def default_tolerance(metric: str, info: MetricInfo | None = None) -> float:
    """What no table shows: half a unit of the last decimal."""
    return 0.5 * 10.0 ** -decimals(metric, info)


def checks(
    new: Sequence[Record],
    baseline: Sequence[Record],
    *,
    tolerances: Mapping[str, float],
    runs: Literal["each", "mean"] = "each",
    resamples: int = RESAMPLES,
) -> list[Check]:
    """Hold every metric of every method and scene of a baseline against new results, of each run the last checkpoint.

    Args:
        new: any number of records.
        baseline: likewise; all that is in it must be in the new ones.
        tolerances: by metric, else `default_tolerance`.
        runs: whether several runs of a method are held against those of the same name, or their mean.
        resamples: of the bootstrap.

    Raises:
        InputError: a tolerance is below zero or of no metric; something of the baseline is missing in the new results,
            or was scored on other images.
    """
    for metric, value in tolerances.items():
        if value < 0:
            raise InputError(f"--tolerance of {metric} is {value:g}, and it is 0 at least.")
    found = []
    fresh = by_protocol(new)
    for key, members in by_protocol(baseline).items():
        if key not in fresh:
            raise InputError(
                f"The baseline was scored under {_protocol(members)}, and the new results were not: they are under "
                f"{some(_protocol(each) for each in fresh.values())}.{precision_advice([*members, *new])}"
            )
        ours, theirs = ({_key(e): e for e in methods_of(each, runs=runs)} for each in (fresh[key], members))
        for name, old in theirs.items():
            other = ours.get(name) or _only(ours, theirs, name)
            found += _of_method(name, old, other, tolerances, resamples)
    unknown = set(tolerances) - {check.difference.metric for check in found}
    if unknown:
        known = dict.fromkeys(check.difference.metric for check in found)
        raise InputError(f"--tolerance names {', '.join(sorted(unknown))}; the metrics are {', '.join(known)}.")
    return found


def _protocol(records: Sequence[Record]) -> str:
    first = records[0]
    return f"{first.protocol_title} ({first.fingerprint}), {first.split} views"


def _key(contender: Contender) -> str:
    return contender.method if contender.run is None else f"{contender.method}/{contender.run}"


def _only(ours: Mapping[str, Contender], theirs: Mapping[str, Contender], name: str) -> Contender:
    """The new contender in the place of one whose run is called otherwise, where there is one run on each side.

    Raises:
        InputError: there is none of that method, or there are several.
    """
    method = theirs[name].method
    fresh, old = ([each for each in side.values() if each.method == method] for side in (ours, theirs))
    if len(fresh) == len(old) == 1:
        return fresh[0]
    raise InputError(
        f"The baseline has {name}, and the new results have {some(ours)}: evaluate it again, name records of the "
        "same methods and runs (`--method` when they are scored), or say `--runs mean` where runs are seeds."
    )


def _of_method(
    name: str,
    old: Contender,
    fresh: Contender,
    tolerances: Mapping[str, float],
    resamples: int,
) -> list[Check]:
    _check_whole(name, old, fresh)
    # Each side has its own name in what is said of it, as both may have been called the same.
    old, fresh = replace(old, label=f"{name} (baseline)"), replace(fresh, label=f"{name} (new)")
    scenes: list[str | None] = [*old.records]
    found = []
    for scene in [*scenes, None] if len(scenes) > 1 else scenes:
        only = None if scene is None else [scene]
        comparison = compared([old, fresh], scenes=only, resamples=resamples)
        for metric, difference in comparison.pairs[0].differences.items():
            tolerance = tolerances.get(metric, default_tolerance(metric, difference.info))
            interval, lost = _over_finite(difference, resamples)
            identity = (name, scene, comparison.protocol, comparison.fingerprint)
            found.append(Check(*identity, difference, interval, lost, tolerance))
    return found


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


def _check_whole(name: str, old: Contender, fresh: Contender) -> None:
    """Check that nothing of the baseline is missing, since what is not looked at cannot fail.

    Raises:
        InputError: naming what is.
    """
    for scene, records in old.records.items():
        if scene not in fresh.records:
            raise InputError(f"The baseline has {name} on {scene}, and the new results have not: evaluate it, too.")
        views, metrics = ({thing: None for each in records for thing in things(each)} for things in (_views, _metrics))
        for what, needed, things in (("views", views, _views), ("metrics", metrics, _metrics)):
            there = set.intersection(*(set(things(each)) for each in fresh.records[scene]))
            if missing := [thing for thing in needed if thing not in there]:
                raise InputError(
                    f"{scene}: the new results of {name} lack the {what} {some(missing)} of the baseline: what is not "
                    "scored cannot be checked."
                )


def _views(record: Record) -> list[str]:
    return [row.name for row in record.views]


def _metrics(record: Record) -> list[str]:
    return list(record.metrics)
