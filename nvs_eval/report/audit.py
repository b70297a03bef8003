"""An audit: the scores of the same renders under several protocols, and which of them may be compared."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nvs_eval.errors import counted, listed
from nvs_eval.metrics.registry import about_of, known_metrics
from nvs_eval.records.record import Record
from nvs_eval.report.tables.columns import number_columns, table_from, text_column
from nvs_eval.report.tables.notes import left_out_notes
from nvs_eval.report.tables.table import Cell, Table, decimals, metric_column, printable, shown
from nvs_eval.report.words import absence, capitalised, parts_of, phrase

_CAPTION = "in brackets: the difference from {protocol}; nothing is ranked"
_FIRST = "{owner} {metric} {value} ({protocol})"
_SAME_DEFINITION = " is by definition the same under {protocols}"
_ALONE = "{first} is of that protocol alone."
_UNDER = "{metric} under {protocols} is {outcome}: it {reasons}."
_UNDER_SEVERAL = "{metric} {outcome} under {reasons}: they agree here to the decimals shown, but not by definition."
_SAME_OUTCOME = "comes out the same"
_OVER_VIEWS = "is a mean over {views}"
_FEWER_VIEWS = "is a mean over {views}, where {protocol} has {count}"
_OTHER_VIEWS = "is a mean over {views}, and not those of {protocol}"
_NETS = "LPIPS of different nets is never comparable: {nets} are metrics of their own."
_CORRECTED = "Colour-corrected scores compare with colour-corrected ones alone."
_FAST = "LPIPS is fast (`--precision fast`), and compares with fast LPIPS alone; PSNR, SSIM and MAE are exact."

# Differences between protocols are smaller than those that papers show.
_DECIMALS = {"ssim": 4, "lpips": 4}


def audit_table(records: Sequence[Record]) -> Table:
    """One row a protocol, one column a metric: the values, after the first row with their difference from it.

    Nothing is ranked: no protocol is better than another.

    Args:
        records: of one result (scene, method, run, step) and the same views, each under another protocol; at least one.
    """
    first = records[0]
    infos = {name: info for record in reversed(records) for name, info in record.metrics.items()}
    columns = [
        text_column("protocol", [record.protocol_title for record in records]),
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
        # A mean over fewer views differs for that alone.
        notes=[f"{record.protocol['name']}: {note}" for record in records for note in left_out_notes([record])],
        caption=_CAPTION.format(protocol=first.protocol["name"]),
        shared={"scene": first.scene, "method": first.id.name, "split": first.split},
    )


def audit_words(records: Sequence[Record]) -> list[str]:
    """Sentences on what may be compared with what, in the order of the metrics.

    For each metric: its value under the first protocol that has it, with the protocols that compute the very same;
    those that came out the same here, to the decimals shown, but are defined in another way; and each other one, with
    what tells it apart and its difference. Protocols of one signature, or of one outcome, share a sentence.

    Args:
        records: as for `audit_table`.
    """
    names = _metrics(records)
    sentences = [sentence for name in names for sentence in _of_metric(name, records)]
    nets = [name.removeprefix("lpips_") for name in names if name.startswith("lpips_")]
    if len(nets) > 1:
        sentences.append(_NETS.format(nets=listed(nets)))
    if any(name.startswith("cc_") for name in names):
        sentences.append(_CORRECTED)
    if any(record.fast for record in records):
        sentences.append(_FAST)
    return list(map(printable, sentences))


def _metrics(records: Sequence[Record]) -> list[str]:
    """The metrics of all records: the known ones in their order, others, then those of the colour-corrected render."""
    names = list(dict.fromkeys(name for record in records for name in record.metrics))
    usual = list(known_metrics())

    def place(name: str) -> tuple[bool, int, int]:
        plain = name.removeprefix("cc_")
        return name != plain, usual.index(plain) if plain in usual else len(usual), names.index(name)

    return sorted(names, key=place)


def _cell(name: str, record: Record, first: Record) -> Cell:
    if name not in record.metrics:
        return Cell("-")
    value = record.means[name]
    differs = record is not first and name in first.metrics
    return Cell(_shown(name, value), value, aside=f"({_change(name, value, first.means[name])})" if differs else "")


def _shown(name: str, value: float) -> str:
    return shown(value, decimals(name, chosen=_DECIMALS))


def _change(name: str, value: float, first: float) -> str:
    """The difference with its sign; a zero has none."""
    change = 0.0 if value == first else value - first  # Two infinities have no difference to compute.
    if math.isinf(change):
        return f"{change:+}"
    text = f"{change:+.{decimals(name, chosen=_DECIMALS)}f}"
    return text if float(text) else text[1:]


@dataclass(frozen=True)
class _Group:
    """The protocols under which a metric has one signature over the same views, and so is one number."""

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
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if name in record.metrics:
            groups.setdefault((record.metrics[name].signature, record.views_sha256), []).append(record)
    return [
        _Group(
            protocols=[record.protocol["name"] for record in group],
            metric=name,
            value=group[0].means[name],
            unit=group[0].metrics[name].unit,
            parts=parts_of(signature),
            views=[row.name for row in group[0].views],
        )
        for (signature, _), group in groups.items()
    ]


def _of_metric(name: str, records: Sequence[Record]) -> Iterator[str]:
    own, *others = _groups(name, records)
    idle = _idle_parts(records)
    yield _first_sentence(own, others, yours=name in records[0].metrics, idle=idle)
    # One sentence an outcome, with the protocols by what tells them apart from the first one.
    outcomes: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for group in others:
        reasons = _apart(group, own, idle=idle)
        if group.views != own.views:
            template = _OTHER_VIEWS if len(group.views) == len(own.views) else _FEWER_VIEWS
            views = counted(len(group.views), "view")
            reasons.append(template.format(views=views, protocol=own.protocols[0], count=len(own.views)))
        outcomes.setdefault(_outcome(group, own), {}).setdefault(tuple(reasons), []).extend(group.protocols)
    for outcome in sorted(outcomes, key=bool):
        yield _outcome_sentence(capitalised(about_of(name).title), outcome, outcomes[outcome])


def _first_sentence(own: _Group, others: Sequence[_Group], *, yours: bool, idle: Container[str]) -> str:
    """The value under the first protocol that has the metric, and what tells it apart from all others."""
    name, *same = own.protocols
    owner = "Your" if yours else "The"
    first = _FIRST.format(owner=owner, metric=about_of(own.metric).title, value=own.text, protocol=name)
    if same:
        first += _SAME_DEFINITION.format(protocols=listed(same))
    if not others:
        return f"{first}." if same else _ALONE.format(first=first)
    reasons = _apart(own, *others, idle=idle)
    if any(other.views != own.views for other in others):
        reasons.append(_OVER_VIEWS.format(views=counted(len(own.views), "view")))
    return f"{first}{', and it' if same else ''} {listed(reasons)}."


def _outcome(group: _Group, own: _Group) -> str:
    """The value and its difference from the first protocol's, as shown; "" where either shows none."""
    change = _change(own.metric, group.value, own.value)
    same = _shown(own.metric, group.value) == _shown(own.metric, own.value) or float(change) == 0
    return "" if same else f"{group.text} ({change})"


