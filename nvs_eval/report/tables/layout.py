"""What a user chooses of a table: its rows, columns and means."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from nvs_eval.errors import InputError
from nvs_eval.records.groups import Contender

if TYPE_CHECKING:
    from nvs_eval.report.benchmarks.published import Published
    from nvs_eval.report.benchmarks.suites import Suite

Tied = Callable[[Sequence[Contender], Sequence[str], str], Collection[int]]
"""Says which of some contenders cannot be told from the best over some scenes under a metric, by their places."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How records become tables.

    Attributes:
        rows: a row a checkpoint (method, run, step), a method (the last checkpoint of each run), or a scene (in a table
            a method).
        columns: metrics, the scenes of a row being averaged; or scenes, in a table a metric.
        metrics: which, in this order, and of what else a table can say of a row: "views", "coverage", "s/view", "GB";
            all if empty.
        runs: with rows of methods, whether several runs of a method are rows of their own, or seeds and averaged.
        mean: over the means of scenes, or over the views of all scenes.
        sort: by a metric, the best first, or by "method"; else as the records come.
        decimals: of metrics, by key or by the key up to the first underscore; the metric's own where there is none.
        suite: of whose scenes the tables are; a mean needs all of them.
        published: numbers of others to add as rows.
        mixed: whether published numbers of other protocols may be added, too; nothing is ranked then.
        tied: marks what cannot be told from the best; or None.

    Raises:
        InputError: its choices do not go together.
    """

    rows: Literal["checkpoint", "method", "scene"] = "checkpoint"
    columns: Literal["metric", "scene"] = "metric"
    metrics: Sequence[str] = ()
    runs: Literal["each", "mean"] = "each"
    mean: Literal["scenes", "views"] = "scenes"
    sort: str | None = None
    decimals: Mapping[str, int] = field(default_factory=dict)
    suite: Suite | None = None
    published: Sequence[Published] = ()
    mixed: bool = False
    tied: Tied | None = None

    def __post_init__(self) -> None:
        if self.rows == "scene" and self.columns == "scene":
            raise InputError("Rows and columns are both scenes: say `--rows method`, or `--columns metric`.")
        if self.tied is not None and self.mean == "views":
            raise InputError("What is tied is told by the mean over scenes: leave `--tied` out, or `--mean views`.")
        if self.rows == "scene" and self.published:
            raise InputError("A table with a row a scene is of one method: published numbers need `--rows method`.")
