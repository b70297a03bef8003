"""What tables count of a row besides its scores: how many views, how much of them masks keep, what rendering took."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean, median

from nvs_eval.records.record import Record, ViewRow


def median_seconds(rows: Sequence[ViewRow]) -> float | None:
    """The median time to render a view, over those whose time is known; None if there are none."""
    known = [row.render_seconds for row in rows if row.render_seconds is not None]
    return median(known) if known else None


def view_count(records: Sequence[Record]) -> int:
    """How many views: of each scene once: several runs are of the same views."""
    return sum({record.scene: len(record.views) for record in records}.values())


def _coverage(records: Sequence[Record]) -> float | None:
    known = [row.coverage for record in records for row in record.views if row.coverage is not None]
    return mean(known) if known else None


def _seconds(records: Sequence[Record]) -> float | None:
    return median_seconds([row for record in records for row in record.views])


def _memory(records: Sequence[Record]) -> float | None:
    peaks = [record.provenance.get("peak_memory_bytes") for record in records]
    known = [value for value in peaks if isinstance(value, int | float)]
    return max(known) / 1e9 if known else None


COUNTS: Mapping[str, tuple[Callable[[Sequence[Record]], float | None], str]] = {
    "views": (view_count, "d"),
    "coverage": (_coverage, ".3f"),
    "s/view": (_seconds, ".3g"),
    "GB": (_memory, ".2f"),
}
"""The columns by name: the count of some records, and how it is formatted."""
