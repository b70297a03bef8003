"""From records to tables: what `nvs-eval table` lays out, without a word printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from nvs_eval.errors import InputError
from nvs_eval.published import load_published
from nvs_eval.records import Record
from nvs_eval.report.layout import Layout, Tied
from nvs_eval.report.numbers import DECIMALS
from nvs_eval.report.published_lines import check_published
from nvs_eval.suites import load_suite


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
    decimals: Mapping[str, int] | None = None,
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
        decimals={**DECIMALS, **(decimals or {})},
        suite=None if suite is None else load_suite(suite),
        published=published,
        mixed=allow_mixed,
        tied=_ties() if tied else None,
    )


def _ties() -> Tied:
    from nvs_eval.comparison.ties import Ties  # The statistics: late, as they need numpy.

    return Ties()
