"""What a user chooses of tables: the command line reads these options, and the Python API fills them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """What tables show: files and names as they were given."""

    rows: Literal["checkpoint", "method", "scene"] = "checkpoint"
    """A row a checkpoint; a method (the last checkpoint of each run), averaged over scenes; or a scene."""
    columns: Literal["metric", "scene"] = "metric"
    """A column a metric; or a scene, in a table a metric."""
    per_scene: bool = False
    """The tables of a supplement: one a metric, a row a method, a column a scene, the mean last."""
    metrics: tuple[str, ...] = ()
    """Which, in this order: metrics, and views, coverage, s/view, GB. Else all."""
    protocol: tuple[str, ...] = ()
    """Only records of these protocols, by name or fingerprint."""
    runs: Literal["each", "mean"] = "each"
    """Of several runs of a method in a scene: a row each, or seeds of which the mean counts."""
    mean: Literal["scenes", "views"] = "scenes"
    """Whether a mean over several scenes is one of the scenes' means, or one of all their views."""
    sort: str | None = None
    """Sort the rows by a metric, the best first, or by `method`."""
    decimals: tuple[str, ...] | Mapping[str, float] = ()
    """Of metrics: psnr=2 ssim=4 lpips=3."""
    suite: str | None = None
    """A benchmark, such as mipnerf360, or a YAML file: of whose scenes the tables are; a mean needs them all."""
    with_published: tuple[str, ...] = ()
    """Published numbers to add as rows, such as 3dgs (`nvs-eval published` lists them), or YAML files."""
    tied: bool = False
    """Mark what cannot be told from the best with the views there are."""
    allow_mixed: bool = False
    """Also print rows that may not be compared, scored on other views, references or masks, or published under other
    protocols: marked, none the best."""
