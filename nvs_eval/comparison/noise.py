"""Which contenders cannot be told from the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nvs_eval.comparison.shared import shared
from nvs_eval.comparison.statistics.intervals import Interval, intervals
from nvs_eval.records.groups import Contender


class Ties:
    """Tells contenders from the best; what is drawn for one metric of two contenders does for all of theirs."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, tuple[str, ...]], Mapping[str, Interval]] = {}
        # An identity is one only as long as its contender lives.
        self._kept: list[Contender] = []

    def __call__(self, contenders: Sequence[Contender], scenes: Sequence[str], metric: str) -> list[int]:
        """The places of those whose difference from the best is not distinguishable, by its 95 % interval.

        Too few views for an interval tell nobody from the best.

        Args:
            contenders: of one split and protocol, each with the metric in each of the scenes.
            scenes: over which.
            metric: by which.
        """
        means = [_mean(contender, scenes, metric) for contender in contenders]
        up = contenders[0].records[scenes[0]][0].metrics[metric].higher_is_better
        best = means.index(max(means) if up else min(means))
        return [
            place
            for place, contender in enumerate(contenders)
            if place != best and self._intervals(contender, contenders[best], scenes)[metric].sign == 0
        ]

    def _intervals(self, contender: Contender, best: Contender, scenes: Sequence[str]) -> Mapping[str, Interval]:
        key = (id(contender), id(best), tuple(scenes))
        if key not in self._known:
            both = shared(contender, best, scenes=scenes)
            self._known[key] = intervals({metric: both.scores(metric) for metric in both.infos})
            self._kept += [contender, best]
        return self._known[key]


def _mean(contender: Contender, scenes: Sequence[str], metric: str) -> float:
    means = [[record.means[metric] for record in contender.records[scene]] for scene in scenes]
    return sum(sum(runs) / len(runs) for runs in means) / len(means)
