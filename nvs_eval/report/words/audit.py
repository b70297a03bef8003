"""An audit: what several protocols say of the same renders, and what may be compared with what."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nvs_eval.errors import listed
from nvs_eval.metrics.registry import known_metrics
from nvs_eval.records.record import MetricInfo, Record
from nvs_eval.report.tables.columns import table_from, text_column
from nvs_eval.report.tables.notes import left_out_notes
from nvs_eval.report.tables.numbers import decimals, metric_column, printable, shown
from nvs_eval.report.tables.table import Cell, Column, Table
from nvs_eval.report.words.idle import idle_parts
from nvs_eval.report.words.names import called
from nvs_eval.report.words.phrases import absence, parts_of, phrase

# Differences between protocols are smaller than those that papers show.
_DECIMALS = {"ssim": 4, "lpips": 4}


@dataclass(frozen=True)
class _Group:
    """The protocols under which a metric has one signature over the same views, and so is one number."""

    protocols: Sequence[str]
    info: MetricInfo
    value: float
    views: Sequence[str]

    @property
    def parts(self) -> dict[str, str]:
        return parts_of(self.info.signature)


def audit_table(records: Sequence[Record]) -> Table:
    """One row a protocol, one column a metric: the values, after the first row with what they differ from it.

    Nothing is ranked: no protocol is better than another.

    Args:
        records: of one result (scene, method, run, step) and the same views, each under another protocol; at least one.
    """
    first = records[0]
    names = _metrics(records)
    infos = {name: info for record in reversed(records) for name, info in record.metrics.items()}
    columns = [
        text_column("protocol", [record.protocol_title for record in records]),
        text_column("fingerprint", [record.fingerprint for record in records]),
    ]
    if len({record.views_sha256 for record in records}) > 1:
        columns.append(Column("views", cells=[Cell(str(len(record.views)), len(record.views)) for record in records]))
    for name in names:
        columns.append(metric_column(name, infos[name], [_cell(name, record, first) for record in records]))
    return table_from(
        f"{first.scene}, {first.id.name}, {_split(records)}",
        columns,
        notes=_left_out(records),
        caption=printable(f"in brackets: the difference from {first.protocol['name']}; nothing is ranked"),
        shared={"scene": first.scene, "method": first.id.name, "split": first.split},
    )


def audit_words(records: Sequence[Record]) -> list[str]:
    """What may be compared with what, a sentence an item, in the order of the metrics.

    Of each metric: what it is under the first protocol that has it, with the protocols that compute the very same;
    those that came out the same here, to the decimals shown, but are defined in another way; and each other one, with
    what tells it apart and how much it made. Protocols of one signature, or of one outcome, are told together.

    Args:
        records: as for `audit_table`.
    """
    words = [sentence for name in _metrics(records) for sentence in _of_metric(name, records)]
    words += _across(_metrics(records), fast=any(record.fast for record in records))
    return [printable(sentence) for sentence in words]


def _metrics(records: Sequence[Record]) -> list[str]:
    """The metrics of all records: the known ones in their order, others, then those of the colour-corrected render."""
    found, order = list(dict.fromkeys(name for record in records for name in record.metrics)), list(known_metrics())

    def place(name: str) -> tuple[bool, int, int]:
        plain = name.removeprefix("cc_")
        return name != plain, order.index(plain) if plain in order else len(order), found.index(name)

    return sorted(found, key=place)


def _split(records: Sequence[Record]) -> str:
    """What the views are, and how many, if under each protocol they are as many."""
    counts = {len(record.views) for record in records}
    return _counted(counts.pop(), f"{records[0].split} ") if len(counts) == 1 else f"{records[0].split} views"


def _counted(count: int, kind: str = "") -> str:
    return f"{count} {kind}view{'' if count == 1 else 's'}"


def _cell(name: str, record: Record, first: Record) -> Cell:
    if name not in record.metrics:
        return Cell("-")
    value = record.means[name]
    known = record is not first and name in first.metrics
    return Cell(_shown(name, value), value, aside=f"({_change(name, value, first.means[name])})" if known else "")


def _shown(name: str, value: float) -> str:
    return shown(value, decimals(name, chosen=_DECIMALS))


def _change(name: str, value: float, first: float) -> str:
    """The difference with its sign, which a zero has none of."""
    if value == first:  # Two infinities have no difference to compute.
        return f"{0:.{decimals(name, chosen=_DECIMALS)}f}"
    change = value - first
    if math.isinf(change):
        return f"{change:+}"
    text = f"{change:+.{decimals(name, chosen=_DECIMALS)}f}"
    return text if float(text) else text[1:]


def _left_out(records: Sequence[Record]) -> Iterator[str]:
    """Which protocols scored fewer views, since a mean over fewer views differs for that alone."""
    for record in records:
        for note in left_out_notes([record]):
            yield f"{record.protocol['name']}: {note}"


def _groups(name: str, records: Sequence[Record]) -> list[_Group]:
    having: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if name in record.metrics:
            having.setdefault((record.metrics[name].signature, record.views_sha256), []).append(record)
    return [
        _Group(
            [record.protocol["name"] for record in group],
            group[0].metrics[name],
            group[0].means[name],
            [row.name for row in group[0].views],
        )
        for group in having.values()
    ]


def _of_metric(name: str, records: Sequence[Record]) -> Iterator[str]:
    own, *others = _groups(name, records)
    idle = idle_parts(records)
    yield _own_sentence(name, own, others, yours=name in records[0].metrics, idle=idle)
    # What came out alike is told together, and of that again what did so for the same reasons.
    alike: dict[str, dict[tuple[str, ...], list[_Group]]] = {}
    for group in others:
        why = (*_apart(group, own, idle=idle), *_of_other_views(group, own))
        alike.setdefault(_outcome(name, group, own), {}).setdefault(why, []).append(group)
    for outcome in sorted(alike, key=bool):
        yield f"{_start(called(name))} {_told(outcome, alike[outcome])}."


def _outcome(name: str, group: _Group, own: _Group) -> str:
    """The value and its difference from one's own, as shown; nothing where either shows none."""
    change = _change(name, group.value, own.value)
    same = _shown(name, group.value) == _shown(name, own.value) or float(change) == 0
    return "" if same else f"{_with_unit(name, group)} ({change})"


