"""Commands on records, as functions: `table`, `compare`, `check`, `curve`, `export`, `verify` and `inspect`.

Nothing is printed. What needs numpy or torch is imported when it is called: a table of records needs neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from nvs_eval.errors import InputError
from nvs_eval.records.comparable import check_cells
from nvs_eval.records.groups import of_protocols
from nvs_eval.records.record import Record, Records
from nvs_eval.report.tables.options import TableOptions
from nvs_eval.system.arguments import checked, documented
from nvs_eval.system.schema import convert, fields_of

if TYPE_CHECKING:
    from nvs_eval.comparison.check import CheckResult
    from nvs_eval.comparison.model import Comparison
    from nvs_eval.diagnostics.inspection import Inspection
    from nvs_eval.diagnostics.verify.records import Report
    from nvs_eval.report.curves import SceneCurves
    from nvs_eval.report.exports import Export
    from nvs_eval.report.tables.layout import Tied

FilePath = str | PathLike[str]


@checked
@documented(
    TableOptions,
    records="Records, at least one.",
    format="text, markdown, latex, csv, json, html, or what a plugin offers.",
    decimals='Decimals of metrics, by name or by its part up to the first underscore: {"psnr": 2, "lpips": 3}.',
    per_view="Also the scores of each view; as csv these alone.",
    mark="How first, second and third are marked in LaTeX and HTML.",
    label="How the labels of LaTeX tables begin.",
)
def table(
    records: Records,
    *,
    format: str = "text",
    rows: Literal["checkpoint", "method", "scene"] = "checkpoint",
    columns: Literal["metric", "scene"] = "metric",
    per_scene: bool = False,
    metrics: str | Sequence[str] = (),
    protocol: str | Sequence[str] = (),
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

    Returns:
        The text, which ends with a newline.

    Raises:
        InputError: records are not comparable or of the same cell, or something that was named is not there.
    """
    given = {name: value for name, value in locals().items() if name in fields_of(TableOptions)}
    options = convert({**given, "decimals": decimals or {}}, TableOptions, "arguments")
    from nvs_eval.records.comparable import check_comparable
    from nvs_eval.report.tables.layout import layout_of
    from nvs_eval.report.tables.tables import shown_tables
    from nvs_eval.report.writers import Style, find_writer

    if not records:
        raise InputError("There are no records to make a table of.")
    write = find_writer(format)
    check_cells(records)
    chosen = of_protocols(records, options.protocol)
    layout = layout_of(chosen, options, tied=_ties() if tied else None)
    if not allow_mixed:
        check_comparable(chosen)
    return write(shown_tables(chosen, layout, per_view=per_view, format=format), Style(mark=mark, label=label))


@checked
def compare(
    *sides: Records,
    metrics: str | Sequence[str] = (),
    protocol: str | Sequence[str] = (),
    runs: Literal["each", "mean"] = "each",
    resamples: int = 10_000,
) -> list[Comparison]:
    """Compare results on the views that they share, as `nvs-eval compare` does.

    Args:
        sides: the records of each side, over one scene or many; of each run the last checkpoint takes part. Of one side
            alone each method is compared with each.
        metrics: the metrics to compare (default: all that both have).
        protocol: only records of these protocols, by name or fingerprint (default: all).
        runs: whether several runs of a method are sides of their own, or seeds whose spread is part of the noise.
        resamples: number of bootstrap resamples.

    Returns:
        One comparison a split and protocol; `comparison.pairs[0].words` says what came of it, and
        `comparison.pairs[0].differences["psnr"].interval` holds the numbers.

    Raises:
        InputError: there are no two sides of one protocol, or they share no view, no metric, or not the same images.
    """
    from nvs_eval.comparison.compare import compare

    if not any(sides):
        raise InputError("Nothing to compare was given: give the records of each side.")
    groups: dict[str, list[Record]] = {}
    for number, side in enumerate(sides, start=1):
        check_cells(side, f"side {number}")
        groups[f"side {number}"] = of_protocols(side, _names(protocol))
    return compare(groups, metrics=_names(metrics), runs=runs, resamples=resamples)


@checked
def check(
    new: Records,
    baseline: Records,
    *,
    tolerance: Mapping[str, float] | None = None,
    protocol: str | Sequence[str] = (),
    runs: Literal["each", "mean"] = "each",
    resamples: int = 10_000,
) -> CheckResult:
    """Check new results against a baseline, as `nvs-eval check` does.

    Args:
        new: records of the new results; of each run the last checkpoint takes part.
        baseline: records whose methods, scenes, views and metrics the new results must have.
        tolerance: by how much the mean of a metric may be worse (default: half the last decimal that tables show).
        protocol: only records of these protocols, by name or fingerprint (default: all).
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
    new, baseline = (of_protocols(records, _names(protocol)) for records in (new, baseline))
    return check_results(new, baseline, tolerances=tolerance, runs=runs, resamples=resamples)


@checked
def curve(
    records: Records, *, metrics: str | Sequence[str] = (), protocol: str | Sequence[str] = ()
) -> list[SceneCurves]:
    """Find which step of each run is best, and where it stopped improving, as `nvs-eval curve` does.

    Args:
        records: records of several steps of a run, or of several runs.
        metrics: the metrics, in this order (default: all).
        protocol: only records of these protocols, by name or fingerprint (default: all).

    Raises:
        InputError: no run has several steps, or the records of a scene are not comparable.
    """
    from nvs_eval.comparison.noise import improved
    from nvs_eval.errors import InputError
    from nvs_eval.report.curves import curves_of

    if not records:
        raise InputError("records must hold at least one record. Got none.")
    check_cells(records)
    return curves_of(of_protocols(records, _names(protocol)), improved, metrics=_names(metrics))


@checked
def export(
    record: Annotated[Record, Meta(description="a record, such as score gave or read_record gives")],
    form: Literal["ns-eval", "inria"],
) -> Export:
    """Give a record in the form of another tool's files, as `nvs-eval export` writes them. Nothing is written.

    Args:
        record: the record.
        form: ns-eval for nerfstudio's output.json; inria for results.json and per_view.json of 3D Gaussian splatting.

    Returns:
        `.files`, the content of each as JSON values by its name, and `.messages` on what a reader of them should know.

    Raises:
        InputError: the record lacks a score that the files need.
    """
    from nvs_eval.report.exports import FORMS

    return FORMS[form](record)


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

    return list(verify_records(records, views=views, weights_dir=None if weights_dir is None else Path(weights_dir)))


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
