"""The folders that other tools leave behind, which bring their references: what each looks like, and how it is read.

They are tried in the order of `LAYOUTS`; the first that finds what it looks for in a folder reads it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvs_eval.sources.canvases import find_gsplat, find_ns_eval
from nvs_eval.sources.found import Found, Part, read_text, scene_name
from nvs_eval.sources.pictures import list_images, whole_files

# Besides images, what layouts read.
NOTES = ("cfg_args", "info.json", "cfg.yml", "cfg.json")

_ITERATION = re.compile(r"ours_(\d+)")
_SPLITS = ("test", "train")
_PREDICTIONS = re.compile(r"predictions-(\d+)(?:-(\w+))?")


@dataclass(frozen=True)
class Layout:
    """A layout that is known.

    Attributes:
        tool: whose it is.
        looks_like: the files by which it is known.
        find: reads a folder of it, given with the place where it lies for the user (the folder itself, or for an
            unpacked archive the archive without its suffix); None where the folder does not look so.
    """

    tool: str
    looks_like: str
    find: Callable[[Path, Path], Found | None]


def find_layout(folder: Path, place: Path) -> Found | None:
    """What the first layout that knows a folder finds in it; None where none does.

    Raises:
        InputError: it looks like a layout, and something of it is missing or cannot be read.
    """
    return next((found for layout in LAYOUTS if (found := layout.find(folder, place)) is not None), None)


def known_layouts() -> str:
    """The layouts in words, for an error."""
    return "; ".join(f"{layout.looks_like} ({layout.tool})" for layout in LAYOUTS)


# --- graphdeco-inria/gaussian-splatting: render.py ------------------------------------------------------------------


def _find_iterations(folder: Path, place: Path) -> Found | None:
    iterations = _iterations(folder)
    if not iterations:
        return None
    model = model_folder(place)
    said = re.search(r"source_path='([^']+)'", read_text(model_folder(iterations[0][1].resolve()) / "cfg_args"))
    return Found(
        [
            Part(whole_files(list_images(path / "renders")), path / "gt", step, _split_of(path))
            for step, path in iterations
        ],
        model,
        scene_name(said[1] if said else "", model),
    )


def _iterations(folder: Path) -> list[tuple[int, Path]]:
    """The `ours_<n>` folders of a model, in the order of n."""
    candidates = [folder] if _ITERATION.fullmatch(folder.resolve().name) else (folder / "test").glob("ours_*")
    matches = [(_ITERATION.fullmatch(path.resolve().name), path) for path in candidates]
    return sorted((int(match[1]), path) for match, path in matches if match and (path / "renders").is_dir())


def _split_of(iteration: Path) -> str:
    """Which views an `ours_<n>` shows: the training views only where it was given by itself, from `train`."""
    above = iteration.resolve().parent.name
    return above if above in _SPLITS else "test"


def model_folder(folder: Path) -> Path:
    """What a method is named after: the folder, or for `<model>/{test,train}/ours_<n>` the model."""
    if _ITERATION.fullmatch(folder.name) and folder.parent.name in _SPLITS:
        return folder.parent.parent
    return folder


# --- nerfbaselines: io.py, save_predictions and save_output_artifact ------------------------------------------------


def _find_predictions(folder: Path, place: Path) -> Found | None:
    for base in (folder, folder / "predictions"):
        if (base / "color").is_dir() and (base / "gt-color").is_dir():
            break
    else:
        return None
    info = _read_info(base / "info.json")
    about = next((info[key] for key in ("render_dataset_metadata", "dataset_metadata") if key in info), None)
    scene = about.get("scene") if isinstance(about, dict) else None
    method = info.get("method")
    named = _PREDICTIONS.fullmatch(place.name)
    return Found(
        [
            Part(
                whole_files(list_images(base / "color")),
                base / "gt-color",
                int(named[1]) if named else None,
                (named and named[2]) or "test",
            )
        ],
        place,
        scene_name(scene if isinstance(scene, str) else "", place),
        method if isinstance(method, str) and method else None,
        base / "mask" if (base / "mask").is_dir() else None,
    )


def _read_info(file: Path) -> dict[str, Any]:
    try:
        info = json.loads(read_text(file))
    except (ValueError, RecursionError):
        return {}
    return info if isinstance(info, dict) else {}


LAYOUTS = (
    Layout("3D Gaussian splatting", "[test/]ours_<iteration>/ with renders/ and gt/", _find_iterations),
    Layout("nerfbaselines", "[predictions/]color/ with gt-color/", _find_predictions),
    Layout("gsplat", "[renders/]val_step<step>_<n>.png, reference and render side by side", find_gsplat),
    Layout("ns-eval --render-output-path", "eval_img_<n>.png, likewise", find_ns_eval),
)
