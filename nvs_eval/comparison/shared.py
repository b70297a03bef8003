"""Views that two contenders share, and their scores on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from nvs_eval.comparison.statistics.scores import Array, SceneScores, Scores
from nvs_eval.errors import InputError, listed, some
from nvs_eval.metrics.registry import about_of
from nvs_eval.records.comparable import convention_of, difference
from nvs_eval.records.groups import Contender
from nvs_eval.records.record import MetricInfo, Record


@dataclass(frozen=True)
class Shared:
    """Views and metrics that two contenders were both scored on.

    Attributes:
        a: first contender.
        b: second contender.
        views: names of the shared views of each shared scene.
        infos: metrics that all records of both have.
        notes: notes on scenes, views and metrics that only one has, and on differing steps.
        arrays: scores by contender, scene, views and metric, which the pairs of a comparison share.
    """

    a: Contender
    b: Contender
    views: Mapping[str, Sequence[str]]
    infos: Mapping[str, MetricInfo]
    notes: Sequence[str]
    arrays: dict[object, Array] = field(default_factory=dict, repr=False)

    def scores(self, metric: str) -> Scores:
        """Return the scores of both under a metric."""
        scenes = []
        for scene, views in self.views.items():
            a, b = (self._array(side, scene, tuple(views), metric) for side in (self.a, self.b))
            scenes.append(SceneScores(scene, tuple(views), a, b))
        return Scores(tuple(scenes))

    def _array(self, side: Contender, scene: str, views: tuple[str, ...], metric: str) -> Array:
        key = (id(side), scene, views, metric)
        if key not in self.arrays:
            self.arrays[key] = _scores(side.records[scene], views, metric)
            self.arrays[key].flags.writeable = False
        return self.arrays[key]


def shared(
    a: Contender, b: Contender, *, scenes: Sequence[str] | None = None, arrays: dict[object, Array] | None = None
) -> Shared:
    """Find the views and metrics that two contenders of one split and protocol share, on some scenes (default: all).

    Pairs of the same contenders can pass the same `arrays`, in which scores are collected once.

    Raises:
        InputError: they share no view or no metric; or a shared view has different images or masks.
    """
    both = [scene for scene in a.records if scene in b.records and (scenes is None or scene in scenes)]
    notes = [] if scenes else list(_scene_notes(a, b))
    views: dict[str, Sequence[str]] = {}
    for scene in both:
        records = [*a.records[scene], *b.records[scene]]
        if len({record.images_sha256 for record in records}) == 1:
            views[scene] = [row.name for row in records[0].views]
            continue
        names = _shared_views(records)
        if names:
            _check_same(scene, (a, b), names)
            views[scene] = names
        notes += _view_notes(scene, records, names)
    if not views:
        what = "a view of a scene" if both else "a scene"
        raise InputError(
            f"{a.name} and {b.name} must share {what}. {a.name} has {_places(a)}; {b.name} has {_places(b)}. Compare "
            "results on the same views, and name scenes alike (`--scene`)."
        )
    records = [record for side in (a, b) for scene in views for record in side.records[scene]]
    in_all = set.intersection(*(set(record.metrics) for record in records))
    infos = {name: info for name, info in records[0].metrics.items() if name in in_all}
    skipped = {name for record in records for name in record.metrics} - infos.keys()
    if not infos:
        raise InputError(f"{a.name} and {b.name} must share a metric. Score them under the same protocol.")
    notes += [f"Skipped {about_of(name).title}, which some records lack" for name in sorted(skipped)]
    notes += [note for side in (a, b) for note in _step_notes(side, views)]
    if len(conventions := dict.fromkeys(filter(None, map(convention_of, records)))) > 1:
        notes.append(f"Different rasterisers: {listed([*conventions])}")
    return Shared(a, b, views, infos, notes, {} if arrays is None else arrays)


def _scores(records: Sequence[Record], views: Sequence[str], metric: str) -> Array:
    """Return scores as [runs, views]."""
    runs = [{row.name: row.scores[metric] for row in record.views} for record in records]
    return np.array([[scores[view] for view in views] for scores in runs])


def _shared_views(records: Sequence[Record]) -> list[str]:
    in_all = set.intersection(*({row.name for row in record.views} for record in records))
    return [row.name for row in records[0].views if row.name in in_all]


def _check_same(scene: str, sides: Sequence[Contender], names: Sequence[str]) -> None:
    shared_names = set(names)
    (first_side, first), *others = [
        (side.name, replace(record, views=[row for row in record.views if row.name in shared_names]))
        for side in sides
        for record in side.records[scene]
    ]
    for side, part in others:
        if differing := difference(first, part, rasterisers=False):
            labels = (first_side, side) if side != first_side else (first.id.name, part.id.name)
            raise InputError(
                f"{scene}: {' and '.join(labels)} were scored with {differing}, so their numbers cannot be compared. "
                "Score both on the same images."
            )


def _scene_notes(a: Contender, b: Contender) -> list[str]:
    sides = ((a, b), (b, a))
    alone = [(one.name, [scene for scene in one.records if scene not in other.records]) for one, other in sides]
    return [f"Skipped {some(scenes)}, which only {name} has" for name, scenes in alone if scenes]


def _view_notes(scene: str, records: Sequence[Record], names: Sequence[str]) -> list[str]:
    compared = set(names)
    all_names = dict.fromkeys(row.name for record in records for row in record.views)
    skipped = [name for name in all_names if name not in compared]
    if not skipped:
        return []
    return [
        f"{scene}: compared on {len(names)} of {len(all_names)} views; skipped {some(skipped)}, which some records lack"
    ]


def _step_notes(side: Contender, scenes: Iterable[str]) -> list[str]:
    """Return a note if runs or scenes of one side were trained for different numbers of steps."""
    steps = {record.step for scene in scenes for record in side.records[scene]}
    if len(steps) < 2:
        return []
    numbers = [str(step) for step in sorted(step for step in steps if step is not None)]
    return [f"{side.name} has different steps: {', '.join([*numbers, *(['none'] if None in steps else [])])}"]


def _places(side: Contender) -> str:
    views = dict.fromkeys(row.name for record in side.all_records for row in record.views)
    return f"{some(side.records)} ({some(views, 3)})"
