"""Whether one record is better than another beyond noise."""

from __future__ import annotations

from nvs_eval.comparison.shared import shared
from nvs_eval.comparison.statistics.intervals import LEVEL, Interval, ends, intervals, sign_of
from nvs_eval.comparison.statistics.scores import Scores
from nvs_eval.comparison.statistics.spread import freedom
from nvs_eval.records.groups import checkpoints_of
from nvs_eval.records.record import Record


def improved(before: Record, after: Record, metric: str, *, tests: int = 1) -> bool | None:
    """Whether a record is better than another under a metric, by the 95 % interval of their difference.

    Args:
        before: of one result.
        after: of another of the same scene, split and protocol.
        metric: that both have.
        tests: among how many such pairs these two were found. The interval is as much wider that 95 % is said of all
            of them together (Bonferroni, by Student's quantile), and never narrower than that of one pair.

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
    """Whether the interval of a pair, found among so many, lies above (1) or below (-1) zero; 0 if it does neither."""
    if tests == 1 or not interval.standard_error or interval.quantile is None or interval.difference is None:
        return interval.sign
    from scipy.special import stdtrit

    quantile = float(stdtrit(freedom(scores), 1 - (1 - LEVEL) / (2 * tests)))
    half = max(quantile, interval.quantile) * interval.standard_error
    return sign_of(*ends(interval.difference, half, scores.rounding))
