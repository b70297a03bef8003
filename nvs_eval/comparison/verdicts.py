"""A comparison in words: whether B is better than A in each metric, and what limits that."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from nvs_eval.comparison.doubts import hinge_words, rank_words, titles
from nvs_eval.comparison.model import Comparison, Difference, Pair
from nvs_eval.comparison.tables import amount, between, digits_of, place_name
from nvs_eval.errors import listed, some
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
_NO_MEAN = "there is no mean difference, as each side alone is infinite on some views"
_INFINITE_MEAN = "the mean difference is {amount}"
_BOTH_INFINITE = (
    "Both sides are infinite in {metric} on {count} of {total} views ({names}): that counts as no difference."
)


def pair_words(comparison: Comparison, pair: Pair) -> list[str]:
    """Sentences on a pair: the verdicts, what they depend on, and what limits them."""
    differences = list(pair.differences.values())
    intervals = {d.title: d.interval for d in differences if not d.identical}
    return [
        _verdicts(pair),
        *hinge_words(differences),
        *rank_words(comparison, pair),
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
        verdicts = [f"{phrase} {titles(groups[kind])}" for kind, phrase in _OVERVIEW.items() if groups[kind]]
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
        "unit": _unit(difference),
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
        return _NO_MEAN
    if math.isinf(interval.difference):
        return _INFINITE_MEAN.format(amount=amount(interval.difference, 0))
    return f"{amount(interval.difference, digits)}{_unit(difference)}{between(interval.low, interval.high, digits)}"


def _unit(difference: Difference) -> str:
    return f" {difference.info.unit}" if difference.info.unit else ""


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
            metric, total, names = difference.title, difference.wins.views, some(views, 3)
            yield _BOTH_INFINITE.format(metric=metric, count=len(views), total=total, names=names)
