"""Result of a comparison: differences of pairs of contenders by metric, as plain data and as JSON values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from nvs_eval.comparison.causes import Attribution
from nvs_eval.comparison.shared import Shared
from nvs_eval.comparison.statistics.intervals import LEVEL, Interval
from nvs_eval.comparison.statistics.jackknife import Jackknife, Jackknives, Without
from nvs_eval.comparison.statistics.ranks import SignedRank, Wins, wins
from nvs_eval.comparison.statistics.scores import Scores
from nvs_eval.metrics.registry import about_of
from nvs_eval.records.groups import Contender
from nvs_eval.records.joint import Joint
from nvs_eval.records.record import MetricInfo

SIGNIFICANT = 0.05
"""Corrected p-value below which the rank test confirms a verdict."""


def json_number(value: float | None) -> float | str | None:
    """Return a number as a JSON value; infinities are the strings "inf" and "-inf"."""
    if value is None or math.isfinite(value):
        return value
    return "inf" if value > 0 else "-inf"


def json_interval(low: float | None, high: float | None) -> list[float | str | None] | None:
    """Return both ends of an interval as JSON values, or None if there is no interval."""
    return None if low is None else [json_number(low), json_number(high)]


@dataclass(frozen=True)
class Change:
    """Difference of one view, B - A."""

    scene: str
    view: str
    difference: float


@dataclass(frozen=True)
class Difference:
    """Difference of two contenders in one metric, B - A in the metric's unit.

    Attributes:
        metric: key of the metric.
        info: unit and direction of the metric.
        scores: scores of both contenders on the shared views.
        interval: mean difference with its 95 % interval.
        test: Wilcoxon's signed-rank test.
        jackknives: jackknives of all metrics of the pair.
        p_holm: p-value after Holm's correction over all metrics and pairs of the comparison; None without a test.
    """

    metric: str
    info: MetricInfo
    scores: Scores
    interval: Interval
    test: SignedRank
    jackknives: Jackknives
    p_holm: float | None = None

    @property
    def jackknife(self) -> Jackknife:
        """Mean difference with its 95 % interval, for all views and without each view and scene."""
        return self.jackknives.by_metric[self.metric]

    @cached_property
    def mean_a(self) -> float:
        """Mean of A over the scenes' means."""
        return float(sum(scene.a.mean() for scene in self.scores.scenes)) / len(self.scores.scenes)

    @cached_property
    def mean_b(self) -> float:
        """Mean of B over the scenes' means."""
        return float(sum(scene.b.mean() for scene in self.scores.scenes)) / len(self.scores.scenes)

    @cached_property
    def wins(self) -> Wins:
        """Numbers of views on which B is better, worse and equal."""
        return wins(self.scores, higher_is_better=self.info.higher_is_better)

    @property
    def title(self) -> str:
        """Name of the metric in a sentence."""
        return about_of(self.metric, self.info).title

    @property
    def verdict(self) -> Literal["better", "worse", "not distinguishable", "unknown"]:
        """Verdict on B against A by the interval; unknown without one."""
        if self.interval.low is None:
            return "unknown"
        if self.interval.sign == 0:
            return "not distinguishable"
        return "better" if (self.interval.sign > 0) == self.info.higher_is_better else "worse"

    @property
    def ranks_differ(self) -> bool:
        """Whether the corrected test finds a difference."""
        return self.p_holm is not None and self.p_holm < SIGNIFICANT

    @property
    def confirmed(self) -> bool:
        """Whether the corrected test finds the difference that the interval shows."""
        return self.ranks_differ and self.interval.sign == self.test.sign

    @property
    def better_by_ranks(self) -> bool:
        """Whether the ranks of the views that B improves outweigh those of the views that it worsens."""
        return (self.test.sign > 0) == self.info.higher_is_better

    @property
    def identical(self) -> bool:
        """Whether no view differs."""
        return self.wins.wins == self.wins.losses == 0

    @property
    def changes(self) -> list[Change]:
        """Difference of each view, from the largest gain to the largest loss."""
        changes = [
            Change(scene.name, view, float(value))
            for scene in self.scores.scenes
            for view, value in zip(scene.views, scene.differences, strict=True)
        ]
        return sorted(changes, key=lambda change: change.difference, reverse=self.info.higher_is_better)

    def gain(self, difference: float) -> float:
        """Return a difference as a gain, which is positive if B is better."""
        return difference if self.info.higher_is_better else -difference

    def to_plain(self) -> dict[str, Any]:
        """Return the difference as JSON values, in full precision."""
        interval, test = self.interval, self.test
        return {
            "unit": self.info.unit,
            "higher_is_better": self.info.higher_is_better,
            "signature": self.info.signature,
            "mean_a": json_number(self.mean_a),
            "mean_b": json_number(self.mean_b),
            "difference": json_number(interval.difference),
            "interval": json_interval(interval.low, interval.high),
            "standard_error": json_number(interval.standard_error),
            "reason": interval.reason,
            "caution": interval.caution,
            "note": interval.note,
            "verdict": self.verdict,
            "confirmed": self.confirmed,
            "wilcoxon": {
                "p": test.p,
                "p_holm": self.p_holm,
                "units": test.units,
                "sign": test.sign,
                "reason": test.reason,
            },
            "wins": self.wins.wins,
            "losses": self.wins.losses,
            "ties": self.wins.ties,
            "views": [
                {"scene": change.scene, "view": change.view, "difference": json_number(change.difference)}
                for change in self.changes
            ],
            "hangs_on": {
                "views": [_without(view) for view in self.jackknife.pivotal_views],
                "scenes": [_without(scene) for scene in self.jackknife.pivotal_scenes],
            },
        }


