"""Tables with a column a scene: what the supplementary material has, one table a metric."""

from __future__ import annotations

from dataclasses import replace

from nvs_eval.report.tables.blocks import Block
from nvs_eval.report.tables.columns import Filled, identity, score_cells, table_from
from nvs_eval.report.tables.numbers import printable
from nvs_eval.report.tables.rows import Rows, rows_of
from nvs_eval.report.tables.table import Column, Table


def metric_tables(block: Block) -> list[Table]:
    """A table a metric, a row a method or checkpoint, a column a scene; the mean last where there are several."""
    rows = rows_of(block)
    return [_table(block, rows, metric) for metric in block.metrics]


def _table(block: Block, rows: Rows, metric: str) -> Table:
    info = block.infos[metric]
    rows = replace(rows, lines=[line for line in rows.lines if line.contender or line.says(metric)])
    up = None if rows.unranked else info.higher_is_better
    filled = identity(rows.lines)
    for scene in block.scenes:
        scores = [line.score(scene, metric) for line in rows.lines]
        cells = score_cells(scores, block.decimals(metric), higher_is_better=up)
        filled.append(Filled(Column(printable(scene), metric), rows.with_ties(cells, metric, [scene])))
    if len(block.scenes) > 1:
        scores = [line.mean(block.scenes, metric, block.layout.mean) for line in rows.lines]
        cells = score_cells(scores, block.decimals(metric), higher_is_better=up)
        filled.append(Filled(Column(rows.mean_name, metric), rows.with_ties(cells, metric, block.scenes)))
    return table_from(
        rows.of_suite(block.column(metric).heading),
        filled,
        notes=list(rows.notes([metric])),
        caption=block.caption,
        shared={**block.shared, "metric": metric},
        views=rows.views,
        signatures=block.signatures([metric]),
    )
