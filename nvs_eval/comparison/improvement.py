"""Whether one record is better than another beyond noise."""

from __future__ import annotations

import math
from statistics import fmean, stdev

from nvs_eval.records import Record

FEWEST_VIEWS = 6
"""With fewer views no interval is given."""


def improved(before: Record, after: Record, metric: str) -> bool | None:
    """Whether a record is better than another under a metric, by more than the noise of their views.

    The views are paired: it is better where the 95 % interval of their mean difference (Student's t) lies on the better
    side of 0.

    Args:
        before: of one result.
        after: of another, on the same views.
        metric: that both have.

    Returns:
        None where it cannot be told: with fewer than six views, or where a view is inf under one of the two alone.
    """
    from scipy.special import stdtrit

    known = {row.name: row.scores[metric] for row in before.views}
    pairs = [(known[row.name], row.scores[metric]) for row in after.views]
    sign = 1 if before.metrics[metric].higher_is_better else -1
    gains = [0.0 if old == new else sign * (new - old) for old, new in pairs]
    if len(gains) < FEWEST_VIEWS or not all(map(math.isfinite, gains)):
        return None
    margin = float(stdtrit(len(gains) - 1, 0.975)) * stdev(gains) / math.sqrt(len(gains))
    return fmean(gains) > margin
