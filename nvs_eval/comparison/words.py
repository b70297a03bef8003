"""A comparison in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from nvs_eval.comparison.model import SIGNIFICANT, Comparison, Difference, Pair
from nvs_eval.errors import some
from nvs_eval.report.names import called
from nvs_eval.report.numbers import decimals
from nvs_eval.report.phrases import listed
from nvs_eval.statistics.jackknife import Without

_MOST_DECIMALS = 8


def words_of(comparison: Comparison, pair: Pair) -> list[str]:
    """What is to be said of a pair, a sentence an item: the verdicts, what they hang on, and what limits them."""
    differences = list(pair.differences.values())
    return [
        _verdicts(pair),
        *_hinges(differences),
        *_tests(comparison, differences),
        *dict.fromkeys(_start(each.interval.caution) for each in differences if each.interval.caution),
        *dict.fromkeys(_start(each.interval.reason) for each in differences if each.interval.reason),
        *dict.fromkeys(_start(each.interval.note) for each in differences if each.interval.note),
        *(f"{_start(note)}." for note in pair.shared.notes),
    ]


def digits_of(difference: Difference) -> int:
    """How many decimals a difference needs: those of its metric, and two figures of half its interval."""
    interval = difference.interval
    half = (interval.standard_error or 0.0) * (interval.quantile or 0.0)
    size = half or abs(difference.interval.difference or 0.0)
    needed = 1 - math.floor(math.log10(size)) if 0 < size < math.inf else 0
    return min(max(decimals(difference.metric), needed), _MOST_DECIMALS)


def amount(value: float | None, digits: int, *, sign: bool = True) -> str:
    """A difference as it is shown; "undefined" where there is none."""
    if value is None:
        return "undefined"
    text = f"{value:+.{digits}f}" if sign else f"{abs(value):.{digits}f}"
    return text if math.isinf(value) or float(text) or not sign else text[1:]


def _verdicts(pair: Pair) -> str:
    """Better in these, worse in those, and what cannot be told."""
    said = []
    for verdict in ("better", "worse"):
        found = [each for each in pair.differences.values() if each.verdict == verdict]
        if found:
            than = f" than {pair.a.name}" if not said else ""
            said.append(f"is {verdict}{than} in {listed([_by_how_much(each) for each in found])}")
    open_ones = [each for each in pair.differences.values() if each.verdict == "not distinguishable"]
    unknown = [each for each in pair.differences.values() if each.verdict == "unknown"]
    parts = [f"{pair.b.name} {', and '.join(said)}"] if said else []
    if open_ones:
        names = listed([_with_interval(each) for each in open_ones])
        between = "" if said else f" between {pair.b.name} and {pair.a.name}"
        plural = len(open_ones) > 1
        what = "differences" if plural else "difference"
        parts.append(f"the {what} in {names}{between} {'are' if plural else 'is'} not distinguishable")
    if unknown:
        names = listed([f"{called(each.metric)} ({_change(each)}; {_by_view(each)})" for each in unknown])
        between = "" if said or open_ones else f" between {pair.b.name} and {pair.a.name}"
        parts.append(f"nothing can be concluded of the difference in {names}{between}")
    # A name keeps its first letter as it is.
    return f"{'; '.join(parts) if said else _start('; '.join(parts))}."


def _by_how_much(difference: Difference) -> str:
    digits, sign = digits_of(difference), difference.interval.sign
    low, high = sorted(sign * (end or 0.0) for end in (difference.interval.low, difference.interval.high))
    value = amount(difference.interval.difference, digits, sign=False)
    unit = f" {difference.info.unit}" if difference.info.unit else ""
    interval = f"[{low:.{digits}f}, {high:.{digits}f}]"
    return f"{called(difference.metric)} by {value}{unit} {interval}, {_by_view(difference)}"


def _by_view(difference: Difference) -> str:
    """On how many views that is so, of how many."""
    won = difference.wins
    total = won.wins + won.losses + won.ties
    worse = difference.verdict == "worse" or (difference.verdict == "unknown" and won.losses > won.wins)
    count, word = (won.losses, "worse") if worse else (won.wins, "better")
    if difference.verdict in ("better", "worse"):
        return f"on {count} of {total} views"
    return f"{word} on {count} of {total} views"


def _with_interval(difference: Difference) -> str:
    return f"{called(difference.metric)} ({_change(difference)})"


def _change(difference: Difference) -> str:
    digits, interval = digits_of(difference), difference.interval
    unit = f" {difference.info.unit}" if difference.info.unit else ""
    text = f"{amount(interval.difference, digits)}{unit}"
    if interval.low is None or interval.high is None:
        return text
    return f"{text} [{amount(interval.low, digits)}, {amount(interval.high, digits)}]"


def _hinges(differences: Sequence[Difference]) -> Iterator[str]:
    """The verdicts that would be another without one view, or one scene."""
    known = [each for each in differences if each.interval.low is not None]
    found = False
    for each in known:
        for pivotal in (each.jackknife.pivotal_views, each.jackknife.pivotal_scenes):
            if pivotal:
                found = True
                yield _hinge(each, pivotal)
    if known and not found:
        yield (
            "No verdict hangs on a single view or scene."
            if len(known[0].scores.scenes) > 1
            else ("No verdict hangs on a single view.")
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


def _tests(comparison: Comparison, differences: Sequence[Difference]) -> Iterator[str]:
    """Which verdicts Wilcoxon's test does not confirm, and whether it could."""
    told = [each for each in differences if each.interval.sign != 0 and each.test.p is not None]
    doubtful = [each for each in told if not each.confirmed]
    tests = f"{comparison.tests} test{'s' if comparison.tests > 1 else ''}"
    if doubtful:
        values = listed([f"{called(each.metric)} p = {each.p_holm:.2g}" for each in doubtful])
        yield (
            f"Wilcoxon's signed-rank test, after Holm's correction for {tests}, does not confirm it at "
            f"{SIGNIFICANT:.0%}: {values}."
        )
    powerless = [each for each in doubtful if each.test.least_p * comparison.tests >= SIGNIFICANT]
    if powerless:
        test = powerless[0].test
        yield (
            f"Nor could it: of {test.n} {test.units} and {tests} the smallest p there can be is "
            f"{min(1.0, test.least_p * comparison.tests):.2g}."
        )


def _start(text: str) -> str:
    return text[:1].upper() + text[1:]
