"""Contenders against each other: what differs on the views that they share, and whether that is more than noise."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from nvs_eval.comparison.model import Comparison, Difference, Pair
from nvs_eval.comparison.shared import Shared, shared
from nvs_eval.comparison.statistics.intervals import RESAMPLES, intervals
from nvs_eval.comparison.statistics.jackknife import Jackknife, jackknives
from nvs_eval.comparison.statistics.ranks import holm, signed_rank, wins
from nvs_eval.comparison.statistics.scores import Scores
from nvs_eval.comparison.words.verdicts import words_of
from nvs_eval.errors import InputError, unknown_name
from nvs_eval.records.groups import Contender


def compared(
    contenders: Sequence[Contender],
    *,
    metrics: Sequence[str] = (),
    scenes: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare each contender with each that comes after it.

    Args:
        contenders: of one split and protocol, two at least.
        metrics: which, or all.
        scenes: only these, or all that each two share.
        resamples: of the bootstrap.

    Raises:
        InputError: a metric is of none of them; two share no view, no metric, or not the same images.
    """
    known = {name for side in contenders for record in side.all_records for name in record.metrics}
    for metric in metrics:
        if metric not in known:
            raise unknown_name("metric", metric, known)
    first = contenders[0].all_records[0]
    pairs = [_pair(shared(a, b, scenes=scenes), metrics, resamples) for a, b in itertools.combinations(contenders, 2)]
    found = Comparison(first.split, first.protocol_title, first.fingerprint, _corrected(pairs))
    return replace(found, pairs=[replace(pair, words=words_of(found, pair)) for pair in found.pairs])


def _pair(both: Shared, metrics: Sequence[str], resamples: int) -> Pair:
    chosen = [metric for metric in (metrics or both.infos) if metric in both.infos]
    if not chosen:
        raise InputError(
            f"{both.a.name} and {both.b.name} share {', '.join(both.infos)}, and none of {', '.join(metrics)}."
        )
    scores = {metric: both.scores(metric) for metric in chosen}
    found = intervals(scores, resamples=resamples)
    without = jackknives(scores, found, resamples=resamples)
    return Pair(both, {metric: _difference(metric, both, scores[metric], without[metric]) for metric in chosen})


def _difference(metric: str, both: Shared, scores: Scores, without: Jackknife) -> Difference:
    info = both.infos[metric]
    return Difference(
        metric=metric,
        info=info,
        scores=scores,
        mean_a=float(sum(scene.a.mean() for scene in scores.scenes)) / len(scores.scenes),
        mean_b=float(sum(scene.b.mean() for scene in scores.scenes)) / len(scores.scenes),
        interval=without.interval,
        test=signed_rank(scores),
        p_holm=None,
        wins=wins(scores, higher_is_better=info.higher_is_better),
        jackknife=without,
    )


def _corrected(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs, with the p of all their metrics corrected together."""
    adjusted = iter(holm([each.test.p for pair in pairs for each in pair.differences.values()]))
    return [
        replace(pair, differences={name: replace(e, p_holm=next(adjusted)) for name, e in pair.differences.items()})
        for pair in pairs
    ]
