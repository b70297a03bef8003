"""Differences as text: with as many decimals as they need."""

from __future__ import annotations

import math

from nvs_eval.comparison.model import Difference
from nvs_eval.comparison.statistics.scores import Scores
from nvs_eval.report.tables.table import decimals

_MOST_DECIMALS = 8


def digits_of(difference: Difference) -> int:
    """Number of decimals a difference needs: those of its metric, and two figures of half its interval."""
    interval = difference.interval
    size = (interval.standard_error or 0.0) * (interval.quantile or 0.0) or abs(interval.difference or 0.0)
    needed = 1 - math.floor(math.log10(size)) if 0 < size < math.inf else 0
    return min(max(decimals(difference.metric, difference.info), needed), _MOST_DECIMALS)


def amount(value: float | None, digits: int, *, sign: bool = True) -> str:
    """A difference as text, "undefined" where there is none."""
    if value is None:
        return "undefined"
    text = f"{value:+.{digits}f}" if sign else f"{abs(value):.{digits}f}"
    return text if math.isinf(value) or float(text) or not sign else text[1:]


def amount_not_zero(value: float, digits: int) -> str:
    """A difference with so many decimals, or with more where these would show zero."""
    if not 0 < abs(value) < math.inf:
        return amount(value, digits)
    needed = -math.floor(math.log10(abs(value)))
    return f"{value:+.1e}" if needed > _MOST_DECIMALS else amount(value, max(digits, needed))


def between(low: float | None, high: float | None, digits: int) -> str:
    """An interval in brackets, after a space; "" where there is none."""
    return "" if low is None else f" [{amount(low, digits)}, {amount(high, digits)}]"


def place_name(scores: Scores, scene: str, view: str | None) -> str:
    """The name of a view, after that of its scene where there are several scenes; of no view, the scene's name."""
    if view is None:
        return scene
    return f"{scene}/{view}" if len(scores.scenes) > 1 else view
