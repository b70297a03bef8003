"""A comparison as plain JSON values."""

from __future__ import annotations

import math
from typing import Any

from nvs_eval.comparison.model import Comparison, Difference, Pair
from nvs_eval.comparison.statistics.intervals import LEVEL
from nvs_eval.comparison.statistics.jackknife import Without
from nvs_eval.records.groups import Contender


def to_plain(comparison: Comparison) -> dict[str, Any]:
    """All that a comparison says, in full precision; infinities are the strings "inf" and "-inf"."""
    return {
        "split": comparison.split,
        "protocol": {"name": comparison.protocol, "fingerprint": comparison.fingerprint},
        "level": LEVEL,
        "tests": comparison.tests,
        "pairs": [_pair(pair) for pair in comparison.pairs],
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "a": _side(pair.a),
        "b": _side(pair.b),
        "views": {scene: len(views) for scene, views in pair.shared.views.items()},
        "notes": list(pair.shared.notes),
        "words": list(pair.words),
        "metrics": {name: _difference(each) for name, each in pair.differences.items()},
    }


def _side(side: Contender) -> dict[str, Any]:
    return {"name": side.name, "method": side.method, "run": side.run, "step": side.step}


def _difference(difference: Difference) -> dict[str, Any]:
    interval, won = difference.interval, difference.wins
    return {
        "unit": difference.info.unit,
        "higher_is_better": difference.info.higher_is_better,
        "signature": difference.info.signature,
        "mean_a": number(difference.mean_a),
        "mean_b": number(difference.mean_b),
        "difference": number(interval.difference),
        "interval": None if interval.low is None else [number(interval.low), number(interval.high)],
        "standard_error": number(interval.standard_error),
        "reason": interval.reason,
        "caution": interval.caution,
        "note": interval.note,
        "verdict": difference.verdict,
        "confirmed": difference.confirmed,
        "wilcoxon": {
            "p": difference.test.p,
            "p_holm": difference.p_holm,
            "units": difference.test.units,
            "sign": difference.test.sign,
            "reason": difference.test.reason,
        },
        "wins": won.wins,
        "losses": won.losses,
        "ties": won.ties,
        "views": [{"scene": c.scene, "view": c.view, "difference": number(c.difference)} for c in difference.changes],
        "hangs_on": {
            "views": [_without(each) for each in difference.jackknife.pivotal_views],
            "scenes": [_without(each) for each in difference.jackknife.pivotal_scenes],
        },
    }


def _without(each: Without) -> dict[str, Any]:
    interval = None if each.low is None else [number(each.low), number(each.high)]
    return {"scene": each.scene, "view": each.view, "difference": number(each.difference), "interval": interval}


def number(value: float | None) -> float | str | None:
    """A number as JSON has one."""
    if value is None or math.isfinite(value):
        return value
    return "inf" if value > 0 else "-inf"
