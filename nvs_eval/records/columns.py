"""Columns of records: one for each number of a metric, whatever the protocols of its values are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nvs_eval.records.record import Record
from nvs_eval.records.signatures import essential_parts, parts_of, same_number, without_clamps


class Value(NamedTuple):
    """Signature of a score, and the neutral steps of its record: both decide which numbers it is."""

    signature: str
    neutral: tuple[str, ...] = ()


class Other(NamedTuple):
    """A number without a record, such as a published one."""

    metric: str
    signature: str
    protocol: str
    source: str


@dataclass(frozen=True)
class Column:
    """A number: a metric under one signature.

    Attributes:
        key: key of the metric; where the table has several numbers of it, with the parts that tell them apart.
        metric: key of the metric.
        signature: signature that all values of the column are under, by definition.
        members: signatures of the values, with the neutral steps of their records.
        others: values of the column without a record.
    """

    key: str
    metric: str
    signature: str
    members: frozenset[Value]
    others: frozenset[Other] = frozenset()

    def has(self, record: Record) -> bool:
        """Return whether a record has a value for this column."""
        info = record.metrics.get(self.metric)
        return info is not None and Value(info.signature, tuple(record.neutral)) in self.members

    def has_number(self, source: str) -> bool:
        """Return whether a source of numbers without records has one for this column."""
        return any(other.source == source for other in self.others)


def columns_of(records: Iterable[Record], others: Sequence[Other] = ()) -> list[Column]:
    """Return the columns of records: as few as show each number that any two of them have in common.

    A value may be in several columns, if its neutral steps make it several numbers.
    """
    values: dict[str, dict[Value, None]] = {}
    for record in records:
        neutral = tuple(record.neutral)
        for metric, info in record.metrics.items():
            values.setdefault(metric, {})[Value(info.signature, neutral)] = None
    columns = []
    for metric, of_records in values.items():
        of_others = [other for other in others if other.metric == metric]
        members = _members([*of_records], [Value(other.signature) for other in of_others])
        for label, (signature, those) in zip(_labels(members), members.items(), strict=True):
            having = frozenset(other for other in of_others if Value(other.signature) in those)
            columns.append(Column(f"{metric}[{label}]" if label else metric, metric, signature, those, having))
    return columns


def _members(values: Sequence[Value], others: Sequence[Value]) -> dict[str, frozenset[Value]]:
    """Return the values of each number that is a column of its own, by signature."""
    plain = [without_clamps(value.signature) for value in values if "clamps" in value.neutral]
    signatures = list(dict.fromkeys([*(value.signature for value in (*values, *others)), *plain]))
    if len(signatures) == 1:
        return {signatures[0]: frozenset([*values, *others])}
    of = {name: frozenset(v for v in (*values, *others) if same_number(*v, name)) for name in signatures}
    # A column is left out if another one has all of its values.
    kept = [
        name
        for place, name in enumerate(signatures)
        if not of[name].isdisjoint(values)
        and not any(of[name] < of[other] for other in signatures)
        and not any(of[name] == of[other] for other in signatures[:place])
    ]
    kept.sort(key=lambda name: min(values.index(value) for value in of[name].intersection(values)))
    return {name: of[name] for name in kept}


def _labels(members: Mapping[str, Collection[Value]]) -> list[str]:
    """Return a few parts of each signature that no other has together; "" if there is one signature."""
    alike = {
        signature: set.intersection(*(set(value.neutral) for value in values)) for signature, values in members.items()
    }
    parts = [essential_parts(signature, neutral) for signature, neutral in alike.items()]
    if len({tuple(sorted(one.items())) for one in parts}) < len(parts):
        parts = [parts_of(signature) for signature in members]
    topics = list(dict.fromkeys(topic for one in parts for topic in one))
    labels = []
    for place, own in enumerate(parts):
        others, chosen = [*parts[:place], *parts[place + 1 :]], []
        while others:
            # The part that most others lack; one that the signature has rather than one that it lacks.
            topic = max(topics, key=lambda topic: (_differing(topic, own, others), topic in own))
            others = [one for one in others if one.get(topic) == own.get(topic)]
            chosen.append(topic)
        labels.append("|".join(own.get(topic, f"no {topic}") for topic in topics if topic in chosen))
    return labels


def _differing(topic: str, own: Mapping[str, str], others: Sequence[Mapping[str, str]]) -> int:
    return sum(one.get(topic) != own.get(topic) for one in others)
