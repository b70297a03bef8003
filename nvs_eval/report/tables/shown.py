"""Which tables a format shows."""

from __future__ import annotations

from collections.abc import Sequence

from nvs_eval.records.record import Record
from nvs_eval.report.tables.layout import Layout
from nvs_eval.report.tables.table import Table
from nvs_eval.report.tables.tables import per_view_tables, tables_of


def shown_tables(records: Sequence[Record], layout: Layout, *, per_view: bool, format: str) -> list[Table]:
    """The tables of records, and those with a row a view below them.

    As CSV all tables are one, in which means and views would be rows of one kind: there the views stand alone.

    Args:
        records: as for `tables_of`.
        layout: how.
        per_view: whether the scores of each view are asked for.
        format: by the name of its writer.

    Raises:
        InputError: what the layout names is not there, or it cannot be laid out so.
    """
    tables = tables_of(records, layout)
    if not per_view:
        return tables
    views = per_view_tables(records, layout)
    return views if format == "csv" else [*tables, *views]
