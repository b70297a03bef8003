"""The commands as functions: what they do, without a word printed. Records come back, and tables as text.

What needs torch is imported when it is called: a table of records needs none of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from nvs_eval.evaluation.options import (
    AuditOptions,
    Callbacks,
    RescoreOptions,
    RunOptions,
    ScoreOptions,
    parse_background,
)
from nvs_eval.evaluation.suite.options import SuiteOptions
from nvs_eval.records.comparable import check_cells
from nvs_eval.records.record import Record, Records
from nvs_eval.system.arguments import checked, documented
from nvs_eval.system.schema import convert

if TYPE_CHECKING:
    from nvs_eval.comparison.model import Comparison
    from nvs_eval.evaluation.suite.suite import SuiteResult
    from nvs_eval.report.tables.layout import Tied

FilePath = str | PathLike[str]
T = TypeVar("T")


@checked
@documented(ScoreOptions)
def score(
    renders: FilePath | Sequence[FilePath],
    *,
    reference: FilePath | None = None,
    protocol: str | Sequence[str] = "standard",
    scene: str | None = None,
    method: str | Sequence[str] = (),
    colour_correct: Literal["quadratic", "affine"] | None = None,
    precision: Literal["exact", "fast"] | None = None,
    background: str | tuple[float, float, float] | None = None,
    grey_to_rgb: bool = False,
    exr: Literal["linear", "srgb"] | None = None,
    masks: FilePath | None = None,
    data_masks: bool = False,
    allow_missing: bool = False,
    output_dir: FilePath | None = None,
    overwrite: bool = False,
    device: str = "auto",
    weights_dir: FilePath | None = None,
    max_memory: int | str | None = None,
) -> list[Record]:
    """Score folders of renders against their references, all together, as `nvs-eval score` does.

    Nothing is written unless `output_dir` is given.

    Returns:
        A record a folder (and step, where a folder has several) and protocol. The paths in one are relative to where it
        is written, or would be below `nvs-eval-results`.

    Raises:
        InputError: something that was asked for is not available, or cannot be scored.
    """
    options = _filled(ScoreOptions, locals())
    from nvs_eval.evaluation.score_folders import score_folders

    return score_folders(options, Callbacks(command=("nvs_eval.score",)))


@checked
@documented(RunOptions)
def run(
    load_config: FilePath | Sequence[FilePath],
    *,
    steps: Literal["last", "all"] | Sequence[int] = "last",
    split: Literal["test", "train"] = "test",
    views: str | Sequence[str] = (),
    every: int = 1,
    data: FilePath | None = None,
    eval_num_rays_per_chunk: int | None = None,
    keep_renders: Literal["all", "png", "none"] = "png",
    protocol: str | Sequence[str] = "standard",
    scene: str | None = None,
    method: str | Sequence[str] = (),
    colour_correct: Literal["quadratic", "affine"] | None = None,
    precision: Literal["exact", "fast"] | None = None,
    masks: FilePath | None = None,
    data_masks: bool = False,
    output_dir: FilePath = "nvs-eval-results",
    overwrite: bool = False,
    device: str = "auto",
    weights_dir: FilePath | None = None,
    max_memory: int | str | None = None,
) -> list[Record]:
    """Render the held-out views of trained nerfstudio checkpoints and score them, as `nvs-eval run` does.

    Finished checkpoints of an interrupted call are not rendered again.

    Returns:
        A record a checkpoint and protocol.

    Raises:
        InputError: something that was asked for is not available, or cannot be scored.
    """
    options = _filled(RunOptions, locals())
    from nvs_eval.evaluation.run_checkpoints import run_checkpoints

    return run_checkpoints(options, Callbacks(command=("nvs_eval.run",)))


@checked
@documented(AuditOptions)
def audit(
    renders: FilePath | Sequence[FilePath] = (),
    *,
    load_config: FilePath | Sequence[FilePath] = (),
    reference: FilePath | None = None,
    protocol: str | Sequence[str] = (),
    scene: str | None = None,
    method: str | Sequence[str] = (),
    colour_correct: Literal["quadratic", "affine"] | None = None,
    precision: Literal["exact", "fast"] | None = None,
    background: str | tuple[float, float, float] | None = None,
    grey_to_rgb: bool = False,
    exr: Literal["linear", "srgb"] | None = None,
    masks: FilePath | None = None,
    data_masks: bool = False,
    allow_missing: bool = False,
    output_dir: FilePath | None = None,
    overwrite: bool = False,
    device: str = "auto",
    weights_dir: FilePath | None = None,
    max_memory: int | str | None = None,
    steps: Literal["last", "all"] | Sequence[int] = "last",
    split: Literal["test", "train"] = "test",
    views: str | Sequence[str] = (),
    every: int = 1,
    data: FilePath | None = None,
    eval_num_rays_per_chunk: int | None = None,
    keep_renders: Literal["all", "png", "none"] = "png",
) -> list[list[Record]]:
    """Score the same renders under every protocol, as `nvs-eval audit` does.

    Returns:
        The records of each result, one a protocol that can score it.

    Raises:
        InputError: something that was asked for is not available, or no protocol can score the renders.
    """
    options = _filled(AuditOptions, locals())
    from nvs_eval.evaluation.audit import audit as audit_renders

    return audit_renders(options, Callbacks(command=("nvs_eval.audit",)))


@checked
@documented(RescoreOptions)
def rescore(
    records: str | Sequence[str],
    *,
    protocol: str | Sequence[str] = "standard",
    colour_correct: Literal["quadratic", "affine"] | None = None,
    precision: Literal["exact", "fast"] | None = None,
    output_dir: FilePath | None = None,
    overwrite: bool = False,
    device: str = "auto",
    weights_dir: FilePath | None = None,
    max_memory: int | str | None = None,
) -> list[Record]:
    """Score renders that records kept under other protocols, as `nvs-eval rescore` does.

    Returns:
        The new records, and those that existed already.

    Raises:
        InputError: renders were not kept, or cannot be scored under a protocol.
    """
    options = _filled(RescoreOptions, locals())
    from nvs_eval.evaluation.rescoring import rescore as rescore_records

    return [record for _, record in rescore_records(options, Callbacks(command=("nvs_eval.rescore",)))]


@checked
@documented(SuiteOptions)
def suite(
    file: FilePath,
    *,
    only: str | Sequence[str] = (),
    output_dir: FilePath | None = None,
    device: str | None = None,
    precision: Literal["exact", "fast"] | None = None,
    max_memory: int | str | None = None,
    overwrite: bool = False,
) -> SuiteResult:
    """Evaluate all methods of a file on all of its scenes, as `nvs-eval suite` does, and skip what is done.

    Returns:
        The records, and what is not done: inputs that do not exist, and entries that failed.

    Raises:
        InputError: the file, or an option of it, is wrong. Nothing is evaluated then.
    """
    options = _filled(SuiteOptions, locals())
    from nvs_eval.evaluation.suite.suite import open_suite

    return open_suite(options).evaluate(Callbacks(command=("nvs_eval.suite",)))


def _filled(kind: type[T], arguments: Mapping[str, Any]) -> T:
    """Fill a dataclass of options, whose values are as the command line has them."""
    plain = dict(arguments)
    if isinstance(colour := plain.get("background"), Sequence) and not isinstance(colour, str):
        parse_background(colour)
        plain["background"] = ",".join(map(repr, map(float, colour)))
    if isinstance(plain.get("max_memory"), int):
        plain["max_memory"] = f"{plain['max_memory']}B"
    if "steps" in plain and not isinstance(plain["steps"], str):
        plain["steps"] = [str(step) for step in plain["steps"]]
    return convert(plain, kind, "arguments")


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


def _ties() -> Tied:
    from nvs_eval.comparison.noise import Ties  # The statistics: late, as they need numpy.

    return Ties()


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
