"""How numbers and names are shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from nvs_eval.metrics.registry import CORRECTED, about_of
from nvs_eval.records.record import MetricInfo
from nvs_eval.report.tables.table import Cell, Column


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


def metric_column(metric: str, info: MetricInfo, cells: Sequence[Cell] = ()) -> Column:
    """The column of a metric."""
    title = printable(info.title or "")
    return Column(printable(metric), metric, printable(info.unit), info.higher_is_better, cells=cells, title=title)


def printable(text: str) -> str:
    """A text as it can be printed.

    Names come from files of others: what would steer a terminal, or has no glyph, is shown as its escape.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
