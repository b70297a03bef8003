"""Comparison of results: find the sides, and compute their differences on shared views with intervals and tests."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

from nvs_eval.comparison.causes import Attribution, attribute
from nvs_eval.comparison.model import Comparison, Difference, Pair
from nvs_eval.comparison.shared import Shared, shared
from nvs_eval.comparison.statistics.intervals import RESAMPLES, intervals
from nvs_eval.comparison.statistics.jackknife import Jackknives
from nvs_eval.comparison.statistics.ranks import holm, signed_ranks
from nvs_eval.comparison.statistics.scores import Array
from nvs_eval.comparison.verdicts import pair_words
from nvs_eval.errors import InputError, some, unknown_name
from nvs_eval.metrics.registry import base_of, keys_of
from nvs_eval.records.comparable import precision_advice
from nvs_eval.records.groups import Contender, by_protocol, last_steps, methods_of
from nvs_eval.records.incomplete import failures
from nvs_eval.records.joint import Joint, joint
from nvs_eval.records.known_causes import KnownCauses
from nvs_eval.records.record import Record

# Number of pairs whose draws are made together: many are faster, and take more memory.
_PAIRS_AT_ONCE = 1000
_MOST_PAIRS = 20_000
"""Largest number of pairs of a comparison: those of 200 methods, which take a minute and 2 GB."""
_SEVERAL = (
    "With several arguments, each must be one side. {group} contains {names}. Name the folder or record of one of "
    "them, or use `--runs mean` if they are seeds of one method."
)
_NOT_TWO = (
    "A comparison needs two sides of the same protocol. Got {groups}. Name two results that were scored under the same "
    "protocol, or a folder with several.{advice}"
)
_LAST_STEP = "{name}: only the last checkpoint of each run is used. To use an earlier one, name its folder."


def compare(
    groups: Mapping[str, Sequence[Record]],
    *,
    metrics: Sequence[str] = (),
    runs: Literal["each", "mean"] = "each",
    resamples: int = RESAMPLES,
    on_pairs: Callable[[int, int], None] = lambda done, count: None,
    causes: KnownCauses | None = None,
) -> list[Comparison]:
    """Compare results on the views that they share: one comparison of all results that have numbers in common.

    Args:
        groups: records by the user's name for them. Several groups are one side each; in a single group, each method
            is a side.
        metrics: metrics to compare (default: all).
        runs: treat several runs of a method as sides of their own (`each`), or as seeds whose spread is part of the
            noise (`mean`).
        resamples: number of bootstrap resamples.
        on_pairs: called with the number of pairs of a comparison that are compared, and that of all its pairs.
        causes: causes of the records, which may explain differences in PSNR.

    Raises:
        InputError: no two sides have a number in common; or two share no view or metric, or differ in their images.
    """
    return [
        compare_contenders(
            contenders, metrics=metrics, resamples=resamples, on_pairs=on_pairs, group=group, causes=causes
        )
        for contenders, group in _matched(groups, runs=runs)
    ]


def count_pairs(groups: Mapping[str, Sequence[Record]], *, runs: Literal["each", "mean"] = "each") -> int:
    """Return the number of pairs that `compare` compares.

    Raises:
        InputError: as `compare` does without reading scores.
    """
    return sum(math.comb(len(contenders), 2) for contenders in contenders_of(groups, runs=runs))


def compare_contenders(
    contenders: Sequence[Contender],
    *,
    metrics: Sequence[str] = (),
    scenes: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    on_pairs: Callable[[int, int], None] = lambda done, count: None,
    group: Joint | None = None,
    causes: KnownCauses | None = None,
) -> Comparison:
    """Compare every contender with all later ones.

    Args:
        contenders: at least two contenders of the same split and protocol, or of records that share a table.
        metrics: metrics to compare (default: all).
        scenes: scenes to compare on (default: all that both contenders of a pair have).
        resamples: number of bootstrap resamples.
        on_pairs: called with the number of pairs that are compared, and that of all pairs.
        group: how the records share a table, if they are of several protocols.
        causes: causes of the records, which may explain differences in PSNR.

    Raises:
        InputError: no contender has one of the metrics; or two share no view or metric, or differ in their images.
    """
    scored = {name for contender in contenders for record in contender.all_records for name in record.metrics}
    for metric in metrics:
        if not keys_of(metric, scored):
            raise unknown_name("metric", metric, scored)
    first = contenders[0].all_records[0]
    both = _shared_by_pairs(contenders, scenes)
    count = math.comb(len(contenders), 2)
    if count > _MOST_PAIRS:
        raise InputError(
            f"{len(contenders)} results under {first.protocol_title} are {count} pairs, and at most {_MOST_PAIRS} can "
            "be compared at once. Name fewer results, or two sides."
        )
    pairs: list[Pair] = []
    while some_pairs := list(itertools.islice(both, _PAIRS_AT_ONCE)):
        pairs += _pairs(some_pairs, metrics, resamples)
        on_pairs(len(pairs), count)
    if causes:
        pairs = [replace(pair, attributions=_attributions(pair, causes, resamples)) for pair in pairs]
    comparison = Comparison(first.split, first.protocol_title, first.fingerprint, _corrected(pairs), group)
    describe = partial(pair_words, comparison)
    return replace(comparison, pairs=[replace(pair, describe=describe) for pair in comparison.pairs])


def _shared_by_pairs(contenders: Sequence[Contender], scenes: Sequence[str] | None) -> Iterator[Shared]:
    arrays: dict[object, Array] = {}
    for a, b in itertools.combinations(contenders, 2):
        yield shared(a, b, scenes=scenes, arrays=arrays)


def _pairs(several: Sequence[Shared], metrics: Sequence[str], resamples: int) -> list[Pair]:
    """Compare the contenders of each pair. Pairs share the draws of the bootstrap."""
    chosen_of = [_chosen(both, metrics) for both in several]
    # One metric after the other, so that fewer sides are in memory at a time.
    scores = {
        (index, metric): several[index].scores(metric)
        for metric in dict.fromkeys(metric for chosen in chosen_of for metric in chosen)
        for index, chosen in enumerate(chosen_of)
        if metric in chosen
    }
    of_all = intervals(scores, resamples=resamples)
    tests = dict(zip(scores, signed_ranks([*scores.values()]), strict=True))
    pairs = []
    for index, (both, chosen) in enumerate(zip(several, chosen_of, strict=True)):
        by_metric = {metric: scores[index, metric] for metric in chosen}
        full = {metric: of_all[index, metric] for metric in chosen}
        jackknives = Jackknives(by_metric, full, resamples)
        differences = {
            metric: Difference(metric, both.infos[metric], of_metric, full[metric], tests[index, metric], jackknives)
            for metric, of_metric in by_metric.items()
        }
        pairs.append(Pair(both, differences, lambda _: ()))
    return pairs


def _attributions(pair: Pair, causes: KnownCauses, resamples: int) -> dict[str, Attribution]:
    psnr = [metric for metric in pair.differences if base_of(metric) == "psnr"]
    found = {metric: attribute(pair.shared, causes, metric, resamples=resamples) for metric in psnr}
    return {metric: one for metric, one in found.items() if one is not None}


def _chosen(both: Shared, metrics: Sequence[str]) -> list[str]:
    """Return the metrics to compare of those that two contenders share.

    Raises:
        InputError: they share none of them.
    """
    chosen = [key for metric in metrics for key in keys_of(metric, both.infos)] if metrics else list(both.infos)
    if not chosen:
        raise InputError(
            f"{both.a.name} and {both.b.name} share none of the metrics {', '.join(metrics)}. "
            f"They share {', '.join(both.infos)}."
        )
    return chosen


def _corrected(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs with the p-values of all their metrics corrected together."""
    adjusted = iter(holm([difference.test.p for pair in pairs for difference in pair.differences.values()]))
    return [
        replace(pair, differences={name: replace(d, p_holm=next(adjusted)) for name, d in pair.differences.items()})
        for pair in pairs
    ]


