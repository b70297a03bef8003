"""Tables of a comparison, and differences as text with as many decimals as they need."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nvs_eval.comparison.model import SIGNIFICANT, Change, Comparison, Difference, Pair
from nvs_eval.comparison.statistics.intervals import Interval
from nvs_eval.comparison.statistics.scores import Scores
from nvs_eval.errors import counted, printable
from nvs_eval.metrics.registry import label_of
from nvs_eval.report.tables.columns import table_from, text_column
from nvs_eval.report.tables.table import Cell, Column, Table, decimals, metric_column, shown, visible

MOST_NAMED = 3
"""Number of views named among those that gain, and among those that lose most."""
_MOST_DECIMALS = 8


def difference_table(comparison: Comparison, pair: Pair) -> Table:
    """Return a row per metric: both means, difference with interval, corrected p-value, wins, losses and ties."""
    differences = list(pair.differences.values())
    columns = [
        text_column("metric", [heading(d) for d in differences]),
        Column("A", cells=[mean_cell(d, d.mean_a) for d in differences]),
        Column("B", cells=[mean_cell(d, d.mean_b) for d in differences]),
        Column("B - A", cells=[difference_cell(d, d.interval) for d in differences]),
        Column("p (Holm)", cells=[Cell(p_text(d.p_holm), d.p_holm) for d in differences]),
        text_column("win/loss/tie", [f"{d.wins.wins}/{d.wins.losses}/{d.wins.ties}" for d in differences]),
    ]
    return table_from(
        _title(comparison, pair),
        columns,
        caption=printable(f"protocol {comparison.protocol} ({comparison.fingerprint}); [95 % interval]"),
        shared={"split": comparison.split, "protocol": comparison.protocol, "fingerprint": comparison.fingerprint},
    )


def change_table(pair: Pair) -> Table:
    """Return the views that gain and lose most from A to B, under each metric."""
    rows = [row for difference in pair.differences.values() for row in _largest(difference)]
    headings = ("metric", "largest gains", "largest losses")
    columns = [text_column(name, [row[index] for row in rows]) for index, name in enumerate(headings)]
    return table_from(f"{pair.b.name} against {pair.a.name}, by view", columns, caption="B - A of the view")


def view_table(comparison: Comparison, pair: Pair) -> Table:
    """Return a row per shared view: its difference B - A in each metric."""
    views = [(scene, view) for scene, names in pair.shared.views.items() for view in names]
    columns = [text_column(name, [names[index] for names in views]) for index, name in enumerate(("scene", "view"))]
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
    """Return the heading of a metric, with its unit and direction."""
    return metric_column(difference.metric, difference.info).heading


def mean_cell(difference: Difference, value: float, *, more: int | None = None) -> Cell:
    """Return the mean of a side, with as many decimals as the difference, or with `more` than tables usually show."""
    usual = decimals(difference.metric, difference.info)
    return Cell(shown(value, max(usual, digits_of(difference)) if more is None else usual + more), value)


def difference_cell(difference: Difference, interval: Interval, *, beyond: float = math.inf) -> Cell:
    """Return a mean difference with an interval, which may be over fewer views than the difference's own.

    Args:
        difference: difference of the two sides.
        interval: mean difference and its interval.
        beyond: tolerance that a larger difference must be told from.
    """
    digits = digits_of(difference)
    aside = "identical" if difference.identical else between(interval.low, interval.high, digits).strip()
    text = amount(interval.difference, digits)
    if interval.difference is not None and exceeds(abs(interval.difference), beyond):
        text = visible(interval.difference, digits, beyond)
    return Cell(text, interval.difference, aside=aside)


def exceeds(value: float, limit: float) -> bool:
    """Return whether a value is above a limit by more than the rounding of decimal fractions to binary ones."""
    return value > limit and not math.isclose(value, limit, rel_tol=1e-9)


def _largest(difference: Difference) -> list[tuple[str, str, str]]:
    """Return the rows of a metric: the largest gains and losses side by side, or one row with "none"."""
    gains = [change for change in difference.changes if difference.gain(change.difference) > 0][:MOST_NAMED]
    losses = [change for change in difference.changes[::-1] if difference.gain(change.difference) < 0][:MOST_NAMED]

    def named(changes: Sequence[Change], row: int) -> str:
        if row >= len(changes):
            return "" if changes or row else "none"
        change = changes[row]
        value = visible(change.difference, digits_of(difference))
        return f"{place_name(difference.scores, change.scene, change.view)} {value}"

    count = max(len(gains), len(losses), 1)
    return [
        ("" if row else label_of(difference.metric, difference.info), named(gains, row), named(losses, row))
        for row in range(count)
    ]


def _title(comparison: Comparison, pair: Pair) -> str:
    views = [len(names) for names in pair.shared.views.values()]
    scenes = next(iter(pair.shared.views)) if len(views) == 1 else f"{len(views)} scenes"
    total = counted(sum(views), f"shared {comparison.split} view")
    return f"{pair.b.name} (B) against {pair.a.name} (A): {scenes}, {total}"


def digits_of(difference: Difference) -> int:
    """Return the number of decimals of a difference: at least its metric's, and two digits of half its interval.

    No end of an interval that excludes zero is shown as zero.
    """
    interval = difference.interval
    size = (interval.standard_error or 0.0) * (interval.quantile or 0.0) or abs(interval.difference or 0.0)
    required = 1 - math.floor(math.log10(size)) if 0 < size < math.inf else 0
    least = max(
        decimals(difference.metric, difference.info), required, digits_apart_from_zero(interval.low, interval.high)
    )
    return min(least, _MOST_DECIMALS)


def digits_apart_from_zero(low: float | None, high: float | None) -> int:
    """Return the number of decimals that show no end of an interval as zero; 0 if it includes zero or is unbounded."""
    if low is None or high is None or not 0 < low * high < math.inf:
        return 0
    return min(-math.floor(math.log10(min(abs(low), abs(high)))), _MOST_DECIMALS)


def amount(value: float | None, digits: int, *, sign: bool = True) -> str:
    """Return a difference as text, "undefined" for None."""
    if value is None:
        return "undefined"
    text = f"{value:+.{digits}f}" if sign else f"{abs(value):.{digits}f}"
    return text if math.isinf(value) or float(text) or not sign else text[1:]


def p_text(p: float | None) -> str:
    """Return a corrected p-value with two digits, or more if these would put it on the other side of the level."""
    if p is None:
        return ""
    texts = (f"{p:.{digits}g}" for digits in range(2, 18))
    return next(text for text in texts if (float(text) < SIGNIFICANT) == (p < SIGNIFICANT))


def between(low: float | None, high: float | None, digits: int) -> str:
    """Return an interval in brackets after a space, or "" if there is none."""
    return "" if low is None else f" [{amount(low, digits)}, {amount(high, digits)}]"


def unit_of(difference: Difference) -> str:
    """Return the unit after a space, or "" if there is none."""
    return f" {difference.info.unit}" if difference.info.unit else ""


def place_name(scores: Scores, scene: str, view: str | None) -> str:
    """Return the name of a view, with its scene if there are several; without a view, the name of the scene."""
    if view is None:
        return scene
    return f"{scene}/{view}" if len(scores.scenes) > 1 else view
