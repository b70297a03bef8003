"""nerfstudio: `ns-eval --render-output-path` and `ns-render dataset`."""

from __future__ import annotations

import re
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.images.files import stored_header
from nvs_eval.sources.layouts.layout import Contents, Layout, RenderFiles, from_canvases, matching

# --- ns-eval --render-output-path -------------------------------------------------------------------------------------

# nerfstudio before 1.0 writes `<n>-img.jpg`.
_CANVAS = re.compile(r"eval_img_(\d+)\.png|(\d{6})-img\.jpg")


def _read_ns_eval(folder: Path, place: Path) -> Contents | None:
    """Read `eval_img_<n>.png` or `<n>-img.jpg`, each of which is a canvas; ignore other images.

    Raises:
        InputError: the number of images in a canvas cannot be determined.
    """
    canvases = {match[1] or match[2]: path for path, match in matching(folder, _CANVAS)}
    if not canvases:
        return None
    return Contents([from_canvases(canvases, parts=_parts(next(iter(canvases.values()))))], place)


def _parts(canvas: Path) -> int:
    """Return the number of images in a canvas: reference and render, or reference, coarse and fine.

    The width of the canvas alone is ambiguous, so the accumulation image decides. Models with a coarse and a fine
    network write both accumulations side by side, and other models write one. splatfacto writes none; its canvases have
    one render.
    """
    accumulation = canvas.with_name(canvas.name.replace("img", "accumulation", 1))
    if not accumulation.is_file():
        return 2
    width, accumulation_width = stored_header(canvas).size[0], stored_header(accumulation).size[0]
    if width == 2 * accumulation_width:
        return 2
    if 2 * width == 3 * accumulation_width:
        return 3
    raise InputError(
        f"{canvas} must be 2 or 1.5 times as wide as {accumulation.name} (reference and render, or reference, coarse "
        f"and fine). Got widths of {width} and {accumulation_width} pixels. Crop the renders and score them with "
        "`--reference DIR`."
    )


# --- ns-render dataset ------------------------------------------------------------------------------------------------

_SPLITS = ("test", "val", "train")


def _read_ns_render(folder: Path, place: Path) -> Contents | None:
    """Read `<split>/rgb` and `<split>/gt-rgb` of the output folder, of one split in it, or of its folder `rgb`.

    The output folder stands for its test or validation views.

    Raises:
        InputError: the output folder has training views only.
    """
    resolved = folder.resolve()
    for up, path in enumerate((resolved, resolved.parent)):
        if path.name in _SPLITS and (up == 0 or resolved.name == "rgb") and _has_pairs(path):
            return Contents([RenderFiles(path / "rgb", path / "gt-rgb", split=path.name)], _output_folder(place))
    splits = [split for split in _SPLITS if _has_pairs(folder / split)]
    if not splits:
        return None
    if splits[0] == "train":
        raise InputError(
            f"{folder} has renders of training views only. Render held-out views with `ns-render dataset --split "
            f"test`, or name {folder / 'train'} to score the training views."
        )
    base = folder / splits[0]
    return Contents([RenderFiles(base / "rgb", base / "gt-rgb", split=splits[0])], place)


def _has_pairs(folder: Path) -> bool:
    return (folder / "rgb").is_dir() and (folder / "gt-rgb").is_dir()


def _output_folder(place: Path) -> Path:
    """Return the output folder of `<output>/<split>[/rgb]`, and any other path unchanged."""
    split = place.parent if place.name == "rgb" else place
    return split.parent if split.name in _SPLITS else place


NS_EVAL = Layout("ns-eval", "eval_img_<n>.png, side by side", _read_ns_eval)
NS_RENDER = Layout("ns-render dataset", "test/rgb/ with test/gt-rgb/", _read_ns_render)
