"""NerfBaselines: io.py, save_predictions and save_output_artifact."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from nvs_eval.sources.layouts.layout import Contents, Layout, RenderFiles, last_part, read_text

_PREDICTIONS = re.compile(r"predictions-(\d+)(?:-(\w+))?")


def _read(folder: Path, place: Path) -> Contents | None:
    bases = (base for base in (folder, folder / "predictions") if (base / "color").is_dir())
    base = next((base for base in bases if (base / "gt-color").is_dir()), None)
    if base is None:
        return None
    info = _read_object(base / "info.json")
    data = next((info[key] for key in ("render_dataset_metadata", "dataset_metadata") if key in info), None)
    scene = data.get("scene") if isinstance(data, dict) else None
    method = info.get("method")
    named = _PREDICTIONS.fullmatch(place.name)
    step, split = (int(named[1]), named[2] or "test") if named else (None, "test")
    return Contents(
        [RenderFiles(base / "color", base / "gt-color", step, split)],
        place,
        last_part(scene) if isinstance(scene, str) else None,
        method if isinstance(method, str) and method else None,
        base / "mask" if (base / "mask").is_dir() else None,
    )


def _read_object(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file, or an empty one if the file has no object."""
    try:
        value = json.loads(read_text(file))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


NERFBASELINES = Layout("NerfBaselines", "color/ with gt-color/", _read, ("info.json",))
