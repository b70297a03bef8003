"""Results against each other: which sides there are, how they differ on shared views, and whether that is noise."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from nvs_eval.comparison.model import Comparison, Difference, Pair
from nvs_eval.comparison.shared import Shared, shared
from nvs_eval.comparison.statistics.intervals import RESAMPLES, intervals
from nvs_eval.comparison.statistics.jackknife import jackknives
from nvs_eval.comparison.statistics.ranks import holm, signed_rank
from nvs_eval.comparison.verdicts import pair_words
from nvs_eval.errors import InputError, some, unknown_name
from nvs_eval.records.comparable import precision_advice
from nvs_eval.records.groups import Contender, by_protocol, last_steps, methods_of
from nvs_eval.records.record import Record

_SEVERAL = (
    "{group} holds {names}: with several arguments each is one side. Name the folder or record of one of them, or say "
    "`--runs mean` if they are seeds of one method."
)
_NOT_TWO = (
    "There are no two sides of one protocol: {groups}. Name two results that were scored under the same protocol, or a "
    "folder that holds several.{advice}"
)
_LAST_STEP = "{name}: of each run the last checkpoint takes part. Name the folder of another step to take that."


def compare(
    groups: Mapping[str, Sequence[Record]],
    *,
    metrics: Sequence[str] = (),
    runs: Literal["each", "mean"] = "each",
    resamples: int = RESAMPLES,
) -> list[Comparison]:
    """Compare results on the views that they share: one comparison per split and protocol.

    Args:
        groups: records by the user's name for them. Each of several groups is a side; of one group, each method is.
        metrics: the metrics to compare (default: all).
        runs: whether several runs of a method are sides of their own, or seeds whose spread is part of the noise.
        resamples: number of bootstrap resamples.

    Raises:
        InputError: there are no two sides of one protocol, or they share no view, no metric, or not the same images.
    """
    matched = contenders_of(groups, runs=runs)
    return [compare_contenders(contenders, metrics=metrics, resamples=resamples) for contenders in matched]


def compare_contenders(
    contenders: Sequence[Contender],
    *,
    metrics: Sequence[str] = (),
    scenes: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare each contender with each that comes after it.

    Args:
        contenders: at least two, of one split and protocol.
        metrics: the metrics to compare (default: all).
        scenes: the scenes to compare on (default: all that both contenders of a pair have).
        resamples: number of bootstrap resamples.

    Raises:
        InputError: no contender has one of the metrics; two share no view, no metric, or not the same images.
    """
    scored = {name for contender in contenders for record in contender.all_records for name in record.metrics}
    for metric in metrics:
        if metric not in scored:
            raise unknown_name("metric", metric, scored)
    first = contenders[0].all_records[0]
    pairs = [_pair(shared(a, b, scenes=scenes), metrics, resamples) for a, b in itertools.combinations(contenders, 2)]
    comparison = Comparison(first.split, first.protocol_title, first.fingerprint, _corrected(pairs))
    return replace(comparison, pairs=[replace(pair, words=pair_words(comparison, pair)) for pair in comparison.pairs])


def _pair(both: Shared, metrics: Sequence[str], resamples: int) -> Pair:
    chosen = [metric for metric in (metrics or both.infos) if metric in both.infos]
    if not chosen:
        raise InputError(
            f"{both.a.name} and {both.b.name} share {', '.join(both.infos)}, and none of {', '.join(metrics)}."
        )
    scores = {metric: both.scores(metric) for metric in chosen}
    without = jackknives(scores, intervals(scores, resamples=resamples), resamples=resamples)
    differences = {
        metric: Difference(metric, both.infos[metric], of_metric, signed_rank(of_metric), without[metric])
        for metric, of_metric in scores.items()
    }
    return Pair(both, differences)


def _corrected(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs, with the p of all their metrics corrected together."""
    adjusted = iter(holm([difference.test.p for pair in pairs for difference in pair.differences.values()]))
    return [
        replace(pair, differences={name: replace(d, p_holm=next(adjusted)) for name, d in pair.differences.items()})
        for pair in pairs
    ]


def contenders_of(
    groups: Mapping[str, Sequence[Record]], *, runs: Literal["each", "mean"] = "each"
) -> list[list[Contender]]:
    """The contenders of each split and protocol that at least two have: the last checkpoint of each run.

    The arguments are those of `compare`.

    Raises:
        InputError: one of several groups holds more than one method or run; or nowhere are there two to compare.
    """
    sides: dict[tuple[str, str], list[tuple[str, Contender]]] = {}
    for group, records in groups.items():
        for protocol, members in by_protocol(records).items():
            contenders = methods_of(members, runs=runs)
            if len(groups) > 1 and len(contenders) > 1:
                raise InputError(_SEVERAL.format(group=group, names=some(side.name for side in contenders)))
            sides.setdefault(protocol, []).extend((group, contender) for contender in contenders)
    comparable = [_told_apart(several) for several in sides.values() if len(several) > 1]
    if not comparable:
        held = (f"{group} has {some(dict.fromkeys(map(_with_protocol, records)))}" for group, records in groups.items())
        advice = precision_advice([record for records in groups.values() for record in records])
        raise InputError(_NOT_TWO.format(groups="; ".join(held), advice=advice))
    return comparable


def _told_apart(sides: Sequence[tuple[str, Contender]]) -> list[Contender]:
    """The contenders of groups, under the shortest names that tell them apart, at last with the name of the group."""
    whole = [(group, _with_run(contender)) for group, contender in sides]
    candidates = (
        [contender.method for _, contender in whole],
        [replace(contender, step=None).name for _, contender in whole],
        [contender.name for _, contender in whole],
        [f"{contender.name} ({group})" for group, contender in whole],
    )
    names = next((names for names in candidates if max(Counter(names).values()) == 1), candidates[-1])
    return [replace(contender, label=name) for (_, contender), name in zip(sides, names, strict=True)]


def _with_run(contender: Contender) -> Contender:
    """With the run that all its records are of, if there is one."""
    runs = {record.run for record in contender.all_records}
    return replace(contender, run=runs.pop()) if len(runs) == 1 else contender


def _with_protocol(record: Record) -> str:
    return f"{record.method} under {record.protocol_title}"


def left_out_notes(groups: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    """Notes on what of groups is not compared, or not with all, as some have no records of that split and protocol."""
    owners: dict[tuple[str, str], dict[str, Record]] = {}
    everyone: dict[str, None] = {}
    for group, records in groups.items():
        for record in records:
            owner = group if len(groups) > 1 else record.method
            owners.setdefault((record.split, record.fingerprint), {}).setdefault(owner, record)
            everyone[owner] = None
    for (split, fingerprint), by_owner in owners.items():
        (first, *others), missing = by_owner, [owner for owner in everyone if owner not in by_owner]
        what = f"{split} views under {by_owner[first].protocol_title} ({fingerprint})"
        if missing and not others:
            yield f"Only {first} has {what}: left out."
        elif missing:
            yield f"{some(missing)} {'has' if len(missing) == 1 else 'have'} no {what}: compared without."


def last_step_notes(groups: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    """A note for each group whose earlier checkpoints take no part, under the group's name."""
    for name, records in groups.items():
        if any(len(last_steps(members)) < len(members) for members in by_protocol(records).values()):
            yield _LAST_STEP.format(name=name)
