"""Records as a pandas DataFrame, view by view and in full precision."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Literal

from nvs_eval.errors import InputError
from nvs_eval.records.comparable import check_cells
from nvs_eval.records.record import Records
from nvs_eval.report.writers.long import identity_of
from nvs_eval.system.arguments import checked

if TYPE_CHECKING:
    import pandas  # pyright: ignore[reportMissingImports]

_IDENTITY = {
    "scene": "string",
    "method": "string",
    "run": "string",
    "step": "Int64",
    "split": "string",
    "protocol": "string",
    "fingerprint": "string",
    "view": "string",
}
_SCORE = {"metric": "string", "value": "float64", "unit": "string", "higher_is_better": "bool"}


@checked
def data_frame(records: Records, *, shape: Literal["long", "wide"] = "long") -> pandas.DataFrame:
    """Records as a pandas DataFrame.

    Both shapes begin with the columns scene, method, run, step, split, protocol, fingerprint and view. `run` and `step`
    are missing (NA) where there is none, which `groupby` keeps with `dropna=False`. Scores are in full precision,
    infinite ones infinite.

    Args:
        records: any number, of any scenes and protocols, no two of the same cell.
        shape: "long" has a row a view and metric, with the columns metric, value, unit and higher_is_better, as
            `nvs-eval table --format csv --long` writes them; "wide" a row a view and record, with a column a metric,
            NaN where a record does not have it.

    Raises:
        InputError: pandas is not installed, or two records are of the same cell.
    """
    check_cells(records)
    pandas = _pandas()
    metrics = list(dict.fromkeys(metric for record in records for metric in record.metrics))
    views = [(record, row) for record in records for row in record.views]
    names = [(*identity_of(record).values(), row.name) for record, row in views]
    if shape == "long":
        types = {**_IDENTITY, **_SCORE}
        rows = [
            (*name, metric, row.scores[metric], info.unit, info.higher_is_better)
            for name, (record, row) in zip(names, views, strict=True)
            for metric, info in record.metrics.items()
        ]
    else:
        types = {**_IDENTITY, **dict.fromkeys(metrics, "float64")}
        nothing = float("nan")
        rows = [
            (*name, *(row.scores.get(metric, nothing) for metric in metrics))
            for name, (_, row) in zip(names, views, strict=True)
        ]
    columns = zip(*rows, strict=True) if rows else [()] * len(types)
    return pandas.DataFrame(
        {
            name: pandas.array(list(column), dtype=kind)
            for (name, kind), column in zip(types.items(), columns, strict=True)
        }
    )


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise InputError(
            f"A DataFrame needs pandas, which cannot be imported ({error}): pip install 'nvs-eval[pandas]'."
        ) from error
