"""The views that two contenders share, and their scores on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nvs_eval.comparison.statistics.scores import Array, SceneScores, Scores
from nvs_eval.errors import InputError, some
from nvs_eval.metrics.registry import about_of
from nvs_eval.records.comparable import difference
from nvs_eval.records.groups import Contender
from nvs_eval.records.record import MetricInfo, Record


@dataclass(frozen=True)
class Shared:
    """The views and metrics that two contenders were both scored on.

    Attributes:
        a: the first.
        b: the second.
        views: the names of the shared views of each shared scene.
        infos: the metrics that all their records have.
        notes: what only one of them has, and what is not alike within one, in words; names as they are.
    """

    a: Contender
    b: Contender
    views: Mapping[str, Sequence[str]]
    infos: Mapping[str, MetricInfo]
    notes: Sequence[str]

    def scores(self, metric: str) -> Scores:
        """The scores of both in a metric."""
        scenes = []
        for scene, views in self.views.items():
            a, b = (_scores(side.records[scene], views, metric) for side in (self.a, self.b))
            scenes.append(SceneScores(scene, tuple(views), a, b))
        return Scores(tuple(scenes))


def shared(a: Contender, b: Contender, *, scenes: Sequence[str] | None = None) -> Shared:
    """Find what two contenders of one split and protocol were both scored on, in some scenes or all that both have.

    Raises:
        InputError: they share no view or no metric; or views of one name are not of the same image or mask.
    """
    both = [scene for scene in a.records if scene in b.records and (scenes is None or scene in scenes)]
    notes = [] if scenes else list(_scene_notes(a, b))
    views: dict[str, Sequence[str]] = {}
    for scene in both:
        records = [*a.records[scene], *b.records[scene]]
        names = _shared_views(records)
        if names:
            _check_same(scene, records, names)
            views[scene] = names
        notes += _view_notes(scene, records, names)
    if not views:
        raise InputError(
            f"{a.name} and {b.name} share no view: {a.name} is of {_where(a)}, {b.name} of {_where(b)}. Compare what "
            "was scored on the same views."
        )
    records = [record for side in (a, b) for scene in views for record in side.records[scene]]
    everywhere = set.intersection(*(set(record.metrics) for record in records))
    infos = {name: info for name, info in records[0].metrics.items() if name in everywhere}
    others = {name for record in records for name in record.metrics} - infos.keys()
    if not infos:
        raise InputError(f"{a.name} and {b.name} share no metric: score them under one protocol.")
    notes += [f"{about_of(name).title}: not of all records, and left out" for name in sorted(others)]
    notes += [note for side in (a, b) for note in _step_notes(side, views)]
    return Shared(a, b, views, infos, notes)


def _scores(records: Sequence[Record], views: Sequence[str], metric: str) -> Array:
    """[runs, views]."""
    runs = [{row.name: row.scores[metric] for row in record.views} for record in records]
    return np.array([[scores[view] for view in views] for scores in runs])


def _shared_views(records: Sequence[Record]) -> list[str]:
    names = [{row.name for row in record.views} for record in records]
    return [row.name for row in records[0].views if all(row.name in others for others in names)]


def _check_same(scene: str, records: Sequence[Record], names: Sequence[str]) -> None:
    wanted = set(names)
    parts = [replace(record, views=[row for row in record.views if row.name in wanted]) for record in records]
    for part in parts[1:]:
        if differing := difference(parts[0], part):
            raise InputError(
                f"{scene}: {parts[0].id.name} and {part.id.name} were scored with {differing}. Such numbers cannot be "
                "compared: score the same images."
            )


def _scene_notes(a: Contender, b: Contender) -> list[str]:
    sides = ((a, b), (b, a))
    alone = [(one.name, [scene for scene in one.records if scene not in other.records]) for one, other in sides]
    return [f"Only {name} has {some(scenes)}: left out" for name, scenes in alone if scenes]


def _view_notes(scene: str, records: Sequence[Record], names: Sequence[str]) -> list[str]:
    compared = set(names)
    everything = dict.fromkeys(row.name for record in records for row in record.views)
    others = [name for name in everything if name not in compared]
    if not others:
        return []
    return [f"{scene}: compared on the {len(names)} of {len(everything)} views that all have; without {some(others)}"]


def _step_notes(side: Contender, scenes: Iterable[str]) -> list[str]:
    """That runs or scenes of one side were trained for longer than others."""
    steps = {record.step for scene in scenes for record in side.records[scene]}
    if len(steps) < 2:
        return []
    numbers = [str(step) for step in sorted(step for step in steps if step is not None)]
    return [f"{side.name}: of different steps, {', '.join([*numbers, *(['none'] if None in steps else [])])}"]


def _where(side: Contender) -> str:
    views = dict.fromkeys(row.name for record in side.all_records for row in record.views)
    return f"{some(side.records)} ({some(views, 3)})"
