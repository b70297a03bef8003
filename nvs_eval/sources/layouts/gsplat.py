"""gsplat: examples/simple_trainer.py and simple_trainer_2dgs.py, eval."""

from __future__ import annotations

import re
from pathlib import Path

from nvs_eval.sources.layouts.layout import Contents, Layout, from_canvases, last_part, matching, read_text

_CANVAS = re.compile(r"(val|compress)(?:_step(\d+))?_(\d+)\.png")
_DATA = re.compile(r"""^data_dir: ['"]?(.*?)['"]?$|"data_dir": "([^"]*)\"""", re.MULTILINE)


def _read(folder: Path, place: Path) -> Contents | None:
    """Read the folder of a result, or the folder `renders` in it; each step is a result.

    A canvas is named `(val|compress)_step<step>_<n>.png`. Old versions and the 2DGS trainer write `val_<n>.png`.
    """
    canvases = _canvases(folder) or _canvases(folder / "renders")
    data = _data(folder.resolve().parent if folder.resolve().name == "renders" else folder)
    named_after = place.parent if place.name == "renders" else place
    if data is None:
        # Without the trainer's configuration, `val_0001.png` could come from any tool.
        canvases = {key: files for key, files in canvases.items() if key[1] is not None}
    if not canvases:
        return None
    results = [
        from_canvases(files, step=step, variant="" if stage == "val" else f"-{stage}")
        for (stage, step), files in sorted(canvases.items(), key=lambda item: (item[0][0] != "val", item[0][1] or 0))
    ]
    return Contents(results, named_after, last_part(data[1] or data[2] or "") if data else None)


def _data(result: Path) -> re.Match[str] | None:
    return _DATA.search(read_text(result / "cfg.yml") or read_text(result / "cfg.json"))


def _incomplete(folder: Path) -> str | None:
    if _data(folder) is None:
        return None
    return f"{folder} is a result of gsplat without renders (val_step<step>_<n>.png). Run the trainer with `--ckpt`."


def _canvases(folder: Path) -> dict[tuple[str, int | None], dict[str, Path]]:
    """Return the canvases in a folder by stage and step, then by view name."""
    canvases: dict[tuple[str, int | None], dict[str, Path]] = {}
    for path, match in matching(folder, _CANVAS):
        step = None if match[2] is None else int(match[2])
        canvases.setdefault((match[1], step), {})[match[3]] = path
    return canvases


GSPLAT = Layout("gsplat", "val_step<step>_<n>.png, side by side", _read, ("cfg.yml", "cfg.json"), _incomplete)
