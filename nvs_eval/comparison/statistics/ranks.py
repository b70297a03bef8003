"""What ranks and signs say of a difference: Wilcoxon's test, Holm's correction, and wins by view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nvs_eval.comparison.statistics.scores import Array, Scores

# Up to here the distribution of the test is taken as it is, beyond it as normal.
_MOST_EXACT = 50

_UNDEFINED = "A scene's mean difference is undefined: there is no rank to give it."
_SEVERAL_RUNS = (
    "With several runs of a side there is no p-value: the rank test knows only how views differ, not how runs do, "
    "which is in the interval."
)
_UNLIKE_SCENES = (
    "There is no p-value: the scenes have different numbers of views, and the rank test would count views, where the "
    "mean counts each scene the same."
)


@dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's signed-rank test of whether differences lie about zero, two-sided.

    Attributes:
        p: the p-value; None where there is no test.
        units: what was ranked: the scenes' mean differences where there are six scenes, else the views'.
        n: how many of them differ from zero.
        sign: 1 where the ranks of differences above zero outweigh those below, -1 the other way round, else 0.
        reason: why there is no test, in words; "" where there is one.
    """

    p: float | None
    units: Literal["scenes", "views"]
    n: int
    sign: int = 0
    reason: str = ""

    @property
    def least_p(self) -> float:
        """The smallest p that so many units can have."""
        return least_p(self.n)


def signed_rank(scores: Scores) -> SignedRank:
    """Test whether the differences lie symmetrically about zero, by their ranks; infinite ones rank highest.

    Units without a difference are left out, as Wilcoxon did: they speak for neither side, and the distribution of the
    rest stays exact. With nothing left p is 1. It is exact up to 50 units of different size, else by the normal
    distribution with its correction for ties, and never below what n units can have.

    There is no test of the views of fixed scenes where a side has several runs, or where the scenes have different
    numbers of views.
    """
    from scipy.stats import rankdata

    units = "scenes" if scores.samples_scenes else "views"
    values = scores.scene_means if scores.samples_scenes else np.concatenate([s.differences for s in scores.scenes])
    if reason := _why_none(scores):
        return SignedRank(None, units, int(np.count_nonzero(values)), reason=reason)
    values = values[values != 0]
    ranks = rankdata(np.abs(values))
    return SignedRank(_p(values, ranks), units, len(values), int(np.sign(np.sign(values) @ ranks)))


def _why_none(scores: Scores) -> str:
    if scores.samples_scenes:
        return _UNDEFINED if np.isnan(scores.scene_means).any() else ""
    if any(runs > 1 for scene in scores.scenes for runs in scene.layout[:2]):
        return _SEVERAL_RUNS
    return _UNLIKE_SCENES if len({len(scene.views) for scene in scores.scenes}) > 1 else ""


def _p(values: Array, ranks: Array) -> float:
    from scipy.stats import wilcoxon

    if not len(values):
        return 1.0
    exact = len(values) <= _MOST_EXACT and len(np.unique(ranks)) == len(ranks)
    # Ranks stand for the values, so that infinite ones can be tested, too.
    result = wilcoxon(np.sign(values) * ranks, correction=not exact, method="exact" if exact else "approx")
    p = float(np.asarray(result)[1])
    return min(1.0, max(p, least_p(len(values))))


def least_p(n: int) -> float:
    """The smallest two-sided p that the signed-rank test can give of n units: where all of them agree."""
    return min(1.0, 2.0 ** (1 - n))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's correction for several tests: p-values that may each be held against the level of all of them together.

    Args:
        p_values: of the tests; None where there was none, which stays None and does not count.
    """
    ordered = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for place, (p, index) in enumerate(ordered):
        highest = max(highest, min(1.0, p * (len(ordered) - place)))
        adjusted[index] = highest
    return adjusted


@dataclass(frozen=True)
class Wins:
    """On how many views side B is better, worse and exactly as good, each side averaged over its runs."""

    wins: int
    losses: int
    ties: int

    @property
    def views(self) -> int:
        """How many there are."""
        return self.wins + self.losses + self.ties


def wins(scores: Scores, *, higher_is_better: bool) -> Wins:
    """Count the views on which B wins and loses."""
    values = np.concatenate([scene.differences for scene in scores.scenes])
    above, below = int((values > 0).sum()), int((values < 0).sum())
    better, worse = (above, below) if higher_is_better else (below, above)
    return Wins(better, worse, len(values) - above - below)
