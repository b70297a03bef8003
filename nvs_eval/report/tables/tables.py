"""Tables of records. Each kind of table is a list of columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from nvs_eval.errors import unknown_name
from nvs_eval.records.comparable import convention_of
from nvs_eval.records.groups import Contender, by_protocol, last_steps
from nvs_eval.records.record import Record
from nvs_eval.report.tables.blocks import Block, blocks, check_metrics, of_suite
from nvs_eval.report.tables.columns import (
    COUNTS,
    OWN,
    count_columns,
    is_count,
    number_columns,
    own_columns,
    own_names,
    ranks_of,
    score_cell,
    step_columns,
    table_from,
    text_column,
    view_count,
)
from nvs_eval.report.tables.layout import Layout
from nvs_eval.report.tables.notes import notes_of
from nvs_eval.report.tables.options import TableOptions
from nvs_eval.report.tables.published_rows import Row
from nvs_eval.report.tables.table import DIFFERS, TIED, Cell, Column, Table, metric_column, printable


def tables_of(records: Sequence[Record], layout: Layout | None = None) -> list[Table]:
    """Return the tables of records. A column has one number, by definition; different splits are never in one table.

    Args:
        records: any number of records, no two of the same cell (scene, method, run, step, split, fingerprint).
        layout: layout of the tables (default: one per scene, with a row per checkpoint and a column per metric).

    Raises:
        InputError: a name in the layout is unknown, or the layout does not fit the records.
    """
    layout = layout or Layout()
    by_scene = layout.options.rows == "checkpoint" and layout.options.columns == "metric"
    return [table for block in blocks(records, layout, by_scene=by_scene) for table in _tables_of_block(block)]


def per_view_tables(records: Sequence[Record], layout: Layout | None = None) -> list[Table]:
    """Return one table per scene, with one row per view and record.

    The layout's metrics, decimals and suite apply. If its rows are methods or scenes, only the last checkpoint of each
    run is included.

    Raises:
        InputError: as for `tables_of`.
    """
    layout = layout or Layout()
    options = replace(layout.options, rows="checkpoint", columns="metric")
    if layout.options.rows != "checkpoint":
        records = [record for same in by_protocol(records).values() for record in last_steps(same)]
    of_scenes = blocks(records, replace(layout, options=options, published=(), tied=None), by_scene=True)
    return [_view_table(block) for block in of_scenes if block.metrics]


def shown_tables(records: Sequence[Record], layout: Layout, *, per_view: bool, format: str) -> list[Table]:
    """Return the tables of records, followed by tables of their views if `per_view` is set.

    A CSV file is a single table, in which rows of means and of views would mix: it gets the tables of views alone.

    Args:
        records: as for `tables_of`.
        layout: layout of the tables.
        per_view: whether to show the scores of each view.
        format: name of the writer.

    Raises:
        InputError: a name in the layout is unknown, or the layout does not fit the records.
    """
    tables = tables_of(records, layout)
    if not per_view:
        return tables
    views = per_view_tables(records, layout)
    return views if format == "csv" else [*tables, *views]


def chosen_records(records: Sequence[Record], layout: Layout) -> list[Record]:
    """Return the records behind the tables of a layout, grouped by split and protocol.

    Args:
        records: any number of records.
        layout: layout whose suite and metrics apply.

    Returns:
        Records of the suite's scenes, with its names of them, reduced to the selected metrics, among them the models'
        own.

    Raises:
        InputError: no record is of the suite, or none has a metric.
    """
    metrics = layout.options.metrics
    known = {*own_names(records), *(metric for record in records for metric in record.metrics)}
    for metric in metrics:
        if metric not in known:  # Counts, such as `views`, are not metrics.
            raise unknown_name("metric", metric, known)
    chosen = Layout(options=TableOptions(metrics=metrics), suite=layout.suite)
    of_scenes, _ = of_suite(records, chosen)
    counts_alone = check_metrics([record.metrics for record in of_scenes], of_scenes, chosen)
    grouped = [record for same in by_protocol(of_scenes).values() for record in same]
    having = [record for record in grouped if not metrics or counts_alone or any(map(record.metrics.get, metrics))]
    return [_with_metrics(record, metrics) for record in having]


def _with_metrics(record: Record, chosen: Sequence[str]) -> Record:
    """Return a record with the metrics that were chosen, among them the model's own (default: all of them)."""
    views, shown = record.views, dict.fromkeys(chosen or record.metrics)
    if chosen:
        own = {name.removeprefix(OWN) for name in chosen if name.startswith(OWN)}
        views = [
            replace(row, own={name: row.own[name] for name in row.own if name in own}) if row.own else row
            for row in views
        ]
    return replace(
        record, metrics={name: record.metrics[name] for name in shown if name in record.metrics}, views=views
    )


