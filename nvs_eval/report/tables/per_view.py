"""Tables with a row a view."""

from __future__ import annotations

from nvs_eval.report.tables.blocks import Block
from nvs_eval.report.tables.columns import Filled, coverage_cells, identity, score_cells, table_from, text_cell
from nvs_eval.report.tables.lines import Score
from nvs_eval.report.tables.rows import rows_of
from nvs_eval.report.tables.table import Column, Table


def per_view_table(block: Block) -> Table:
    """Of one scene: a row a view and record, nothing ranked."""
    rows = rows_of(block)
    found = [(line, row) for line in rows.lines for each in line.records(block.scenes) for row in each.views]
    filled = [Filled(Column("view", numeric=False), [text_cell(row.name) for _, row in found])]
    filled += identity([line for line, _ in found])
    for metric in block.metrics:
        scores = [Score(row.scores[metric]) if metric in row.scores else None for _, row in found]
        cells = score_cells(scores, block.decimals(metric), higher_is_better=None)
        filled.append(Filled(block.column(metric), cells))
    if coverage := coverage_cells([row for _, row in found]):
        filled.append(coverage)
    return table_from(
        f"{block.scenes[0]}, {block.records[0].split} views",
        filled,
        notes=list(rows.notes(block.metrics)),
        caption=block.caption,
        shared={**block.shared, "scene": block.scenes[0]},
        views=rows.views,
        signatures=block.signatures(block.metrics),
    )
