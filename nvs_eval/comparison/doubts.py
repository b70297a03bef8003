"""What speaks against a verdict, in words: one view or scene that it hangs on, Wilcoxon's test, and most views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nvs_eval.comparison.model import SIGNIFICANT, Comparison, Difference, Pair
from nvs_eval.comparison.statistics.jackknife import Without
from nvs_eval.comparison.statistics.scores import Scores
from nvs_eval.comparison.tables import amount, between, digits_of, place_name
from nvs_eval.errors import counted, listed, some
from nvs_eval.report.words import capitalised

_HANGS = "The verdict in {metric} hangs on {places}: the difference is {change} without {place}."
_HANGS_ON_NONE = "No verdict hangs on a single {kinds}."
_NOT_TOLD = "{places}, there is no {such}interval: whether {verdict} hangs on these cannot be told."


def hinge_words(differences: Sequence[Difference]) -> Iterator[str]:
    """The views and scenes that a verdict hangs on; that there are none; and those of which it cannot be told."""
    bearing = [d for d in differences if d.interval.low is not None and not d.identical]
    views = [(d, d.jackknife.views, d.jackknife.pivotal_views) for d in bearing]
    scenes = [(d, d.jackknife.scenes, d.jackknife.pivotal_scenes) for d in bearing]
    free = []
    for kind, jackknives in (("view", views), ("scene", scenes)):
        yield from (_hinge(d, pivotal) for d, _, pivotal in jackknives if pivotal)
        tried = [without for _, several, _ in jackknives for without in several]
        hinges = any(pivotal for _, _, pivotal in jackknives)
        if tried and not hinges and all(without.low is not None for without in tried):
            free.append(kind)
    if free:
        yield _HANGS_ON_NONE.format(kinds=" or ".join(free))
    yield from _untold(bearing)


def _hinge(difference: Difference, pivotal: Sequence[Without]) -> str:
    names = [place_name(difference.scores, without.scene, without.view) for without in pivotal]
    first, digits = pivotal[0], digits_of(difference)
    places = _any_of("scene" if first.view is None else "view", names)
    change = f"{amount(first.difference, digits)}{between(first.low, first.high, digits)}"
    return _HANGS.format(metric=difference.title, places=places, change=change, place=names[0])


def _any_of(kind: str, names: Sequence[str]) -> str:
    return f"{kind} {names[0]}" if len(names) == 1 else f"any one of {counted(len(names), kind)} ({some(names, 3)})"


def _untold(bearing: Sequence[Difference]) -> Iterator[str]:
    """Without which views and scenes the others bear no interval, or none about the same."""
    metrics: dict[tuple[str, str], list[str]] = {}
    for difference in bearing:
        scores, jackknife = difference.scores, difference.jackknife
        views, scenes = (
            [rest for rest in left_out if rest.low is None] for left_out in (jackknife.views, jackknife.scenes)
        )
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


_UNCONFIRMED = (
    "Wilcoxon's signed-rank test, after Holm's correction for {tests}, does not confirm {them} at {level:.0%}: "
    "{metrics}."
)
_POWERLESS = "Nor could it: of {n} {units} and {tests} the smallest p there can be is {p:.2g}."
_OPPOSED = "Wilcoxon's signed-rank test says the opposite: by ranks {b} is {verdicts}."
_RANKS_ALONE = (
    "Wilcoxon's signed-rank test does tell them apart: by ranks {b} is {verdicts}, where the {intervals}, wide for "
    "{cause}, {do} not."
)
_FEW_UNITS, _UNLIKE_UNITS = "so few {units}", "single {units} that differ much"
_MOST_OPPOSED = "Most views say the opposite of the mean in {metric}: {b} is {verdict} on {count} of {views}."

# With fewer units an interval is wide for their number, with more for what a few of them are.
_FEW = 15


def rank_words(comparison: Comparison, pair: Pair) -> Iterator[str]:
    """Where the test and most views say something else than the intervals, and why there is no test."""
    differences = [d for d in pair.differences.values() if not d.identical]
    tested = [d for d in differences if d.interval.sign != 0 and d.test.p is not None]
    yield from _doubts(comparison, [d for d in tested if not d.ranks_differ])
    if opposed := [d for d in tested if d.ranks_differ and not d.confirmed]:
        yield _OPPOSED.format(b=pair.b.name, verdicts=_verdicts(opposed))
    if alone := [d for d in differences if d.verdict == "not distinguishable" and d.ranks_differ]:
        test, several = alone[0].test, len(alone) > 1
        cause = (_FEW_UNITS if test.n < _FEW else _UNLIKE_UNITS).format(units=test.units)
        intervals, do = ("intervals", "do") if several else ("interval", "does")
        yield _RANKS_ALONE.format(b=pair.b.name, verdicts=_verdicts(alone), intervals=intervals, cause=cause, do=do)
    for difference in differences:
        yield from _opposite(pair, difference)
    yield from dict.fromkeys(d.test.reason for d in differences if d.test.reason)


def titles(differences: Sequence[Difference], values: str = "") -> str:
    """The metrics of differences in a sentence, each followed by a template of its p-value `{p}`."""
    return listed([f"{d.title}{values.format(p=d.p_holm)}" for d in differences])


def _doubts(comparison: Comparison, doubtful: Sequence[Difference]) -> Iterator[str]:
    """Which verdicts the test does not confirm, and whether it could."""
    if not doubtful:
        return
    tests = counted(comparison.tests, "test")
    them, metrics = "them" if len(doubtful) > 1 else "it", titles(doubtful, " p = {p:.2g}")
    yield _UNCONFIRMED.format(tests=tests, them=them, level=SIGNIFICANT, metrics=metrics)
    if powerless := [d.test for d in doubtful if d.test.least_p * comparison.tests >= SIGNIFICANT]:
        test = powerless[0]
        yield _POWERLESS.format(n=test.n, units=test.units, tests=tests, p=min(1.0, test.least_p * comparison.tests))


def _verdicts(differences: Sequence[Difference]) -> str:
    groups = {up: [d for d in differences if d.better_by_ranks == up] for up in (True, False)}
    return listed(
        [f"{'better' if up else 'worse'} in {titles(group, ' (p = {p:.2g})')}" for up, group in groups.items() if group]
    )


def _opposite(pair: Pair, difference: Difference) -> Iterator[str]:
    """That most views say the opposite of the mean, where they do."""
    wins = difference.wins
    opposite = {"better": (wins.losses, "worse"), "worse": (wins.wins, "better")}
    count, verdict = opposite.get(difference.verdict, (0, ""))
    if 2 * count > wins.views:
        metric, views = difference.title, wins.views
        yield _MOST_OPPOSED.format(metric=metric, b=pair.b.name, verdict=verdict, count=count, views=views)
