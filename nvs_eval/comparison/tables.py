"""A comparison as tables: the differences with their intervals, and the views that gain and lose most."""

from __future__ import annotations

from collections.abc import Sequence

from nvs_eval.comparison.model import Change, Comparison, Difference, Pair
from nvs_eval.comparison.statistics.intervals import Interval
from nvs_eval.comparison.words.amounts import amount, amount_not_zero, between, digits_of, place_name
from nvs_eval.errors import counted
from nvs_eval.report.tables.columns import table_from, text_column
from nvs_eval.report.tables.table import Cell, Column, Table, decimals, metric_column, printable, shown

MOST_NAMED = 3
"""How many of the views that gain and lose most are named."""


def difference_table(comparison: Comparison, pair: Pair) -> Table:
    """A row a metric: the means of both, the difference with its interval, the corrected p, wins, losses and ties."""
    differences = list(pair.differences.values())
    columns = [
        text_column("metric", [heading(d) for d in differences]),
        Column("A", cells=[_mean(d, d.mean_a) for d in differences]),
        Column("B", cells=[_mean(d, d.mean_b) for d in differences]),
        Column("B - A", cells=[difference_cell(d, d.interval) for d in differences]),
        Column("p (Holm)", cells=[_p(d) for d in differences]),
        text_column("win/loss/tie", [_wins(d) for d in differences]),
    ]
    return table_from(
        _title(comparison, pair),
        columns,
        caption=printable(f"protocol {comparison.protocol} ({comparison.fingerprint}); [95 % interval]"),
        shared={"split": comparison.split, "protocol": comparison.protocol, "fingerprint": comparison.fingerprint},
    )


def change_table(pair: Pair) -> Table:
    """The views that gain most from A to B under each metric, and those that lose most."""
    rows = [row for difference in pair.differences.values() for row in _largest(difference)]
    headings = ("metric", "largest gains", "largest losses")
    columns = [text_column(name, [row[index] for row in rows]) for index, name in enumerate(headings)]
    return table_from(f"{pair.b.name} against {pair.a.name}, by view", columns, caption="B - A of a view")


def view_table(comparison: Comparison, pair: Pair) -> Table:
    """A row a shared view: the difference B - A in each metric."""
    views = [(scene, view) for scene, names in pair.shared.views.items() for view in names]
    columns = [
        text_column("scene", [scene for scene, _ in views]),
        text_column("view", [view for _, view in views]),
    ]
    for difference in pair.differences.values():
        values = [float(value) for scene in difference.scores.scenes for value in scene.differences]
        cells = [Cell(amount(value, digits_of(difference)), value) for value in values]
        columns.append(metric_column(difference.metric, difference.info, cells))
    return table_from(
        f"{pair.b.name} (B) against {pair.a.name} (A), each view",
        columns,
        caption=printable(f"B - A; protocol {comparison.protocol} ({comparison.fingerprint})"),
    )


def heading(difference: Difference) -> str:
    """The metric with its unit and which way is up."""
    return metric_column(difference.metric, difference.info).heading


def difference_cell(difference: Difference, interval: Interval) -> Cell:
    """A mean difference with its interval, which may be over other views than the difference's own."""
    digits = digits_of(difference)
    aside = "identical" if difference.identical else between(interval.low, interval.high, digits).strip()
    return Cell(amount(interval.difference, digits), interval.difference, aside=aside)


def _largest(difference: Difference) -> list[tuple[str, str, str]]:
    """Some rows of a metric: as many as there are gains or losses to name; one that says so where there are none."""
    gains = [change for change in difference.changes if difference.gain(change) > 0][:MOST_NAMED]
    losses = [change for change in difference.changes[::-1] if difference.gain(change) < 0][:MOST_NAMED]

    def named(changes: Sequence[Change], row: int) -> str:
        if row >= len(changes):
            return "" if changes or row else "none"
        change = changes[row]
        value = amount_not_zero(change.difference, digits_of(difference))
        return f"{place_name(difference.scores, change.scene, change.view)} {value}"

    count = max(len(gains), len(losses), 1)
    return [("" if row else difference.metric, named(gains, row), named(losses, row)) for row in range(count)]


def _title(comparison: Comparison, pair: Pair) -> str:
    views = [len(names) for names in pair.shared.views.values()]
    scenes = next(iter(pair.shared.views)) if len(views) == 1 else f"{len(views)} scenes"
    total = counted(sum(views), f"shared {comparison.split} view")
    return f"{pair.b.name} (B) against {pair.a.name} (A): {scenes}, {total}"


def _mean(difference: Difference, value: float) -> Cell:
    return Cell(shown(value, max(decimals(difference.metric, difference.info), digits_of(difference))), value)


def _p(difference: Difference) -> Cell:
    return Cell("" if difference.p_holm is None else f"{difference.p_holm:.2g}", difference.p_holm)


def _wins(difference: Difference) -> str:
    wins = difference.wins
    return f"{wins.wins}/{wins.losses}/{wins.ties}"