def _told(outcome: str, reasons: Mapping[tuple[str, ...], Sequence[_Group]]) -> str:
    """What is said of a metric that came out so under some protocols, by what tells them apart from one's own."""
    if outcome and len(reasons) == 1:
        ((why, groups),) = reasons.items()
        return f"under {_protocols(groups)} is {outcome}: it {listed(why)}"
    each = "; ".join(f"{_protocols(groups)} ({', '.join(why)})" for why, groups in reasons.items())
    start = f"is {outcome}" if outcome else "comes out the same"
    return f"{start} under {each}: they agree here to the decimals shown, but not by definition"


def _own_sentence(name: str, own: _Group, others: Sequence[_Group], *, yours: bool, idle: Container[str]) -> str:
    value = f"{'Your' if yours else 'The'} {called(name)} {_with_unit(name, own)} ({own.protocols[0]})"
    shared = len(own.protocols) > 1
    if shared:
        value += f" is by definition the same under {listed(own.protocols[1:])}"
    if not others:
        return f"{value}." if shared else f"{value} is of that protocol alone."
    why = _apart(own, *others, idle=idle)
    if any(other.views != own.views for other in others):
        why.append(f"is a mean over {_counted(len(own.views))}")
    return f"{value}{', and it' if shared else ''} {listed(why)}."


def _of_other_views(group: _Group, own: _Group) -> Iterator[str]:
    """That a mean is not over the views of one's own, where it is not."""
    if len(group.views) != len(own.views):
        yield f"is a mean over {_counted(len(group.views))}, where {own.protocols[0]} has {len(own.views)}"
    elif group.views != own.views:
        yield f"is a mean over {_counted(len(group.views))}, and not those of {own.protocols[0]}"


def _protocols(groups: Sequence[_Group]) -> str:
    return listed([protocol for group in groups for protocol in group.protocols])


def _with_unit(name: str, group: _Group) -> str:
    return f"{_shown(name, group.value)}{f' {group.info.unit}' if group.info.unit else ''}"


def _start(text: str) -> str:
    return text[0].upper() + text[1:]


def _apart(group: _Group, *others: _Group, idle: Container[str]) -> list[str]:
    """What a group's definition has that one of the others has not, in the order of its signature; then what it lacks.

    What is idle is told only where there is nothing else to tell; against several others, so is what it lacks.
    """
    abouts = dict.fromkeys(about for each in (group, *others) for about in each.parts)
    differing = [a for a in abouts if any(each.parts.get(a) != group.parts.get(a) for each in others)]
    telling = [about for about in differing if about not in idle] or differing
    if len(others) > 1:
        telling = [about for about in telling if about in group.parts] or telling
    return [phrase(group.parts[about]) if about in group.parts else absence(about) for about in telling]


def _across(names: Sequence[str], *, fast: bool) -> Iterator[str]:
    """What holds between the columns."""
    nets = [name.removeprefix("lpips_") for name in names if name.startswith("lpips_")]
    if len(nets) > 1:
        yield f"LPIPS of different nets is never comparable: {listed(nets)} are metrics of their own."
    if any(name.startswith("cc_") for name in names):
        yield "Colour-corrected scores compare with colour-corrected ones alone."
    if fast:
        yield "LPIPS is fast (`--precision fast`), and compares with fast LPIPS alone; PSNR, SSIM and MAE are exact."
