"""Options of tables. The command line parses them; the Python API fills them from arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """Options of tables; names and files as the user wrote them."""

    rows: Literal["checkpoint", "method", "scene"] = "checkpoint"
    """One row per checkpoint, per method (last checkpoint of each run, averaged over scenes), or per scene."""
    columns: Literal["metric", "scene"] = "metric"
    """One column per metric, or one per scene with a table per metric."""
    per_scene: bool = False
    """Tables for a supplement: one per metric, with a row per method, a column per scene, and the mean last."""
    metrics: tuple[str, ...] = ()
    """Columns, in the order given: metrics, views, coverage, s/view, GB (default: all), own/NAME (the model's own)."""
    protocol: tuple[str, ...] = ()
    """Use only records of these protocols, by name or fingerprint (default: all)."""
    runs: Literal["each", "mean"] = "each"
    """Several runs of a method in a scene: one row each, or the mean over seeds."""
    mean: Literal["scenes", "views"] = "scenes"
    """Mean over several scenes: of the scenes' means, or over all views."""
    sort: str | None = None
    """Sort rows by a metric, best first, or by `method`."""
    decimals: tuple[str, ...] | Mapping[str, float] = ()
    """Number of decimals, such as psnr=2 ssim=4 lpips=3 (default: by metric)."""
    suite: str | None = None
    """Benchmark, such as mipnerf360, or YAML file: show its scenes, and a mean only if all are present."""
    with_published: tuple[str, ...] = ()
    """Add published numbers as rows, such as 3dgs (see `nvs-eval published`), or YAML files."""
    tied: bool = False
    """Mark numbers that cannot be told from the best (≈)."""
    allow_mixed: bool = False
    """Also show rows that are not comparable (other views, references, masks or protocol), marked and unranked."""
