"""Tables of causes: a row for each view."""

from __future__ import annotations

from nvs_eval.diagnostics.causes.diagnose import Diagnosis
from nvs_eval.errors import counted
from nvs_eval.records.causes import CAUSES
from nvs_eval.report.tables.columns import number_columns, table_from, text_column
from nvs_eval.report.tables.table import Table

_BANDS = ("low", "middle", "high")


def causes_table(diagnosis: Diagnosis) -> Table:
    """Return a table with a row per view: its PSNR, the dB of each cause that a view has, and shares of the error."""
    views, result = diagnosis.causes.views, diagnosis.record.id
    several = list(views.values())
    psnr = [None if isinstance(view.psnr, str) else view.psnr for view in several]
    columns = [
        text_column("view", views),
        *number_columns("PSNR [dB]", psnr, ".2f"),
        *(
            column
            for cause in CAUSES
            for column in number_columns(f"{cause} [dB]", [view.decibels.get(cause) for view in several], ".1f")
        ),
        *(column for band in _BANDS for column in number_columns(f"{band} [%]", _percent(several, band), ".0f")),
    ]
    title = f"{result.scene}, {result.name}, {counted(len(views), f'{result.split} view')}"
    caption = f"protocol {diagnosis.record.protocol_title} ({diagnosis.record.fingerprint})"
    notes = ["dB that come back without each cause; shares of the squared error in low, middle and high frequencies"]
    return table_from(title, columns, caption=caption, notes=notes)


def _percent(views: list, band: str) -> list[float | None]:
    return [100 * view.frequencies[band] if band in view.frequencies else None for view in views]
