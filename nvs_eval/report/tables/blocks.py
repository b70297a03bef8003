"""Records sorted into what may stand in one table, with its rows; and the columns of counts and costs (`COUNTS`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import mean, median

from nvs_eval.errors import InputError, some, unknown_name
from nvs_eval.records.comparable import difference, usual_of
from nvs_eval.records.groups import Contender, by_protocol, checkpoints_of, methods_of
from nvs_eval.records.record import MetricInfo, Record
from nvs_eval.report.tables.layout import Layout
from nvs_eval.report.tables.published_rows import PublishedRow, published_row
from nvs_eval.report.tables.table import DIFFERS, ODD, Column, decimals, metric_column

Row = Contender | PublishedRow
"""Whose scores stand in a row."""


@dataclass(frozen=True)
class Block:
    """The records of one split and protocol, and the rows of their tables.

    Attributes:
        records: at least one.
        scenes: those that its tables are of, in their order.
        infos: what each metric is.
        layout: what was chosen.
        company: the scenes of all tables together.
    """

    records: Sequence[Record]
    scenes: Sequence[str]
    infos: dict[str, MetricInfo]
    layout: Layout
    company: Sequence[str]

    @property
    def metrics(self) -> list[str]:
        """Those to show, in their order."""
        chosen = self.layout.options.metrics
        return [metric for metric in dict.fromkeys(chosen) if metric in self.infos] if chosen else list(self.infos)

    def decimals(self, metric: str) -> int:
        """Number of decimals of a metric."""
        return decimals(metric, self.infos[metric], self.layout.decimals)

    @property
    def several(self) -> bool:
        """Whether there is a mean over scenes."""
        return len(self.scenes) > 1

    @property
    def mean_name(self) -> str:
        """What a mean is of."""
        scenes = f"{len(self.scenes)} scenes"
        return f"mean of {scenes}" if self.layout.options.mean == "scenes" else f"mean of the views of {scenes}"

    def title(self, subject: str, *, suite: bool = True) -> str:
        """A title: its subject after the suite, where there is one, and before the split."""
        named = f"{self.layout.suite.title}, " if suite and self.layout.suite else ""
        return f"{named}{subject}, {self.records[0].split} views"

    def column(self, metric: str) -> Column:
        """An empty column of a metric."""
        return metric_column(metric, self.infos[metric])

    @property
    def by_scene(self) -> list[Block]:
        """A block a scene of which there are records."""
        parts = []
        for scene in self.scenes:
            if records := [record for record in self.records if record.scene == scene]:
                parts.append(replace(self, records=records, scenes=[scene], infos=_infos(records)))
        return parts

    # --- Rows ---

    @cached_property
    def contenders(self) -> list[Contender]:
        """Whose records they are, by the rows that were chosen."""
        if self.layout.options.rows == "checkpoint":
            return checkpoints_of(self.records)
        return methods_of(self.records, runs=self.layout.options.runs)

    @cached_property
    def rows(self) -> list[Row]:
        """The contenders and the published rows of this protocol, or of all if they may be mixed; sorted if asked for.

        Raises:
            InputError: a publication is of another benchmark.
        """
        layout, record = self.layout, self.records[0]
        beside = [
            published_row(source, record, self.scenes, company=self.company, suite=layout.suite)
            for source in layout.published
            if layout.options.allow_mixed or source.protocol.fingerprint == record.fingerprint
        ]
        rows = [*self.contenders, *(row for row in beside if row)]
        by = layout.options.sort
        if by == "method":
            return sorted(rows, key=lambda row: (row.method, row.run or "", -1 if row.step is None else row.step))
        return rows if by is None else sorted(rows, key=lambda row: self._place(row, by))

    def _place(self, row: Row, metric: str) -> tuple[int, float]:
        """By what rows are sorted: what has no mean comes last, and before it what has no rank."""
        mean = self.mean(row, metric)
        if mean is None:
            return 2, 0.0
        up = metric in self.infos and self.infos[metric].higher_is_better
        return int(bool(value_mark(row, metric))), -mean if up else mean

    def rows_with(self, metrics: Sequence[str]) -> list[Row]:
        """The rows without published ones that say nothing of some metrics."""
        return [row for row in self.rows if isinstance(row, Contender) or any(map(row.has, metrics))]

    def mean(self, row: Row, metric: str) -> float | None:
        """The mean of a row over all scenes, of which there may be one."""
        return row.mean(metric, self.scenes, self.layout.options.mean)

    def missing(self, row: Row, metric: str) -> list[str]:
        """The scenes of which a row lacks a metric."""
        return [scene for scene in self.scenes if row.mean(metric, [scene]) is None]

    @cached_property
    def odd(self) -> list[tuple[Record, Record, str]]:
        """The records that were not scored on what most of their scene were: each, a usual one, and what differs."""
        shown = [record for contender in self.contenders for record in contender.all_records]
        odd = []
        for scene in self.scenes:
            if records := [record for record in shown if record.scene == scene]:
                usual = usual_of(records)
                odd += [(record, usual, differs) for record in records if (differs := difference(usual, record))]
        return odd

    @cached_property
    def _odd_ids(self) -> set[int]:
        return {id(record) for record, _, _ in self.odd}

    def mark(self, row: Row) -> str:
        """The sign of a whole row, which the notes explain."""
        if isinstance(row, PublishedRow):
            return row.mark
        odd = self._odd_ids
        return ODD if odd and any(id(record) in odd for record in row.all_records) else ""

    def ranks(self, rows: Sequence[Row]) -> bool:
        """Whether all of some rows may be compared with each other."""
        return not any(ODD in self.mark(row) for row in rows)


def value_mark(row: Row, metric: str) -> str:
    """The sign of a row's values of a metric, which have no rank then."""
    return DIFFERS if isinstance(row, PublishedRow) and metric in row.published.differs else ""


