"""Results of the page by scene: the records of each method, run and step, under all protocols."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from nvs_eval.errors import printable
from nvs_eval.records.record import Record, ViewRow
from nvs_eval.records.result_id import ResultId

RecordFile = tuple[Path, Record]


@dataclass(frozen=True)
class Column:
    """A result of a scene: the records of one method, run and step under all protocols.

    Attributes:
        id: identity of the result, whatever the selection of its views.
        records: records with their files.
        name: name that tells it from the other columns of the scene.
    """

    id: ResultId
    records: Sequence[RecordFile]
    name: str = ""

    @property
    def file(self) -> Path:
        """File of the first record."""
        return self.records[0][0]

    @property
    def record(self) -> Record:
        """The first record."""
        return self.records[0][1]

    @cached_property
    def rows(self) -> dict[str, tuple[RecordFile, ViewRow]]:
        """Row of each view, with its record: one that names a render, if there is one."""
        rows: dict[str, tuple[RecordFile, ViewRow]] = {}
        for one in self.records:
            for row in one[1].views:
                if row.name not in rows or (rows[row.name][1].render is None and row.render is not None):
                    rows[row.name] = one, row
        return rows

    def under(self, fingerprint: str) -> Record | None:
        """Return the record of a protocol, or None."""
        return next((record for _, record in self.records if record.fingerprint == fingerprint), None)


@dataclass(frozen=True)
class SceneGroup:
    """The results of one scene and split.

    Attributes:
        name: name of the scene.
        split: split of the views.
        columns: results, in the order of the records.
    """

    name: str
    split: str
    columns: Sequence[Column]

    @cached_property
    def protocols(self) -> dict[str, list[Record]]:
        """Records by fingerprint."""
        groups: dict[str, list[Record]] = {}
        for column in self.columns:
            for _, record in column.records:
                groups.setdefault(record.fingerprint, []).append(record)
        return groups

    @cached_property
    def scores(self) -> dict[str, list[dict[str, Mapping[str, float]]]]:
        """Scores of each view by fingerprint and column."""
        records = {key: [column.under(key) for column in self.columns] for key in self.protocols}
        return {
            key: [{} if one is None else {row.name: row.scores for row in one.views} for one in several]
            for key, several in records.items()
        }

    @cached_property
    def views(self) -> list[str]:
        """Names of all views, in the order of the records."""
        return list(dict.fromkeys(name for column in self.columns for name in column.rows))

    def chosen(self, names: Sequence[str], every: int) -> list[str]:
        """Return the views with pictures: those that are named, or every n-th one."""
        return [name for name in self.views if not names or name in names][::every]


def scenes_of(records: Sequence[RecordFile]) -> list[SceneGroup]:
    """Group records by scene and split, and name the results of each."""
    groups: dict[tuple[str, str], dict[ResultId, list[RecordFile]]] = {}
    for file, record in records:
        results = groups.setdefault((record.scene, record.split), {})
        results.setdefault(record.cell[0], []).append((file, record))
    return [
        SceneGroup(scene, split, _named([Column(result, several) for result, several in sorted_results(results)]))
        for (scene, split), results in groups.items()
    ]


def sorted_results(results: Mapping[ResultId, list[RecordFile]]) -> list[tuple[ResultId, list[RecordFile]]]:
    """Return results in the order of tables: by method, run and step."""

    def place(item: tuple[ResultId, object]) -> tuple[str, str, int, str]:
        one = item[0]
        return one.method, one.run or "", -1 if one.step is None else one.step, one.step_name or ""

    return sorted(results.items(), key=place)


def _named(columns: Sequence[Column]) -> list[Column]:
    """Name columns by the fewest parts that tell them apart: method, then run or step, then all."""
    ids = [column.id for column in columns]
    candidates = (
        [one.method for one in ids],
        [replace(one, run=None).name for one in ids],
        [replace(one, step=None, step_name=None).name for one in ids],
        [one.name for one in ids],
    )
    names = next((names for names in candidates if max(Counter(names).values()) == 1), candidates[-1])
    return [replace(column, name=printable(name)) for column, name in zip(columns, names, strict=True)]
