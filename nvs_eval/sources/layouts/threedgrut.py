"""3DGRUT: threedgrut/render.py. A run is `<out_dir>/<experiment>/<scene>-<date>/ours_<step>/{renders,gt}`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from nvs_eval.sources.layouts.gaussian_splatting import GAUSSIAN_SPLATTING
from nvs_eval.sources.layouts.layout import Contents, Layout

# The date is %d%m_%H%M%S.
_RUN = re.compile(r"(.+)-(\d{4}_\d{6})")


def _read(folder: Path, place: Path) -> Contents | None:
    """Read a run, or one step of it. It has the steps of 3D Gaussian splatting, but no splits and no `cfg_args`."""
    contents = GAUSSIAN_SPLATTING.read(folder, place) if _RUN.search(place.as_posix()) else None
    named = _RUN.fullmatch(contents.named_after.name) if contents else None
    if contents is None or named is None:
        return None
    return replace(contents, named_after=contents.named_after.parent, scene=named[1], run=named[2])


def _incomplete(folder: Path) -> str | None:
    trained = any(path.suffix == ".pt" or path.name.startswith("ours_") for path in folder.iterdir())
    if not trained or not _RUN.fullmatch(folder.resolve().name):
        return None
    return f"{folder} is a run of 3DGRUT without renders. Run its `render.py` first."


THREEDGRUT = Layout("3DGRUT", "<scene>-<date>/ours_<step>/", _read, incomplete=_incomplete)