def blocks(records: Sequence[Record], layout: Layout) -> list[Block]:
    """The records by split and protocol, in the order given; those of other scenes than the suite's are left out.

    Raises:
        InputError: none is of the suite; a metric that was chosen, or by which to sort, is of none of them.
    """
    records = _with_usual_names(records, layout)
    scenes = _scenes(records, layout)
    groups = by_protocol([record for record in records if record.scene in scenes])
    parts = []
    for group in groups.values():
        present = {record.scene for record in group}
        of_group = scenes if layout.suite else [scene for scene in scenes if scene in present]
        parts.append(Block(group, of_group, _infos(group), layout, of_group))
    _check_metrics(parts, layout)
    counts = set(layout.options.metrics) <= set(COUNTS)
    return [block for block in parts if block.metrics or counts]


def _check_metrics(blocks: Sequence[Block], layout: Layout) -> None:
    options = layout.options
    known = list(dict.fromkeys(metric for block in blocks for metric in block.infos))
    for metric in options.metrics:
        if metric not in known and metric not in COUNTS:
            raise unknown_name("metric", metric, [*known, *COUNTS])
    # With nothing but counts, any block will do for rows; columns of scenes are of a metric.
    if options.metrics and set(options.metrics) <= set(COUNTS) and options.columns == "scene":
        raise InputError(f"With a column a scene a table is of a metric, and --metrics names none: {some(known)} are.")
    if options.sort is not None and options.sort != "method" and options.sort not in known:
        raise unknown_name("metric to sort by", options.sort, [*known, "method"])


def _with_usual_names(records: Sequence[Record], layout: Layout) -> Sequence[Record]:
    """The records, with the suite's names of their scenes in place of others that they go by."""
    if layout.suite is None:
        return records
    named = [(record, layout.suite.scene(record.scene)) for record in records]
    return [record if scene is None else replace(record, scene=scene.name) for record, scene in named]


def _scenes(records: Sequence[Record], layout: Layout) -> list[str]:
    """Those of the suite in its order; without one all, in the order of the records."""
    scenes = list(dict.fromkeys(record.scene for record in records))
    if layout.suite is None:
        return scenes
    names = list(layout.suite.names)
    if not set(names) & set(scenes):
        raise InputError(
            f"None of the records is of a scene of {layout.suite.name} ({', '.join(names)}): they are of "
            f"{', '.join(scenes)}. Name the scenes so with `--scene` when they are scored, or leave `--suite` out."
        )
    return names


def _infos(records: Sequence[Record]) -> dict[str, MetricInfo]:
    """What each metric is that any of the records has."""
    infos: dict[str, MetricInfo] = {}
    for record in records:
        for name, info in record.metrics.items():
            infos.setdefault(name, info)
    return infos


def _seconds(records: Sequence[Record]) -> float | None:
    """The median time to render a view, over those whose time is known."""
    known = [row.render_seconds for record in records for row in record.views if row.render_seconds is not None]
    return median(known) if known else None


def view_count(records: Sequence[Record]) -> int:
    """How many views: of each scene once: several runs are of the same views."""
    return sum({record.scene: len(record.views) for record in records}.values())


def _coverage(records: Sequence[Record]) -> float | None:
    known = [row.coverage for record in records for row in record.views if row.coverage is not None]
    return mean(known) if known else None


def _memory(records: Sequence[Record]) -> float | None:
    peaks = [record.provenance.get("peak_memory_bytes") for record in records]
    known = [value for value in peaks if isinstance(value, int | float)]
    return max(known) / 1e9 if known else None


COUNTS: Mapping[str, tuple[Callable[[Sequence[Record]], float | None], str]] = {
    "views": (view_count, "d"),
    "coverage": (_coverage, ".3f"),
    "s/view": (_seconds, ".3g"),
    "GB": (_memory, ".2f"),
}
"""The columns by name: the count of some records, and how it is formatted."""
