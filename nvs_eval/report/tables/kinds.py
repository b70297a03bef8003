"""Tables with a column a metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nvs_eval.records.groups import Contender
from nvs_eval.report.tables.blocks import COUNTS, Block
from nvs_eval.report.tables.columns import (
    Filled,
    count_column,
    identity,
    score_cell,
    score_cells,
    table_from,
    text_cell,
)
from nvs_eval.report.tables.lines import Line
from nvs_eval.report.tables.rows import Rows, rows_of
from nvs_eval.report.tables.table import Cell, Column, Table


def checkpoint_table(block: Block) -> Table:
    """Of one scene: a row a checkpoint, with how many views it was scored on and what rendering took."""
    (scene,) = block.scenes
    rows = rows_of(block)
    title = f"{scene}, {block.records[0].split} views"
    return _metrics_table(block, rows, title, counts=COUNTS)


def method_table(block: Block) -> Table:
    """A row a method (the last checkpoint of each run), its metrics averaged over the scenes."""
    rows = rows_of(block)
    several = len(block.scenes) > 1
    title = rows.of_suite(rows.mean_name) if several else f"{block.scenes[0]}, {block.records[0].split} views"
    return _metrics_table(block, rows, title, counts=())


def scene_table(block: Block, contender: Contender) -> Table:
    """Of one method: a row a scene and a column a metric, the mean last where there are several scenes."""
    block = replace(block, records=contender.all_records)
    rows = rows_of(block)
    (line,) = rows.lines
    scenes = _scenes_sorted(block, line)
    several = len(scenes) > 1
    names = [*map(text_cell, scenes), *([text_cell(rows.mean_name)] if several else [])]
    filled = [Filled(Column("scene", numeric=False), names)]
    of_rows = [line.records([scene]) for scene in scenes]
    # What is counted over all scenes says nothing where there is no mean over them.
    of_all = [line.records(scenes) if all(of_rows) else []] if several else []
    for name in dict.fromkeys(block.layout.metrics or (*block.metrics, "views")):
        if name in block.metrics:
            digits = block.decimals(name)
            scores = [line.score(scene, name) for scene in scenes]
            means = [line.mean(scenes, name, block.layout.mean)] if several else []
            filled.append(Filled(block.column(name), [score_cell(score, digits) for score in (*scores, *means)]))
        elif name in COUNTS and (column := count_column(name, [*of_rows, *of_all])):
            filled.append(column)
    identity = {"method": contender.method, "run": contender.run, "step": contender.step}
    shared = {name: str(value) for name, value in identity.items() if value is not None}
    return _assemble(block, rows, rows.of_suite(contender.name), filled, means=int(several), shared=shared)


def _scenes_sorted(block: Block, line: Line) -> list[str]:
    """In their order, or by the metric that was asked for, what lacks it last."""
    by = block.layout.sort
    if by is None or by == "method":
        return list(block.scenes)
    up = by in block.infos and block.infos[by].higher_is_better
    scores = {scene: line.score(scene, by) for scene in block.scenes}
    key = {s: (1, 0.0) if score is None else (0, -score.value if up else score.value) for s, score in scores.items()}
    return sorted(block.scenes, key=key.__getitem__)


def _metrics_table(block: Block, rows: Rows, title: str, *, counts: Sequence[str]) -> Table:
    """The columns in the order that was chosen; else the metrics, then what is counted."""
    rows = rows.saying(block.metrics)
    filled = identity(rows.lines)
    of_rows = [line.records(block.scenes) for line in rows.lines]
    for name in dict.fromkeys(block.layout.metrics or (*block.metrics, *counts)):
        if name in block.metrics:
            filled.append(Filled(block.column(name), _cells(block, rows, name)))
        elif name in COUNTS and (column := count_column(name, of_rows)):
            filled.append(column)
    shared = {"scene": block.scenes[0]} if len(block.scenes) == 1 else {"scene": rows.mean_name}
    return _assemble(block, rows, title, filled, shared=shared)


def _cells(block: Block, rows: Rows, metric: str) -> list[Cell]:
    scores = [line.mean(block.scenes, metric, block.layout.mean) for line in rows.lines]
    up = block.infos[metric].higher_is_better
    cells = score_cells(scores, block.decimals(metric), higher_is_better=None if rows.unranked else up)
    return rows.with_ties(cells, metric, block.scenes)


def _assemble(
    block: Block, rows: Rows, title: str, filled: Sequence[Filled], *, shared: dict[str, str], means: int = 0
) -> Table:
    return table_from(
        title,
        filled,
        notes=list(rows.notes(block.metrics)),
        caption=block.caption,
        shared={**block.shared, **shared},
        views=rows.views,
        signatures=block.signatures(block.metrics),
        means=means,
    )
