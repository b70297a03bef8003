"""Statistics of ranks and signs: Wilcoxon's signed-rank test, Holm's correction, and wins by view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from nvs_eval.comparison.statistics.scores import Array, Scores

# Largest number of units for which the exact distribution of the test is used; beyond it, the normal one.
_MOST_EXACT = 50

_UNDEFINED = "There is no p-value: the mean difference of a scene is undefined and has no rank."
_SEVERAL_RUNS = (
    "There is no p-value with several runs per side: the rank test sees only how views differ, and the interval also "
    "how runs do."
)
_UNLIKE_SCENES = (
    "There is no p-value: the scenes have different numbers of views. The rank test would weight views, and the mean "
    "weights scenes."
)


@dataclass(frozen=True)
class SignedRank:
    """Result of Wilcoxon's two-sided signed-rank test.

    Attributes:
        p: p-value; None without a test.
        units: what is ranked: mean differences of scenes if there are at least six, otherwise differences of views.
        n: number of units that differ from zero.
        sign: 1 if the ranks of differences above zero outweigh those below, -1 for the reverse, 0 for a balance.
        reason: sentence on why there is no test; "" if there is one.
    """

    p: float | None
    units: Literal["scenes", "views"]
    n: int
    sign: int = 0
    reason: str = ""

    @property
    def least_p(self) -> float:
        """Smallest p-value that this number of units can have."""
        return least_p(self.n)


def signed_ranks(metrics: Sequence[Scores]) -> list[SignedRank]:
    """Test by ranks whether the differences of each metric are symmetric about zero; infinite ones rank highest.

    Units without a difference are dropped, as in Wilcoxon's paper: they support neither side, and the distribution of
    the rest stays exact. If none is left, p is 1. It is exact up to 50 units without ties. Beyond that it uses the
    normal distribution, corrected for ties and continuity, and is never below the smallest p that n units can have.

    Views of fixed scenes are not tested if a side has several runs, or if scenes have different numbers of views.
    """
    results: dict[int, SignedRank] = {}
    ranked: dict[int, list[tuple[int, Array]]] = {}
    for index, scores in enumerate(metrics):
        units = "scenes" if scores.samples_scenes else "views"
        values = scores.scene_means if scores.samples_scenes else np.concatenate([s.differences for s in scores.scenes])
        reason, values = _why_none(scores), values[values != 0]
        results[index] = SignedRank(1.0, units, len(values))
        if reason:
            results[index] = SignedRank(None, units, len(values), reason=reason)
        elif len(values):
            ranked.setdefault(len(values), []).append((index, values))
    for group in ranked.values():
        indices, values = zip(*group, strict=True)
        for index, p, sign in zip(indices, *_p_and_sign(np.stack(values)), strict=True):
            results[index] = replace(results[index], p=p, sign=sign)
    return [results[index] for index in range(len(metrics))]


def _why_none(scores: Scores) -> str:
    if scores.samples_scenes:
        return _UNDEFINED if np.isnan(scores.scene_means).any() else ""
    if any(runs > 1 for scene in scores.scenes for runs in scene.layout[:2]):
        return _SEVERAL_RUNS
    return _UNLIKE_SCENES if len({len(scene.views) for scene in scores.scenes}) > 1 else ""


def _p_and_sign(values: Array) -> tuple[list[float], list[int]]:
    """Return the p-value and the sign of each test, from values that are not 0, [tests, units]."""
    from scipy.stats import rankdata, wilcoxon

    ranks = rankdata(np.abs(values), axis=1)
    signed = np.sign(values) * ranks  # Ranks replace the values, so that infinite ones can be tested, too.
    units = values.shape[1]
    exact = np.array([units <= _MOST_EXACT and len(np.unique(row)) == units for row in ranks])
    p = np.empty(len(values))
    for chosen, method in ((exact, "exact"), (~exact, "approx")):
        if chosen.any():
            result = wilcoxon(signed[chosen], axis=1, method=method, correction=method == "approx")
            p[chosen] = np.asarray(result)[1]
    return p.clip(least_p(units), 1.0).tolist(), np.sign(signed.sum(axis=1)).astype(int).tolist()


def least_p(n: int) -> float:
    """Return the smallest two-sided p-value of n units, that of n differences with the same sign."""
    return min(1.0, 2.0 ** (1 - n))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values after Holm's correction, each comparable with the level of all tests together.

    Args:
        p_values: p-values of the tests. None stands for no test; it stays None and does not count.
    """
    ordered = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(ordered):
        highest = max(highest, min(1.0, p * (len(ordered) - rank)))
        adjusted[index] = highest
    return adjusted


@dataclass(frozen=True)
class Wins:
    """Numbers of views on which side B is better, worse and exactly equal, each side averaged over its runs."""

    wins: int
    losses: int
    ties: int

    @property
    def views(self) -> int:
        """Number of views."""
        return self.wins + self.losses + self.ties


def wins(scores: Scores, *, higher_is_better: bool) -> Wins:
    """Count the views on which B wins, loses and ties."""
    values = np.concatenate([scene.differences for scene in scores.scenes])
    above, below = int((values > 0).sum()), int((values < 0).sum())
    better, worse = (above, below) if higher_is_better else (below, above)
    return Wins(better, worse, len(values) - above - below)
