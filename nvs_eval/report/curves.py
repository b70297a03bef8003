"""Curves over the steps of a run: the best step, and the step where a metric stopped improving."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nvs_eval.errors import InputError, some, unknown_name
from nvs_eval.metrics.registry import keys_of
from nvs_eval.records.comparable import difference, usual_of
from nvs_eval.records.joint import joint_by_scene
from nvs_eval.records.record import MetricInfo, Record
from nvs_eval.report.tables.notes import joint_notes


class Improved(Protocol):
    """Test that distinguishes progress from noise."""

    def __call__(self, before: Record, after: Record, metric: str, *, tests: int = 1) -> bool | None:
        """Return whether a record is better than another beyond noise; None if that cannot be determined.

        Args:
            before: record of the earlier checkpoint.
            after: record of the later checkpoint.
            metric: metric of both records.
            tests: number of pairs that this one was chosen from. The answers hold for all of them together.
        """
        ...


@dataclass(frozen=True)
class Curve:
    """A metric of one run over its checkpoints.

    Attributes:
        method: name of the method.
        run: name of the training run, or None.
        metric: key of the metric.
        info: facts of the metric.
        views: number of views.
        steps: at least two steps, ascending.
        values: mean at each step, in full precision; inf if a view is.
        best: step of the best value; the first of equal ones.
        stopped: first step that no later one beats beyond noise; None if not known.
        worse: steps after the best one that are worse beyond noise, corrected for choosing the best.
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
        """Method and run, as far as they are set."""
        return "/".join(filter(None, (self.method, self.run)))

    @property
    def best_value(self) -> float:
        """Value at the best step."""
        return self.values[self.steps.index(self.best)]

    @property
    def still_improving(self) -> bool | None:
        """Whether each step was beaten by a later one, up to the last; None if not known."""
        return None if self.stopped is None else self.stopped == self.steps[-1]


@dataclass(frozen=True)
class SceneCurves:
    """The curves of one scene and split under one protocol.

    Attributes:
        scene: name of the scene.
        split: split of the views.
        protocol: name of the protocol.
        fingerprint: fingerprint of the protocol.
        curves: at least one curve; those of a run are adjacent.
        notes: remarks on curves of several protocols.
    """

    scene: str
    split: str
    protocol: str
    fingerprint: str
    curves: Sequence[Curve]
    notes: Sequence[str] = ()

    @property
    def infos(self) -> dict[str, MetricInfo]:
        """Facts of each metric that has a curve."""
        return {curve.metric: curve.info for curve in self.curves}


def runs_of(records: Sequence[Record]) -> tuple[list[list[Record]], list[Record]]:
    """Return the records of each run with several steps, sorted by step, and all other records."""
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
    """Return the curves of records, in their order. Runs with a single step (see `runs_of`) are skipped.

    Args:
        records: any number of records, no two of the same cell (scene, method, run, step, split, fingerprint).
        improved: test that distinguishes progress from noise.
        metrics: metrics to include, in this order (default: all).
        files: file of each record, in the same order, for clearer messages (default: none).

    Raises:
        InputError: no run has several steps, a named metric has no curve, or the records of a scene were not scored on
            the same views, references and masks.
    """
    _check_same_scenes(records, files)
    scenes = list(dict.fromkeys(record.scene for record in records))
    groups = [(group, runs_of(group.records)[0]) for group in joint_by_scene(records, scenes)]
    runs = [run for _, of_group in groups for run in of_group]
    if not runs:
        raise InputError(
            "A curve needs records of several steps of one run under one protocol. Got "
            f"{some((record.id.label for record in records), 3, whole=True)}. Make them with "
            "`nvs-eval run --load-config CONFIG --steps all`."
        )
    known = {metric for run in runs for metric in _metrics(run)}
    for metric in metrics:
        if not keys_of(metric, known):
            raise unknown_name("metric", metric, known)
    of_scenes = []
    for group, together in groups:
        shown = [
            (run, key)
            for run in together
            for metric in metrics or _metrics(run)
            for key in keys_of(metric, _metrics(run))
        ]
        if curves := [_curve(run, key, improved) for run, key in shown]:
            first = together[0][0]
            identity = (first.scene, first.split, first.protocol_title, first.fingerprint)
            infos = {curve.metric: curve.info for curve in curves}
            of_scenes.append(SceneCurves(*identity, curves, [*joint_notes(group, infos, shown=infos)]))
    return of_scenes


def _metrics(run: Sequence[Record]) -> list[str]:
    """Return the metrics that all steps have."""
    return [metric for metric in run[0].metrics if all(metric in record.metrics for record in run)]


def _curve(run: Sequence[Record], metric: str, improved: Improved) -> Curve:
    info = run[0].metrics[metric]
    values = [record.means[metric] for record in run]
    best = run[values.index(max(values) if info.higher_is_better else min(values))]
    stopped = _stopped(run, metric, improved)
    # The best of many steps is partly luck, and looks better than later ones that are as good. The answers must
    # therefore hold for all pairs of a step and a later one together.
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
    """Return the first record that no later one beats; None if that depends on a comparison without an answer."""
    sign = -1 if run[0].metrics[metric].higher_is_better else 1
    for record in run:
        # Best first, because a better record ends the search, and each test may be slow.
        candidates = sorted(_after(run, record), key=lambda later: sign * later.means[metric])
        unknown = False
        for candidate in candidates:
            answer = improved(record, candidate, metric)
            if answer:
                break
            unknown |= answer is None
        else:
            return None if unknown else record
    raise AssertionError("No record is later than the last one.")


def _after(run: Sequence[Record], record: Record) -> Sequence[Record]:
    return [later for later in run if _step(later) > _step(record)]


def _step(record: Record) -> int:
    assert record.step is not None
    return record.step


def _check_same_scenes(records: Sequence[Record], files: Sequence[Path]) -> None:
    """Check that the curves of each scene and protocol are of the same images."""
    places = {id(record): file for record, file in zip(records, files, strict=True)} if files else {}
    scenes: dict[tuple[str, str, str], list[Record]] = {}
    for run in runs_of(records)[0]:
        scenes.setdefault((run[0].scene, run[0].split, run[0].fingerprint), []).extend(run)
    for together in scenes.values():
        _check_same(together, places)


def _check_same(records: Sequence[Record], places: Mapping[int, Path]) -> None:
    usual = usual_of(records)
    for record in records:
        folders = (places[id(usual)].parent, places[id(record)].parent) if places else None
        if differs := difference(usual, record, folders=folders):
            names = [f"{one.id.name} ({places[id(one)]})" if places else one.id.name for one in (usual, record)]
            raise InputError(
                f"{usual.scene}: {' and '.join(names)} were scored with {differs}. They are not points of one curve. "
                "Score the same images at all steps, or omit some records."
            )
