"""Records in long form, with a row per view and metric in full precision: pandas DataFrame, CSV and JSON."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from nvs_eval.errors import InputError
from nvs_eval.records.comparable import check_cells
from nvs_eval.records.record import Record, Records, ViewRow
from nvs_eval.report.tables.columns import OWN, own_names
from nvs_eval.report.writers.csv import csv_line
from nvs_eval.report.writers.json import dumped, joined, plain_value
from nvs_eval.system.arguments import checked

if TYPE_CHECKING:
    import pandas  # pyright: ignore[reportMissingImports]

_IDENTITY = {
    "scene": "string", "method": "string", "run": "string", "step": "Int64", "step_name": "string", "split": "string",
    "protocol": "string", "fingerprint": "string", "view": "string",
}  # fmt: skip
_SCORE = {"metric": "string", "value": "float64", "unit": "string", "higher_is_better": "boolean"}
COLUMNS = (*(name for name in _IDENTITY if name != "step_name"), *_SCORE)
"""Columns of the long form. Run, step and the direction of a model's own metric are empty, or null, if not known.

If a checkpoint has a name in place of a step number, `step_name` follows `step`. If a record is of a part of the views,
or lacks views that failed, `selection` and `failed` come last: the identifier of the part, and the number of views that
failed.
"""
_PART = {"selection": "string", "failed": "Int64"}
_VERSION = 1


@checked
def data_frame(records: Records, *, shape: Literal["long", "wide"] = "long") -> pandas.DataFrame:
    """Return records as a pandas DataFrame.

    Both shapes begin with the columns scene, method, run, step, split, protocol, fingerprint and view. `run` and `step`
    are missing (NA) if not set; `groupby` keeps these rows with `dropna=False`. Scores are in full precision, and
    infinite ones stay infinite. A model's own metrics are called `own/NAME`, and their direction is missing.

    Args:
        records: any number of records, of any scenes and protocols, no two of the same cell.
        shape: "long" has one row per view and metric, with the columns metric, value, unit and higher_is_better, as
            `nvs-eval table --format csv --long` writes them. "wide" has one row per view and record and one column per
            metric, NaN if a record does not have it. Both end with the columns selection and failed if a record is of a
            part of the views or lacks views that failed.

    Raises:
        InputError: pandas is not installed, or two records are of the same cell.
    """
    check_cells(records)
    metrics = list(dict.fromkeys([metric for record in records for metric in record.metrics] + own_names(records)))
    views = [(record, row) for record in records for row in record.views]
    identity, part = _identity(records), _part_columns(records)
    names = [(*_identity_of(record, identity).values(), row.name) for record, row in views]
    if shape == "long":
        rows = [
            (*name, metric, value, unit, higher_is_better, *_part_of(record, part).values())
            for name, (record, row) in zip(names, views, strict=True)
            for metric, value, unit, higher_is_better in _values(record, row)
        ]
        return _frame({**identity, **_SCORE, **part}, rows)
    rows = []
    for name, (record, row) in zip(names, views, strict=True):
        values = {**row.scores, **_own(row)}
        scores = (values.get(metric, float("nan")) for metric in metrics)
        rows.append((*name, *scores, *_part_of(record, part).values()))
    return _frame({**identity, **dict.fromkeys(metrics, "float64"), **part}, rows)


def _own(row: ViewRow) -> dict[str, float]:
    """Return the values of the model's own metrics of a view, by prefixed name."""
    return {OWN + name: value for name, value in (row.own or {}).items()}


def _values(record: Record, row: ViewRow) -> Iterator[tuple[str, float, str, bool | None]]:
    """Yield metric, value, unit and direction of each value of a view."""
    for metric, info in record.metrics.items():
        yield metric, row.scores[metric], info.unit, info.higher_is_better
    for name, value in _own(row).items():
        yield name, value, "", None


