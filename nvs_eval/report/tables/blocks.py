"""Records grouped into blocks that may share a table, with the rows of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from nvs_eval.errors import InputError, some, unknown_name
from nvs_eval.metrics.registry import base_of, keys_of
from nvs_eval.records.comparable import difference, usual_of
from nvs_eval.records.groups import Contender, checkpoints_of, methods_of
from nvs_eval.records.joint import Joint, JointRecord, joint, joint_by_scene
from nvs_eval.records.record import MetricInfo, Record
from nvs_eval.report.benchmarks import Suite, load_suite
from nvs_eval.report.tables.columns import COUNTS, own_names
from nvs_eval.report.tables.layout import Layout
from nvs_eval.report.tables.published_rows import PublishedRow, Row, numbers_of, published_row
from nvs_eval.report.tables.table import ODD, PARTIAL, decimals


@dataclass(frozen=True)
class Block:
    """The records of one split that share a table, with the rows of their tables.

    Attributes:
        joint: at least one record, with the columns.
        scenes: scenes of the tables, in their order.
        infos: facts of each metric, by key.
        layout: layout of the tables.
        company: scenes of all tables together, with the widths of their images in pixels.
        suites: suites of published means, by name.
    """

    joint: Joint
    scenes: Sequence[str]
    infos: dict[str, MetricInfo]
    layout: Layout
    company: Mapping[str, frozenset[int]]
    suites: Mapping[str, Suite]

    @cached_property
    def records(self) -> list[Record]:
        """The records, those of one result merged."""
        return self.joint.records

    @cached_property
    def metrics(self) -> list[str]:
        """Keys of the columns of scores to show, in their order."""
        chosen = self.layout.options.metrics
        return [key for name in dict.fromkeys(chosen) for key in self.keys_of(name)] if chosen else list(self.infos)

    def keys_of(self, metric: str) -> list[str]:
        """Return the keys of the columns of a metric, or of the column with this key."""
        return keys_of(metric, self.infos)

    @cached_property
    def decimals(self) -> dict[str, int]:
        """Number of decimals of each metric."""
        return {metric: decimals(metric, info, self.layout.decimals) for metric, info in self.infos.items()}

    @property
    def is_joint(self) -> bool:
        """Whether rows may lack columns because they were scored under other protocols."""
        return any(isinstance(record, JointRecord) for record in self.records)

    @property
    def several(self) -> bool:
        """Whether there are several scenes, and so a mean over them."""
        return len(self.scenes) > 1

    @property
    def mean_name(self) -> str:
        """Name of the mean over scenes."""
        scenes = f"{len(self.scenes)} scenes"
        return f"mean of {scenes}" if self.layout.options.mean == "scenes" else f"mean of the views of {scenes}"

    def title(self, subject: str, *, suite: bool = True) -> str:
        """Return a title: the suite (if any), the subject and the split."""
        prefix = f"{self.layout.suite.title}, " if suite and self.layout.suite else ""
        return f"{prefix}{subject}, {self.records[0].split} views"

    # --- Rows ---

    @cached_property
    def contenders(self) -> list[Contender]:
        """Contenders of the records: checkpoints or methods, as the layout's rows require."""
        if self.layout.options.rows == "checkpoint":
            return checkpoints_of(self.records)
        return methods_of(self.records, runs=self.layout.options.runs)

    @cached_property
    def rows(self) -> list[Row]:
        """Contenders, and published rows that have a number of a column (any with `--allow-mixed`), sorted by `--sort`.

        Raises:
            InputError: published numbers are of another benchmark.
        """
        layout = self.layout
        published = [
            published_row(
                source,
                self.joint.columns,
                self.scenes,
                company=self.company,
                suite=layout.suite,
                suites=self.suites,
                allow_mixed=layout.options.allow_mixed,
            )
            for source in layout.published
        ]
        rows = [*self.contenders, *(row for row in published if row)]
        by = layout.options.sort
        if by == "method":
            return sorted(rows, key=_by_method)
        return rows if by is None else sorted(rows, key=lambda row: self.place(row, by, self.scenes))

    def place(self, row: Row, metric: str, scenes: Sequence[str]) -> tuple[int, float]:
        """Return the sort key of a row over some scenes: best first, then without a rank, then without a mean."""
        metric = next(iter(self.keys_of(metric)), metric)
        value = row.mean(metric, scenes, self.layout.options.mean)
        if value is None:
            return 2, 0.0
        unranked = isinstance(row, PublishedRow) and row.differs(metric)
        up = metric in self.infos and self.infos[metric].higher_is_better
        return int(unranked), -value if up else value

    def rows_with(self, metrics: Sequence[str]) -> list[Row]:
        """Return the rows, without published ones that have none of some metrics."""
        return [row for row in self.rows if isinstance(row, Contender) or any(map(row.has, metrics))]

    @cached_property
    def odd(self) -> dict[int, tuple[Record, Record, str]]:
        """Records not comparable with most of their scene, by id: the record, a usual one, and the difference."""
        shown: dict[str, list[Record]] = {}
        for record in (record for contender in self.contenders for record in contender.all_records):
            shown.setdefault(record.scene, []).append(record)
        odd = {}
        for records in (shown[scene] for scene in self.scenes if scene in shown):
            usual = usual_of(records)
            for record in records:
                if differs := difference(usual, record):
                    odd[id(record)] = record, usual, differs
        return odd

    def mark(self, row: Row) -> str:
        """Return the mark of a row; notes explain it."""
        if isinstance(row, PublishedRow):
            return row.mark
        odd = ODD if self.odd and any(id(record) in self.odd for record in row.all_records) else ""
        return odd + (PARTIAL if any(record.is_part for record in row.all_records) else "")

    def ranks(self, rows: Sequence[Row]) -> bool:
        """Return whether all rows are comparable, so that they may be ranked."""
        marks = [self.mark(row) for row in rows]
        # Published numbers are of all views.
        return not any(ODD in mark for mark in marks) and len({PARTIAL in mark for mark in marks}) < 2


