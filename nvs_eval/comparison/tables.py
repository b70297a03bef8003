"""A comparison as tables: the differences with their intervals, and the views that gain and lose most."""

from __future__ import annotations

from collections.abc import Sequence

from nvs_eval.comparison.model import Change, Comparison, Difference, Pair
from nvs_eval.comparison.words.amounts import amount, digits_of, told_from_zero
from nvs_eval.errors import counted
from nvs_eval.report.tables.columns import table_from, text_column
from nvs_eval.report.tables.numbers import decimals, metric_column, printable, shown
from nvs_eval.report.tables.table import Cell, Column, Table

MOST_NAMED = 3
"""How many of the views that gain and lose most are named."""


def difference_table(comparison: Comparison, pair: Pair) -> Table:
    """A row a metric: the means of both, the difference with its interval, the corrected p, wins, losses and ties."""
    differences = list(pair.differences.values())
    columns = [
        text_column("metric", [_heading(each) for each in differences]),
        Column("A", cells=[_mean(each, each.mean_a) for each in differences]),
        Column("B", cells=[_mean(each, each.mean_b) for each in differences]),
        Column("B - A", cells=[_difference(each) for each in differences]),
        Column("p (Holm)", cells=[_p(each) for each in differences]),
        text_column("win/loss/tie", [_wins(each) for each in differences]),
    ]
    return table_from(
        _title(comparison, pair),
        columns,
        notes=[],
        caption=printable(f"protocol {comparison.protocol} ({comparison.fingerprint}); [95 % interval]"),
        shared={"split": comparison.split, "protocol": comparison.protocol, "fingerprint": comparison.fingerprint},
    )


def change_table(pair: Pair) -> Table:
    """The views that gain most from A to B under each metric, and those that lose most."""
    rows = [row for difference in pair.differences.values() for row in _largest(pair, difference)]
    headings = ("metric", "largest gains", "largest losses")
    columns = [text_column(name, [row[place] for row in rows]) for place, name in enumerate(headings)]
    return table_from(f"{pair.b.name} against {pair.a.name}, by view", columns, notes=[], caption="B - A of a view")


def view_table(comparison: Comparison, pair: Pair) -> Table:
    """A row a shared view: the difference B - A in each metric."""
    differences = list(pair.differences.values())
    views = [(scene, view) for scene, names in pair.shared.views.items() for view in names]
    columns = [
        text_column("scene", [scene for scene, _ in views]),
        text_column("view", [view for _, view in views]),
    ]
    for each in differences:
        values = [float(value) for scene in each.scores.scenes for value in scene.differences]
        cells = [Cell(amount(value, digits_of(each)), value) for value in values]
        columns.append(metric_column(each.metric, each.info, cells))
    return table_from(
        f"{pair.b.name} (B) against {pair.a.name} (A), each view",
        columns,
        notes=[],
        caption=printable(f"B - A; protocol {comparison.protocol} ({comparison.fingerprint})"),
    )


def _largest(pair: Pair, difference: Difference) -> list[tuple[str, str, str]]:
    """Some rows of a metric: as many as there are gains or losses to name; one that says so where there are none."""
    several, digits = len(pair.shared.views) > 1, digits_of(difference)
    gains = [change for change in difference.changes if difference.gain(change) > 0][:MOST_NAMED]
    losses = [change for change in difference.changes[::-1] if difference.gain(change) < 0][:MOST_NAMED]

    def named(changes: Sequence[Change], place: int) -> str:
        if place >= len(changes):
            return "" if changes or place else "none"
        change = changes[place]
        value = told_from_zero(change.difference, digits)
        return f"{f'{change.scene}/' if several else ''}{change.view} {value}"

    count = max(len(gains), len(losses), 1)
    return [("" if i else difference.metric, named(gains, i), named(losses, i)) for i in range(count)]


def _title(comparison: Comparison, pair: Pair) -> str:
    views = [len(names) for names in pair.shared.views.values()]
    scenes = next(iter(pair.shared.views)) if len(views) == 1 else f"{len(views)} scenes"
    total = f"{counted(sum(views), f'shared {comparison.split} view')}"
    return f"{pair.b.name} (B) against {pair.a.name} (A): {scenes}, {total}"


def _heading(difference: Difference) -> str:
    return metric_column(difference.metric, difference.info).heading


def _mean(difference: Difference, value: float) -> Cell:
    return Cell(shown(value, max(decimals(difference.metric, difference.info), digits_of(difference))), value)


def _difference(difference: Difference) -> Cell:
    interval, digits = difference.interval, digits_of(difference)
    between = "identical" if difference.identical else ""
    if not between and interval.low is not None and interval.high is not None:
        between = f"[{amount(interval.low, digits)}, {amount(interval.high, digits)}]"
    return Cell(amount(interval.difference, digits), interval.difference, aside=between)


def _p(difference: Difference) -> Cell:
    return Cell("" if difference.p_holm is None else f"{difference.p_holm:.2g}", difference.p_holm)


def _wins(difference: Difference) -> str:
    won = difference.wins
    return f"{won.wins}/{won.losses}/{won.ties}"
