"""Tables as writers receive them: ranked columns of cells, with exact values and the texts to show."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from nvs_eval.errors import printable
from nvs_eval.metrics.registry import CORRECTED, About, about_of, base_of, label_of
from nvs_eval.records.record import MetricInfo

ODD = "†"
"""Marks a row that is not comparable with most others."""
PARTIAL = "¶"
"""Marks a row that is not of all views."""
PUBLISHED = "‡"
"""Marks a row of published numbers."""
DIFFERS = "§"
"""Marks a published value that was computed differently from the protocol."""
TIED = "≈"
"""Marks a value that cannot be told from the best."""

_MOST_DECIMALS, _ALL_DIGITS = 8, 17
_IDENTITY = ("view", "scene", "method", "run", "step", "protocol", "fingerprint", "metric")


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: name or number as shown; "" for an empty cell.
        value: name or number in full precision; None for an empty cell.
        rank: 1 for the best values of the column as shown, 2 or 3, or None.
        aside: text beside a number, such as its difference from another.
        mark: mark that the notes explain.
    """

    text: str
    value: float | int | str | None = None
    rank: int | None = None
    aside: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Column:
    """A column with one cell per row of the table.

    Attributes:
        name: key of a metric, name of a scene, or what identifies or counts ("method", "views").
        metric: key of the metric of its values, or None.
        unit: unit of the values, "" for none.
        higher_is_better: direction of the metric, or None.
        numeric: whether the cells are numbers.
        cells: cells from the first row to the last.
        title: name in headings; "" where it is `name`.
    """

    name: str
    metric: str | None = None
    unit: str = ""
    higher_is_better: bool | None = None
    numeric: bool = True
    cells: Sequence[Cell] = ()
    title: str = ""

    @property
    def heading(self) -> str:
        """Title with the unit and an arrow to the better side."""
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.title or self.name}{unit}{arrow(self.higher_is_better)}"


def arrow(higher_is_better: bool | None) -> str:
    """Return the arrow of a direction, after a space; "" without a direction."""
    return {True: " ↑", False: " ↓", None: ""}[higher_is_better]


@dataclass(frozen=True)
class Table:
    """A table whose rows are comparable, or marked if they are not.

    Attributes:
        title: what the table compares.
        columns: columns with one cell per row.
        caption: how the numbers were computed.
        shared: values that all rows share and no column shows: scene, split, protocol, fingerprint, metric.
        signatures: signature of each metric, printed below the caption.
        notes: remarks on some rows.
        means: number of last rows that are means of the rows above.
        views: distinct numbers of views of the rows, ascending; empty if unknown.
    """

    title: str
    columns: Sequence[Column]
    caption: str
    shared: Mapping[str, str] = field(default_factory=dict)
    signatures: Sequence[str] = ()
    notes: Sequence[str] = ()
    means: int = 0
    views: Sequence[int] = ()

    @cached_property
    def rows(self) -> list[tuple[Cell, ...]]:
        """Cells of each row, one per column."""
        return list(zip(*(column.cells for column in self.columns), strict=True))

    @property
    def identity(self) -> int:
        """Number of first columns that identify a row."""
        return sum(column.name in _IDENTITY and column.metric is None for column in self.columns)

    @property
    def full_caption(self) -> str:
        """Caption with the number of views: "protocol standard (f3d12c27), 7 views"."""
        if not self.views:
            return self.caption
        numbers = " or ".join(map(str, self.views))
        return f"{self.caption}, {numbers} view{'' if numbers == '1' else 's'}"

    @property
    def parts(self) -> tuple[Sequence[Sequence[Cell]], Sequence[Sequence[Cell]]]:
        """The rows, and the rows that are means of them."""
        count = len(self.rows) - self.means
        return self.rows[:count], self.rows[count:]

    @property
    def keys(self) -> list[str]:
        """Unique keys of the columns, different from the names of shared values.

        A scene may be called "method" or "split"; its key is then "method (2)".
        """
        used = set(self.shared) - {column.name for column in self.columns[: self.identity]}
        keys = []
        for column in self.columns:
            numbered = (f"{column.name} ({count})" for count in itertools.count(2))
            key = next(name for name in itertools.chain([column.name], numbered) if name not in used)
            used.add(key)
            keys.append(key)
        return keys


def decimals(metric: str, info: MetricInfo | None = None, chosen: Mapping[str, int] | None = None) -> int:
    """Return the number of decimals of a metric in tables. Colour-corrected metrics have that of the plain ones.

    Args:
        metric: key of the metric.
        info: entry of the metric in a record.
        chosen: decimals by key, or by the key up to the first underscore (default: the metric's).
    """
    metric = base_of(metric)
    plain = metric.removeprefix(CORRECTED)
    for name in (metric, plain, plain.partition("_")[0]):
        if chosen and name in chosen:
            return chosen[name]
    return about_of(metric, info).decimals


def shown(value: float, digits: int) -> str:
    """Format a value with a number of decimals."""
    return "inf" if math.isinf(value) else f"{value:.{digits}f}"


def visible(value: float, digits: int, beyond: float = 0.0) -> str:
    """Format a difference with its sign, and with more decimals if its magnitude would be shown as `beyond` or less.

    Args:
        value: difference, whose magnitude is above `beyond`.
        digits: least number of decimals.
        beyond: value that the difference must be told from.
    """
    if math.isinf(value):
        return f"{value:+}"
    fixed = (f"{value:+.{places}f}" for places in range(digits, max(digits, _MOST_DECIMALS) + 1))
    scientific = (f"{value:+.{places}e}" for places in range(1, _ALL_DIGITS))
    return next(text for text in (*fixed, *scientific, f"{value:+}") if abs(float(text)) > beyond)


def change(value: float, other: float, digits: int) -> str:
    """Format the difference of a value from another with its sign, and with more decimals if these would show zero.

    Values that are shown as equal have the difference zero, which has no sign.
    """
    if shown(value, digits) == shown(other, digits):
        return f"{0:.{digits}f}"
    return visible(value - other, digits)


def metric_column(metric: str, info: MetricInfo | About, cells: Sequence[Cell] = ()) -> Column:
    """Return the column of a metric."""
    title = printable(label_of(metric, None if isinstance(info, About) else info))
    return Column(printable(metric), metric, printable(info.unit), info.higher_is_better, cells=cells, title=title)
