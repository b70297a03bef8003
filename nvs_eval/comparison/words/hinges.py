"""Which verdicts would be another without one view, or one scene, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nvs_eval.comparison.model import Difference
from nvs_eval.comparison.statistics.jackknife import Without
from nvs_eval.comparison.statistics.scores import Scores
from nvs_eval.comparison.words.amounts import amount, between, digits_of, place_name
from nvs_eval.errors import counted, listed, some
from nvs_eval.report.words import capitalised

_HANGS = "The verdict in {metric} hangs on {places}: the difference is {difference}{interval} without {place}."
_HANGS_ON_NONE = "No verdict hangs on a single {kinds}."
_NOT_TOLD = "{places}, there is no {such}interval: whether {verdict} hangs on these cannot be told."


def hinge_words(differences: Sequence[Difference]) -> Iterator[str]:
    """The views and scenes that a verdict hangs on; that there are none; and those of which it cannot be told."""
    bearing = [d for d in differences if d.interval.low is not None and not d.identical]
    free = []
    for kind in ("view", "scene"):
        pivotal = {d.metric: _pivotal(d, kind) for d in bearing}
        yield from (_hinge(d, pivotal[d.metric]) for d in bearing if pivotal[d.metric])
        tried = [without for d in bearing for without in _tried(d, kind)]
        if tried and not any(pivotal.values()) and all(without.low is not None for without in tried):
            free.append(kind)
    if free:
        yield _HANGS_ON_NONE.format(kinds=" or ".join(free))
    yield from _untold(bearing)


def _tried(difference: Difference, kind: str) -> Sequence[Without]:
    return difference.jackknife.views if kind == "view" else difference.jackknife.scenes


def _pivotal(difference: Difference, kind: str) -> Sequence[Without]:
    jackknife = difference.jackknife
    return jackknife.pivotal_views if kind == "view" else jackknife.pivotal_scenes


def _hinge(difference: Difference, pivotal: Sequence[Without]) -> str:
    names = [place_name(difference.scores, without.scene, without.view) for without in pivotal]
    first, digits = pivotal[0], digits_of(difference)
    return _HANGS.format(
        metric=difference.title,
        places=_any_of("scene" if first.view is None else "view", names),
        difference=amount(first.difference, digits),
        interval=between(first.low, first.high, digits),
        place=names[0],
    )


def _any_of(kind: str, names: Sequence[str]) -> str:
    return f"{kind} {names[0]}" if len(names) == 1 else f"any one of {counted(len(names), kind)} ({some(names, 3)})"


def _untold(bearing: Sequence[Difference]) -> Iterator[str]:
    """Without which views and scenes the others bear no interval, or none about the same."""
    metrics: dict[tuple[str, str], list[str]] = {}
    for difference in bearing:
        scores = difference.scores
        views, scenes = ([one for one in _tried(difference, kind) if one.low is None] for kind in ("view", "scene"))
        places = [*([_views(scores, views)] if views else []), *([_scenes(scores, scenes)] if scenes else [])]
        if places:
            key = f"without {', or without '.join(places)}", "such " if scores.samples_scenes else ""
            metrics.setdefault(key, []).append(difference.title)
    for (places, such), names in metrics.items():
        text = _NOT_TOLD.format(places=places, such=such, verdict="the verdict" if len(names) == 1 else "a verdict")
        yield capitalised(text) if len(names) == len(bearing) else f"In {listed(names)}, {text}"


def _views(scores: Scores, untold: Sequence[Without]) -> str:
    """Views as "any one of the 4 views of x", as far as there are several of them and of scenes."""
    if len(untold) == scores.views:
        return f"any one of the {scores.views} views"
    if len(untold) == 1:
        return f"view {place_name(scores, untold[0].scene, untold[0].view)}"
    scenes = list(dict.fromkeys(without.scene for without in untold))
    total = sum(len(scene.views) for scene in scores.scenes if scene.name in scenes)
    number = f"the {total}" if len(untold) == total else f"{len(untold)} of the {total}"
    return f"any one of {number} views{f' of {listed(scenes)}' if len(scores.scenes) > 1 else ''}"


def _scenes(scores: Scores, untold: Sequence[Without]) -> str:
    if 1 < len(untold) == len(scores.scenes):
        return f"any one of the {len(untold)} scenes"
    return _any_of("scene", [without.scene for without in untold])
