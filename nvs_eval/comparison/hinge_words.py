"""Which verdicts would be another without one view, or one scene, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nvs_eval.comparison.amounts import amount, digits_of
from nvs_eval.comparison.model import Difference
from nvs_eval.errors import some
from nvs_eval.report.names import called
from nvs_eval.statistics.jackknife import Without


def hinge_words(differences: Sequence[Difference]) -> Iterator[str]:
    """What hangs on a single view or scene; that nothing does; and of what it cannot be told."""
    known = [each for each in differences if each.interval.low is not None and not each.identical]
    pivotal = [
        (each, places) for each in known for places in (each.jackknife.pivotal_views, each.jackknife.pivotal_scenes)
    ]
    hinges = [_hinge(each, places) for each, places in pivotal if places]
    yield from hinges
    tried = {
        "view": [without for each in known for without in each.jackknife.views],
        "scene": [without for each in known for without in each.jackknife.scenes],
    }
    told = [kind for kind, places in tried.items() if any(each.low is not None for each in places)]
    if told and not hinges:
        yield f"No verdict hangs on a single {' or '.join(told)}."
    if untold := [kind for kind, places in tried.items() if places and kind not in told]:
        yield (
            f"Whether a verdict hangs on a single {' or '.join(untold)} cannot be told: without one, the others bear "
            "no such interval."
        )


def _hinge(difference: Difference, pivotal: Sequence[Without]) -> str:
    several = len(difference.scores.scenes) > 1
    names = [
        each.scene if each.view is None else f"{each.scene}/{each.view}" if several else each.view for each in pivotal
    ]
    first, digits = pivotal[0], digits_of(difference)
    without = (
        f"{amount(first.difference, digits)} [{amount(first.low, digits)}, {amount(first.high, digits)}] without "
        f"{names[0]}"
    )
    kind = "scene" if first.view is None else "view"
    which = f"{kind} {names[0]}" if len(names) == 1 else f"any one of {len(names)} {kind}s ({some(names, 3)})"
    return f"The verdict in {called(difference.metric)} hangs on {which}: the difference is {without}."
