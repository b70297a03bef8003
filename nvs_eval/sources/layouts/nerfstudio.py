"""nerfstudio: `ns-eval --render-output-path` and `ns-render dataset`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from nvs_eval.errors import FileError, InputError
from nvs_eval.images.files import Reading, load_layers, stored_header
from nvs_eval.sources.layouts.layout import Contents, IncompleteError, Layout, RenderFiles, from_canvases, matching

# --- ns-eval --render-output-path -------------------------------------------------------------------------------------

# nerfstudio before 1.0 writes `<n>-img.jpg`.
_CANVAS = re.compile(r"eval_img_(\d+)\.png|(\d{6})-img\.jpg")
_CLEARLY = 2.0
"""Ratio of squared differences from which one division of a canvas is clearly better than another."""


def _read_ns_eval(folder: Path, place: Path) -> Contents | None:
    """Read `eval_img_<n>.png` or `<n>-img.jpg`, each of which is a canvas; ignore other images.

    Raises:
        InputError: the number of images in a canvas cannot be determined.
    """
    canvases = {match[1] or match[2]: path for path, match in matching(folder, _CANVAS)}
    if not canvases:
        return None
    canvas, parts, certain = _first_readable(list(canvases.values()))
    assumed = (
        f"{canvas} has no accumulation image beside it. It is read as {parts} images side by side, of which the first "
        "is the reference and the last the render."
    )
    return Contents([from_canvases(canvases, parts=parts)], place, warnings=() if certain else (assumed,))


def _first_readable(canvases: Sequence[Path]) -> tuple[Path, int, bool]:
    """Return the first canvas that is not damaged, with what `_parts` returns."""
    for canvas in canvases:
        try:
            return canvas, *_parts(canvas)
        except FileError:
            if canvas == canvases[-1]:
                raise
    raise AssertionError


def _parts(canvas: Path) -> tuple[int, bool]:
    """Return the number of images in a canvas, and whether that is certain.

    A canvas has a reference and a render, or a reference, a coarse and a fine render. Its width alone is ambiguous, so
    the accumulation image decides. Models with a coarse and a fine network write both accumulations side by side, and
    other models write one. splatfacto writes none; then the images in the canvas decide, which look alike.
    """
    accumulation = canvas.with_name(canvas.name.replace("img", "accumulation", 1))
    width = stored_header(canvas).size[0]
    if not accumulation.is_file():
        return _parts_that_look_alike(canvas, width)
    accumulation_width = stored_header(accumulation).size[0]
    if width == 2 * accumulation_width:
        return 2, True
    if 2 * width == 3 * accumulation_width:
        return 3, True
    raise InputError(
        f"{canvas} must be 2 or 1.5 times as wide as {accumulation.name} (reference and render, or reference, coarse "
        f"and fine). Got widths of {width} and {accumulation_width} pixels. Crop the renders and score them with "
        "`--reference DIR`."
    )


def _parts_that_look_alike(canvas: Path, width: int) -> tuple[int, bool]:
    """Return 2 or 3, by which parts of a canvas are alike, and whether the other division is clearly worse."""
    possible = [parts for parts in (2, 3) if width % parts == 0]
    if len(possible) < 2:
        return (possible or [2])[0], possible != [3]
    try:
        colours, _ = load_layers(canvas, Reading())
    except InputError:
        return 2, False  # The view is reported as damaged when it is scored.
    halves, thirds = (_difference(colours, parts) for parts in possible)
    if _CLEARLY * thirds < halves:
        return 3, True
    return 2, _CLEARLY * halves < thirds


def _difference(canvas: Tensor, parts: int) -> float:
    """Return the mean squared difference between the first part of a canvas and the others."""
    first, *others = canvas.chunk(parts, dim=1)
    return max(float(((other - first) ** 2).mean()) for other in others)


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
        raise IncompleteError(
            f"{folder} has renders of training views only. Render held-out views with `ns-render dataset --split "
            f"test`, or name {folder / 'train'} to score the training views."
        )
    base = folder / splits[0]
    return Contents([RenderFiles(base / "rgb", base / "gt-rgb", split=splits[0])], place)


def _has_pairs(folder: Path) -> bool:
    return (folder / "rgb").is_dir() and (folder / "gt-rgb").is_dir()


def _incomplete_split(folder: Path) -> str | None:
    for split in (folder / split for split in _SPLITS):
        present = [kind for kind in ("rgb", "gt-rgb") if (split / kind).is_dir()]
        if len(present) == 1:
            (absent,) = {"rgb", "gt-rgb"} - {*present}
            return (
                f"{split} has {present[0]}/, but no {absent}/. Render both with `ns-render dataset "
                "--rendered-output-names rgb gt-rgb`."
            )
    return None


def _output_folder(place: Path) -> Path:
    """Return the output folder of `<output>/<split>[/rgb]`, and any other path unchanged."""
    split = place.parent if place.name == "rgb" else place
    return split.parent if split.name in _SPLITS else place


NS_EVAL = Layout("ns-eval", "eval_img_<n>.png, side by side", _read_ns_eval)
NS_RENDER = Layout("ns-render dataset", "test/rgb/ with test/gt-rgb/", _read_ns_render, (), _incomplete_split)
