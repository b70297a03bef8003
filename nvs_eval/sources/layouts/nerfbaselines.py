"""NerfBaselines: io.py, save_predictions and save_output_artifact."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from nvs_eval.sources.layouts.layout import Contents, Layout, RenderFiles, last_part, read_text

_PREDICTIONS = re.compile(r"predictions-(\d+)(?:-(\w+))?")
_KINDS = ("color", "gt-color")


def _read(folder: Path, place: Path) -> Contents | None:
    """Read predictions, the folder `color` in them, or an artifact that contains them."""
    base = next((base for base in _bases(folder) if all((base / kind).is_dir() for kind in _KINDS)), None)
    if base is None:
        return None
    place = place.parent if base == folder.resolve().parent else place
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


def _bases(folder: Path) -> list[Path]:
    inside = [folder.resolve().parent] if folder.resolve().name == "color" else []
    return [folder, folder / "predictions", *inside]


def _incomplete(folder: Path) -> str | None:
    for base in _bases(folder):
        present = [kind for kind in _KINDS if (base / kind).is_dir()]
        if len(present) == 1 and ((base / "info.json").is_file() or present == ["gt-color"]):
            (absent,) = {*_KINDS} - {*present}
            return f"{base} has {present[0]}/, but no {absent}/. Run `nerfbaselines render` again."
    return None


def _read_object(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file, or an empty one if the file has no object."""
    try:
        value = json.loads(read_text(file))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


NERFBASELINES = Layout("NerfBaselines", "color/ with gt-color/", _read, ("info.json",), _incomplete)
