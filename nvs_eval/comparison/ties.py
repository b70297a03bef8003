"""Which contenders cannot be told from the best."""

from __future__ import annotations

from collections.abc import Sequence

from nvs_eval.comparison.shared import shared
from nvs_eval.contenders import Contender
from nvs_eval.statistics.intervals import intervals


def tied_with_best(contenders: Sequence[Contender], scenes: Sequence[str], metric: str) -> list[int]:
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
        if place != best and not _told_apart(contender, contenders[best], scenes, metric)
    ]


def _mean(contender: Contender, scenes: Sequence[str], metric: str) -> float:
    means = [[record.means[metric] for record in contender.records[scene]] for scene in scenes]
    return sum(sum(runs) / len(runs) for runs in means) / len(means)


def _told_apart(contender: Contender, best: Contender, scenes: Sequence[str], metric: str) -> bool:
    scores = shared(contender, best, scenes=scenes).scores(metric)
    return intervals({metric: scores})[metric].sign != 0
