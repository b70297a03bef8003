"""Which verdicts would be another without one view, or one scene, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nvs_eval.comparison.model import Difference
from nvs_eval.comparison.statistics.jackknife import Without
from nvs_eval.comparison.statistics.scores import Scores
from nvs_eval.comparison.words.amounts import amount, digits_of
from nvs_eval.errors import listed, some
from nvs_eval.report.words.names import called


def hinge_words(differences: Sequence[Difference]) -> Iterator[str]:
    """What hangs on a single view or scene; that nothing does; and of what it cannot be told."""
    known = [each for each in differences if each.interval.low is not None and not each.identical]
    free = []
    for kind in ("view", "scene"):
        hinges = [(each, places) for each in known if (places := _pivotal(each, kind))]
        yield from (_hinge(each, places) for each, places in hinges)
        tried = [without for each in known for without in _tried(each, kind)]
        if tried and not hinges and all(each.low is not None for each in tried):
            free.append(kind)
    if free:
        yield f"No verdict hangs on a single {' or '.join(free)}."
    yield from _untold(known)


def _tried(difference: Difference, kind: str) -> Sequence[Without]:
    return difference.jackknife.views if kind == "view" else difference.jackknife.scenes


def _pivotal(difference: Difference, kind: str) -> Sequence[Without]:
    found = difference.jackknife
    return found.pivotal_views if kind == "view" else found.pivotal_scenes


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


def _untold(known: Sequence[Difference]) -> Iterator[str]:
    """Without which views and scenes the others bear no interval, or none about the same."""
    found: dict[str, list[str]] = {}
    for each in known:
        views, scenes = ([one for one in _tried(each, kind) if one.low is None] for kind in ("view", "scene"))
        parts = [*([_views(each.scores, views)] if views else []), *([_scenes(each.scores, scenes)] if scenes else [])]
        if parts:
            such = "such " if each.scores.samples_scenes else ""
            found.setdefault(f"without {', or without '.join(parts)}, there is no {such}interval", []).append(
                called(each.metric)
            )
    for text, names in found.items():
        verdict = "the verdict hangs" if len(names) == 1 else "a verdict hangs"
        said = f"{text}: whether {verdict} on these cannot be told."
        yield f"{said[:1].upper()}{said[1:]}" if len(names) == len(known) else f"In {listed(names)}, {said}"


def _views(scores: Scores, untold: Sequence[Without]) -> str:
    """Views as "any one of the 4 views of x", as far as there are several of them and of scenes."""
    if len(untold) == scores.views:
        return f"any one of the {scores.views} views"
    several = len(scores.scenes) > 1
    if len(untold) == 1:
        return f"view {untold[0].scene}/{untold[0].view}" if several else f"view {untold[0].view}"
    counts = {scene.name: len(scene.views) for scene in scores.scenes}
    scenes = list(dict.fromkeys(each.scene for each in untold))
    total = sum(counts[scene] for scene in scenes)
    number = f"the {total}" if len(untold) == total else f"{len(untold)} of the {total}"
    return f"any one of {number} views{f' of {listed(scenes)}' if several else ''}"


def _scenes(scores: Scores, untold: Sequence[Without]) -> str:
    names = [each.scene for each in untold]
    if len(names) == 1:
        return f"scene {names[0]}"
    number = len(names)
    return (
        f"any one of the {number} scenes"
        if number == len(scores.scenes)
        else f"any one of {number} scenes ({some(names, 3)})"
    )
