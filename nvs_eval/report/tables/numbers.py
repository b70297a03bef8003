"""How numbers and names are shown."""

from __future__ import annotations

import math
from collections.abc import Mapping

from nvs_eval.records.record import MetricInfo
from nvs_eval.report.tables.table import Column

DECIMALS: Mapping[str, int] = {"psnr": 2, "ssim": 3, "lpips": 3}
"""How many decimals papers show a metric with, by its name up to the first underscore."""
_OTHERS = 4


def decimals(metric: str, chosen: Mapping[str, int] = DECIMALS) -> int:
    """How many decimals a metric is shown with, unless said otherwise the same of the colour-corrected render.

    Args:
        metric: its key.
        chosen: by key, or by the key up to the first underscore.
    """
    plain = metric.removeprefix("cc_")
    for name in (metric, plain, plain.partition("_")[0]):
        if name in chosen:
            return chosen[name]
    return _OTHERS


def shown(value: float, digits: int) -> str:
    """A value as it is shown."""
    return "inf" if math.isinf(value) else f"{value:.{digits}f}"


def metric_column(metric: str, info: MetricInfo) -> Column:
    """The column of a metric."""
    return Column(printable(metric), metric, printable(info.unit), info.higher_is_better)


def printable(text: str) -> str:
    """A text as it can be printed.

    Names come from files of others: what would steer a terminal, or has no glyph, is shown as its escape.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
