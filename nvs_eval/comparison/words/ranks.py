"""What Wilcoxon's test and most views say beside the mean difference, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nvs_eval.comparison.model import SIGNIFICANT, Comparison, Difference, Pair
from nvs_eval.errors import listed
from nvs_eval.report.words.names import called

# With fewer units an interval is wide for their number, with more for what a few of them are.
_FEW = 15


def rank_words(comparison: Comparison, pair: Pair) -> Iterator[str]:
    """Where the test and most views say something else than the intervals, and why there is no test."""
    differences = [each for each in pair.differences.values() if not each.identical]
    told = [each for each in differences if each.interval.sign != 0 and each.test.p is not None]
    yield from _doubts(comparison, [each for each in told if not each.told_by_ranks])
    if opposed := [each for each in told if each.told_by_ranks and not each.confirmed]:
        yield f"Wilcoxon's signed-rank test says the opposite: by ranks {pair.b.name} is {_by_ranks(opposed)}."
    if alone := [each for each in differences if each.verdict == "not distinguishable" and each.told_by_ranks]:
        test = alone[0].test
        wide = f"wide for so few {test.units}" if test.n < _FEW else f"wide for single {test.units} that differ much"
        plural = len(alone) > 1
        intervals = f"interval{'s' if plural else ''}, {wide}, {'do' if plural else 'does'} not"
        yield (
            f"Wilcoxon's signed-rank test does tell them apart: by ranks {pair.b.name} is {_by_ranks(alone)}, where "
            f"the {intervals}."
        )
    yield from (_opposite(pair, each) for each in differences if _against_most(each))
    yield from dict.fromkeys(each.test.reason for each in differences if each.test.reason)


def better_by_ranks(difference: Difference) -> bool:
    """Whether the ranks of what B gains outweigh those of what it loses."""
    return (difference.test.sign > 0) == difference.info.higher_is_better


def _doubts(comparison: Comparison, doubtful: Sequence[Difference]) -> Iterator[str]:
    """Which verdicts the test does not confirm, and whether it could."""
    tests = f"{comparison.tests} test{'s' if comparison.tests > 1 else ''}"
    if doubtful:
        what = "them" if len(doubtful) > 1 else "it"
        values = listed([f"{called(each.metric)} p = {each.p_holm:.2g}" for each in doubtful])
        yield (
            f"Wilcoxon's signed-rank test, after Holm's correction for {tests}, does not confirm {what} at "
            f"{SIGNIFICANT:.0%}: {values}."
        )
    if powerless := [each for each in doubtful if each.test.least_p * comparison.tests >= SIGNIFICANT]:
        test = powerless[0].test
        yield (
            f"Nor could it: of {test.n} {test.units} and {tests} the smallest p there can be is "
            f"{min(1.0, test.least_p * comparison.tests):.2g}."
        )


def _by_ranks(differences: Sequence[Difference]) -> str:
    said = []
    for word, up in (("better", True), ("worse", False)):
        found = [each for each in differences if better_by_ranks(each) == up]
        if found:
            names = listed([f"{called(each.metric)} (p = {each.p_holm:.2g})" for each in found])
            said.append(f"{word} in {names}")
    return listed(said)


def _against_most(difference: Difference) -> bool:
    won = difference.wins
    opposite = {"better": won.losses, "worse": won.wins}.get(difference.verdict, 0)
    return 2 * opposite > won.views


def _opposite(pair: Pair, difference: Difference) -> str:
    won = difference.wins
    count, word = (won.losses, "worse") if difference.verdict == "better" else (won.wins, "better")
    return (
        f"Most views say the opposite of the mean in {called(difference.metric)}: {pair.b.name} is {word} on {count} "
        f"of {won.views}."
    )
