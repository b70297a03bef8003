"""Sentences on a comparison: verdicts per metric, the views they depend on, and reasons for doubt."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from nvs_eval.comparison.causes import cause_words
from nvs_eval.comparison.dependence import dependence_words
from nvs_eval.comparison.model import SIGNIFICANT, Comparison, Difference, Pair
from nvs_eval.comparison.tables import amount, between, digits_of, p_text, place_name, unit_of
from nvs_eval.errors import counted, listed, some
from nvs_eval.report.tables.notes import joint_notes
from nvs_eval.report.words import capitalised

# Phrases of the overview, by kind of verdict.
_OVERVIEW = {
    "better": "better in",
    "worse": "worse in",
    "better by ranks": "better by ranks in",
    "worse by ranks": "worse by ranks in",
    "not distinguishable": "not distinguishable in",
    "unknown": "inconclusive in",
    "identical": "identical in",
}
# Sentence of each kind of verdict, and its phrase for each metric.
_BY = "{metric} by {amount}{unit} {interval}"
_SENTENCES = {
    "better": ("{b} is better{than_a} in {metrics}", f"{_BY}, on {{better}}"),
    "worse": ("{b} is worse{than_a} in {metrics}", f"{_BY}, on {{worse}}"),
    "not distinguishable": (
        "the {differences} in {metrics}{between_both} {are} not distinguishable",
        "{metric} ({change})",
    ),
    "better by ranks": (
        "by ranks, {b} is better than {a} in {metrics}",
        "{metric} (p = {p}; better on {better}; {change})",
    ),
    "worse by ranks": (
        "by ranks, {b} is worse than {a} in {metrics}",
        "{metric} (p = {p}; worse on {worse}; {change})",
    ),
    "unknown": (
        "the {differences} in {metrics}{between_both} {are} inconclusive",
        "{metric} ({change}; {majority})",
    ),
    "identical": ("{b} and {a} are identical in {metrics} on all {views} views", "{metric}"),
}
_ONE_INFINITE = (
    "{metric} of {side} is infinite for {count} of {total} views ({names}), where the render equals the reference."
)
_BOTH_INFINITE = (
    "{metric} is infinite on both sides for {count} of {total} views ({names}), which counts as no difference."
)


def pair_words(comparison: Comparison, pair: Pair) -> list[str]:
    """Return sentences on a pair: the verdicts, what they depend on, and what limits them."""
    differences = list(pair.differences.values())
    intervals = {d.title: d.interval for d in differences if not d.identical}
    return [
        _verdicts(pair),
        *_cause_words(pair),
        *dependence_words(differences),
        *_rank_words(comparison, pair),
        *_by_metric({metric: interval.caution for metric, interval in intervals.items() if not interval.reason}),
        *_by_metric({metric: interval.reason for metric, interval in intervals.items()}),
        *dict.fromkeys(interval.note for interval in intervals.values() if interval.note),
        *_infinite_words(pair, differences),
        *(f"{note}." for note in (*pair.shared.notes, *_joint_notes(comparison, pair))),
    ]


def _cause_words(pair: Pair) -> Iterator[str]:
    for metric, attribution in pair.attributions.items():
        views = pair.differences[metric].wins.views
        yield from cause_words(attribution, a=pair.a.name, b=pair.b.name, shared=views)


def _joint_notes(comparison: Comparison, pair: Pair) -> Iterator[str]:
    if comparison.group is not None:
        infos = {metric: difference.info for metric, difference in pair.differences.items()}
        yield from joint_notes(comparison.group, infos, shown=infos)


def overview(comparison: Comparison) -> list[str]:
    """Return a line per pair with its verdicts, without numbers."""
    lines = []
    for pair in comparison.pairs:
        groups = _by_kind(pair)
        verdicts = [f"{phrase} {_titles(groups[kind])}" for kind, phrase in _OVERVIEW.items() if groups[kind]]
        lines.append(f"{pair.b.name} against {pair.a.name}: {'; '.join(verdicts)}")
    return lines


def _by_kind(pair: Pair) -> dict[str, list[Difference]]:
    """Group the differences of a pair by kind of verdict."""
    groups: dict[str, list[Difference]] = {kind: [] for kind in _OVERVIEW}
    for difference in pair.differences.values():
        kind = "identical" if difference.identical else difference.verdict
        if kind == "unknown" and difference.ranks_differ:
            kind = "better by ranks" if difference.better_by_ranks else "worse by ranks"
        groups[kind].append(difference)
    return groups


def _verdicts(pair: Pair) -> str:
    """Return one sentence with the verdicts on all metrics."""
    a, b, groups = pair.a.name, pair.b.name, _by_kind(pair)
    kinds = [kind for kind in _SENTENCES if groups[kind]]
    parts: list[str] = []
    names_both = False
    for kind in kinds:
        sentence, phrase = _SENTENCES[kind]
        several = len(groups[kind]) > 1
        # Metrics with the same count of views share it, at the end.
        counts = {_fields(difference)[kind] for difference in groups[kind]} if kind in ("better", "worse") else set()
        shared = several and len(counts) == 1
        text = sentence.format(
            a=a,
            b=b,
            metrics=listed([(_BY if shared else phrase).format(**_fields(d)) for d in groups[kind]]),
            than_a="" if names_both else f" than {a}",
            between_both="" if names_both else f" between {b} and {a}",
            differences="differences" if several else "difference",
            are="are" if several else "is",
            views=groups[kind][0].wins.views,
        )
        if shared:
            text += f", on {counts.pop()}"
        if kind == "worse" and parts:
            parts = [f"{parts[0]}, and {text.removeprefix(f'{b} ')}"]
        else:
            parts.append(text)
        names_both = names_both or kind in ("better", "worse", "not distinguishable")
    text = "; ".join(parts)
    # These sentences begin with the name of a side, which is not capitalised.
    return f"{text if kinds[0] in ('better', 'worse', 'identical') else capitalised(text)}."


def _fields(difference: Difference) -> dict[str, str]:
    """Return the fields that a phrase on a metric may use."""
    interval, wins, digits = difference.interval, difference.wins, digits_of(difference)
    low, high = sorted(interval.sign * (end or 0.0) for end in (interval.low, interval.high))
    better, worse = _count(wins.wins, wins.views), _count(wins.losses, wins.views)
    return {
        "metric": difference.title,
        "amount": amount(interval.difference, digits, sign=False),
        "unit": unit_of(difference),
        "interval": f"[{low:.{digits}f}, {high:.{digits}f}]",
        "change": _change(difference),
        "p": p_text(difference.p_holm),
        "better": better,
        "worse": worse,
        "majority": f"worse on {worse}" if wins.losses > wins.wins else f"better on {better}",
    }


def _count(count: int, views: int) -> str:
    return f"all {views} views" if count == views > 1 else f"{count} of {views} views"


def _change(difference: Difference) -> str:
    """Return the difference with its unit, and its interval if there is one."""
    interval, digits = difference.interval, digits_of(difference)
    if interval.difference is None:
        return "no mean difference, because each side is infinite on views where the other is not"
    if math.isinf(interval.difference):
        return f"the mean difference is {amount(interval.difference, 0)}"
    return f"{amount(interval.difference, digits)}{unit_of(difference)}{between(interval.low, interval.high, digits)}"


def _by_metric(texts: Mapping[str, str]) -> Iterator[str]:
    """Yield each text once, after the names of its metrics unless it is about all of them."""
    for text in dict.fromkeys(filter(None, texts.values())):
        metrics = [metric for metric in texts if texts[metric] == text]
        yield text if len(metrics) == len(texts) else f"{listed(metrics)}: {text}"


def _infinite_words(pair: Pair, differences: Sequence[Difference]) -> Iterator[str]:
    """Yield sentences on views where one side or both sides equal the reference."""
    for difference in differences:
        places: dict[str, list[str]] = {"": [], pair.a.name: [], pair.b.name: []}
        for scene in difference.scores.scenes:
            for view, change, both in zip(scene.views, scene.differences, scene.both_infinite, strict=True):
                side = {math.inf: pair.b.name, -math.inf: pair.a.name}.get(float(change))
                if both or side:
                    places[side or ""].append(place_name(difference.scores, scene.name, view))
        for side, views in places.items():
            if views:
                counts = {"count": len(views), "total": difference.wins.views, "names": some(views, 3)}
                template = _ONE_INFINITE if side else _BOTH_INFINITE
                yield template.format(metric=difference.title, side=side, **counts)


_UNCONFIRMED = (
    "Wilcoxon's signed-rank test, after Holm's correction for {tests}, does not confirm {them} at {level:g} %{metrics}."
)
_POWERLESS = "With {units} and {tests}, p cannot be below {p:.2g}."
_OPPOSED = "Wilcoxon's signed-rank test points the other way: by ranks, {b} is {verdicts}."
_RANKS_ALONE = (
    "Wilcoxon's signed-rank test does find a difference: by ranks, {b} is {verdicts}. The {intervals} too wide to show "
    "it, because {cause}."
)
_MOST_OPPOSED = "Most views contradict the mean in {metric}: {b} is {verdict} on {count} of {views}."
# Below this number of units an interval is wide because they are few, above because some differ a lot.
_FEW = 15


def _rank_words(comparison: Comparison, pair: Pair) -> Iterator[str]:
    """Yield sentences where the test or most views disagree with the intervals, and why there is no test."""
    differences = [d for d in pair.differences.values() if not d.identical]
    tested = [d for d in differences if d.interval.sign != 0 and d.test.p is not None]
    yield from _doubts(comparison, [d for d in tested if not d.ranks_differ])
    if opposed := [d for d in tested if d.ranks_differ and not d.confirmed]:
        yield _OPPOSED.format(b=pair.b.name, verdicts=_better_or_worse(opposed))
    if alone := [d for d in differences if d.verdict == "not distinguishable" and d.ranks_differ]:
        test, verdicts = alone[0].test, _better_or_worse(alone)
        cause = f"there are few {test.units}" if test.n < _FEW else f"a few {test.units} differ a lot"
        intervals = "intervals are" if len(alone) > 1 else "interval is"
        yield _RANKS_ALONE.format(b=pair.b.name, verdicts=verdicts, intervals=intervals, cause=cause)
    for difference in differences:
        yield from _opposite(pair, difference)
    yield from dict.fromkeys(d.test.reason for d in differences if d.test.reason)


def _titles(differences: Sequence[Difference], values: str = "") -> str:
    """List metrics in a sentence, each followed by `values` with its p-value as `{p}`."""
    return listed([f"{d.title}{values.format(p=p_text(d.p_holm))}" for d in differences])


def _doubts(comparison: Comparison, doubtful: Sequence[Difference]) -> Iterator[str]:
    """Yield which verdicts the test does not confirm, and whether it could."""
    if not doubtful:
        return
    tests = counted(comparison.tests, "test")
    them, values = "them" if len(doubtful) > 1 else "it", {p_text(d.p_holm) for d in doubtful}
    equal = f" (p = {next(iter(values))})" if len(doubtful) > 1 and len(values) == 1 else ""
    metrics = equal or f": {_titles(doubtful, ' p = {p}')}"
    yield _UNCONFIRMED.format(tests=tests, them=them, level=100 * SIGNIFICANT, metrics=metrics)
    if powerless := [d.test for d in doubtful if d.test.least_p * comparison.tests >= SIGNIFICANT]:
        test = powerless[0]
        units = counted(test.n, test.units.removesuffix("s"))
        yield _POWERLESS.format(units=units, tests=tests, p=min(1.0, test.least_p * comparison.tests))


def _better_or_worse(differences: Sequence[Difference]) -> str:
    """Return the verdicts by ranks, such as "better in PSNR (p = 0.01) and worse in SSIM (p = 0.02)"."""
    better, worse = ([d for d in differences if d.better_by_ranks == up] for up in (True, False))
    groups = (("better", better), ("worse", worse))
    return listed([f"{word} in {_titles(group, ' (p = {p})')}" for word, group in groups if group])


def _opposite(pair: Pair, difference: Difference) -> Iterator[str]:
    """Yield a sentence if most views contradict the mean."""
    wins = difference.wins
    opposite = {"better": (wins.losses, "worse"), "worse": (wins.wins, "better")}
    count, verdict = opposite.get(difference.verdict, (0, ""))
    if 2 * count > wins.views:
        yield _MOST_OPPOSED.format(
            metric=difference.title, b=pair.b.name, verdict=verdict, count=count, views=wins.views
        )
