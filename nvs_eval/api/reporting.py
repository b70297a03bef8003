"""Commands on records, as functions: `table`, `compare`, `check`, `curve`, `verify` and `inspect`. Nothing is printed.

What needs numpy or torch is imported when it is called: a table of records needs neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nvs_eval.records.comparable import check_cells
from nvs_eval.records.record import Records
from nvs_eval.system.arguments import checked

if TYPE_CHECKING:
    from nvs_eval.comparison.check import CheckResult
    from nvs_eval.comparison.model import Comparison
    from nvs_eval.diagnostics.inspection import Inspection
    from nvs_eval.diagnostics.verify.records import Report
    from nvs_eval.report.curves import SceneCurves
    from nvs_eval.report.tables.layout import Tied

FilePath = str | PathLike[str]


@checked
def table(
    records: Records,
    *,
    format: str = "text",
    rows: Literal["checkpoint", "method", "scene"] = "checkpoint",
    columns: Literal["metric", "scene"] = "metric",
    per_scene: bool = False,
    metrics: str | Sequence[str] = (),
    runs: Literal["each", "mean"] = "each",
    mean: Literal["scenes", "views"] = "scenes",
    sort: str | None = None,
    decimals: Mapping[str, int] | None = None,
    suite: str | None = None,
    with_published: str | Sequence[str] = (),
    tied: bool = False,
    allow_mixed: bool = False,
    per_view: bool = False,
    mark: Literal["colour", "colour-blind", "bold", "none"] = "colour",
    label: str = "tab",
) -> str:
    """The tables of records as text, as `nvs-eval table` writes them to a file.

    Args:
        records: at least one.
        format: text, markdown, latex, csv, json, html, or what a plugin offers.
        rows: a row a checkpoint; a method (the last checkpoint of each run), averaged over scenes; or a scene.
        columns: a column a metric; or a scene, in a table a metric.
        per_scene: one table a metric, a row a method, a column a scene, the mean last.
        metrics: which, in this order; else all.
        runs: of several runs of a method in a scene a row each, or seeds of which the mean counts.
        mean: over several scenes: of the scenes' means, or over all their views.
        sort: by a metric, the best first, or by "method".
        decimals: of metrics, by name or by its part up to the first underscore: from 0 to 15.
        suite: a benchmark, or a YAML file, of whose scenes the tables are.
        with_published: published numbers to add as rows, or YAML files.
        tied: mark what cannot be told from the best.
        allow_mixed: also rows that may not be compared, marked.
        per_view: also the scores of each view; as csv these alone.
        mark: how first, second and third are marked in LaTeX and HTML.
        label: how the labels of LaTeX tables begin.

    Raises:
        InputError: records are not comparable or of the same cell, or something that was named is not there.
    """
    from nvs_eval.errors import InputError
    from nvs_eval.records.comparable import check_comparable
    from nvs_eval.report.tables.layout import layout_of
    from nvs_eval.report.tables.options import TableOptions
    from nvs_eval.report.tables.tables import shown_tables
    from nvs_eval.report.writers import Style, find_writer

    if not records:
        raise InputError("There are no records to make a table of.")
    write = find_writer(format)
    check_cells(records)
    options = TableOptions(
        rows=rows,
        columns=columns,
        per_scene=per_scene,
        metrics=_names(metrics),
        runs=runs,
        mean=mean,
        sort=sort,
        decimals=decimals or {},
        suite=suite,
        with_published=_names(with_published),
        tied=tied,
        allow_mixed=allow_mixed,
    )
    layout = layout_of(records, options, tied=_ties() if tied else None)
    if not allow_mixed:
        check_comparable(records)
    return write(shown_tables(records, layout, per_view=per_view, format=format), Style(mark=mark, label=label))


@checked
def compare(
    *sides: Records,
    metrics: str | Sequence[str] = (),
    runs: Literal["each", "mean"] = "each",
    resamples: int = 10_000,
) -> list[Comparison]:
    """Compare results on the views that they share, as `nvs-eval compare` does.

    Args:
        sides: the records of each side, over one scene or many; of each run the last checkpoint takes part. Of one side
            alone each method is compared with each.
        metrics: which; else all that both have.
        runs: of several runs of a method: sides of their own, or seeds, whose spread is part of the noise.
        resamples: of the bootstrap.

    Returns:
        One comparison a split and protocol; `comparison.pairs[0].words` says what came of it, and
        `comparison.pairs[0].differences["psnr"].interval` holds the numbers.

    Raises:
        InputError: there are no two sides of one protocol, or they share no view, no metric, or not the same images.
    """
    from nvs_eval.comparison.compare import compare
    from nvs_eval.errors import InputError

    if not any(sides):
        raise InputError("Nothing to compare was given: give the records of each side.")
    groups = {f"side {number}": list(side) for number, side in enumerate(sides, start=1)}
    for name, records in groups.items():
        check_cells(records, name)
    return compare(groups, metrics=_names(metrics), runs=runs, resamples=resamples)


@checked
def check(
    new: Records,
    baseline: Records,
    *,
    tolerance: Mapping[str, float] | None = None,
    runs: Literal["each", "mean"] = "each",
    resamples: int = 10_000,
) -> CheckResult:
    """Check new results against a baseline, as `nvs-eval check` does.

    Args:
        new: records of the new results; of each run the last checkpoint takes part.
        baseline: records whose methods, scenes, views and metrics the new results must have.
        tolerance: by how much the mean of a metric may be worse (default: half the last decimal that tables show).
        runs: whether several runs of a method are checked one by one by their names, or by their mean.
        resamples: number of bootstrap resamples.

    Returns:
        The result: `passed`, the metrics that `failed`, and `words` and `tables` that say so.

    Raises:
        InputError: a tolerance is wrong, or the new results lack something of the baseline.
    """
    from nvs_eval.comparison.check import check as check_results

    check_cells(new, "new")
    check_cells(baseline, "baseline")
    return check_results(new, baseline, tolerances=tolerance, runs=runs, resamples=resamples)


@checked
def curve(records: Records, *, metrics: str | Sequence[str] = ()) -> list[SceneCurves]:
    """Find which step of each run is best, and where it stopped improving, as `nvs-eval curve` does.

    Args:
        records: records of several steps of a run, or of several runs.
        metrics: the metrics, in this order (default: all).

    Raises:
        InputError: no run has several steps, or the records of a scene are not comparable.
    """
    from nvs_eval.comparison.noise import improved
    from nvs_eval.report.curves import curves_of

    check_cells(records)
    return curves_of(records, improved, metrics=_names(metrics))


@checked
def verify(
    records: FilePath | Sequence[FilePath], *, views: int | None = 5, weights_dir: FilePath | None = None
) -> list[Report]:
    """Compute scores again from the kept images by independent implementations, as `nvs-eval verify` does.

    Args:
        records: files, folders of records, or patterns.
        views: number of views of each record, spread evenly over them; None for all.
        weights_dir: a folder to look for LPIPS backbones first.

    Raises:
        InputError: there is no such record, or the images of the only one were not kept.
    """
    from nvs_eval.diagnostics.verify.records import verify as verify_records

    return verify_records(records, views=views, weights_dir=None if weights_dir is None else Path(weights_dir))


@checked
def inspect(files: FilePath | Sequence[FilePath], *, data: FilePath | None = None) -> list[Inspection]:
    """Report which views are held out and what makes their numbers doubtful, as `nvs-eval inspect` does.

    Args:
        files: the config.yml of nerfstudio runs, and records.
        data: new place of the runs' data (default: where they recorded it).

    Raises:
        InputError: a file is neither, or cannot be read.
    """
    from nvs_eval.diagnostics.inspection import inspect as inspect_files

    return inspect_files(files, data=None if data is None else Path(data))


def _ties() -> Tied:
    from nvs_eval.comparison.noise import Ties  # The statistics: late, as they need numpy.

    return Ties()


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
