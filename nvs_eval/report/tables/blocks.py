"""Records sorted into what may stand in one table: those of one split and protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nvs_eval.errors import InputError, some, unknown_name
from nvs_eval.records.groups import Contender, by_protocol, checkpoints_of, methods_of
from nvs_eval.records.record import MetricInfo, Record
from nvs_eval.report.tables.layout import Layout
from nvs_eval.report.tables.numbers import decimals, metric_column, printable
from nvs_eval.report.tables.table import Column

COUNTS = ("views", "coverage", "s/view", "GB")
"""What a table can say of a row besides metrics."""


@dataclass(frozen=True)
class Block:
    """The records of one split and protocol.

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
        chosen = self.layout.metrics
        return [metric for metric in dict.fromkeys(chosen) if metric in self.infos] if chosen else list(self.infos)

    def decimals(self, metric: str) -> int:
        """Number of decimals of a metric."""
        return decimals(metric, self.infos[metric], self.layout.decimals)

    @property
    def contenders(self) -> list[Contender]:
        """Whose records they are, by the rows that were chosen."""
        if self.layout.rows == "checkpoint":
            return checkpoints_of(self.records)
        return methods_of(self.records, runs=self.layout.runs)

    @property
    def caption(self) -> str:
        """The protocol and its fingerprint."""
        first = self.records[0]
        return printable(f"protocol {first.protocol_title} ({first.fingerprint})")

    @property
    def shared(self) -> dict[str, str]:
        """What all rows have in common."""
        first = self.records[0]
        return {"split": first.split, "protocol": first.protocol_title, "fingerprint": first.fingerprint}

    def signatures(self, metrics: Sequence[str]) -> list[str]:
        """Of some metrics."""
        return [printable(self.infos[metric].signature) for metric in metrics]

    def column(self, metric: str) -> Column:
        """Of a metric."""
        return metric_column(metric, self.infos[metric])

    def of_scene(self, scene: str) -> Block:
        """What of it is of one scene."""
        records = [record for record in self.records if record.scene == scene]
        return replace(self, records=records, scenes=[scene], infos=_infos(records))


def blocks(records: Sequence[Record], layout: Layout) -> list[Block]:
    """The records by split and protocol, in the order given; those of other scenes than the suite's are left out.

    Raises:
        InputError: none is of the suite; a metric that was chosen, or by which to sort, is of none of them.
    """
    records = _with_usual_names(records, layout)
    scenes = _scenes(records, layout)
    groups = by_protocol([record for record in records if record.scene in scenes])
    found = []
    for group in groups.values():
        of_group = scenes if layout.suite else _in_order(group, scenes)
        found.append(Block(group, of_group, _infos(group), layout, of_group))
    known = {metric for block in found for metric in block.infos}
    for metric in layout.metrics:
        if metric not in known and metric not in COUNTS:
            raise unknown_name("metric", metric, [*known, *COUNTS])
    # With nothing but counts, any block will do for rows; columns of scenes are of a metric.
    counts = set(layout.metrics) <= set(COUNTS)
    if counts and layout.metrics and layout.columns == "scene":
        raise InputError(f"With a column a scene a table is of a metric, and --metrics names none: {some(known)} are.")
    if layout.sort is not None and layout.sort != "method" and layout.sort not in known:
        raise unknown_name("metric to sort by", layout.sort, [*known, "method"])
    return [block for block in found if block.metrics or counts]


def _with_usual_names(records: Sequence[Record], layout: Layout) -> Sequence[Record]:
    """The records, with the suite's names of their scenes in place of others that they go by."""
    if layout.suite is None:
        return records
    found = [(record, layout.suite.scene(record.scene)) for record in records]
    return [record if scene is None else replace(record, scene=scene.name) for record, scene in found]


def _scenes(records: Sequence[Record], layout: Layout) -> list[str]:
    """Those of the suite in its order; without one all, in the order of the records."""
    found = list(dict.fromkeys(record.scene for record in records))
    if layout.suite is None:
        return found
    names = list(layout.suite.names)
    if not set(names) & set(found):
        raise InputError(
            f"None of the records is of a scene of {layout.suite.name} ({', '.join(names)}): they are of "
            f"{', '.join(found)}. Name the scenes so with `--scene` when they are scored, or leave `--suite` out."
        )
    return names


def _in_order(records: Sequence[Record], scenes: Sequence[str]) -> list[str]:
    there = {record.scene for record in records}
    return [scene for scene in scenes if scene in there]


def _infos(records: Sequence[Record]) -> dict[str, MetricInfo]:
    """Of every metric that any of the records has."""
    infos: dict[str, MetricInfo] = {}
    for record in records:
        for name, info in record.metrics.items():
            infos.setdefault(name, info)
    return infos
