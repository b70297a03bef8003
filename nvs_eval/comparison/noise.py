"""Whether results differ by more than noise: contenders from the best one, and one record from an earlier one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nvs_eval.comparison.shared import shared
from nvs_eval.comparison.statistics.intervals import LEVEL, Interval, ends, intervals, sign_of
from nvs_eval.comparison.statistics.scores import Scores, freedom
from nvs_eval.records.groups import Contender, checkpoints_of
from nvs_eval.records.record import Record


class Ties:
    """Tells contenders from the best; the intervals of two contenders are computed once for all their metrics."""

    def __init__(self) -> None:
        self._computed: dict[tuple[int, int, tuple[str, ...]], Mapping[str, Interval]] = {}
        # An identity is one only as long as its contender lives.
        self._alive: list[Contender] = []

    def __call__(self, contenders: Sequence[Contender], scenes: Sequence[str], metric: str) -> list[int]:
        """The places of those whose difference from the best is not distinguishable, by its 95 % interval.

        With too few views for an interval, every contender is tied with the best.

        Args:
            contenders: of one split and protocol, each with the metric in each of the scenes.
            scenes: the scenes whose means count.
            metric: the metric by which one is the best.
        """
        means = [mean for contender in contenders if (mean := contender.mean(metric, scenes)) is not None]
        assert len(means) == len(contenders), "each has the metric in each of the scenes"
        up = contenders[0].records[scenes[0]][0].metrics[metric].higher_is_better
        best = means.index(max(means) if up else min(means))
        return [
            place
            for place, contender in enumerate(contenders)
            if place != best and self._intervals(contender, contenders[best], scenes)[metric].sign == 0
        ]

    def _intervals(self, contender: Contender, best: Contender, scenes: Sequence[str]) -> Mapping[str, Interval]:
        key = (id(contender), id(best), tuple(scenes))
        if key not in self._computed:
            both = shared(contender, best, scenes=scenes)
            self._computed[key] = intervals({metric: both.scores(metric) for metric in both.infos})
            self._alive += [contender, best]
        return self._computed[key]


def improved(before: Record, after: Record, metric: str, *, tests: int = 1) -> bool | None:
    """Whether a record is better than an earlier one, by the 95 % interval of their difference.

    Args:
        before: the earlier record.
        after: another of the same scene, split and protocol.
        metric: a metric that both have.
        tests: number of such pairs among which these two were chosen. The interval is widened so that all of them
            together have 95 % (Bonferroni, by Student's quantile), and is never narrower than that of one pair.

    Returns:
        None where there is no interval, as with too few views.

    Raises:
        InputError: they share no view, or were not scored on the same images.
    """
    (one,), (other,) = checkpoints_of([before]), checkpoints_of([after])
    scores = shared(one, other).scores(metric)
    interval = intervals({metric: scores})[metric]
    if interval.low is None:
        return None
    return _sign(scores, interval, tests) == (1 if before.metrics[metric].higher_is_better else -1)


def _sign(scores: Scores, interval: Interval, tests: int) -> int:
    """Whether the interval of a pair, widened for so many tests, lies above (1) or below (-1) zero; 0 if neither."""
    if tests == 1 or not interval.standard_error or interval.quantile is None or interval.difference is None:
        return interval.sign
    from scipy.special import stdtrit

    quantile = float(stdtrit(freedom(scores), 1 - (1 - LEVEL) / (2 * tests)))
    half = max(quantile, interval.quantile) * interval.standard_error
    return sign_of(*ends(interval.difference, half, scores.rounding))
