"""A comparison in words: whether B is better than A in each metric, what that hangs on, and what speaks against it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from nvs_eval.comparison.model import SIGNIFICANT, Comparison, Difference, Pair
from nvs_eval.comparison.statistics.jackknife import Without
from nvs_eval.comparison.statistics.scores import Scores
from nvs_eval.comparison.tables import amount, between, digits_of, place_name, unit_of
from nvs_eval.errors import counted, listed, some
from nvs_eval.report.words import capitalised

# How a pair's metrics are, by the kind of the verdict on them: in the overview,
_OVERVIEW = {
    "better": "better in",
    "worse": "worse in",
    "better by ranks": "by ranks better in",
    "worse by ranks": "by ranks worse in",
    "not distinguishable": "not distinguishable in",
    "unknown": "nothing known of",
    "identical": "identical in",
}
# and in a sentence, with what it says of each metric.
_BY = "{metric} by {amount}{unit} {interval}, on"
_SENTENCES = {
    "better": ("{b} is better{than_a} in {metrics}", f"{_BY} {{better}}"),
    "worse": ("{b} is worse{than_a} in {metrics}", f"{_BY} {{worse}}"),
    "not distinguishable": (
        "the {differences} in {metrics}{between_both} {are} not distinguishable",
        "{metric} ({change})",
    ),
    "better by ranks": (
        "by ranks {b} is better than {a} in {metrics}",
        "{metric} (p = {p}; better on {better}; {change})",
    ),
    "worse by ranks": ("by ranks {b} is worse than {a} in {metrics}", "{metric} (p = {p}; worse on {worse}; {change})"),
    "unknown": (
        "nothing can be concluded of the {differences} in {metrics}{between_both}",
        "{metric} ({change}; {majority})",
    ),
    "identical": ("{b} and {a} are identical in {metrics} on all {views} views", "{metric}"),
}
_BOTH_INFINITE = (
    "Both sides are infinite in {metric} on {count} of {total} views ({names}): that counts as no difference."
)


def pair_words(comparison: Comparison, pair: Pair) -> list[str]:
    """Sentences on a pair: the verdicts, what they depend on, and what limits them."""
    differences = list(pair.differences.values())
    intervals = {d.title: d.interval for d in differences if not d.identical}
    return [
        _verdicts(pair),
        *_hinge_words(differences),
        *_rank_words(comparison, pair),
        *_by_metric({metric: interval.caution for metric, interval in intervals.items() if not interval.reason}),
        *_by_metric({metric: interval.reason for metric, interval in intervals.items()}),
        *dict.fromkeys(interval.note for interval in intervals.values() if interval.note),
        *_both_infinite(differences),
        *(f"{note}." for note in pair.shared.notes),
    ]


def overview(comparison: Comparison) -> list[str]:
    """The verdicts of each pair in a line, without numbers."""
    lines = []
    for pair in comparison.pairs:
        groups = _by_kind(pair)
        verdicts = [f"{phrase} {_titles(groups[kind])}" for kind, phrase in _OVERVIEW.items() if groups[kind]]
        lines.append(f"{pair.b.name} against {pair.a.name}: {'; '.join(verdicts)}")
    return lines


def _by_kind(pair: Pair) -> dict[str, list[Difference]]:
    """The differences by the kind of the verdict on them."""
    groups: dict[str, list[Difference]] = {kind: [] for kind in _OVERVIEW}
    for difference in pair.differences.values():
        kind = "identical" if difference.identical else difference.verdict
        if kind == "unknown" and difference.ranks_differ:
            kind = "better by ranks" if difference.better_by_ranks else "worse by ranks"
        groups[kind].append(difference)
    return groups


def _verdicts(pair: Pair) -> str:
    """One sentence: better in these metrics, worse in those, and what cannot be told."""
    a, b, groups = pair.a.name, pair.b.name, _by_kind(pair)
    kinds = [kind for kind in _SENTENCES if groups[kind]]
    parts: list[str] = []
    names_both = False
    for kind in kinds:
        sentence, of_metric = _SENTENCES[kind]
        several = len(groups[kind]) > 1
        text = sentence.format(
            a=a,
            b=b,
            metrics=listed([of_metric.format(**_fields(difference)) for difference in groups[kind]]),
            than_a="" if names_both else f" than {a}",
            between_both="" if names_both else f" between {b} and {a}",
            differences="differences" if several else "difference",
            are="are" if several else "is",
            views=groups[kind][0].wins.views,
        )
        if kind == "worse" and parts:
            parts = [f"{parts[0]}, and {text.removeprefix(f'{b} ')}"]
        else:
            parts.append(text)
        names_both = names_both or kind in ("better", "worse", "not distinguishable")
    text = "; ".join(parts)
    # A name keeps its first letter as it is.
    return f"{text if kinds[0] in ('better', 'worse', 'identical') else capitalised(text)}."


def _fields(difference: Difference) -> dict[str, str]:
    """Everything that a sentence may say of a metric."""
    interval, wins, digits = difference.interval, difference.wins, digits_of(difference)
    low, high = sorted(interval.sign * (end or 0.0) for end in (interval.low, interval.high))
    better, worse = f"{wins.wins} of {wins.views} views", f"{wins.losses} of {wins.views} views"
    return {
        "metric": difference.title,
        "amount": amount(interval.difference, digits, sign=False),
        "unit": unit_of(difference),
        "interval": f"[{low:.{digits}f}, {high:.{digits}f}]",
        "change": _change(difference),
        "p": "" if difference.p_holm is None else f"{difference.p_holm:.2g}",
        "better": better,
        "worse": worse,
        "majority": f"worse on {worse}" if wins.losses > wins.wins else f"better on {better}",
    }


def _change(difference: Difference) -> str:
    """The difference with its unit and interval, as far as there are any."""
    interval, digits = difference.interval, digits_of(difference)
    if interval.difference is None:
        return "there is no mean difference, as each side alone is infinite on some views"
    if math.isinf(interval.difference):
        return f"the mean difference is {amount(interval.difference, 0)}"
    return f"{amount(interval.difference, digits)}{unit_of(difference)}{between(interval.low, interval.high, digits)}"


def _by_metric(texts: Mapping[str, str]) -> Iterator[str]:
    """Each text on metrics once: alone where it holds for all of them, else after the names of those it holds for."""
    for text in dict.fromkeys(filter(None, texts.values())):
        metrics = [metric for metric, other in texts.items() if other == text]
        yield text if len(metrics) == len(texts) else f"In {listed(metrics)}: {text[:1].lower()}{text[1:]}"


def _both_infinite(differences: Sequence[Difference]) -> Iterator[str]:
    """The views on which both sides are identical to the reference, so that no difference could be seen."""
    for difference in differences:
        views = [
            place_name(difference.scores, scene.name, view)
            for scene in difference.scores.scenes
            for view, infinite in zip(scene.views, scene.both_infinite, strict=True)
            if infinite
        ]
        if views:
            counts = {"count": len(views), "total": difference.wins.views, "names": some(views, 3)}
            yield _BOTH_INFINITE.format(metric=difference.title, **counts)


_HANGS = "The verdict in {metric} hangs on {places}: the difference is {change} without {place}."
_HANGS_ON_NONE = "No verdict hangs on a single {kinds}."
_NOT_TOLD = "{places}, there is no {such}interval: whether {verdict} hangs on these cannot be told."


def _hinge_words(differences: Sequence[Difference]) -> Iterator[str]:
    """The views and scenes that a verdict hangs on; that there are none; and those of which it cannot be told."""
    bearing = [d for d in differences if d.interval.low is not None and not d.identical]
    free = []
    for kind in ("view", "scene"):
        jackknives = [(d, d.jackknife.views if kind == "view" else d.jackknife.scenes) for d in bearing]
        hinges = [(d, pivotal) for d, rests in jackknives if (pivotal := d.jackknife.pivotal(rests))]
        yield from (_hinge(d, pivotal) for d, pivotal in hinges)
        tried = [rest for _, rests in jackknives for rest in rests]
        if tried and not hinges and all(rest.low is not None for rest in tried):
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
        places = [
            in_words(scores, untold)
            for in_words, rests in ((_views, jackknife.views), (_scenes, jackknife.scenes))
            if (untold := [rest for rest in rests if rest.low is None])
        ]
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
_MOST_OPPOSED = "Most views say the opposite of the mean in {metric}: {b} is {verdict} on {count} of {views}."
# With fewer units an interval is wide for their number, with more for what a few of them are.
_FEW = 15


def _rank_words(comparison: Comparison, pair: Pair) -> Iterator[str]:
    """Where the test and most views say something else than the intervals, and why there is no test."""
    differences = [d for d in pair.differences.values() if not d.identical]
    tested = [d for d in differences if d.interval.sign != 0 and d.test.p is not None]
    yield from _doubts(comparison, [d for d in tested if not d.ranks_differ])
    if opposed := [d for d in tested if d.ranks_differ and not d.confirmed]:
        yield _OPPOSED.format(b=pair.b.name, verdicts=_better_or_worse(opposed))
    if alone := [d for d in differences if d.verdict == "not distinguishable" and d.ranks_differ]:
        test, verdicts = alone[0].test, _better_or_worse(alone)
        cause = f"so few {test.units}" if test.n < _FEW else f"single {test.units} that differ much"
        intervals, do = ("intervals", "do") if len(alone) > 1 else ("interval", "does")
        yield _RANKS_ALONE.format(b=pair.b.name, verdicts=verdicts, intervals=intervals, cause=cause, do=do)
    for difference in differences:
        yield from _opposite(pair, difference)
    yield from dict.fromkeys(d.test.reason for d in differences if d.test.reason)


def _titles(differences: Sequence[Difference], values: str = "") -> str:
    """The metrics of differences in a sentence, each followed by a template of its p-value `{p}`."""
    return listed([f"{d.title}{values.format(p=d.p_holm)}" for d in differences])


def _doubts(comparison: Comparison, doubtful: Sequence[Difference]) -> Iterator[str]:
    """Which verdicts the test does not confirm, and whether it could."""
    if not doubtful:
        return
    tests = counted(comparison.tests, "test")
    them, metrics = "them" if len(doubtful) > 1 else "it", _titles(doubtful, " p = {p:.2g}")
    yield _UNCONFIRMED.format(tests=tests, them=them, level=SIGNIFICANT, metrics=metrics)
    if powerless := [d.test for d in doubtful if d.test.least_p * comparison.tests >= SIGNIFICANT]:
        test = powerless[0]
        yield _POWERLESS.format(n=test.n, units=test.units, tests=tests, p=min(1.0, test.least_p * comparison.tests))


def _better_or_worse(differences: Sequence[Difference]) -> str:
    """What B is by ranks: "better in PSNR (p = 0.01) and worse in SSIM (p = 0.02)"."""
    better, worse = ([d for d in differences if d.better_by_ranks == up] for up in (True, False))
    groups = (("better", better), ("worse", worse))
    return listed([f"{word} in {_titles(group, ' (p = {p:.2g})')}" for word, group in groups if group])


def _opposite(pair: Pair, difference: Difference) -> Iterator[str]:
    """That most views say the opposite of the mean, where they do."""
    wins, metric = difference.wins, difference.title
    opposite = {"better": (wins.losses, "worse"), "worse": (wins.wins, "better")}
    count, verdict = opposite.get(difference.verdict, (0, ""))
    if 2 * count > wins.views:
        yield _MOST_OPPOSED.format(metric=metric, b=pair.b.name, verdict=verdict, count=count, views=wins.views)
