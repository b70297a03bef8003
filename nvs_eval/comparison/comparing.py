"""Contenders against each other: what differs on the views that they share, and whether that is more than noise."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from nvs_eval.comparison.shared import Shared, shared
from nvs_eval.contenders import Contender
from nvs_eval.errors import InputError
from nvs_eval.records import MetricInfo
from nvs_eval.statistics.intervals import RESAMPLES, Interval, intervals
from nvs_eval.statistics.jackknife import Jackknife, jackknife
from nvs_eval.statistics.ranks import SignedRank, Wins, holm, signed_rank, wins
from nvs_eval.statistics.scores import Scores

SIGNIFICANT = 0.05
"""Below which a corrected p confirms what an interval says."""


@dataclass(frozen=True)
class Change:
    """What a view gains from A to B."""

    scene: str
    view: str
    difference: float


@dataclass(frozen=True)
class Difference:
    """How two contenders differ in one metric, B - A in its unit.

    Attributes:
        metric: its key.
        info: its unit and direction.
        scores: of both on the shared views.
        mean_a: of A, over the scenes' means.
        mean_b: of B.
        interval: the mean difference with its 95 % interval.
        test: Wilcoxon's.
        p_holm: its p after Holm's correction over all metrics and pairs of the comparison; None where there is none.
        wins: the views on which B is better, worse and as good.
        jackknife: what each view and scene contributes.
    """

    metric: str
    info: MetricInfo
    scores: Scores
    mean_a: float
    mean_b: float
    interval: Interval
    test: SignedRank
    p_holm: float | None
    wins: Wins
    jackknife: Jackknife

    @property
    def verdict(self) -> Literal["better", "worse", "not distinguishable", "unknown"]:
        """Of B against A, by the interval; unknown where there is none."""
        if self.interval.low is None:
            return "unknown"
        if self.interval.sign == 0:
            return "not distinguishable"
        return "better" if (self.interval.sign > 0) == self.info.higher_is_better else "worse"

    @property
    def confirmed(self) -> bool:
        """Whether the test, corrected for all tests of the comparison, says the same."""
        return self.interval.sign != 0 and self.p_holm is not None and self.p_holm < SIGNIFICANT

    @property
    def changes(self) -> list[Change]:
        """Of each view, from the largest gain to the largest loss."""
        found = [
            Change(scene.name, view, float(value))
            for scene in self.scores.scenes
            for view, value in zip(scene.views, scene.differences, strict=True)
        ]
        return sorted(found, key=lambda change: change.difference, reverse=self.info.higher_is_better)

    def gain(self, change: Change) -> float:
        """A change as a gain: above zero where B is better."""
        return change.difference if self.info.higher_is_better else -change.difference


@dataclass(frozen=True)
class Pair:
    """Two contenders against each other: A, and B that is compared with it."""

    shared: Shared
    differences: Mapping[str, Difference]

    @property
    def a(self) -> Contender:
        """The one that is compared with."""
        return self.shared.a

    @property
    def b(self) -> Contender:
        """The one that is compared."""
        return self.shared.b


@dataclass(frozen=True)
class Comparison:
    """Contenders of one split and protocol against each other.

    Attributes:
        split: of the views.
        protocol: its name.
        fingerprint: of the protocol.
        pairs: each contender with each that comes after it.
    """

    split: str
    protocol: str
    fingerprint: str
    pairs: Sequence[Pair]

    @property
    def tests(self) -> int:
        """How many there are, over which Holm's correction is."""
        return sum(each.p_holm is not None for pair in self.pairs for each in pair.differences.values())


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
        InputError: two share no view, no metric, or not the same images.
    """
    first = contenders[0].all_records[0]
    pairs = [_pair(shared(a, b, scenes=scenes), metrics, resamples) for a, b in itertools.combinations(contenders, 2)]
    return Comparison(first.split, first.protocol["name"], first.fingerprint, _corrected(pairs))


def _pair(both: Shared, metrics: Sequence[str], resamples: int) -> Pair:
    chosen = [metric for metric in (metrics or both.infos) if metric in both.infos]
    if not chosen:
        raise InputError(
            f"{both.a.name} and {both.b.name} share {', '.join(both.infos)}, and none of {', '.join(metrics)}."
        )
    scores = {metric: both.scores(metric) for metric in chosen}
    found = intervals(scores, resamples=resamples)
    return Pair(both, {metric: _difference(metric, both, scores[metric], found[metric]) for metric in chosen})


def _difference(metric: str, both: Shared, scores: Scores, interval: Interval) -> Difference:
    info = both.infos[metric]
    return Difference(
        metric=metric,
        info=info,
        scores=scores,
        mean_a=float(sum(scene.a.mean() for scene in scores.scenes)) / len(scores.scenes),
        mean_b=float(sum(scene.b.mean() for scene in scores.scenes)) / len(scores.scenes),
        interval=interval,
        test=signed_rank(scores),
        p_holm=None,
        wins=wins(scores, higher_is_better=info.higher_is_better),
        jackknife=jackknife(scores, interval),
    )


def _corrected(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs, with the p of all their metrics corrected together."""
    adjusted = iter(holm([each.test.p for pair in pairs for each in pair.differences.values()]))
    return [
        replace(pair, differences={name: replace(e, p_holm=next(adjusted)) for name, e in pair.differences.items()})
        for pair in pairs
    ]
