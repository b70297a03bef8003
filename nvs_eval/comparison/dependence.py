"""Sentences on the views and scenes that the verdicts of a comparison depend on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nvs_eval.comparison.model import Difference
from nvs_eval.comparison.statistics.jackknife import Without
from nvs_eval.comparison.statistics.scores import Scores
from nvs_eval.comparison.tables import amount, between, digits_apart_from_zero, digits_of, place_name
from nvs_eval.errors import counted, listed, some
from nvs_eval.report.words import capitalised

_DEPENDS = "The verdict on {metric} depends on {places}: without {place}, the difference is {change}."
_DEPENDS_ON_NONE = "No verdict depends on a single {kinds}."
_CANNOT_BE_TOLD = (
    "{places}, there is no interval{of_this_kind}, so it cannot be told whether {verdict} depends on {them}."
)


def dependence_words(differences: Sequence[Difference]) -> Iterator[str]:
    """Yield the views and scenes that a verdict depends on, that there are none, or that this cannot be told."""
    with_interval = [d for d in differences if d.interval.low is not None and not d.identical]
    without_pivotal = []
    for kind in ("view", "scene"):
        jackknives = [(d, d.jackknife.views if kind == "view" else d.jackknife.scenes) for d in with_interval]
        dependent = [(d, pivotal) for d, rests in jackknives if (pivotal := d.jackknife.pivotal(rests))]
        yield from (_dependence(d, pivotal) for d, pivotal in dependent)
        all_rests = [rest for _, rests in jackknives for rest in rests]
        if all_rests and not dependent and all(rest.low is not None for rest in all_rests):
            without_pivotal.append(kind)
    if without_pivotal:
        yield _DEPENDS_ON_NONE.format(kinds=" or ".join(without_pivotal))
    yield from _undecided_words(with_interval)


def _dependence(difference: Difference, pivotal: Sequence[Without]) -> str:
    names = [place_name(difference.scores, without.scene, without.view) for without in pivotal]
    first = pivotal[0]
    digits = max(digits_of(difference), digits_apart_from_zero(first.low, first.high))
    kind = "scene" if first.view is None else "view"
    places = f"{kind} {names[0]}" if len(names) == 1 else f"each of {_count_with_names(kind, names)}"
    change = f"{amount(first.difference, digits)}{between(first.low, first.high, digits)}"
    return _DEPENDS.format(metric=difference.title, places=places, change=change, place=names[0])


def _count_with_names(kind: str, names: Sequence[str]) -> str:
    return f"{counted(len(names), kind)} ({some(names, 3)})"


def _undecided_words(with_interval: Sequence[Difference]) -> Iterator[str]:
    """Yield the views and scenes without which there is no interval, or none of the same kind."""
    metrics: dict[tuple[str, str, str], list[str]] = {}
    for difference in with_interval:
        scores, jackknife = difference.scores, difference.jackknife
        undecided = [
            (phrase(scores, rests), len(rests))
            for phrase, rests in (
                (_views, [rest for rest in jackknife.views if rest.low is None]),
                (_scenes, [rest for rest in jackknife.scenes if rest.low is None]),
            )
            if rests
        ]
        if undecided:
            places = f"without {', or without '.join(text for text, _ in undecided)}"
            of_this_kind = " of this kind" if scores.samples_scenes else ""
            them = "it" if [count for _, count in undecided] == [1] else "them"
            metrics.setdefault((places, of_this_kind, them), []).append(difference.title)
    for (places, of_this_kind, them), names in metrics.items():
        verdict = "the verdict" if len(names) == 1 else "a verdict"
        text = _CANNOT_BE_TOLD.format(places=places, of_this_kind=of_this_kind, verdict=verdict, them=them)
        yield capitalised(text) if len(names) == len(with_interval) else f"{listed(names)}: {text}"


def _views(scores: Scores, undecided: Sequence[Without]) -> str:
    """Return views as a phrase, such as "any one of the 4 views of x"."""
    if len(undecided) == scores.views:
        return f"any one of the {scores.views} views"
    if len(undecided) == 1:
        return f"view {place_name(scores, undecided[0].scene, undecided[0].view)}"
    scenes = list(dict.fromkeys(without.scene for without in undecided))
    total = sum(len(scene.views) for scene in scores.scenes if scene.name in scenes)
    number = f"the {total}" if len(undecided) == total else f"{len(undecided)} of the {total}"
    return f"any one of {number} views{f' of {listed(scenes)}' if len(scores.scenes) > 1 else ''}"


def _scenes(scores: Scores, undecided: Sequence[Without]) -> str:
    if 1 < len(undecided) == len(scores.scenes):
        return f"any one of the {len(undecided)} scenes"
    names = [without.scene for without in undecided]
    return f"scene {names[0]}" if len(names) == 1 else f"any one of {_count_with_names('scene', names)}"
