"""Several steps of one run as curves: which is best, and where a metric stopped improving."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nvs_eval.errors import InputError, some, unknown_name
from nvs_eval.records.comparable import difference, usual_of
from nvs_eval.records.record import MetricInfo, Record


class Improved(Protocol):
    """Tells progress from noise."""

    def __call__(self, before: Record, after: Record, metric: str, *, tests: int = 1) -> bool | None:
        """Whether a record is better than another under a metric beyond noise; None where it cannot be told.

        Args:
            before: of one checkpoint.
            after: of another.
            metric: that both have.
            tests: among how many pairs these two were found, of all of which the answer is to hold together.
        """
        ...


@dataclass(frozen=True)
class Curve:
    """A metric of one run over its checkpoints.

    Attributes:
        method: its name.
        run: which run of the method, or None.
        metric: its key.
        info: what it is.
        views: how many each value is the mean of.
        steps: at least two, rising.
        values: the mean at each step, in full; inf where a view is.
        best: the step of the best value, the first of several.
        stopped: the first step after which none is better beyond noise; None where it cannot be told.
        worse: the steps after the best one that are worse than it beyond noise, also that of having chosen the best.
    """

    method: str
    run: str | None
    metric: str
    info: MetricInfo
    views: int
    steps: Sequence[int]
    values: Sequence[float]
    best: int
    stopped: int | None
    worse: Sequence[int]

    @property
    def name(self) -> str:
        """Method and run as far as there is one."""
        return "/".join(filter(None, (self.method, self.run)))

    @property
    def best_value(self) -> float:
        """At the best step."""
        return self.values[self.steps.index(self.best)]

    @property
    def still_improving(self) -> bool | None:
        """Whether the last step surpasses the one before, and each earlier one was surpassed; None where not told."""
        return None if self.stopped is None else self.stopped == self.steps[-1]


@dataclass(frozen=True)
class SceneCurves:
    """The curves of one scene and split under one protocol.

    Attributes:
        scene: its name.
        split: which views.
        protocol: its name.
        fingerprint: of the protocol.
        curves: at least one, those of a run together.
    """

    scene: str
    split: str
    protocol: str
    fingerprint: str
    curves: Sequence[Curve]

    @property
    def infos(self) -> dict[str, MetricInfo]:
        """What each metric is that there is a curve of."""
        return {curve.metric: curve.info for curve in self.curves}


def runs_of(records: Sequence[Record]) -> tuple[list[list[Record]], list[Record]]:
    """The records of each run (scene, split, fingerprint, method, run) with several steps, by step; and all others."""
    groups: dict[tuple[str | None, ...], list[Record]] = {}
    for record in records:
        key = (record.scene, record.split, record.fingerprint, record.method, record.run or None)
        groups.setdefault(key, []).append(record)
    runs = []
    for group in groups.values():
        run = sorted((record for record in group if record.step is not None), key=_step)
        if len({record.step for record in run}) > 1:
            runs.append(run)
    used = {id(record) for run in runs for record in run}
    return runs, [record for record in records if id(record) not in used]


def curves_of(
    records: Sequence[Record], improved: Improved, *, metrics: Sequence[str] = (), files: Sequence[Path] = ()
) -> list[SceneCurves]:
    """The curves of records, in their order; those that make none (`runs_of`) are left out.

    Args:
        records: any number, no two of the same cell (scene, method, run, step, split, fingerprint).
        improved: tells progress from noise.
        metrics: which, in this order; all if empty.
        files: where each record lies, in the same order, or none; they make messages clearer.

    Raises:
        InputError: no run has several steps; there is no curve of a metric that was named; or the records of a scene
            were not scored on the same views, references and masks.
    """
    runs, _ = runs_of(records)
    if not runs:
        raise InputError(
            f"No curve can be made of {some((record.id.label for record in records), 3)}: that needs records of "
            "several steps of one run under one protocol. `nvs-eval run --load-config CONFIG --steps all` makes them."
        )
    places = {id(record): file for record, file in zip(records, files, strict=True)} if files else {}
    scenes: dict[tuple[str, str, str], list[list[Record]]] = {}
    for run in runs:
        scenes.setdefault((run[0].scene, run[0].split, run[0].fingerprint), []).append(run)
    for together in scenes.values():
        _check_same([record for run in together for record in run], places)
    known = {metric for run in runs for metric in _metrics(run)}
    for metric in metrics:
        if metric not in known:
            raise unknown_name("metric", metric, known)
    of_scenes = []
    for (scene, split, fingerprint), together in scenes.items():
        shown = [(run, metric) for run in together for metric in metrics or _metrics(run) if metric in _metrics(run)]
        if curves := [_curve(run, metric, improved) for run, metric in shown]:
            of_scenes.append(SceneCurves(scene, split, together[0][0].protocol_title, fingerprint, curves))
    return of_scenes


def _metrics(run: Sequence[Record]) -> list[str]:
    """Those that all steps have."""
    return [metric for metric in run[0].metrics if all(metric in record.metrics for record in run)]


def _curve(run: Sequence[Record], metric: str, improved: Improved) -> Curve:
    info = run[0].metrics[metric]
    values = [record.means[metric] for record in run]
    best = run[values.index(max(values) if info.higher_is_better else min(values))]
    stopped = _stopped(run, metric, improved)
    # The best of many owes something to luck, and looks better than later ones that are as good. So the answers have to
    # hold for all pairs together that might have been the best and a later one.
    pairs = math.comb(len(run), 2)
    return Curve(
        method=best.method,
        run=best.run,
        metric=metric,
        info=info,
        views=len(best.views),
        steps=[_step(record) for record in run],
        values=values,
        best=_step(best),
        stopped=None if stopped is None else _step(stopped),
        worse=[_step(later) for later in _after(run, best) if improved(later, best, metric, tests=pairs)],
    )


def _stopped(run: Sequence[Record], metric: str, improved: Improved) -> Record | None:
    """The first record that no later one is better than; None where that hangs on what cannot be told."""
    sign = -1 if run[0].metrics[metric].higher_is_better else 1
    for record in run:
        # From the best on: one that is better is found soon, as each question may take a while to answer.
        later = sorted(_after(run, record), key=lambda each: sign * each.means[metric])
        cannot_be_told = False
        for each in later:
            answer = improved(record, each, metric)
            if answer:
                break
            cannot_be_told |= answer is None
        else:
            return None if cannot_be_told else record
    raise AssertionError("Nothing is later than the last record.")


def _after(run: Sequence[Record], record: Record) -> Sequence[Record]:
    return [each for each in run if _step(each) > _step(record)]


def _step(record: Record) -> int:
    assert record.step is not None
    return record.step


def _check_same(records: Sequence[Record], places: Mapping[int, Path]) -> None:
    usual = usual_of(records)
    for record in records:
        folders = (places[id(usual)].parent, places[id(record)].parent) if places else None
        if differs := difference(usual, record, folders=folders):
            names = [f"{each.id.name} ({places[id(each)]})" if places else each.id.name for each in (usual, record)]
            raise InputError(
                f"{usual.scene}: {' and '.join(names)} were scored with {differs}. Such numbers make no curve: score "
                "the same images at all steps, or leave some out."
            )
