"""An audit: what several protocols say of the same renders, and what may be compared with what."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from nvs_eval.guard import result_name
from nvs_eval.records import MetricInfo, Record
from nvs_eval.report.phrases import absence, listed, parts_of, phrase
from nvs_eval.report.table import Cell, Table, decimals, heading, left_out_notes, printable, shown

_ORDER = ("psnr", "ssim", "lpips_alex", "lpips_vgg", "lpips_squeeze", "mae", "mipnerf_average")
_CALLED = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "lpips_alex": "LPIPS (alex)",
    "lpips_vgg": "LPIPS (vgg)",
    "lpips_squeeze": "LPIPS (squeeze)",
    "mae": "MAE",
    "mipnerf_average": "the average of mip-NeRF",
}


@dataclass(frozen=True)
class _Group:
    """The protocols under which a metric has one signature, and so is one number, which the first of them gives."""

    protocols: Sequence[str]
    info: MetricInfo
    value: float

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
    columns = [[_cell(name, record, first) for record in records] for name in names]
    protocols = [Cell(printable(record.protocol["name"])) for record in records]
    fingerprints = [Cell(printable(record.fingerprint)) for record in records]
    infos = {name: info for record in reversed(records) for name, info in record.metrics.items()}
    return Table(
        title=printable(f"{first.scene}, {result_name(first)}, {len(first.views)} {first.split} views"),
        header=["protocol", "fingerprint", *(printable(heading(name, infos[name])) for name in names)],
        rows=list(zip(protocols, fingerprints, *columns, strict=True)),
        numeric=[False, False, *(True for _ in names)],
        caption=printable(f"in brackets: the difference from {first.protocol['name']}; nothing is ranked"),
        notes=[printable(note) for note in _left_out(records)],
        divisible=True,
    )


def audit_words(records: Sequence[Record]) -> list[str]:
    """What may be compared with what, a sentence an item, in the order of the metrics.

    Of each metric: what it is under the first protocol that has it, with the protocols that compute the very same;
    those that came out the same here but are defined in another way; and each other one, with what tells it apart and
    how much it made. Protocols of one signature are told together.

    Args:
        records: as for `audit_table`.
    """
    words = [sentence for name in _metrics(records) for sentence in _of_metric(name, records)]
    return [printable(sentence) for sentence in (*words, *_across(_metrics(records)))]


def _metrics(records: Sequence[Record]) -> list[str]:
    """The metrics of all records: the known ones in their order, others, then those of the colour-corrected render."""
    found = list(dict.fromkeys(name for record in records for name in record.metrics))

    def place(name: str) -> tuple[bool, int, int]:
        plain = name.removeprefix("cc_")
        return name != plain, _ORDER.index(plain) if plain in _ORDER else len(_ORDER), found.index(name)

    return sorted(found, key=place)


def _cell(name: str, record: Record, first: Record) -> Cell:
    if name not in record.metrics:
        return Cell("-")
    value = record.means[name]
    known = record is not first and name in first.metrics
    return Cell(shown(name, value), aside=f"({_change(name, value, first.means[name])})" if known else "")


def _change(name: str, value: float, first: float) -> str:
    """The difference with its sign, which a zero has none of."""
    if value == first:  # Two infinities have no difference to compute.
        return f"{0:.{decimals(name)}f}"
    change = value - first
    if math.isinf(change):
        return f"{change:+}"
    text = f"{change:+.{decimals(name)}f}"
    return text if float(text) else text[1:]


def _left_out(records: Sequence[Record]) -> Iterator[str]:
    """Which protocols scored fewer views, since a mean over fewer views differs for that alone."""
    for record in records:
        for note in left_out_notes([record]):
            yield f"{record.protocol['name']}: {note}"


def _groups(name: str, records: Sequence[Record]) -> list[_Group]:
    having: dict[str, list[Record]] = {}
    for record in records:
        if name in record.metrics:
            having.setdefault(record.metrics[name].signature, []).append(record)
    return [
        _Group([r.protocol["name"] for r in group], group[0].metrics[name], group[0].means[name])
        for group in having.values()
    ]


def _of_metric(name: str, records: Sequence[Record]) -> Iterator[str]:
    own, *others = _groups(name, records)
    idle = _idle(records)
    yield _own_sentence(name, own, others, yours=name in records[0].metrics, idle=idle)
    # What came out alike for the same reasons is told together.
    alike: dict[tuple[str, tuple[str, ...]], list[_Group]] = {}
    for group in others:
        why = tuple(_apart(group, own, idle=idle))
        alike.setdefault((shown(name, group.value), why), []).append(group)
    same = [(why, groups) for (value, why), groups in alike.items() if value == shown(name, own.value)]
    if same:
        told = "; ".join(f"{_protocols(groups)} ({', '.join(why)})" for why, groups in same)
        yield f"{_start(_called(name))} comes out the same under {told}: they agree here, but not by definition."
    for (value, why), groups in alike.items():
        if value != shown(name, own.value):
            it = f"{_start(_called(name))} under {_protocols(groups)} is {_with_unit(name, groups[0])}"
            yield f"{it} ({_change(name, groups[0].value, own.value)}): it {listed(why)}."


def _own_sentence(name: str, own: _Group, others: Sequence[_Group], *, yours: bool, idle: Container[str]) -> str:
    value = f"{'Your' if yours else 'The'} {_called(name)} {_with_unit(name, own)} ({own.protocols[0]})"
    shared = len(own.protocols) > 1
    if shared:
        value += f" is by definition the same under {listed(own.protocols[1:])}"
    if not others:
        return f"{value}." if shared else f"{value} is of that protocol alone."
    return f"{value}{', and it' if shared else ''} {listed(_apart(own, *others, idle=idle))}."


def _protocols(groups: Sequence[_Group]) -> str:
    return listed([protocol for group in groups for protocol in group.protocols])


def _called(name: str) -> str:
    plain = name.removeprefix("cc_")
    return f"{'colour-corrected ' if name != plain else ''}{_CALLED.get(plain, plain)}"


def _with_unit(name: str, group: _Group) -> str:
    return f"{shown(name, group.value)}{f' {group.info.unit}' if group.info.unit else ''}"


def _start(text: str) -> str:
    return text[0].upper() + text[1:]


def _idle(records: Sequence[Record]) -> frozenset[str]:
    """The parts of signatures that cannot have made a difference here, whatever they say."""
    idle = set()
    if all(row.coverage is None for record in records for row in record.views):
        idle |= {"mask", "qmask"}
    infos = [info for record in records for info in record.metrics.values()]
    if any("beyond" not in parts_of(info.signature) for info in infos):
        # A protocol that refuses images beyond [0, 1] refused none, so that nobody had anything to clamp.
        idle |= {"beyond", "clamp"}
    return frozenset(idle)


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


def _across(names: Sequence[str]) -> Iterator[str]:
    """What holds between the columns."""
    nets = [name.removeprefix("lpips_") for name in names if name.startswith("lpips_")]
    if len(nets) > 1:
        yield f"LPIPS of different nets is never comparable: {listed(nets)} are metrics of their own."
    if any(name.startswith("cc_") for name in names):
        yield "Colour-corrected scores compare with colour-corrected ones alone."