def _frame(types: Mapping[str, str], rows: Sequence[Sequence[object]]) -> pandas.DataFrame:
    try:
        pandas: Any = importlib.import_module("pandas")
    except ImportError as error:
        raise InputError(
            f"A DataFrame needs pandas. It cannot be imported ({error}). Run `pip install 'nvs-eval[pandas]'`."
        ) from error
    columns = zip(*rows, strict=True) if rows else [()] * len(types)
    return pandas.DataFrame(
        {
            name: pandas.array(list(column), dtype=kind)
            for (name, kind), column in zip(types.items(), columns, strict=True)
        }
    )


def write_csv(records: Sequence[Record]) -> Iterator[str]:
    """Yield CSV with a header. Signatures are in the records, by fingerprint and metric."""
    identity, part = _identity(records), _part_columns(records)
    yield f"{csv_line([*identity, *_SCORE, *part])}\n"
    for record in records:
        rows = _rows(record, identity, part, lambda fields: csv_line(fields.values()), between=",")
        yield "".join(f"{row}\n" for row in rows)


def write_json(records: Sequence[Record]) -> Iterator[str]:
    """Yield `{"nvs_eval_long": 1, "signatures": [...], "rows": [...]}`, one row per line; infinity is "inf"."""
    signatures = {
        (record.fingerprint, metric): info.signature for record in records for metric, info in record.metrics.items()
    }
    lines = (
        dumped({"fingerprint": fingerprint, "metric": metric, "signature": signature})
        for (fingerprint, metric), signature in signatures.items()
    )
    yield f'{{"nvs_eval_long": {_VERSION},\n"signatures": {joined(lines)},\n"rows": ['
    before, identity, part = "\n", _identity(records), _part_columns(records)
    for record in records:
        if text := ",\n".join(f"{{{row}}}" for row in _rows(record, identity, part, _without_braces, between=", ")):
            yield f"{before}{text}"
            before = ",\n"
    yield "\n]}\n"


def _identity(records: Sequence[Record]) -> dict[str, str]:
    """Return the types of the columns that identify a row; `step_name` is one of them if any record has it."""
    named = any(record.step_name for record in records)
    return {name: kind for name, kind in _IDENTITY.items() if named or name != "step_name"}


def _part_columns(records: Sequence[Record]) -> dict[str, str]:
    """Return the types of the last columns, which exist if any record is of a part of the views or lacks some."""
    return _PART if any(record.selection or record.failed for record in records) else {}


def _part_of(record: Record, columns: Collection[str]) -> dict[str, object]:
    """Return the last columns of a record's rows."""
    return {"selection": record.selection, "failed": len(record.failed)} if columns else {}


def _rows(
    record: Record,
    columns: Collection[str],
    part: Collection[str],
    text: Callable[[Mapping[str, object]], str],
    *,
    between: str,
) -> Iterator[str]:
    """Yield rows as joined texts. Texts that rows share are made once, because there may be many rows."""
    identity = text(_identity_of(record, columns))
    last = [text(fields)] if (fields := _part_of(record, part)) else []
    metrics = [
        (metric, text({"metric": metric}), text({"unit": info.unit, "higher_is_better": info.higher_is_better}))
        for metric, info in record.metrics.items()
    ]
    unknown = text({"unit": "", "higher_is_better": None})
    for row in record.views:
        view = text({"view": row.name})
        for metric, name, kind in metrics:
            yield between.join((identity, view, name, text({"value": float(row.scores[metric])}), kind, *last))
        for name, value in _own(row).items():
            yield between.join((identity, view, text({"metric": name, "value": value}), unknown, *last))


def _identity_of(record: Record, columns: Collection[str]) -> dict[str, object]:
    """Return those of the first columns of a row that identify its record."""
    values = {
        "scene": record.scene,
        "method": record.method,
        "run": record.run,
        "step": record.step,
        "step_name": record.step_name,
        "split": record.split,
        "protocol": record.protocol_title,
        "fingerprint": record.fingerprint,
    }
    return {name: value for name, value in values.items() if name in columns}


def _without_braces(fields: Mapping[str, object]) -> str:
    return dumped({name: plain_value(value) for name, value in fields.items()})[1:-1]


LONG: Mapping[str, Callable[[Sequence[Record]], Iterator[str]]] = {"csv": write_csv, "json": write_json}
"""Writers by format. They yield one part per record, because the whole text may be much larger than the records."""
