"""A comparison in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from nvs_eval.comparison.model import Comparison, Difference, Pair
from nvs_eval.comparison.words.amounts import amount, digits_of
from nvs_eval.comparison.words.hinges import hinge_words
from nvs_eval.comparison.words.ranks import better_by_ranks, rank_words
from nvs_eval.errors import listed, some
from nvs_eval.report.words.names import called


def words_of(comparison: Comparison, pair: Pair) -> list[str]:
    """What is to be said of a pair, a sentence an item: the verdicts, what they hang on, and what limits them."""
    differences = list(pair.differences.values())
    intervals = [each for each in differences if not each.identical]
    cautions = {called(each.metric): each.interval.caution for each in intervals if not each.interval.reason}
    return [
        _verdicts(pair),
        *hinge_words(differences),
        *rank_words(comparison, pair),
        *_by_metric(cautions),
        *_by_metric({called(each.metric): each.interval.reason for each in intervals}),
        *dict.fromkeys(each.interval.note for each in intervals if each.interval.note),
        *_alike(differences),
        *(f"{note}." for note in pair.shared.notes),
    ]


def _by_metric(said: Mapping[str, str]) -> Iterator[str]:
    """What is said of each metric: once where it is the same of all, else with the names of those it is said of."""
    for text in dict.fromkeys(filter(None, said.values())):
        names = [name for name, each in said.items() if each == text]
        yield text if len(names) == len(said) else f"In {listed(names)}: {text[:1].lower()}{text[1:]}"


def overview(comparison: Comparison) -> list[str]:
    """Each pair in a line: its verdicts without numbers."""
    return [f"{pair.b.name} against {pair.a.name}: {_in_short(pair)}" for pair in comparison.pairs]


def _in_short(pair: Pair) -> str:
    groups = _Groups(list(pair.differences.values()))
    named = {
        "better in": groups.better,
        "worse in": groups.worse,
        "by ranks better in": [each for each in groups.by_ranks if better_by_ranks(each)],
        "by ranks worse in": [each for each in groups.by_ranks if not better_by_ranks(each)],
        "not distinguishable in": groups.open,
        "nothing known of": groups.unknown,
        "identical in": groups.identical,
    }
    return "; ".join(
        f"{word} {listed([called(each.metric) for each in found])}" for word, found in named.items() if found
    )


class _Groups:
    """The differences by what is said of them.

    Attributes:
        identical: there is none on any view.
        better: by the interval.
        worse: likewise.
        open: not distinguishable, by the interval.
        by_ranks: without an interval, while the test says which is better.
        unknown: without either.
    """

    def __init__(self, differences: Sequence[Difference]) -> None:
        self.identical = [each for each in differences if each.identical]
        others = [each for each in differences if not each.identical]
        self.better = [each for each in others if each.verdict == "better"]
        self.worse = [each for each in others if each.verdict == "worse"]
        self.open = [each for each in others if each.verdict == "not distinguishable"]
        unknown = [each for each in others if each.verdict == "unknown"]
        self.by_ranks = [each for each in unknown if each.told_by_ranks]
        self.unknown = [each for each in unknown if not each.told_by_ranks]


def _verdicts(pair: Pair) -> str:
    """Better in these, worse in those, and what cannot be told."""
    groups, a, b = _Groups(list(pair.differences.values())), pair.a.name, pair.b.name
    said = []
    for verdict, found in (("better", groups.better), ("worse", groups.worse)):
        if found:
            than = f" than {a}" if not said else ""
            said.append(f"is {verdict}{than} in {listed([_by_how_much(each) for each in found])}")
    parts = [f"{b} {', and '.join(said)}"] if said else []
    between = "" if said else f" between {b} and {a}"
    if groups.open:
        plural = len(groups.open) > 1
        what, verb = ("differences", "are") if plural else ("difference", "is")
        names = listed([f"{called(each.metric)} ({_change(each)})" for each in groups.open])
        parts.append(f"the {what} in {names}{between} {verb} not distinguishable")
    for word, up in (("better", True), ("worse", False)):
        if found := [each for each in groups.by_ranks if better_by_ranks(each) == up]:
            names = listed([_ranked(each, word) for each in found])
            parts.append(f"by ranks {b} is {word} than {a} in {names}")
    if groups.unknown:
        names = listed([f"{called(each.metric)} ({_change(each)}; {_by_view(each)})" for each in groups.unknown])
        between = "" if groups.open else between
        what = "differences" if len(groups.unknown) > 1 else "difference"
        parts.append(f"nothing can be concluded of the {what} in {names}{between}")
    if groups.identical:
        names = listed([called(each.metric) for each in groups.identical])
        parts.append(f"{b} and {a} are identical in {names} on all {groups.identical[0].wins.views} views")
    text = "; ".join(parts)
    # A name keeps its first letter as it is.
    by_name = said or len(parts) == bool(groups.identical)
    return f"{text if by_name else text[:1].upper() + text[1:]}."


def _by_how_much(difference: Difference) -> str:
    digits, sign = digits_of(difference), difference.interval.sign
    low, high = sorted(sign * (end or 0.0) for end in (difference.interval.low, difference.interval.high))
    value = amount(difference.interval.difference, digits, sign=False)
    unit = f" {difference.info.unit}" if difference.info.unit else ""
    interval = f"[{low:.{digits}f}, {high:.{digits}f}]"
    count = difference.wins.wins if difference.verdict == "better" else difference.wins.losses
    return f"{called(difference.metric)} by {value}{unit} {interval}, on {count} of {difference.wins.views} views"


def _ranked(difference: Difference, word: str) -> str:
    """What ranks say where there is no interval."""
    count = difference.wins.wins if word == "better" else difference.wins.losses
    return (
        f"{called(difference.metric)} (p = {difference.p_holm:.2g}; {word} on {count} of {difference.wins.views} "
        f"views; {_mean(difference)})"
    )


def _by_view(difference: Difference) -> str:
    """On how many views one is better, of how many."""
    won = difference.wins
    count, word = (won.losses, "worse") if won.losses > won.wins else (won.wins, "better")
    return f"{word} on {count} of {won.views} views"


def _change(difference: Difference) -> str:
    digits, interval = digits_of(difference), difference.interval
    if interval.difference is None or math.isinf(interval.difference):
        return _mean(difference)
    unit = f" {difference.info.unit}" if difference.info.unit else ""
    text = f"{amount(interval.difference, digits)}{unit}"
    if interval.low is None or interval.high is None:
        return text
    return f"{text} [{amount(interval.low, digits)}, {amount(interval.high, digits)}]"


def _mean(difference: Difference) -> str:
    """The mean difference where it is not finite."""
    if difference.interval.difference is None:
        return "there is no mean difference, as each side alone is infinite on some views"
    return f"the mean difference is {amount(difference.interval.difference, 0)}"


def _alike(differences: Sequence[Difference]) -> Iterator[str]:
    """The views on which both sides are identical to the reference, which have no difference that could be seen."""
    for each in differences:
        views = [
            f"{scene.name}/{view}" if len(each.scores.scenes) > 1 else view
            for scene in each.scores.scenes
            for view, both in zip(scene.views, scene.both_infinite, strict=True)
            if both
        ]
        if views:
            yield (
                f"Both sides are infinite in {called(each.metric)} on {len(views)} of {each.wins.views} views "
                f"({some(views, 3)}): that counts as no difference."
            )
