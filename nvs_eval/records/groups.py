"""Contenders: a method over its scenes, or one of its runs or checkpoints, grouped from records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from nvs_eval.errors import InputError, known_names, quoted
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import ResultId


@dataclass(frozen=True)
class Contender:
    """The records behind a row of a table or a side of a comparison.

    Attributes:
        method: name of the method.
        run: run of the method; None if the method has a single run, or several that are averaged.
        step: step of the checkpoint; None if the records have several steps or none.
        records: records by scene, one for each run, all of one split and protocol.
        step_name: name of the checkpoints if they have no step number, or None.
        label: name to show in place of method, run and step; "" for none.
    """

    method: str
    run: str | None
    step: int | None
    records: Mapping[str, Sequence[Record]]
    label: str = ""
    step_name: str | None = None

    @property
    def name(self) -> str:
        """Label, or method, run and step as far as they are set."""
        return self.label or ResultId("", self.method, self.run, self.step, step_name=self.step_name).name

    @property
    def all_records(self) -> list[Record]:
        """Records of all scenes."""
        return [record for records in self.records.values() for record in records]

    def records_of(self, scenes: Sequence[str]) -> list[Record]:
        """Return the records of some scenes."""
        return [record for scene in scenes for record in self.records.get(scene, ())]

    def has(self, metric: str) -> bool:
        """Return whether any scene has a mean of a metric."""
        return any(self.mean(metric, [scene]) is not None for scene in self.records)

    def mean(self, metric: str, scenes: Sequence[str], over: Literal["scenes", "views"] = "scenes") -> float | None:
        """Return the mean of a metric over scenes or over their views; None if any run lacks the metric.

        Several runs of a scene are averaged first.
        """
        runs = [self.records.get(scene, ()) for scene in scenes]
        if not all(records and all(metric in record.metrics for record in records) for records in runs):
            return None
        if over == "views" and len(scenes) > 1:
            return _mean_of_views(metric, runs)
        return fmean([fmean([record.means[metric] for record in records]) for records in runs])


def of_protocols(records: Sequence[Record], protocols: Sequence[str]) -> list[Record]:
    """Return the records of some protocols, by name or fingerprint; all records if none is named.

    Raises:
        InputError: a protocol has no record.
    """
    names = [{record.protocol["name"], record.protocol_title, record.fingerprint} for record in records]
    for protocol in protocols:
        if not any(protocol in several for several in names):
            raise InputError(f"No record has protocol {quoted(protocol)}.{known_names(protocol, set().union(*names))}")
    return [record for record, several in zip(records, names, strict=True) if not protocols or several & {*protocols}]


def by_protocol(records: Sequence[Record]) -> dict[tuple[str, str], list[Record]]:
    """Group records by split and fingerprint. Keeps their order."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.split, record.fingerprint), []).append(record)
    return groups


def checkpoints_of(records: Sequence[Record]) -> list[Contender]:
    """Group records by checkpoint (method, run, step), over all scenes that have it.

    Args:
        records: records of one split and protocol, no two of the same cell. Their order is kept.
    """
    checkpoints: dict[tuple[str, str | None, int | None, str | None], dict[str, list[Record]]] = {}
    for record in records:
        scenes = checkpoints.setdefault((record.method, record.run, record.step, record.step_name), {})
        scenes.setdefault(record.scene, []).append(record)
    return [
        Contender(method, run, step, scenes, step_name=step_name)
        for (method, run, step, step_name), scenes in checkpoints.items()
    ]


def methods_of(records: Sequence[Record], *, runs: Literal["each", "mean"] = "each") -> list[Contender]:
    """Group the last checkpoint of each run by method, over all scenes.

    Several runs of a method in one scene may be seeds or variants, so that each run is a contender of its own;
    `runs="mean"` treats them as seeds and averages them.

    Args:
        records: as for `checkpoints_of`.
        runs: treatment of several runs of a method in one scene.
    """
    by_method: dict[tuple[str, str | None], dict[str, list[Record]]] = {}
    for record in last_steps(records):
        by_method.setdefault((record.method, record.step_name), {}).setdefault(record.scene, []).append(record)
    contenders = []
    for (method, step_name), scenes in by_method.items():
        if runs == "mean" or all(len(several) == 1 for several in scenes.values()):
            contenders.append(Contender(method, None, _common_step(scenes), scenes, step_name=step_name))
        else:
            contenders += _runs_of(method, scenes, step_name)
    return contenders


def last_steps(records: Sequence[Record]) -> list[Record]:
    """Return the record of the last step of each run of a method in a scene, in the order given.

    A checkpoint with a name in place of a number is not a step of the others.
    """
    last: dict[tuple[str, str, str | None, str | None], Record] = {}
    for record in records:
        key = (record.scene, record.method, record.run, record.step_name)
        if key not in last or _step(record) > _step(last[key]):
            last[key] = record
    chosen = {id(record) for record in last.values()}
    return [record for record in records if id(record) in chosen]


def _runs_of(method: str, scenes: Mapping[str, Sequence[Record]], step_name: str | None) -> list[Contender]:
    by_run: dict[str | None, dict[str, list[Record]]] = {}
    for scene, records in scenes.items():
        for record in records:
            by_run.setdefault(record.run, {})[scene] = [record]
    return [Contender(method, run, _common_step(scenes), scenes, step_name=step_name) for run, scenes in by_run.items()]


def _common_step(scenes: Mapping[str, Sequence[Record]]) -> int | None:
    steps = {record.step for records in scenes.values() for record in records}
    return steps.pop() if len(steps) == 1 else None


def _mean_of_views(metric: str, scenes: Sequence[Sequence[Record]]) -> float:
    """Return the mean over the views of all scenes. In a scene with several runs, each view is averaged over them."""
    total, count = 0.0, 0.0
    for runs in scenes:
        total += math.fsum(row.scores[metric] for record in runs for row in record.views) / len(runs)
        count += sum(len(record.views) for record in runs) / len(runs)
    return total / count


def _step(record: Record) -> int:
    return -1 if record.step is None else record.step
