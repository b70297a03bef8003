"""Brush: training with `--eval-save-to-disk`. It writes renders only, so `--reference` is required."""

from __future__ import annotations

import re
from pathlib import Path

from nvs_eval.sources.layouts.layout import Contents, Layout, RenderFiles, matching

_STEP = re.compile(r"eval_(\d+)")


def _read(folder: Path, place: Path) -> Contents | None:
    """Read one `eval_<step>` folder, or all of an export folder."""
    named = _STEP.fullmatch(place.name)
    if named:
        return Contents([RenderFiles(folder, None, int(named[1]))], place.parent)
    steps = [(int(match[1]), path) for path, match in matching(folder, _STEP) if path.is_dir()]
    return Contents([RenderFiles(path, None, step) for step, path in sorted(steps)], place) if steps else None


BRUSH = Layout("Brush", "eval_<step>/, without references", _read)
