"""Records, laid out as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nvs_eval.records.groups import last_steps
from nvs_eval.records.record import Record
from nvs_eval.report.tables.blocks import Block, blocks
from nvs_eval.report.tables.by_scene import metric_tables
from nvs_eval.report.tables.kinds import checkpoint_table, method_table, scene_table
from nvs_eval.report.tables.layout import Layout
from nvs_eval.report.tables.per_view import per_view_table
from nvs_eval.report.tables.table import Table


def tables_of(records: Sequence[Record], layout: Layout | None = None) -> list[Table]:
    """The tables of records: those of one split and protocol are never in one with others.

    Args:
        records: any number, no two of the same cell (scene, method, run, step, split, fingerprint).
        layout: how; else one table a scene, with a row a checkpoint and a column a metric.

    Raises:
        InputError: what the layout names is not there, or it cannot be laid out so.
    """
    return [table for block in blocks(records, layout or Layout()) for table in _tables_of_block(block)]


def per_view_tables(records: Sequence[Record], layout: Layout | None = None) -> list[Table]:
    """One table a scene, with one row a view and record; of the layout the metrics, decimals and suite are taken.

    Where its rows are methods or scenes, the views are of the same records: the last checkpoint of each run.

    Raises:
        InputError: as for `tables_of`.
    """
    layout = layout or Layout()
    plain = replace(layout, rows="checkpoint", columns="metric", published=(), tied=None)
    found = [block for block in blocks(records, plain) if block.metrics]
    if layout.rows != "checkpoint":
        found = [replace(block, records=last_steps(block.records)) for block in found]
    return [per_view_table(part) for block in found for part in _by_scene(block)]


def _tables_of_block(block: Block) -> list[Table]:
    layout = block.layout
    if layout.columns == "scene":
        return metric_tables(block)
    if layout.rows == "scene":
        return [scene_table(block, contender) for contender in block.contenders]
    if layout.rows == "method":
        return [method_table(block)]
    return [checkpoint_table(part) for part in _by_scene(block)]


def _by_scene(block: Block) -> list[Block]:
    there = {record.scene for record in block.records}
    return [block.of_scene(scene) for scene in block.scenes if scene in there]