# --- The kinds ---


def _tables_of_block(block: Block) -> list[Table]:
    options = block.layout.options
    if options.columns == "scene":
        return [_metric_table(block, metric) for metric in block.metrics]
    if options.rows == "scene":
        return [_scene_table(block, contender) for contender in block.contenders]
    if options.rows == "method":
        return [_row_table(block)]
    return [_row_table(block, counts=COUNTS)]


def _row_table(block: Block, *, counts: Iterable[str] = ()) -> Table:
    """Return a table with a row per method or checkpoint and a column per metric, followed by counts."""
    metrics = block.metrics
    # No source publishes a mean over views.
    rows = block.rows_with([] if block.several and block.layout.options.mean == "views" else metrics)
    columns = _identity_columns(block, rows)
    for name in dict.fromkeys(block.layout.options.metrics or (*metrics, *counts)):
        for key in block.keys_of(name):
            columns.append(_score_column(metric_column(key, block.infos[key]), block, rows, block.scenes))
        if is_count(name):
            columns += count_columns(name, [row.records_of(block.scenes) for row in rows])
    scene = block.mean_name if block.several else block.scenes[0]
    return _table(block.title(scene, suite=block.several), columns, block, rows, metrics, scene=scene)


def _metric_table(block: Block, metric: str) -> Table:
    """Return the table of one metric, with a row per method or checkpoint, a column per scene and the mean."""
    rows = block.rows_with([metric])
    columns = _identity_columns(block, rows)
    columns += [_score_column(Column(printable(scene), metric), block, rows, [scene]) for scene in block.scenes]
    if block.several:
        columns.append(_score_column(Column(block.mean_name, metric), block, rows, block.scenes))
    heading = metric_column(metric, block.infos[metric]).heading
    return _table(block.title(heading), columns, block, rows, [metric], metric=metric)


def _scene_table(block: Block, contender: Contender) -> Table:
    """Return the table of one method, with a row per scene, a column per metric and the mean over several scenes."""
    block = replace(block, joint=replace(block.joint, sides=[contender.all_records]))
    scenes, by = list(block.scenes), block.layout.options.sort
    if by not in (None, "method"):
        scenes = sorted(scenes, key=lambda scene: block.place(contender, by, [scene]))
    rows = [[scene] for scene in scenes]
    counted = [contender.records_of(row) for row in rows]
    if block.several:
        rows.append(scenes)
        # Counts over all scenes would mislead without a mean over them.
        counted.append(contender.records_of(scenes) if all(counted) else [])
    columns = [text_column("scene", [*scenes, block.mean_name] if block.several else scenes)]
    for name in dict.fromkeys(block.layout.options.metrics or (*block.metrics, "views")):
        for key in block.keys_of(name):
            cells = [_mean_cell(block, contender, row, key) for row in rows]
            columns.append(metric_column(key, block.infos[key], cells))
        if is_count(name):
            columns += count_columns(name, counted)
    step = contender.step_name if contender.step is None else contender.step
    identity = {"method": contender.method, "run": contender.run, "step": step}
    shared = {name: str(value) for name, value in identity.items() if value is not None}
    title = block.title(contender.name)
    return _table(title, columns, block, block.rows, block.metrics, means=int(block.several), **shared)


def _view_table(block: Block) -> Table:
    """Return the table of one scene, with a row per view and record, not ranked."""
    views = [(row, view) for row in block.rows for record in row.records_of(block.scenes) for view in record.views]
    columns = [text_column("view", [view.name for _, view in views])]
    columns += _identity_columns(block, [row for row, _ in views])
    for metric in block.metrics:
        lacking = Cell("-" if block.is_joint else "")
        values = [view.scores.get(metric) for _, view in views]
        cells = [lacking if value is None else score_cell(value, block.decimals[metric]) for value in values]
        columns.append(metric_column(metric, block.infos[metric], cells))
    for name in filter(is_count, block.layout.options.metrics):
        columns += own_columns(name, [view for _, view in views])
    columns += number_columns("coverage", [view.coverage for _, view in views], ".3f")
    (scene,) = block.scenes
    return _table(block.title(scene, suite=False), columns, block, block.rows, block.metrics, scene=scene)


