"""What Wilcoxon's test and most views say beside the mean difference, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nvs_eval.comparison.model import SIGNIFICANT, Comparison, Difference, Pair
from nvs_eval.errors import counted, listed

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
        yield _RANKS_ALONE.format(
            b=pair.b.name,
            verdicts=_verdicts(alone),
            intervals="intervals" if several else "interval",
            cause=(_FEW_UNITS if test.n < _FEW else _UNLIKE_UNITS).format(units=test.units),
            do="do" if several else "does",
        )
    for difference in differences:
        yield from _opposite(pair, difference)
    yield from dict.fromkeys(d.test.reason for d in differences if d.test.reason)


def titles(differences: Sequence[Difference], values: str = "") -> str:
    """The metrics of differences in a sentence.

    Args:
        differences: one or more.
        values: a template of what follows each name, with the p-value as `{p}`.
    """
    return listed([f"{d.title}{values.format(p=d.p_holm)}" for d in differences])


def _doubts(comparison: Comparison, doubtful: Sequence[Difference]) -> Iterator[str]:
    """Which verdicts the test does not confirm, and whether it could."""
    if not doubtful:
        return
    tests = counted(comparison.tests, "test")
    yield _UNCONFIRMED.format(
        tests=tests,
        them="them" if len(doubtful) > 1 else "it",
        level=SIGNIFICANT,
        metrics=titles(doubtful, " p = {p:.2g}"),
    )
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
        yield _MOST_OPPOSED.format(
            metric=difference.title,
            b=pair.b.name,
            verdict=verdict,
            count=count,
            views=wins.views,
        )
