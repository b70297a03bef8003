"""What must be known of some rows of a table, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from nvs_eval.errors import counted, listed, some
from nvs_eval.records.comparable import difference, result_name, usual_of
from nvs_eval.records.record import Record

ODD = "†"
"""Marks a row whose numbers may not be compared with most others."""


def odd_records(scenes: Sequence[Sequence[Record]]) -> list[tuple[Record, Record, str]]:
    """The records that were not scored on what most of their scene were: each, what is usual, and what differs.

    Args:
        scenes: the records of each, all of one split and protocol.
    """
    found = []
    for records in scenes:
        usual = usual_of(records)
        compared = [(record, usual, difference(usual, record)) for record in records]
        found += [(record, usual, said) for record, usual, said in compared if said]
    return found


def odd_notes(odd: Sequence[tuple[Record, Record, str]], *, scenes: int) -> Iterator[str]:
    """Which rows those are.

    Args:
        odd: as from `odd_records`.
        scenes: of how many scenes the table is; of several, it is said of which.
    """
    together: dict[tuple[str, str, str], list[str]] = {}
    for record, usual, said in odd:
        where = f"{record.scene}: " if scenes > 1 else ""
        together.setdefault((where, said, result_name(usual)), []).append(result_name(record))
    for (where, said, usual), names in together.items():
        yield f"{ODD} {where}{', '.join(dict.fromkeys(names))}: not comparable with {usual}, for {said}"


def left_out_notes(records: Sequence[Record]) -> Iterator[str]:
    """How many views were not scored and why, with the name of the result where that is not said of all."""
    said = [_left_out(record) for record in records]
    for note in dict.fromkeys(filter(None, said)):
        names = [_named(record, records) for record, each in zip(records, said, strict=True) if each == note]
        yield note if len(names) == len(records) else f"{', '.join(dict.fromkeys(names))}: {note}"


def mask_notes(records: Sequence[Record]) -> Iterator[str]:
    """Masks that came with renders and were not used, which changes what a protocol with masks is to reproduce."""
    for record in records:
        if isinstance(masks := record.provenance.get("masks_not_used"), str):
            yield f"{_named(record, records)}: masks came with the renders ({masks}) and were not used"


def missing_notes(missing: Mapping[str, Mapping[str, Sequence[str]]], metrics: Sequence[str]) -> Iterator[str]:
    """Which rows have no mean, for want of which scenes; of which metrics, if not of all.

    Args:
        missing: of each row, by metric, the scenes that it lacks; those of which there is no mean.
        metrics: of the table.
    """
    together: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, of_metrics in missing.items():
        for scenes in dict.fromkeys(map(tuple, of_metrics.values())):
            of = [metric for metric, lacking in of_metrics.items() if tuple(lacking) == scenes]
            what = "" if of == list(metrics) else f" of {listed(of)}"
            together.setdefault((what, scenes), []).append(name)
    for (what, scenes), names in together.items():
        yield f"{', '.join(names)}: no mean{what}, for want of {some(scenes)}"


def _named(record: Record, records: Sequence[Record]) -> str:
    several = len({each.scene for each in records}) > 1
    return f"{record.scene}, {result_name(record)}" if several else result_name(record)


def _left_out(record: Record) -> str:
    given = record.provenance.get("left_out")
    reasons = Counter(map(str, given.values())) if isinstance(given, dict) else {}
    return "; ".join(f"{counted(count, 'view')} left out: {reason}" for reason, count in reasons.items())
