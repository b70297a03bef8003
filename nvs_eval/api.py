"""The commands as functions: what they do, without a word printed. Records come back, and tables as text.

What needs torch is imported when it is called: a table of records needs none of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nvs_eval.records.comparable import check_cells
from nvs_eval.records.record import Record, Records
from nvs_eval.system.arguments import checked

if TYPE_CHECKING:
    from nvs_eval.comparison.model import Comparison
    from nvs_eval.report.tables.layout import Tied

FilePath = str | PathLike[str]


@checked
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

    Args:
        renders: a folder, or several: of images, or what a tool that is known left behind; or archives of these.
        reference: the folder of references, matched with the renders by name; not needed for what brings its own.
        protocol: names of protocols, or YAML files.
        scene: its name; else that of the folder above the references.
        method: one a folder; else the folders' own names.
        colour_correct: adds the `cc_` scores.
        precision: of LPIPS, exact or fast (a metric of its own, off by less than 0.5 % plus 2e-4); else as the
            protocols say, which is exact of all that have a name.
        background: what images with alpha are composited over: "white", "black", or RGB in [0, 1].
        grey_to_rgb: repeat the one channel of grey images three times.
        exr: what EXR files hold.
        masks: a folder of masks with the views' names.
        data_masks: score with the masks that came with the renders.
        allow_missing: score the views that renders and references have in common, whatever else there is.
        output_dir: where records are written, if they are to be.
        overwrite: replace records of other masks.
        device: "auto", "cpu", "cuda", ...
        weights_dir: a folder to look for LPIPS backbones first.
        max_memory: what LPIPS may take beside the images: bytes, or a text such as "2GB"; else what is free decides.

    Returns:
        A record a folder (and step, where a folder has several) and protocol. The paths in one are relative to where it
        is written, or would be below `nvs-eval-results`.

    Raises:
        InputError: something that was asked for cannot be had, or be scored.
    """
    from nvs_eval.evaluation.options import Terms, Watch
    from nvs_eval.evaluation.score_folders import Folders, parse_background, score_folders
    from nvs_eval.images.files import Reading

    colour = parse_background(background) if isinstance(background, str) else background
    folders = Folders(
        renders=_paths(renders),
        reference=_path(reference),
        reading=Reading(background=colour, grey_to_rgb=grey_to_rgb, exr=exr),
        allow_missing=allow_missing,
    )
    terms = Terms(
        protocol=_names(protocol),
        colour_correct=colour_correct,
        precision=precision,
        device=device,
        weights_dir=_path(weights_dir),
        max_memory=_memory(max_memory),
        scene=scene,
        method=_names(method),
        masks=_path(masks),
        data_masks=data_masks,
        output_dir=_path(output_dir),
        overwrite=overwrite,
        command=("nvs_eval.score",),
    )
    return score_folders(folders, terms, Watch())


@checked
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

    What is there already of an interrupted call is not rendered again.

    Args:
        load_config: the config.yml of a trained run, or of several.
        steps: which checkpoints.
        split: the views that were held out, or those trained on.
        views: their names, else all.
        every: of the views each n-th.
        data: where the data lies now, if not where the run recorded it.
        eval_num_rays_per_chunk: rays in one forward pass; else the run's own, on a CPU 2048 at most.
        keep_renders: what stays of the renders: float32, 8 bits, or nothing.
        protocol: names of protocols, or YAML files; "auto" is what the model's own code would have said.
        scene: its name; else the experiment's.
        method: one for all runs or one each; else their own.
        colour_correct: adds the `cc_` scores.
        precision: of LPIPS, exact or fast (a metric of its own, off by less than 0.5 % plus 2e-4); else as the
            protocols say, which is exact of all that have a name.
        masks: a folder of masks with the views' names.
        data_masks: score with the masks that came with the data.
        output_dir: where records and renders are written.
        overwrite: render and score again what has its records.
        device: "auto", "cpu", "cuda", ...
        weights_dir: a folder to look for LPIPS backbones first.
        max_memory: what LPIPS may take beside the images: bytes, or a text such as "2GB"; else what is free decides.

    Returns:
        A record a checkpoint and protocol.

    Raises:
        InputError: something that was asked for cannot be had, or be scored.
    """
    from nvs_eval.evaluation.options import Terms, Watch
    from nvs_eval.evaluation.run_checkpoints import Runs, run_checkpoints

    runs = Runs(
        load_config=_paths(load_config),
        steps=steps,
        split=split,
        views=_names(views),
        every=every,
        data=_path(data),
        eval_num_rays_per_chunk=eval_num_rays_per_chunk,
        keep_renders=keep_renders,
    )
    terms = Terms(
        protocol=_names(protocol),
        colour_correct=colour_correct,
        precision=precision,
        device=device,
        weights_dir=_path(weights_dir),
        max_memory=_memory(max_memory),
        scene=scene,
        method=_names(method),
        masks=_path(masks),
        data_masks=data_masks,
        output_dir=Path(output_dir),
        overwrite=overwrite,
        command=("nvs_eval.run",),
    )
    return run_checkpoints(runs, terms, Watch())


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


def _memory(given: int | str | None) -> int | None:
    from nvs_eval.system.memory import parse_memory

    if given is None:
        return None
    return parse_memory(given if isinstance(given, str) else f"{given}B")


def _path(given: FilePath | None) -> Path | None:
    return None if given is None else Path(given)


def _paths(given: FilePath | Sequence[FilePath]) -> list[Path]:
    return [Path(given)] if isinstance(given, str | PathLike) else [Path(fspath(path)) for path in given]
