"""Audits: scores of the same renders under several protocols, and which of them are comparable."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nvs_eval.errors import counted, listed
from nvs_eval.metrics.registry import about_of, known_metrics
from nvs_eval.records.record import Record
from nvs_eval.records.signatures import essential_parts, parts_of
from nvs_eval.report.tables.columns import number_columns, table_from, text_column
from nvs_eval.report.tables.notes import infinite_notes, left_out_notes
from nvs_eval.report.tables.table import (
    PARTIAL,
    Cell,
    Column,
    Table,
    change,
    decimals,
    metric_column,
    printable,
    shown,
)
from nvs_eval.report.words import absence, capitalised, phrase

_CAPTION = "in brackets: difference from {protocol}; not ranked"
_FIRST = "{owner} {metric} {value} ({protocol})"
_SAME_DEFINITION = " is the same under {protocols} by definition"
_ALONE = "Only {protocol} computes {metric}: {value}."
_UNDER = "{metric} under {protocols} is {outcome}: it {reasons}."
_UNDER_SEVERAL = "{metric} {outcome} under {reasons}. They agree here to the decimals shown, but differ by definition."
_SAME_OUTCOME = "has the same value"
_OVER_VIEWS = "is a mean over {views}"
_FEWER_VIEWS = "is a mean over {views}; {protocol} has {count}"
_OTHER_VIEWS = "is a mean over {views}, but not those of {protocol}"
_NETS = "LPIPS of different networks is never comparable: {nets} are separate metrics."
_CORRECTED = "Colour-corrected scores are comparable only with each other."
_FAST = "LPIPS is fast (`--precision fast`) and comparable only with fast LPIPS. PSNR, SSIM and MAE are exact."

# Protocols differ by less than the decimals of papers show.
_DECIMALS = {"ssim": 4, "lpips": 4}


def audit_table(records: Sequence[Record]) -> Table:
    """Return a table with a row per protocol and a column per metric, with differences from the first row.

    Cells are not ranked: no protocol is better than another.

    Args:
        records: records of one result (scene, method, run, step), each under a different protocol; at least one.
    """
    first = records[0]
    infos = {name: info for record in reversed(records) for name, info in record.metrics.items()}
    columns = [
        Column("protocol", numeric=False, cells=[_protocol_cell(record) for record in records]),
        text_column("fingerprint", [record.fingerprint for record in records]),
    ]
    if len({record.views_sha256 for record in records}) > 1:
        columns += number_columns("views", [len(record.views) for record in records], "d")
    for name in _metrics(records):
        columns.append(metric_column(name, infos[name], [_cell(name, record, first) for record in records]))
    counts = {len(record.views) for record in records}
    views = counted(counts.pop(), f"{first.split} view") if len(counts) == 1 else f"{first.split} views"
    return table_from(
        f"{first.scene}, {first.id.name}, {views}",
        columns,
        notes=[note for record in records for note in _notes(record)],
        caption=_CAPTION.format(protocol=first.protocol["name"]),
        shared={"scene": first.scene, "method": first.id.name, "split": first.split},
    )


def audit_words(records: Sequence[Record]) -> list[str]:
    """Return sentences on which scores are comparable, in the order of the metrics.

    For each metric: its value under the first protocol that has it, with the protocols of the same definition; those
    with another definition but the same value to the decimals shown; and all others, with the reason and the
    difference. Protocols with the same signature, or the same value, share a sentence.

    Args:
        records: as for `audit_table`.
    """
    names = _metrics(records)
    sentences = [sentence for name in names for sentence in _of_metric(name, records)]
    nets = [about_of(name).title for name in names if name.startswith("lpips_")]
    if len(nets) > 1:
        sentences.append(_NETS.format(nets=listed(nets)))
    if any(name.startswith("cc_") for name in names):
        sentences.append(_CORRECTED)
    if any(record.fast for record in records):
        sentences.append(_FAST)
    return list(map(printable, sentences))


def _metrics(records: Sequence[Record]) -> list[str]:
    """Return the metrics of all records: built-in ones, plugins', then those of the colour-corrected render."""
    names = list(dict.fromkeys(name for record in records for name in record.metrics))
    usual = list(known_metrics())

    def place(name: str) -> tuple[bool, int, int]:
        plain = name.removeprefix("cc_")
        return name != plain, usual.index(plain) if plain in usual else len(usual), names.index(name)

    return sorted(names, key=place)


def _notes(record: Record) -> Iterator[str]:
    name = record.protocol["name"]
    yield from left_out_notes([record], name)
    yield from (f"{name}: {note}" for note in infinite_notes([record], list(record.metrics)))


def _protocol_cell(record: Record) -> Cell:
    title = record.protocol_title
    return Cell(printable(title), title, mark=PARTIAL if record.is_part else "")


def _cell(name: str, record: Record, first: Record) -> Cell:
    if name not in record.metrics:
        return Cell("-")
    value = record.means[name]
    differs = record is not first and name in first.metrics
    return Cell(_shown(name, value), value, aside=f"({_change(name, value, first.means[name])})" if differs else "")


def _shown(name: str, value: float) -> str:
    return shown(value, decimals(name, chosen=_DECIMALS))


