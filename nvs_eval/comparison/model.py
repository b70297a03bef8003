"""What a comparison finds: differences by metric, of pairs of contenders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from nvs_eval.comparison.shared import Shared
from nvs_eval.comparison.statistics.intervals import Interval
from nvs_eval.comparison.statistics.jackknife import Jackknife
from nvs_eval.comparison.statistics.ranks import SignedRank, Wins
from nvs_eval.comparison.statistics.scores import Scores
from nvs_eval.records.groups import Contender
from nvs_eval.records.record import MetricInfo

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
        """Whether the test, corrected for all tests of the comparison, says the same as the interval."""
        return self.told_by_ranks and self.interval.sign == self.test.sign

    @property
    def told_by_ranks(self) -> bool:
        """Whether the test, corrected for all tests of the comparison, says that there is a difference."""
        return self.p_holm is not None and self.p_holm < SIGNIFICANT

    @property
    def identical(self) -> bool:
        """Whether there is no difference at all, on any view."""
        return self.wins.wins == self.wins.losses == 0

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
    """Two contenders against each other: A, and B that is compared with it.

    Attributes:
        shared: what both were scored on.
        differences: by metric.
        words: what is to be said of it, a sentence an item.
    """

    shared: Shared
    differences: Mapping[str, Difference]
    words: Sequence[str] = ()

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