def contenders_of(
    groups: Mapping[str, Sequence[Record]], *, runs: Literal["each", "mean"] = "each"
) -> list[list[Contender]]:
    """Return the contenders that have numbers in common, if there are at least two, at the last step of each run.

    Takes the arguments of `compare`.

    Raises:
        InputError: one of several groups contains more than one method or run; or no two contenders have a number in
            common.
    """
    return [contenders for contenders, _ in _matched(groups, runs=runs)]


def _matched(
    groups: Mapping[str, Sequence[Record]], *, runs: Literal["each", "mean"]
) -> list[tuple[list[Contender], Joint]]:
    matched = []
    for part in _parts(groups):
        sides: list[tuple[str, Contender]] = []
        for group, members in zip(groups, part.sides, strict=True):
            contenders = methods_of(members, runs=runs)
            if len(groups) > 1 and len(contenders) > 1:
                raise InputError(_SEVERAL.format(group=group, names=some(side.name for side in contenders)))
            sides += [(group, contender) for contender in contenders]
        if len(sides) > 1:
            matched.append((_with_labels(sides), part))
    if matched:
        return matched
    got = (
        f"{group} ({some(dict.fromkeys(map(_with_protocol, records)), whole=True)})"
        for group, records in groups.items()
    )
    advice = precision_advice([record for records in groups.values() for record in records])
    raise InputError(_NOT_TWO.format(groups=", ".join(got), advice=advice))


