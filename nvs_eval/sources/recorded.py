"""How the files of a record were read, so that they can be read in the same way again."""

from __future__ import annotations

from typing import Any

from nvs_eval.images.files import Reading
from nvs_eval.records.record import Record


def reading_of(record: Record) -> Reading:
    """How the files were read, as far as the record says so; what it says wrongly counts as not said."""
    said: Any = record.provenance.get("reading")
    said = said if isinstance(said, dict) else {}
    alpha, background, exr = record.protocol["definition"].get("alpha"), said.get("background"), said.get("exr")
    if not (
        isinstance(background, list) and len(background) == 3 and all(isinstance(v, int | float) for v in background)
    ):
        background = None
    return Reading(
        alpha=alpha if alpha in ("composite", "drop", "error") else "composite",
        background=None if background is None else (background[0], background[1], background[2]),
        grey_to_rgb=said.get("grey_to_rgb") is True,
        exr=exr if exr in ("linear", "srgb") else None,
    )
