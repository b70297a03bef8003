"""What every writer is given: a table made of columns, ranked, its numbers both exact and as they are shown."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from nvs_eval.errors import printable
from nvs_eval.metrics.registry import CORRECTED, About, about_of, label_of
from nvs_eval.records.record import MetricInfo

ODD = "†"
"""Marks a row whose numbers may not be compared with most others."""
PUBLISHED = "‡"
"""Marks a row that was published, and not computed here."""
DIFFERS = "§"
"""Marks a published value that was not computed as the protocol says."""
TIED = "≈"
"""Marks what cannot be told from the best."""

_IDENTITY = ("view", "scene", "method", "run", "step", "protocol", "fingerprint", "metric")


@dataclass(frozen=True)
class Cell:
    """One place of a table.

    Attributes:
        text: the name or number as it is shown; "" where there is none.
        value: the same in full; None where there is none.
        rank: 1 for what no other row of the column is better than, as shown; then 2 and 3; else None.
        aside: what is said of a number beside it, such as its difference from another.
        mark: a sign that the notes explain.
    """

    text: str
    value: float | int | str | None = None
    rank: int | None = None
    aside: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Column:
    """A column and its cells, one a row of the table.

    Attributes:
        name: key of a metric, name of a scene, or what identifies or counts ("method", "views").
        metric: whose values they are, or None.
        unit: of the values, "" for none.
        higher_is_better: which way is up, or None where neither is.
        numeric: whether it holds numbers.
        cells: from the first row to the last.
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
    """Which way is up, with a space before it; nothing where neither is."""
    return {True: " ↑", False: " ↓", None: ""}[higher_is_better]


@dataclass(frozen=True)
class Table:
    """One block: rows that may be compared with each other, or are marked where they may not.

    Attributes:
        title: what is compared.
        columns: with a cell a row each.
        caption: how the numbers were made.
        shared: what all rows have in common and no column says: scene, split, protocol, fingerprint, metric.
        signatures: of each metric, as the second half of the caption.
        notes: what else must be known of some rows.
        means: how many of the last rows are means of those above.
        views: how many views the rows are of, each number once, ascending; none where that is not known.
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
        """The cells of each row, one a column."""
        return list(zip(*(column.cells for column in self.columns), strict=True))

    @property
    def identity(self) -> int:
        """How many of the first columns say whose a row is."""
        return sum(column.name in _IDENTITY and column.metric is None for column in self.columns)

    @property
    def full_caption(self) -> str:
        """How the numbers were made, and of how many views: "protocol standard (f3d12c27), 7 views"."""
        if not self.views:
            return self.caption
        numbers = " or ".join(map(str, self.views))
        return f"{self.caption}, {numbers} view{'' if numbers == '1' else 's'}"

    @property
    def parts(self) -> tuple[Sequence[Sequence[Cell]], Sequence[Sequence[Cell]]]:
        """The rows, and those that are means of them."""
        count = len(self.rows) - self.means
        return self.rows[:count], self.rows[count:]

    @property
    def keys(self) -> list[str]:
        """The names of the columns, each another, and none that of what the rows share.

        A scene may be called "method" or "split": it is "method (2)" then.
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
    """Number of decimals of a metric in tables, which is that of the colour-corrected render too.

    Args:
        metric: its key.
        info: its entry in a record.
        chosen: by key, or by the key up to the first underscore. Default: the metric's own.
    """
    plain = metric.removeprefix(CORRECTED)
    for name in (metric, plain, plain.partition("_")[0]):
        if chosen and name in chosen:
            return chosen[name]
    return about_of(metric, info).decimals


def shown(value: float, digits: int) -> str:
    """A value as it is shown."""
    return "inf" if math.isinf(value) else f"{value:.{digits}f}"


def metric_column(metric: str, info: MetricInfo | About, cells: Sequence[Cell] = ()) -> Column:
    """Return the column of a metric."""
    title = printable(label_of(metric, None if isinstance(info, About) else info))
    return Column(printable(metric), metric, printable(info.unit), info.higher_is_better, cells=cells, title=title)
