"""DepthSplat and other descendants of pixelSplat: model_wrapper.py, test_step with `save_gt_image`."""

from __future__ import annotations

import re
from pathlib import Path

from nvs_eval.sources.layouts.layout import Contents, Layout, RenderFiles, matching
from nvs_eval.sources.pictures import Picture

_RENDER = re.compile(r"\d{6}\.png")
_REFERENCE = re.compile(r"(\d{6})_gt\.png")


def _read(folder: Path, place: Path) -> Contents | None:
    """Read `color/<n>.png` and `color/<n>_gt.png` of one scene, whose folder or folder `color` is given."""
    is_color = folder.resolve().name == "color"
    color = folder if is_color else folder / "color"
    references = {match[1]: Picture(path) for path, match in matching(color, _REFERENCE)}
    renders = {path.stem: Picture(path) for path, _ in matching(color, _RENDER)}
    if not references or not renders:
        return None
    scene = place.parent if is_color and place.name == "color" else place
    images = scene.parent
    method = images.parent if images.name == "images" else images
    return Contents([RenderFiles(renders, references)], method, scene.name)


def _incomplete(folder: Path) -> str | None:
    color = folder if folder.resolve().name == "color" else folder / "color"
    if matching(color, _REFERENCE):
        return f"{color} has no renders (<n>.png), only references (<n>_gt.png). Run the test again."
    if matching(color, _RENDER):
        return (
            f"{color} has no references (<n>_gt.png), only renders (<n>.png). Run the test again with "
            "`test.save_gt_image=true`."
        )
    return None


DEPTHSPLAT = Layout("DepthSplat", "<scene>/color/<n>.png with <n>_gt.png", _read, incomplete=_incomplete)
