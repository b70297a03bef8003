"""Whom to compare: each group of records is a side; a group alone is of several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from nvs_eval.errors import InputError, some
from nvs_eval.records.comparable import precision_advice
from nvs_eval.records.groups import Contender, by_protocol, methods_of
from nvs_eval.records.record import Record


@dataclass(frozen=True)
class Side:
    """A contender, and what it is called here.

    Attributes:
        contender: of one split and protocol.
        group: which records it was made of, as the user named them.
    """

    contender: Contender
    group: str


def sides_of(
    groups: Mapping[str, Sequence[Record]], *, runs: Literal["each", "mean"] = "each"
) -> list[list[Contender]]:
    """The contenders of each split and protocol that two at least have, of each run the last checkpoint.

    Args:
        groups: records by what the user calls them. Of several groups each is a side; of one, each of its methods.
        runs: whether several runs of a method are sides of their own, or seeds of which the mean counts.

    Raises:
        InputError: a group of several holds more than one method or run; or nowhere are there two to compare.
    """
    found: dict[tuple[str, str], list[Side]] = {}
    for group, records in groups.items():
        for key, members in by_protocol(records).items():
            contenders = methods_of(members, runs=runs)
            if len(groups) > 1 and len(contenders) > 1:
                raise InputError(
                    f"{group} holds {some(each.name for each in contenders)}: with several arguments each is one side. "
                    "Name the folder or record of one of them, or say `--runs mean` if they are seeds of one method."
                )
            found.setdefault(key, []).extend(Side(contender, group) for contender in contenders)
    comparable = [_named(sides) for sides in found.values() if len(sides) > 1]
    if not comparable:
        raise InputError(_nothing(groups))
    return comparable


def left_out_notes(groups: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    """What is not compared, or not with all, as not all have records of one split and protocol.

    Args:
        groups: as `sides_of` takes them.
    """
    owners: dict[tuple[str, str], dict[str, Record]] = {}
    everyone: dict[str, None] = {}
    for group, records in groups.items():
        for record in records:
            owner = group if len(groups) > 1 else record.method
            owners.setdefault((record.split, record.fingerprint), {}).setdefault(owner, record)
            everyone[owner] = None
    for (split, fingerprint), of_key in owners.items():
        (first, *others), missing = of_key, [owner for owner in everyone if owner not in of_key]
        what = f"{split} views under {of_key[first].protocol_title} ({fingerprint})"
        if missing and not others:
            yield f"Only {first} has {what}: left out."
        elif missing:
            yield f"{some(missing)} {'has' if len(missing) == 1 else 'have'} no {what}: compared without."


def _named(sides: Sequence[Side]) -> list[Contender]:
    """The contenders, by the shortest names that tell them apart: at last with what the user called their records."""
    whole = [_with_run(side.contender) for side in sides]
    candidates = (
        [each.method for each in whole],
        [replace(each, step=None).name for each in whole],
        [each.name for each in whole],
        [f"{each.name} ({side.group})" for each, side in zip(whole, sides, strict=True)],
    )
    names = next((names for names in candidates if max(Counter(names).values()) == 1), candidates[-1])
    return [replace(side.contender, label=name) for side, name in zip(sides, names, strict=True)]


def _with_run(contender: Contender) -> Contender:
    """With the run that all its records are of, if there is one."""
    runs = {record.run for record in contender.all_records}
    return replace(contender, run=runs.pop()) if len(runs) == 1 else contender


def _nothing(groups: Mapping[str, Sequence[Record]]) -> str:
    everything = [record for records in groups.values() for record in records]
    said = [f"{group} has {some(dict.fromkeys(map(_with_protocol, records)))}" for group, records in groups.items()]
    return (
        f"There are no two sides of one protocol: {'; '.join(said)}. Name two results that were scored under the same "
        f"protocol, or a folder that holds several.{precision_advice(everything)}"
    )


def _with_protocol(record: Record) -> str:
    return f"{record.method} under {record.protocol_title}"
