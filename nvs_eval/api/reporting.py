"""Functions on records: `table`, `compare`, `check`, `curve`, `export`, `verify` and `inspect`.

They print nothing. Modules that need numpy or torch are imported by the functions that use them; `table` needs neither.
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
    format="Format: text, markdown, latex, csv, json, html, or one from a plugin.",
    decimals='Decimals per metric, by name or by the part before its first underscore: {"psnr": 2, "lpips": 3}.',
    per_view="Also include the scores of each view; with csv, only these.",
    mark="Marking of first, second and third place in LaTeX and HTML.",
    label="Prefix of the labels of LaTeX tables.",
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
    """Return the tables of records as text, as `nvs-eval table` writes them to a file.

    Returns:
        The text, which ends with a newline.

    Raises:
        InputError: Records are not comparable or share a cell, or an argument names something unknown.
    """
    arguments = {name: value for name, value in locals().items() if name in fields_of(TableOptions)}
    options = convert({**arguments, "decimals": decimals or {}}, TableOptions, "arguments")
    from nvs_eval.records.comparable import check_comparable
    from nvs_eval.report.tables.layout import layout_of
    from nvs_eval.report.tables.tables import shown_tables
    from nvs_eval.report.writers import Style, find_writer

    if not records:
        raise InputError("records must contain at least one record. Got none.")
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
        sides: records of each side, over one scene or many. Only the last checkpoint of each run is used. With a single
            side, all of its methods are compared pairwise.
        metrics: metrics to compare (default: all that both sides have).
        protocol: use only records of these protocols, by name or fingerprint (default: all).
        runs: whether several runs of a method are separate sides, or seeds whose spread is part of the noise.
        resamples: number of bootstrap resamples.

    Returns:
        One comparison per split and protocols with numbers in common. `comparison.pairs[0].words` states the result in
        sentences, and `comparison.pairs[0].differences["psnr"].interval` contains the numbers.

    Raises:
        InputError: There are not two sides with a number in common, or they share no view or metric, or their images
            differ.
    """
    from nvs_eval.comparison.compare import compare

    if not any(sides):
        raise InputError("sides must contain records. Got none.")
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
        new: records of the new results. Only the last checkpoint of each run is used.
        baseline: records whose methods, scenes, views and metrics the new results must include.
        tolerance: how much worse the mean of a metric may be (default: half the last decimal shown in tables).
        protocol: use only records of these protocols, by name or fingerprint (default: all).
        runs: whether several runs of a method are checked one by one, by name, or by their mean.
        resamples: number of bootstrap resamples.

    Returns:
        The result: `passed`, the metrics that `failed`, and `words` and `tables` that explain it.

    Raises:
        InputError: A tolerance is invalid, or the new results lack something that the baseline has.
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
    """Find the best step of each run and the step where it stopped improving, as `nvs-eval curve` does.

    Args:
        records: records of several steps of one or several runs.
        metrics: metrics, in this order (default: all).
        protocol: use only records of these protocols, by name or fingerprint (default: all).

    Raises:
        InputError: No run has several steps, or the records of a scene are not comparable.
    """
    from nvs_eval.comparison.noise import improved
    from nvs_eval.errors import InputError
    from nvs_eval.report.curves import curves_of

    if not records:
        raise InputError("records must contain at least one record. Got none.")
    check_cells(records)
    return curves_of(of_protocols(records, _names(protocol)), improved, metrics=_names(metrics))


@checked
def export(
    record: Annotated[Record, Meta(description="a record, such as one from score or read_record")],
    form: Literal["ns-eval", "inria"],
) -> Export:
    """Convert a record to the files of another tool, as `nvs-eval export` does, without writing them.

    Args:
        record: the record.
        form: ns-eval for nerfstudio's output.json; inria for results.json and per_view.json of 3D Gaussian splatting.

    Returns:
        `.files`, the content of each file as JSON values, by name, and `.messages` for readers of the files.

    Raises:
        InputError: The record lacks a score that the files require.
    """
    from nvs_eval.report.exports import FORMS

    return FORMS[form](record)


@checked
def verify(
    records: FilePath | Sequence[FilePath], *, views: int | None = 5, weights_dir: FilePath | None = None
) -> list[Report]:
    """Recompute scores from the kept images with independent implementations, as `nvs-eval verify` does.

    Args:
        records: records, folders of records, or patterns.
        views: number of views per record, evenly spaced; None for all.
        weights_dir: folder to search first for LPIPS backbones (default: the environment variable NVS_EVAL_WEIGHTS).

    Raises:
        InputError: No record was found, or there is only one and its images were not kept.
    """
    from nvs_eval.diagnostics.verify.records import verify as verify_records

    return list(verify_records(records, views=views, weights_dir=None if weights_dir is None else Path(weights_dir)))


@checked
def inspect(
    files: FilePath | Sequence[FilePath], *, data: FilePath | None = None, trust: bool = False
) -> list[Inspection]:
    """Report the held-out views and any problems that may invalidate their scores, as `nvs-eval inspect` does.

    Args:
        files: config.yml of nerfstudio runs, or records.
        data: new location of the runs' data (default: the path that the run recorded).
        trust: whether you trust the authors of the runs, and all files of them: reading these may then run any code.

    Raises:
        InputError: A file is neither a config.yml nor a record, or cannot be read.
    """
    from nvs_eval.diagnostics.inspection import inspect as inspect_files

    return inspect_files(files, data=None if data is None else Path(data), trust=trust)


def _ties() -> Tied:
    from nvs_eval.comparison.noise import Ties  # Imported late because it needs numpy.

    return Ties()


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