def _without(rest: Without) -> dict[str, Any]:
    interval = json_interval(rest.low, rest.high)
    return {"scene": rest.scene, "view": rest.view, "difference": json_number(rest.difference), "interval": interval}


def _attribution(one: Attribution) -> dict[str, Any]:
    causes = {
        cause: {
            "kind": part.kind,
            "difference": part.interval.difference,
            "interval": json_interval(part.interval.low, part.interval.high),
            "above_noise": part.sign != 0,
        }
        for cause, part in one.causes.items()
    }
    return {"views": one.views, "difference": json_number(one.whole.difference), "causes": causes}


@dataclass(frozen=True)
class Pair:
    """Contender B compared with contender A.

    Attributes:
        shared: views and metrics that both have.
        differences: differences by metric.
        describe: returns sentences on the pair.
        attributions: what the differences in PSNR come from, by metric, where both sides have causes.
    """

    shared: Shared
    differences: Mapping[str, Difference]
    describe: Callable[[Pair], Sequence[str]]
    attributions: Mapping[str, Attribution] = field(default_factory=dict)

    @cached_property
    def words(self) -> Sequence[str]:
        """Sentences on the differences. They take most of the time of a comparison, because of the jackknife."""
        return self.describe(self)

    @property
    def a(self) -> Contender:
        """Contender that B is compared with."""
        return self.shared.a

    @property
    def b(self) -> Contender:
        """Contender that is compared with A."""
        return self.shared.b

    def to_plain(self) -> dict[str, Any]:
        """Return the pair as JSON values."""
        sides = {
            key: {"name": side.name, "method": side.method, "run": side.run, "step": side.step}
            for key, side in (("a", self.a), ("b", self.b))
        }
        causes = {metric: _attribution(one) for metric, one in self.attributions.items()}
        return {
            **sides,
            "views": {scene: len(views) for scene, views in self.shared.views.items()},
            "notes": list(self.shared.notes),
            "words": list(self.words),
            "metrics": {name: difference.to_plain() for name, difference in self.differences.items()},
            **({"causes": causes} if causes else {}),
        }


@dataclass(frozen=True)
class Comparison:
    """Contenders of one split that have numbers in common, every one compared with all later ones.

    Attributes:
        split: split of the views.
        protocol: name of the protocol; several are joined by a plus sign.
        fingerprint: fingerprint of the protocol; several are joined likewise.
        pairs: the pairs.
        group: how the records share a table; None for records of one protocol.
    """

    split: str
    protocol: str
    fingerprint: str
    pairs: Sequence[Pair]
    group: Joint | None = None

    @cached_property
    def tests(self) -> int:
        """Number of tests that Holm's correction covers."""
        return sum(difference.p_holm is not None for pair in self.pairs for difference in pair.differences.values())

    def to_plain(self) -> dict[str, Any]:
        """Return the comparison as JSON values, in full precision."""
        return {
            "split": self.split,
            "protocol": {"name": self.protocol, "fingerprint": self.fingerprint},
            "level": LEVEL,
            "tests": self.tests,
            "pairs": [pair.to_plain() for pair in self.pairs],
        }
