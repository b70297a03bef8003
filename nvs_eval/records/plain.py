"""Parts of records as plain JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# Not written if None: views without masks, metrics of the model or known training cameras, metrics that are not from a
# plugin, results of all views and numbered steps.
_LATER_FIELDS = ("mask", "mask_sha256", "own", "nearest", "title", "decimals", "selection", "step_name")


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a row as plain JSON values. Without a mask, only its coverage is written, as null."""
    return {**without_absent(row), "scores": mark_infinite(row["scores"])}


def without_absent(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields without those that are not written if they are None."""
    return {name: value for name, value in fields.items() if name not in _LATER_FIELDS or value is not None}


def mark_infinite(scores: Mapping[str, float]) -> dict[str, float | str]:
    """Return scores with "inf" for infinity, which JSON lacks.

    Raises:
        ValueError: a score is NaN or negative infinity.
    """
    for name, value in scores.items():
        if math.isnan(value) or value == -math.inf:
            raise ValueError(f"The score {name} must be a number or positive infinity. Got {value}.")
    return {name: "inf" if math.isinf(value) else value for name, value in scores.items()}