def _change(name: str, value: float, first: float) -> str:
    return change(value, first, decimals(name, chosen=_DECIMALS))


@dataclass(frozen=True)
class _Group:
    """Protocols under which a metric has the same signature, views and value as shown."""

    protocols: Sequence[str]
    metric: str
    value: float
    unit: str
    parts: Mapping[str, str]
    views: Sequence[str]

    @property
    def text(self) -> str:
        return f"{_shown(self.metric, self.value)}{f' {self.unit}' if self.unit else ''}"


def _groups(name: str, records: Sequence[Record]) -> list[_Group]:
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        if name in record.metrics:
            # Protocols that round means can show another value under the same signature.
            key = (record.metrics[name].signature, record.views_sha256, _shown(name, record.means[name]))
            groups.setdefault(key, []).append(record)
    return [
        _Group(
            protocols=[record.protocol["name"] for record in group],
            metric=name,
            value=group[0].means[name],
            unit=group[0].metrics[name].unit,
            parts=parts_of(signature) | _rounding(group[0]),
            views=[row.name for row in group[0].views],
        )
        for (signature, _, _), group in groups.items()
    ]


def _rounding(record: Record) -> dict[str, str]:
    digits = record.protocol["definition"]["round_means"]
    return {} if digits is None else {"means": f"means:{digits}"}


def _of_metric(name: str, records: Sequence[Record]) -> Iterator[str]:
    first, *others = _groups(name, records)
    idle = _idle_parts(records)
    yield _first_sentence(first, others, yours=name in records[0].metrics, idle=idle)
    # One sentence per outcome. Protocols are grouped by their difference from the first one.
    outcomes: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for group in others:
        reasons = _apart(group, first, idle=idle)
        if group.views != first.views:
            template = _OTHER_VIEWS if len(group.views) == len(first.views) else _FEWER_VIEWS
            views = counted(len(group.views), "view")
            reasons.append(template.format(views=views, protocol=first.protocols[0], count=len(first.views)))
        outcomes.setdefault(_outcome(group, first), {}).setdefault(tuple(reasons), []).extend(group.protocols)
    for outcome in sorted(outcomes, key=bool):
        yield _outcome_sentence(capitalised(about_of(name).title), outcome, outcomes[outcome])


def _first_sentence(group: _Group, others: Sequence[_Group], *, yours: bool, idle: Container[str]) -> str:
    """Return the value under the first protocol that has the metric, and its differences from all others."""
    name, *same = group.protocols
    owner = "Your" if yours else "The"
    first = _FIRST.format(owner=owner, metric=about_of(group.metric).title, value=group.text, protocol=name)
    if same:
        first += _SAME_DEFINITION.format(protocols=listed(same))
    if not others:
        alone = _ALONE.format(protocol=name, metric=about_of(group.metric).title, value=group.text)
        return f"{first}." if same else alone
    reasons = _apart(group, *others, idle=idle)
    if any(other.views != group.views for other in others):
        reasons.append(_OVER_VIEWS.format(views=counted(len(group.views), "view")))
    return f"{first}{'; it' if same else ''} {listed(reasons)}."


def _outcome(group: _Group, first: _Group) -> str:
    """Return the value and its difference from the first protocol's, as shown; "" if no difference is visible."""
    if group.text == first.text:
        return ""
    return f"{group.text} ({_change(first.metric, group.value, first.value)})"


def _outcome_sentence(title: str, outcome: str, protocols: Mapping[tuple[str, ...], Sequence[str]]) -> str:
    """Return the sentence on the protocols with one outcome, with their differences from the first protocol."""
    if outcome and len(protocols) == 1:
        ((reasons, names),) = protocols.items()
        return _UNDER.format(metric=title, protocols=listed(names), outcome=outcome, reasons=listed(reasons))
    apart = "; ".join(f"{listed(names)} ({', '.join(reasons)})" for reasons, names in protocols.items())
    return _UNDER_SEVERAL.format(metric=title, outcome=f"is {outcome}" if outcome else _SAME_OUTCOME, reasons=apart)


def _apart(group: _Group, *others: _Group, idle: Container[str]) -> list[str]:
    """Return how a group's definition differs from the others, in the order of its signature; parts it lacks last.

    Idle parts are returned only if nothing else differs. Against several others, so are parts that the group lacks.
    """
    topics = dict.fromkeys(topic for member in (group, *others) for topic in member.parts)
    differing = [topic for topic in topics if any(other.parts.get(topic) != group.parts.get(topic) for other in others)]
    reasons = [topic for topic in differing if topic not in idle] or differing
    if len(others) > 1:
        reasons = [topic for topic in reasons if topic in group.parts] or reasons
    return [phrase(group.parts[topic]) if topic in group.parts else absence(topic) for topic in reasons]


def _idle_parts(records: Sequence[Record]) -> set[str]:
    """Return the topics of definitions that changed no score of these renders, as far as records tell."""
    signatures = {(info.signature, tuple(record.neutral)) for record in records for info in record.metrics.values()}
    essential = {topic for signature, neutral in signatures for topic in essential_parts(signature, neutral)}
    idle = {topic for signature, _ in signatures for topic in parts_of(signature)} - essential
    return idle | {"means"}  # Rounded after scoring.
