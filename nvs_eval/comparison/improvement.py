"""Whether one record is better than another beyond noise."""

from __future__ import annotations

from nvs_eval.comparison.shared import shared
from nvs_eval.contenders import checkpoints_of
from nvs_eval.records import Record
from nvs_eval.statistics.intervals import intervals


def improved(before: Record, after: Record, metric: str) -> bool | None:
    """Whether a record is better than another under a metric, by the 95 % interval of their difference.

    Args:
        before: of one result.
        after: of another of the same scene, split and protocol.
        metric: that both have.

    Returns:
        None where there is no interval, as with too few views.

    Raises:
        InputError: they share no view, or were not scored on the same images.
    """
    (one,), (other,) = checkpoints_of([before]), checkpoints_of([after])
    interval = intervals({metric: shared(one, other).scores(metric)})[metric]
    if interval.low is None:
        return None
    return interval.sign == (1 if before.metrics[metric].higher_is_better else -1)