def _outcome_sentence(title: str, outcome: str, protocols: Mapping[tuple[str, ...], Sequence[str]]) -> str:
    """The protocols under which a metric came out so, by what tells them apart from the first one."""
    if outcome and len(protocols) == 1:
        ((reasons, names),) = protocols.items()
        return _UNDER.format(metric=title, protocols=listed(names), outcome=outcome, reasons=listed(reasons))
    apart = "; ".join(f"{listed(names)} ({', '.join(reasons)})" for reasons, names in protocols.items())
    return _UNDER_SEVERAL.format(metric=title, outcome=f"is {outcome}" if outcome else _SAME_OUTCOME, reasons=apart)


def _apart(group: _Group, *others: _Group, idle: Container[str]) -> list[str]:
    """What a group's definition has that one of the others has not, in the order of its signature; then what it lacks.

    What is idle is given only where there is nothing else; against several others, so is what the group lacks.
    """
    topics = dict.fromkeys(topic for member in (group, *others) for topic in member.parts)
    differing = [topic for topic in topics if any(other.parts.get(topic) != group.parts.get(topic) for other in others)]
    telling = [topic for topic in differing if topic not in idle] or differing
    if len(others) > 1:
        telling = [topic for topic in telling if topic in group.parts] or telling
    return [phrase(group.parts[topic]) if topic in group.parts else absence(topic) for topic in telling]


def _idle_parts(records: Sequence[Record]) -> set[str]:
    """The topics of signatures that cannot have made a difference to these renders."""
    idle = set()
    if all(row.coverage is None for record in records for row in record.views):
        idle |= {"mask", "qmask"}
    infos = [info for record in records for info in record.metrics.values()]
    if any("beyond" not in parts_of(info.signature) for info in infos):
        # A protocol that refuses images beyond [0, 1] refused none, so that there was nothing to clamp.
        idle |= {"beyond", "clamp"}
    if _without_alpha(records):
        idle |= {"alpha"}
    return idle


def _without_alpha(records: Sequence[Record]) -> bool:
    """Whether no image had an alpha channel that mattered, as far as records know.

    The references are the same whatever became of alpha. No record knows it of renders; but without a background none
    is composited: alpha is an error then, or is dropped under every protocol.
    """
    references = {(row.name, row.reference_sha256) for record in records for row in record.views}
    readings = [record.provenance.get("reading") for record in records]
    given = any(isinstance(reading, Mapping) and reading.get("background") is not None for reading in readings)
    return not given and len(references) == len({name for name, _ in references})
