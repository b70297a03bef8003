"""Records of several protocols side by side: which share a table, and a column for each number of a metric.

Two values are the same number if their signatures say so (`signatures.same_number`), whatever their protocols are.
Protocols that have a number in common share a table, unless their images or their values differ. The records of one
result are then merged into one, whose metrics are the columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations

from nvs_eval.errors import quoted
from nvs_eval.records.columns import Column, Other, Value, columns_of
from nvs_eval.records.comparable import difference, usual_of
from nvs_eval.records.record import Record
from nvs_eval.records.signatures import NEUTRAL, same_number

_SAME_VALUE = 1e-4
"""Largest difference of scores of one render. Devices differ by up to 1e-5 in LPIPS."""
JOINED = " + "
"""Separator of the names, and of the fingerprints, of protocols that share a table."""
Group = Sequence[Sequence[Record]]
"""Records of one split and protocol, by side."""


class JointRecord(Record):
    """The scores of one result under several protocols, by the keys of columns."""

    @property
    def protocol_title(self) -> str:
        """Titles of the protocols."""
        return self.protocol["name"]


@dataclass(frozen=True)
class Joint:
    """Records that share tables and comparisons.

    Attributes:
        sides: records of each side, those of one result merged.
        columns: columns of the records, in their order.
        unified: columns that have values of several signatures: their keys by the protocols and the neutral steps that
            make them one number.
        apart: why protocols with a number in common do not share a table, by their titles.
    """

    sides: Group
    columns: Sequence[Column]
    unified: Mapping[tuple[tuple[str, ...], tuple[str, ...]], Sequence[str]]
    apart: Mapping[tuple[str, str], str]

    @property
    def records(self) -> list[Record]:
        """Records of all sides."""
        return [record for side in self.sides for record in side]


def joint(*sides: Sequence[Record], others: Sequence[Other] = (), whole: bool = True) -> list[Joint]:
    """Return the records that share tables, a metric having the same key only in records with the same number.

    Args:
        sides: records by side. Those of one result are merged only if they are of one side.
        others: numbers without a record, for which there are columns if a record has the same number.
        whole: whether protocols share a table only if they have the same scenes and views; otherwise some suffice.
    """
    splits: dict[str, dict[str, list[list[Record]]]] = {}
    for place, side in enumerate(sides):
        for record in side:
            groups = splits.setdefault(record.split, {})
            groups.setdefault(record.fingerprint, [[] for _ in sides])[place].append(record)
    together = [part for groups in splits.values() for part in _together(list(groups.values()), whole=whole)]
    return [_joined(part, others, apart) for part, apart in together]


def joint_by_scene(records: Sequence[Record], scenes: Sequence[str], *, others: Sequence[Other] = ()) -> list[Joint]:
    """Return the records of each scene that share a table, by split, protocol and scene.

    Args:
        records: records of any scenes.
        scenes: all scenes, in their order.
        others: numbers without a record, as for `joint`.
    """
    parts: dict[str, list[Record]] = {scene: [] for scene in scenes}
    for record in records:
        parts[record.scene].append(record)
    order = {key: place for place, key in enumerate(dict.fromkeys((r.split, r.fingerprint) for r in records))}
    groups = [group for part in parts.values() if part for group in joint(part, others=others)]

    def place(group: Joint) -> int:
        first = group.records[0]
        return order[first.split, first.fingerprint.partition(JOINED)[0]]

    return sorted(groups, key=place)


# --- Protocols that share a table ---


def _together(groups: Sequence[Group], *, whole: bool) -> list[tuple[list[Group], dict[tuple[str, str], str]]]:
    """Return the groups that share a table, and why earlier ones with a number in common do not share it."""
    if len(groups) == 1:
        return [([groups[0]], {})]
    values = [_values(group) for group in groups]
    places = range(len(groups))
    share = {(a, b) for a, b in combinations(places, 2) if _share_number(values[a], values[b])}
    obstacle = cache(lambda a, b: _obstacle(groups[a], groups[b], whole=whole))
    parts = [[place] for place in places]

    def fit(one: Sequence[int], other: Sequence[int]) -> bool:
        pairs = [(min(a, b), max(a, b)) for a in one for b in other]
        return not share.isdisjoint(pairs) and not any(obstacle(*pair) for pair in pairs)

    while joining := next((pair for pair in combinations(parts, 2) if fit(*pair)), None):
        joining[0].extend(joining[1])
        parts.remove(joining[1])
    titles = _titles(groups)
    together = []
    for part in parts:
        why = {(titles[a], titles[b]): obstacle(a, b) for a, b in sorted(share) if b in part and a not in part}
        apart = {names: reason for names, reason in why.items() if reason != _SCENES}
        together.append(([groups[place] for place in sorted(part)], apart))
    return together


def _titles(groups: Sequence[Group]) -> list[str]:
    """Return the titles of the protocols, with their fingerprints if two have the same title."""
    firsts = [next(record for side in group for record in side) for group in groups]
    titles = [first.protocol_title for first in firsts]
    if len(set(titles)) == len(titles):
        return titles
    return [f"{first.protocol_title} ({first.fingerprint})" for first in firsts]


def _values(group: Group) -> set[tuple[str, Value]]:
    return {
        (metric, Value(info.signature, tuple(record.neutral)))
        for side in group
        for record in side
        for metric, info in record.metrics.items()
    }


def _share_number(values: set[tuple[str, Value]], others: set[tuple[str, Value]]) -> bool:
    return any(
        same_number(*value, other.signature) or same_number(*other, value.signature)
        for metric, value in values
        for other_metric, other in others
        if metric == other_metric
    )


def _obstacle(group: Group, other: Group, *, whole: bool) -> str:
    """Return why the records of two protocols cannot share a table; "" if they can, `_SCENES` for other scenes."""
    mine, theirs = (_by_scene(records) for records in (group, other))
    both = [scene for scene in mine if scene in theirs]
    if not both or (whole and mine.keys() != theirs.keys()):
        return _SCENES
    for scene in both:
        one, two = usual_of(mine[scene]), usual_of(theirs[scene])
        if not whole:
            names = {row.name for row in one.views} & {row.name for row in two.views}
            one, two = (replace(r, views=[row for row in r.views if row.name in names]) for r in (one, two))
        if differs := difference(one, two):
            return f"{scene}: {differs}"
        if not one.views:
            return _SCENES
    for side, other_side in zip(group, other, strict=True):
        records = {record.cell[0]: record for record in side}
        for record in other_side:
            if (known := records.get(record.cell[0])) and (differs := _difference(known, record)):
                return f"{record.id}: {differs}"
    return ""


_SCENES = "other scenes"


def _by_scene(group: Group) -> dict[str, list[Record]]:
    scenes: dict[str, list[Record]] = {}
    for side in group:
        for record in side:
            scenes.setdefault(record.scene, []).append(record)
    return scenes


def _difference(record: Record, other: Record) -> str:
    """Return how the images or values of a result differ under two protocols; "" if they can be one row."""
    if (differs := difference(record, other)) or record.failed.keys() != other.failed.keys():
        return differs or "different views failed"
    rows = {row.name: row for row in other.views}
    for metric, info in record.metrics.items():
        theirs = other.metrics.get(metric)
        if theirs is None or not (
            same_number(info.signature, record.neutral, theirs.signature)
            or same_number(theirs.signature, other.neutral, info.signature)
        ):
            continue
        for row in record.views:
            values = row.scores[metric], rows[row.name].scores[metric]
            if not math.isclose(*values, rel_tol=0, abs_tol=_SAME_VALUE):
                return f"different renders ({metric} of {quoted(row.name)} is {values[0]:g} and {values[1]:g})"
    return ""


# --- Merged records ---


def _joined(part: Sequence[Group], others: Sequence[Other], apart: Mapping[tuple[str, str], str]) -> Joint:
    records = [record for group in part for side in group for record in side]
    columns = columns_of(records, others)
    if len(part) == 1 and all(column.key == column.metric for column in columns):
        return Joint(part[0], columns, _unified(records, columns, others), apart)
    first_of = {record.fingerprint: record for record in reversed(records)}
    first_of = dict(sorted(first_of.items(), key=lambda item: records.index(item[1])))
    protocol = records[0].protocol
    if len(part) > 1:
        titles = [record.protocol_title for record in first_of.values()]
        definition = {**protocol["definition"], "round_means": None}
        protocol = {"name": JOINED.join(titles), "definition": definition, "fingerprint": JOINED.join(first_of)}
    sides = []
    for place in range(len(part[0])):
        results: dict[object, list[Record]] = {}
        for record in (record for group in part for record in group[place]):
            results.setdefault(record.cell[0] if len(part) > 1 else len(results), []).append(record)
        kind = JointRecord if len(part) > 1 else Record
        sides.append([_merged(several, columns, protocol, kind) for several in results.values()])
    return Joint(sides, columns, _unified(records, columns, others), apart)


def _merged(
    records: Sequence[Record], columns: Sequence[Column], protocol: Mapping[str, object], kind: Callable[..., Record]
) -> Record:
    """Return one record with the scores of several of one result, by the keys of the columns."""
    first = records[0]
    sources = {column: source for column in columns if (source := _source(records, column))}
    rows = {id(record): {row.name: row for row in record.views} for record in records}
    views = []
    for row in first.views:
        scores = {c.key: rows[id(source)][row.name].scores[c.metric] for c, source in sources.items()}
        own = {name: value for record in records for name, value in (rows[id(record)][row.name].own or {}).items()}
        views.append(replace(row, scores=scores, own=own or None))
    metrics = {c.key: replace(r.metrics[c.metric], signature=c.signature) for c, r in sources.items()}
    fields = {**vars(replace(first)), "metrics": metrics, "views": views, "protocol": protocol}
    return kind(**fields)


def _source(records: Sequence[Record], column: Column) -> Record | None:
    """Return the record whose score is shown in a column: one of its signature, or one of the same number."""
    having = [record for record in records if column.has(record)]
    exact = [record for record in having if record.metrics[column.metric].signature == column.signature]
    return next(iter([*exact, *having]), None)


def _unified(
    records: Sequence[Record], columns: Sequence[Column], others: Sequence[Other]
) -> dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]]:
    unified: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for column in columns:
        if len({member.signature for member in column.members} | {column.signature}) == 1:
            continue
        titles = dict.fromkeys(record.protocol_title for record in records if column.has(record))
        titles |= dict.fromkeys(other.protocol for other in others if other in column.others)
        needed = {step for member in column.members for step in _needed(member, column.signature)}
        key = tuple(titles), tuple(step for step in NEUTRAL if step in needed)
        unified.setdefault(key, []).append(column.key)
    return unified


def _needed(value: Value, signature: str) -> Iterator[str]:
    """Yield the neutral steps that make a value the number of another signature."""
    for step in value.neutral:
        if not same_number(value.signature, [one for one in value.neutral if one != step], signature):
            yield step
