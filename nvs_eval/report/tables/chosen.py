"""Records as far as a user chose them: the scenes of a suite, and metrics in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nvs_eval.errors import unknown_name
from nvs_eval.records.record import Record
from nvs_eval.report.tables.blocks import blocks
from nvs_eval.report.tables.layout import Layout


def chosen_records(records: Sequence[Record], layout: Layout) -> list[Record]:
    """The records that the tables of a layout are of, those of one split and protocol after each other.

    Args:
        records: any number.
        layout: of which the suite and the metrics are taken.

    Returns:
        The records of the suite's scenes, under its names of them, with the metrics that were chosen alone.

    Raises:
        InputError: none is of the suite, or a metric is of none of them.
    """
    known = {metric for record in records for metric in record.metrics}
    for metric in layout.metrics:
        if metric not in known:  # What tables count is no metric.
            raise unknown_name("metric", metric, known)
    layout = Layout(metrics=layout.metrics, suite=layout.suite)
    found = [(record, block.metrics) for block in blocks(records, layout) for record in block.records]
    return [_with(record, metrics) for record, metrics in found]


def _with(record: Record, metrics: Sequence[str]) -> Record:
    chosen = {metric: record.metrics[metric] for metric in metrics if metric in record.metrics}
    return record if list(chosen) == list(record.metrics) else replace(record, metrics=chosen)