def _parts(groups: Mapping[str, Sequence[Record]]) -> list[Joint]:
    """Group records by numbers in common; over only some scenes or views if nothing else is comparable."""
    parts = joint(*groups.values())
    several = any(
        len({(place, record.method, record.run) for place, side in enumerate(part.sides) for record in side}) > 1
        for part in parts
    )
    return parts if several else joint(*groups.values(), whole=False)


def _with_labels(sides: Sequence[tuple[str, Contender]]) -> list[Contender]:
    """Label contenders with the shortest names that tell them apart; the longest contain the name of the group."""
    with_runs = [(group, _with_run(contender)) for group, contender in sides]
    candidates = (
        [contender.method for _, contender in with_runs],
        [replace(contender, step=None).name for _, contender in with_runs],
        [contender.name for _, contender in with_runs],
        [f"{contender.name} ({group})" for group, contender in with_runs],
    )
    names = next((names for names in candidates if max(Counter(names).values()) == 1), candidates[-1])
    return [replace(contender, label=name) for (_, contender), name in zip(sides, names, strict=True)]


def _with_run(contender: Contender) -> Contender:
    """Return the contender with the run that all its records have, if there is one."""
    runs = {record.run for record in contender.all_records}
    return replace(contender, run=runs.pop()) if len(runs) == 1 else contender


def _with_protocol(record: Record) -> str:
    return f"{record.method} under {record.protocol_title}"


def left_out_notes(groups: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    """Yield notes on splits and protocols that some groups lack, which are skipped or compared without these groups."""
    parts: list[dict[str, Record]] = []
    for part in _parts(groups):
        owners: dict[str, Record] = {}
        for group, records in zip(groups, part.sides, strict=True):
            for record in records:
                owners.setdefault(group if len(groups) > 1 else record.method, record)
        parts.append(owners)
    everyone = dict.fromkeys(owner for owners in parts for owner in owners)
    for by_owner in parts:
        (first, *others), missing = by_owner, [owner for owner in everyone if owner not in by_owner]
        record = by_owner[first]
        views = f"{record.split} views under {record.protocol_title} ({record.fingerprint})"
        if missing and not others:
            yield f"Skipped {views}: only {first} has them."
        elif missing:
            yield f"Compared without {some(missing)}, which {'has' if len(missing) == 1 else 'have'} no {views}."


def incomplete_notes(groups: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    """Yield a note for each result that lacks views that failed."""
    for name, records in groups.items():
        owner = f"{name}: " if len(groups) > 1 else ""
        used = [record for members in by_protocol(records).values() for record in last_steps(members)]
        yield from (f"Incomplete: {owner}{line}." for line in failures(used))


def last_step_notes(groups: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    """Yield a note for each group that has earlier checkpoints, which are not used."""
    for name, records in groups.items():
        if any(len(last_steps(members)) < len(members) for members in by_protocol(records).values()):
            yield _LAST_STEP.format(name=name)
