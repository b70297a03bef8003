"""A comparison as tables: the differences with their intervals, and the views that gain and lose most."""

from __future__ import annotations

from collections.abc import Sequence

from nvs_eval.comparison.model import Change, Comparison, Difference, Pair
from nvs_eval.comparison.words import amount, digits_of
from nvs_eval.report.columns import Filled, table_from, text_cell
from nvs_eval.report.numbers import decimals, metric_column, printable, shown
from nvs_eval.report.table import Cell, Column, Table

MOST_NAMED = 3
"""How many of the views that gain and lose most are named."""


def difference_table(comparison: Comparison, pair: Pair) -> Table:
    """A row a metric: the means of both, the difference with its interval, the corrected p, wins, losses and ties."""
    differences = list(pair.differences.values())
    filled = [
        Filled(Column("metric", numeric=False), [text_cell(_heading(each)) for each in differences]),
        Filled(Column("A"), [_mean(each, each.mean_a) for each in differences]),
        Filled(Column("B"), [_mean(each, each.mean_b) for each in differences]),
        Filled(Column("B - A"), [_difference(each) for each in differences]),
        Filled(Column("p (Holm)"), [_p(each) for each in differences]),
        Filled(Column("B better/worse/tied", numeric=False), [text_cell(_wins(each)) for each in differences]),
    ]
    return table_from(
        _title(comparison, pair),
        filled,
        notes=[],
        caption=printable(f"protocol {comparison.protocol} ({comparison.fingerprint}); [95 % interval]"),
        shared={"split": comparison.split, "protocol": comparison.protocol, "fingerprint": comparison.fingerprint},
    )


def change_table(pair: Pair) -> Table:
    """A row a metric: the views that gain most from A to B, and those that lose most."""
    differences = list(pair.differences.values())
    several = len(pair.shared.views) > 1
    gains = [[change for change in each.changes if each.gain(change) > 0] for each in differences]
    losses = [[change for change in each.changes[::-1] if each.gain(change) < 0] for each in differences]
    filled = [
        Filled(Column("metric", numeric=False), [text_cell(each.metric) for each in differences]),
        _names("largest gains", differences, gains, several),
        _names("largest losses", differences, losses, several),
    ]
    return table_from(f"{pair.b.name} against {pair.a.name}, by view", filled, notes=[], caption="B - A of a view")


def _title(comparison: Comparison, pair: Pair) -> str:
    views = [len(names) for names in pair.shared.views.values()]
    scenes = next(iter(pair.shared.views)) if len(views) == 1 else f"{len(views)} scenes"
    total = f"{sum(views)} shared {comparison.split} view{'s' if sum(views) > 1 else ''}"
    return f"{pair.b.name} (B) against {pair.a.name} (A): {scenes}, {total}"


def _heading(difference: Difference) -> str:
    return metric_column(difference.metric, difference.info).heading


def _mean(difference: Difference, value: float) -> Cell:
    return Cell(shown(value, max(decimals(difference.metric), digits_of(difference))), value)


def _difference(difference: Difference) -> Cell:
    interval, digits = difference.interval, digits_of(difference)
    between = ""
    if interval.low is not None and interval.high is not None:
        between = f"[{amount(interval.low, digits)}, {amount(interval.high, digits)}]"
    return Cell(amount(interval.difference, digits), interval.difference, aside=between)


def _p(difference: Difference) -> Cell:
    return Cell("" if difference.p_holm is None else f"{difference.p_holm:.2g}", difference.p_holm)


def _wins(difference: Difference) -> str:
    won = difference.wins
    return f"{won.wins}/{won.losses}/{won.ties}"


def _names(
    heading: str, differences: Sequence[Difference], changes: Sequence[Sequence[Change]], several: bool
) -> Filled:
    texts = [_named(each, of_metric, several) for each, of_metric in zip(differences, changes, strict=True)]
    return Filled(Column(heading, numeric=False), [text_cell(text or "none") for text in texts])


def _named(difference: Difference, changes: Sequence[Change], several: bool) -> str:
    """The first few of some changes, by scene where there are several, and by how much."""
    digits = digits_of(difference)
    return ", ".join(
        f"{f'{each.scene}/' if several else ''}{each.view} {amount(each.difference, digits)}"
        for each in changes[:MOST_NAMED]
    )
