"""Records in long form, for data frames: a row a view and metric, everything in full."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nvs_eval.records import Record
from nvs_eval.report.writers.csv import to_csv
from nvs_eval.report.writers.json import dumped, joined, plain_value

COLUMNS = (
    "scene", "method", "run", "step", "split", "protocol", "fingerprint", "view", "metric", "value", "unit",
    "higher_is_better",
)  # fmt: skip
_VERSION = 1


def long_rows(records: Sequence[Record]) -> Iterator[dict[str, Any]]:
    """The rows, by column: scores as floats in full precision, infinity too; run and step None where there is none."""
    for record in records:
        whose = {
            "scene": record.scene,
            "method": record.method,
            "run": record.run,
            "step": record.step,
            "split": record.split,
            "protocol": record.protocol["name"],
            "fingerprint": record.fingerprint,
        }
        for row in record.views:
            for metric, info in record.metrics.items():
                yield {
                    **whose,
                    "view": row.name,
                    "metric": metric,
                    "value": float(row.scores[metric]),
                    "unit": info.unit,
                    "higher_is_better": info.higher_is_better,
                }


def write_csv(records: Sequence[Record]) -> str:
    """With a header. What each metric is follows from its name and the fingerprint, and is said in the records."""
    return to_csv(COLUMNS, long_rows(records))


def write_json(records: Sequence[Record]) -> str:
    """`{"nvs_eval_long": 1, "signatures": [...], "rows": [...]}`, a row a line; an infinity is the string "inf"."""
    signatures = {
        (record.fingerprint, metric): info.signature for record in records for metric, info in record.metrics.items()
    }
    said = [
        {"fingerprint": fingerprint, "metric": metric, "signature": signature}
        for (fingerprint, metric), signature in signatures.items()
    ]
    rows = ({**row, "value": plain_value(row["value"])} for row in long_rows(records))
    listed = (joined(map(dumped, each)) for each in (said, rows))
    return '{{"nvs_eval_long": {},\n"signatures": {},\n"rows": {}}}\n'.format(_VERSION, *listed)


LONG: Mapping[str, Callable[[Sequence[Record]], str]] = {"csv": write_csv, "json": write_json}
"""By format."""