def _table(
    title: str,
    columns: Sequence[Column],
    block: Block,
    rows: Sequence[Row],
    metrics: Sequence[str],
    *,
    means: int = 0,
    **shared: str,
) -> Table:
    """Return a table with the notes, caption and signatures of some rows of a block."""
    first = block.records[0]
    notes = list(notes_of(block, rows, metrics))
    if any(TIED in cell.mark for column in columns for cell in column.cells):
        notes.append(f"{TIED}: cannot be told from the best with this many views")
    return table_from(
        title,
        columns,
        notes=notes,
        caption=f"protocol {first.protocol_title} ({first.fingerprint})",
        shared={"split": first.split, "protocol": first.protocol_title, "fingerprint": first.fingerprint, **shared},
        signatures=[block.infos[metric].signature for metric in metrics],
        means=means,
        views=sorted({view_count(row.records_of(block.scenes)) for row in rows if isinstance(row, Contender)}),
    )


# --- The cells of rows ---


def _identity_columns(block: Block, rows: Sequence[Row]) -> list[Column]:
    """Return the columns of method, run and step, as far as any row has them, and of rasterisers if they differ."""
    methods = [Cell(printable(row.method), row.method, mark=block.mark(row)) for row in rows]
    runs = [text_column("run", [row.run or "" for row in rows])] if any(row.run for row in rows) else []
    return [
        Column("method", numeric=False, cells=methods),
        *runs,
        *step_columns([row.step_name if row.step is None else row.step for row in rows]),
        *_rasteriser_columns(block, rows),
    ]


def _rasteriser_columns(block: Block, rows: Sequence[Row]) -> list[Column]:
    """Return the column of conventions of rasterising, in a list; an empty list if the rows have at most one."""
    of_rows = [{c: None for r in row.records_of(block.scenes) if (c := convention_of(r))} for row in rows]
    if len({convention for conventions in of_rows for convention in conventions}) < 2:
        return []
    return [text_column("rasteriser", [", ".join(conventions) for conventions in of_rows])]


def _mean_cell(block: Block, row: Row, scenes: Sequence[str], metric: str) -> Cell:
    """Return the cell of a mean over scenes, with at most the published decimals."""
    over, digits = block.layout.options.mean, block.decimals[metric]
    value = row.mean(metric, scenes, over)
    if value is None and block.is_joint and not row.has(metric):
        return Cell("-")
    if value is None or isinstance(row, Contender):
        return score_cell(value, digits)
    mark = DIFFERS if row.differs(metric) else ""
    return score_cell(value, min(digits, row.decimals(metric, scenes, over)), mark=mark)


def _score_column(column: Column, block: Block, rows: Sequence[Row], scenes: Sequence[str]) -> Column:
    """Fill the column of a metric with means over scenes, ranked, with ties marked."""
    metric = column.metric or ""
    cells = [_mean_cell(block, row, scenes, metric) for row in rows]
    if block.ranks(rows):
        ranks = ranks_of(cells, higher_is_better=block.infos[metric].higher_is_better)
        cells = [replace(cell, rank=rank) if rank else cell for cell, rank in zip(cells, ranks, strict=True)]
        for place in _tied(block, rows, cells, scenes, metric):
            cells[place] = replace(cells[place], mark=cells[place].mark + TIED)
    return replace(column, cells=cells)


def _tied(
    block: Block, rows: Sequence[Row], cells: Sequence[Cell], scenes: Sequence[str], metric: str
) -> Collection[int]:
    """Return the indices of cells that cannot be told from the best; none if the best is published, without views."""
    contenders = {
        place: row for place, row in enumerate(rows) if isinstance(row, Contender) and cells[place].value is not None
    }
    places, tied = list(contenders), block.layout.tied
    if tied is None or len(places) < 2 or all(cells[place].rank != 1 for place in places):
        return ()
    tied_places = [places[index] for index in tied(list(contenders.values()), scenes, metric)]
    return [place for place in tied_places if cells[place].rank != 1]
