"""Functions that score: `score`, `run`, `audit`, `rescore` and `suite`.

They print nothing. Modules that need torch are imported by the functions that use them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from nvs_eval.errors import InputWarning
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.options import (
    AuditOptions,
    RescoreOptions,
    RunOptions,
    ScoreOptions,
    SuiteOptions,
)
from nvs_eval.records.incomplete import failures
from nvs_eval.records.record import Record
from nvs_eval.system.arguments import checked, documented
from nvs_eval.system.colours import parse_background
from nvs_eval.system.schema import convert

if TYPE_CHECKING:
    from nvs_eval.evaluation.suite import SuiteResult

FilePath = str | PathLike[str]
T = TypeVar("T")


@checked
@documented(ScoreOptions)
def score(
    renders: FilePath | Sequence[FilePath],
    *,
    reference: FilePath | None = None,
    match: Literal["name", "order"] = "name",
    renders_glob: str | Sequence[str] = (),
    reference_glob: str | Sequence[str] = (),
    views: str | Sequence[str] = (),
    every: int = 1,
    protocol: str | Sequence[str] = "standard",
    scene: str | None = None,
    method: str | Sequence[str] = (),
    colour_correct: Literal["quadratic", "affine"] | None = None,
    precision: Literal["exact", "fast"] | None = None,
    background: str | tuple[float, float, float] | None = None,
    grey_to_rgb: bool = False,
    exr: Literal["linear", "srgb"] | None = None,
    exr_layer: str | None = None,
    ignore_colour_tags: bool = False,
    ignore_orientation: bool = False,
    max_pixels: int | None = None,
    masks: FilePath | None = None,
    data_masks: bool = False,
    allow_missing: bool = False,
    output_dir: FilePath | None = None,
    overwrite: bool = False,
    device: str = "auto",
    weights_dir: FilePath | None = None,
    max_memory: int | str | None = None,
    rehash: bool = False,
) -> list[Record]:
    """Score folders of renders against their references, as `nvs-eval score` does.

    Writes nothing unless `output_dir` is given.

    Returns:
        One record per folder (and per step or scene, if a folder has several) and protocol. Paths in a record are
        relative to its folder in `output_dir`, or in `nvs-eval-results` if it is not written. A result without any view
        that can be scored has no record; an `InputWarning` names it.

    Raises:
        InputError: An input is not available, or no result can be scored.
    """
    options = filled(ScoreOptions, locals())
    from nvs_eval.evaluation.score_folders import score_folders

    return _warned(score_folders(options, Callbacks(command=("nvs_eval.score",))))


@checked
@documented(RunOptions)
def run(
    load_config: FilePath | Sequence[FilePath],
    *,
    steps: Literal["last", "all"] | Sequence[int] = "last",
    split: Literal["test", "val", "train"] = "test",
    views: str | Sequence[str] = (),
    every: int = 1,
    data: FilePath | None = None,
    eval_num_rays_per_chunk: int | None = None,
    convention: Literal["auto", "inria", "gsplat-1.4", "gsplat-1.5", "gsplat-main"] = "auto",
    background: str | tuple[float, float, float] | None = None,
    antialiased: bool = False,
    hold: int | None = None,
    images: str | None = None,
    frame: str = "auto",
    own_renders: FilePath | None = None,
    keep_renders: Literal["all", "png", "none"] = "png",
    trust: bool = False,
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
    rehash: bool = False,
) -> list[Record]:
    """Render the held-out views of trained nerfstudio checkpoints or splats and score them, as `nvs-eval run` does.

    Finished checkpoints of an interrupted call are not rendered again.

    Returns:
        One record per checkpoint and protocol. A checkpoint without any view that can be scored has none; an
        `InputWarning` names it.

    Raises:
        InputError: An input is not available, or no checkpoint can be scored.
    """
    options = filled(RunOptions, locals())
    from nvs_eval.evaluation.run_checkpoints import run_checkpoints

    return _warned(run_checkpoints(options, Callbacks(command=("nvs_eval.run",))))


@checked
@documented(AuditOptions)
def audit(
    renders: FilePath | Sequence[FilePath] = (),
    *,
    load_config: FilePath | Sequence[FilePath] = (),
    reference: FilePath | None = None,
    match: Literal["name", "order"] = "name",
    renders_glob: str | Sequence[str] = (),
    reference_glob: str | Sequence[str] = (),
    protocol: str | Sequence[str] = (),
    scene: str | None = None,
    method: str | Sequence[str] = (),
    colour_correct: Literal["quadratic", "affine"] | None = None,
    precision: Literal["exact", "fast"] | None = None,
    background: str | tuple[float, float, float] | None = None,
    grey_to_rgb: bool = False,
    exr: Literal["linear", "srgb"] | None = None,
    exr_layer: str | None = None,
    ignore_colour_tags: bool = False,
    ignore_orientation: bool = False,
    max_pixels: int | None = None,
    masks: FilePath | None = None,
    data_masks: bool = False,
    allow_missing: bool = False,
    output_dir: FilePath | None = None,
    overwrite: bool = False,
    device: str = "auto",
    weights_dir: FilePath | None = None,
    max_memory: int | str | None = None,
    rehash: bool = False,
    steps: Literal["last", "all"] | Sequence[int] = "last",
    split: Literal["test", "val", "train"] = "test",
    views: str | Sequence[str] = (),
    every: int = 1,
    data: FilePath | None = None,
    eval_num_rays_per_chunk: int | None = None,
    convention: Literal["auto", "inria", "gsplat-1.4", "gsplat-1.5", "gsplat-main"] = "auto",
    antialiased: bool = False,
    hold: int | None = None,
    images: str | None = None,
    frame: str = "auto",
    own_renders: FilePath | None = None,
    keep_renders: Literal["all", "png", "none"] = "png",
    trust: bool = False,
) -> list[list[Record]]:
    """Score the same renders under every protocol, as `nvs-eval audit` does.

    Without `output_dir`, nothing is written for folders of renders; trained runs are written to `nvs-eval-results`.

    Returns:
        The records of each result, one per protocol that can score it.

    Raises:
        InputError: An input is not available, or no protocol can score the renders.
    """
    options = filled(AuditOptions, locals())
    from nvs_eval.evaluation.audit import audit as audit_renders

    results = audit_renders(options, Callbacks(command=("nvs_eval.audit",)))
    _warned([record for records in results for record in records])
    return results


@checked
@documented(RescoreOptions)
def rescore(
    records: FilePath | Sequence[FilePath],
    *,
    protocol: str | Sequence[str] = "standard",
    colour_correct: Literal["quadratic", "affine"] | None = None,
    precision: Literal["exact", "fast"] | None = None,
    output_dir: FilePath | None = None,
    overwrite: bool = False,
    device: str = "auto",
    weights_dir: FilePath | None = None,
    max_memory: int | str | None = None,
    rehash: bool = False,
) -> list[Record]:
    """Score kept renders under other protocols, as `nvs-eval rescore` does.

    Returns:
        The records under these protocols, both new and existing.

    Raises:
        InputError: Renders were not kept, or cannot be scored under a protocol.
    """
    options = filled(RescoreOptions, locals())
    from nvs_eval.evaluation.rescoring import rescore as rescore_records

    return _warned([record for _, record in rescore_records(options, Callbacks(command=("nvs_eval.rescore",)))])


@checked
@documented(SuiteOptions)
def suite(
    file: FilePath,
    *,
    only: str | Sequence[str] = (),
    shard: str | None = None,
    output_dir: FilePath | None = None,
    device: str | None = None,
    precision: Literal["exact", "fast"] | None = None,
    max_memory: int | str | None = None,
    rehash: bool = False,
    overwrite: bool = False,
    trust: bool = False,
) -> SuiteResult:
    """Evaluate all methods of a file on all of its scenes, as `nvs-eval suite` does. Skips finished work.

    Returns:
        The records, and the entries that are not done because inputs are missing or an error occurred.

    Raises:
        InputError: The file or one of its options is invalid; nothing is evaluated.
    """
    options = filled(SuiteOptions, locals())
    from nvs_eval.evaluation.suite import open_suite

    return open_suite(options).evaluate(Callbacks(command=("nvs_eval.suite",)))


def _warned(records: list[Record]) -> list[Record]:
    """Return records, and warn the caller of the API function if any of them lacks views that failed."""
    if lines := failures(records):
        kind = "The records are incomplete"
        warnings.warn(InputWarning(f"{kind}. {'; '.join(lines)}.", kind), stacklevel=4)
    return records


def filled(kind: type[T], arguments: Mapping[str, Any]) -> T:
    """Fill a dataclass of options with the arguments of a function, in the form of the command line."""
    plain = dict(arguments)
    if (colour := plain.get("background")) is not None and not isinstance(colour, str):
        parse_background(colour)
        plain["background"] = ",".join(map(repr, map(float, colour)))
    if isinstance(plain.get("max_memory"), Integral):
        plain["max_memory"] = f"{plain['max_memory']}B"
    if isinstance(records := plain.get("records"), PathLike | str):
        plain["records"] = (records,)
    if "records" in plain:
        plain["records"] = tuple(fspath(record) for record in plain["records"])
    if "steps" in plain and not isinstance(plain["steps"], str):
        plain["steps"] = [str(step) for step in plain["steps"]]
    return convert(plain, kind, "arguments")
