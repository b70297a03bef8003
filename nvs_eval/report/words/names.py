"""What metrics are called in sentences."""

from __future__ import annotations

from nvs_eval.metrics.registry import about_of
from nvs_eval.records.record import MetricInfo


def called(metric: str, info: MetricInfo | None = None) -> str:
    """A metric's name in a sentence, its key where it has no other."""
    return about_of(metric, info).title