def blocks(records: Sequence[Record], layout: Layout, *, by_scene: bool = False) -> list[Block]:
    """Group records that share a table, in their order. Records of scenes outside the suite are skipped.

    Args:
        records: any number of records.
        layout: layout of the tables.
        by_scene: whether each scene has tables of its own.

    Raises:
        InputError: no record is of the suite, or none has a metric of `--metrics` or `--sort`.
    """
    records, scenes = of_suite(records, layout)
    others = numbers_of(layout.published, records)
    groups = joint_by_scene(records, scenes, others=others) if by_scene else joint(records, others=others)
    suites = {name: load_suite(name).with_scenes_of(records) for one in layout.published for name in one.means}
    of_split = {split: _widths(r for r in records if r.split == split) for split in {r.split for r in records}}
    parts = []
    for group in groups:
        widths = of_split[group.records[0].split] if by_scene else _widths(group.records)
        company = {scene: widths.get(scene, frozenset[int]()) for scene in scenes if layout.suite or scene in widths}
        present = {record.scene for record in group.records}
        of_group = scenes if layout.suite and not by_scene else [scene for scene in scenes if scene in present]
        parts.append(Block(group, of_group, _infos(group), layout, company, suites))
    counts_alone = check_metrics([block.infos for block in parts], records, layout)
    return [block for block in parts if block.metrics or counts_alone]


def of_suite(records: Sequence[Record], layout: Layout) -> tuple[list[Record], list[str]]:
    """Return the records of the suite's scenes, with its names of them, and its scenes; without a suite, all.

    Raises:
        InputError: no record is of the suite.
    """
    if suite := layout.suite:
        scene_of = suite.by_name
        with_scenes = [(record, scene_of.get(record.scene)) for record in records]
        records = [replace(record, scene=scene.name) if scene else record for record, scene in with_scenes]
    scenes = _scenes(records, layout)
    shown = {*scenes}
    return [record for record in records if record.scene in shown], scenes


def _scenes(records: Sequence[Record], layout: Layout) -> list[str]:
    """Return the scenes of the suite in its order, or without a suite all scenes in the order of the records."""
    scenes = list(dict.fromkeys(record.scene for record in records))
    if layout.suite is None:
        return scenes
    names = list(layout.suite.names)
    if not set(names) & set(scenes):
        raise InputError(
            f"Records must be of scenes of {layout.suite.name} ({some(names, 20)}). Got {some(scenes)}. Use "
            "these names with `--scene` when scoring, or omit `--suite`."
        )
    return names


def _widths(records: Iterable[Record]) -> dict[str, frozenset[int]]:
    """Return the widths of the images of each scene."""
    widths: dict[str, set[int]] = {}
    for record in records:
        widths.setdefault(record.scene, set()).update(view.width for view in record.views)
    return {scene: frozenset(several) for scene, several in widths.items()}


def check_metrics(metrics: Iterable[Iterable[str]], records: Sequence[Record], layout: Layout) -> bool:
    """Check the metrics of the options. Return whether only counts are selected.

    Args:
        metrics: keys of metrics, or of columns.
        records: records of the tables.
        layout: layout of the tables.

    Raises:
        InputError: a metric of `--metrics` or `--sort` is unknown.
    """
    options = layout.options
    keys = dict.fromkeys(key for several in metrics for key in several)
    known = list(dict.fromkeys(name for key in keys for name in (base_of(key), key)))
    counts = {*COUNTS, *own_names(records)} if options.metrics else set()
    for metric in options.metrics:
        if metric not in known and metric not in counts:
            raise unknown_name("metric", metric, [*known, *counts])
    # Counts need no metric, but a table with a column per scene does.
    counts_alone = set(options.metrics) <= counts
    if options.metrics and counts_alone and options.columns == "scene":
        raise InputError(
            f"--metrics must include a metric with `--columns scene`. Got {', '.join(options.metrics)}. Add one of "
            f"{some(known)}."
        )
    if options.sort is not None and options.sort != "method" and options.sort not in known:
        raise unknown_name("metric to sort by", options.sort, [*known, "method"])
    return counts_alone


def _by_method(row: Row) -> tuple[str, str, int, str]:
    return row.method, row.run or "", -1 if row.step is None else row.step, row.step_name or ""


def _infos(group: Joint) -> dict[str, MetricInfo]:
    """Return the facts of all columns of scores, by key."""
    infos: dict[str, MetricInfo] = {}
    for record in group.records:
        infos |= {name: info for name, info in record.metrics.items() if name not in infos}
    keys = [column.key for column in group.columns]
    return {key: infos[key] for key in keys if key in infos}
