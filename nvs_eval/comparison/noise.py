"""Differences beyond noise: of contenders from the best one, and of a record from an earlier one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nvs_eval.comparison.shared import shared
from nvs_eval.comparison.statistics.intervals import Interval, intervals, sign_of_several
from nvs_eval.comparison.statistics.scores import Array
from nvs_eval.records.groups import Contender, checkpoints_of
from nvs_eval.records.record import Record


class Ties:
    """Finds contenders that are tied with the best. Intervals are computed once per pair, for all metrics."""

    def __init__(self) -> None:
        self._computed: dict[tuple[int, int, tuple[str, ...]], Mapping[str, Interval]] = {}
        # Keeps contenders alive, so that the ids in the keys stay unique.
        self._alive: list[Contender] = []

    def __call__(self, contenders: Sequence[Contender], scenes: Sequence[str], metric: str) -> list[int]:
        """Return the indices of contenders whose 95 % interval of the difference from the best contains zero.

        With too few views for an interval, every contender is tied with the best.

        Args:
            contenders: contenders of one split and protocol, all with the metric on all the scenes.
            scenes: scenes over which means are taken.
            metric: metric that decides which contender is the best.
        """
        means = [mean for contender in contenders if (mean := contender.mean(metric, scenes)) is not None]
        assert len(means) == len(contenders), "a contender lacks the metric on a scene"
        higher_is_better = contenders[0].records[scenes[0]][0].metrics[metric].higher_is_better
        best = means.index(max(means) if higher_is_better else min(means))
        others = [contender for index, contender in enumerate(contenders) if index != best]
        self._compute(others, contenders[best], scenes)
        return [
            index
            for index, contender in enumerate(contenders)
            if index != best and self._computed[_key(contender, contenders[best], scenes)][metric].sign == 0
        ]

    def _compute(self, contenders: Sequence[Contender], best: Contender, scenes: Sequence[str]) -> None:
        """Compute the intervals of the contenders' differences from the best, together, unless they are known."""
        arrays: dict[object, Array] = {}
        pairs = {
            key: shared(contender, best, scenes=scenes, arrays=arrays)
            for contender in contenders
            if (key := _key(contender, best, scenes)) not in self._computed
        }
        scores = {(key, metric): both.scores(metric) for key, both in pairs.items() for metric in both.infos}
        computed = intervals(scores)
        for key, both in pairs.items():
            self._computed[key] = {metric: computed[key, metric] for metric in both.infos}
        self._alive += [*contenders, best]


def _key(contender: Contender, best: Contender, scenes: Sequence[str]) -> tuple[int, int, tuple[str, ...]]:
    return id(contender), id(best), tuple(scenes)


def improved(before: Record, after: Record, metric: str, *, tests: int = 1) -> bool | None:
    """Return whether a record is better than an earlier one, by the 95 % interval of their difference.

    Args:
        before: earlier record.
        after: later record of the same scene, split and protocol.
        metric: metric that both have.
        tests: number of pairs from which this one was chosen. The interval is widened so that all of them together
            have 95 % coverage (Bonferroni, by Student's quantile); it is never narrower than that of one pair.

    Returns:
        True or False; None if there is no interval, for example with too few views.

    Raises:
        InputError: the records share no view, or were scored on different images.
    """
    (a,), (b,) = checkpoints_of([before]), checkpoints_of([after])
    scores = shared(a, b).scores(metric)
    interval = intervals({metric: scores})[metric]
    if interval.low is None:
        return None
    return sign_of_several(scores, interval, tests) == (1 if before.metrics[metric].higher_is_better else -1)
