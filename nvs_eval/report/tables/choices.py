"""From records to tables: what `nvs-eval table` lays out, without a word printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Literal

from nvs_eval.errors import InputError, unknown_name
from nvs_eval.records.record import Record
from nvs_eval.report.benchmarks.published import load_published
from nvs_eval.report.benchmarks.suites import load_suite
from nvs_eval.report.tables.layout import Layout, Tied
from nvs_eval.report.tables.published_lines import check_published

# A float64 has no more.
_MOST_DECIMALS = 15


def layout_of(
    records: Sequence[Record],
    *,
    rows: Literal["checkpoint", "method", "scene"] = "checkpoint",
    columns: Literal["metric", "scene"] = "metric",
    per_scene: bool = False,
    metrics: Sequence[str] = (),
    runs: Literal["each", "mean"] = "each",
    mean: Literal["scenes", "views"] = "scenes",
    sort: str | None = None,
    decimals: Mapping[str, float] | None = None,
    suite: str | None = None,
    with_published: Sequence[str] = (),
    tied: bool = False,
    allow_mixed: bool = False,
) -> Layout:
    """How records are laid out; everything is as the option of its name.

    Raises:
        InputError: something that was named is not there, or the choices do not go together.
    """
    if per_scene and (rows == "scene" or columns != "metric"):
        raise InputError("--per-scene is `--rows method --columns scene`: leave those out, or it.")
    chosen = _decimals(decimals or {}, records)
    published = [load_published(name) for name in with_published]
    if not allow_mixed:
        check_published(published, records)
    return Layout(
        rows="method" if per_scene else rows,
        columns="scene" if per_scene else columns,
        metrics=metrics,
        runs=runs,
        mean=mean,
        sort=sort,
        decimals=chosen,
        suite=None if suite is None else load_suite(suite),
        published=published,
        mixed=allow_mixed,
        tied=_ties() if tied else None,
    )


def _decimals(chosen: Mapping[str, float], records: Sequence[Record]) -> dict[str, int]:
    """How many decimals metrics are shown with, checked.

    Raises:
        InputError: one is not of the records, or its number can be none of decimals.
    """
    metrics = {metric for record in records for metric in record.metrics}
    plain = {metric.removeprefix("cc_") for metric in metrics}
    known = metrics | plain | {metric.partition("_")[0] for metric in plain}
    for name, value in chosen.items():
        if name not in known:
            raise unknown_name("metric of --decimals", str(name), known)
        if not isinstance(value, Real) or isinstance(value, bool) or value not in range(_MOST_DECIMALS + 1):
            said = f"{value:g}" if isinstance(value, Real) else repr(value)
            raise InputError(
                f"--decimals of {name} is {said}, and a whole number from 0 to {_MOST_DECIMALS} is needed."
            )
    return {name: int(value) for name, value in chosen.items()}


def _ties() -> Tied:
    from nvs_eval.comparison.noise import Ties  # The statistics: late, as they need numpy.

    return Ties()
