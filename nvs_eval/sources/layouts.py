"""Folders that other tools write and that bring their references: how each is recognised, and how it is read.

A new layout is one function here and one line of `LAYOUTS`. They are tried in that order; the first that recognises a
folder reads it. Folders without references of their own are `nvs_eval.sources.folders`' matter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError
from nvs_eval.images.files import stored_size
from nvs_eval.sources.pictures import Picture, list_images, whole_files

# Files that layouts read besides images.
NOTES = ("cfg_args", "info.json", "cfg.yml", "cfg.json")


@dataclass(frozen=True)
class RenderFiles:
    """Files of the renders of one result, and of their references.

    Attributes:
        renders: render of each view, by view name.
        references: reference of each view, by view name, or the folder of them.
        step: step of the checkpoint, or None.
        split: which views these are.
        variant: suffix of the method's name, where the tool renders one training in several ways.
    """

    renders: Mapping[str, Picture]
    references: Mapping[str, Picture] | Path
    step: int | None = None
    split: str = "test"
    variant: str = ""


@dataclass(frozen=True)
class Contents:
    """Contents of a folder of renders.

    Attributes:
        results: files of each result, in the order of their steps.
        named_after: folder, as the user would name it, that the method is named after.
        scene: name of the scene.
        method: name of the method, where the layout itself has it.
        masks: folder of masks that belongs to the renders, if there is one.
    """

    results: Sequence[RenderFiles]
    named_after: Path
    scene: str
    method: str | None = None
    masks: Path | None = None


@dataclass(frozen=True)
class Layout:
    """A layout that is recognised.

    Attributes:
        tool: the tool that writes it.
        looks_like: files by which it is recognised.
        read: returns the contents of a folder, or None where it has another layout. Called with the folder and the path
            by which the user knows it (the folder itself, or for an unpacked archive the archive without its suffix).
    """

    tool: str
    looks_like: str
    read: Callable[[Path, Path], Contents | None]


def read_layout(folder: Path, place: Path) -> Contents | None:
    """Read a folder by the first layout that recognises it; None where none does.

    Raises:
        InputError: a layout recognises it, and something is missing or cannot be read.
    """
    return next((contents for layout in LAYOUTS if (contents := layout.read(folder, place)) is not None), None)


def known_layouts() -> str:
    """The layouts in words, for an error."""
    return "; ".join(f"{layout.looks_like} ({layout.tool})" for layout in LAYOUTS)


def _read_text(file: Path) -> str:
    """The text of a file; empty where it is missing or no text."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _scene(data: str, named_after: Path) -> str:
    """Name of the scene: that of the data the tool trained on (the last part of a path), else of the folder above."""
    return Path(data).name or named_after.parent.name


def _matching(folder: Path, pattern: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
    """The files in a folder whose names match a pattern, sorted; none where there is no such folder."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    matches = [(path, pattern.fullmatch(path.name)) for path in files]
    return [(path, match) for path, match in matches if match]


# --- graphdeco-inria/gaussian-splatting: render.py ------------------------------------------------------------------

_ITERATION = re.compile(r"ours_(\d+)")
_SPLITS = ("test", "train")


def _read_3dgs(folder: Path, place: Path) -> Contents | None:
    iterations = _iterations(folder)
    if not iterations:
        return None
    model = _model_folder(place)
    config = _read_text(_model_folder(iterations[0][1].resolve()) / "cfg_args")
    data = re.search(r"source_path='([^']+)'", config)
    results = [
        RenderFiles(whole_files(list_images(path / "renders")), path / "gt", step, _split(path))
        for step, path in iterations
    ]
    return Contents(results, model, _scene(data[1] if data else "", model))


def _iterations(folder: Path) -> list[tuple[int, Path]]:
    """The `ours_<n>` folders of a model, in the order of n."""
    candidates = [folder] if _ITERATION.fullmatch(folder.resolve().name) else (folder / "test").glob("ours_*")
    matches = [(_ITERATION.fullmatch(path.resolve().name), path) for path in candidates]
    return sorted((int(match[1]), path) for match, path in matches if match and (path / "renders").is_dir())


def _split(iteration: Path) -> str:
    """Which views an `ours_<n>` shows: training views only where the user gave it by itself, from `train`."""
    above = iteration.resolve().parent.name
    return above if above in _SPLITS else "test"


def _model_folder(folder: Path) -> Path:
    """The model's folder, for `<model>/{test,train}/ours_<n>`; any other folder itself."""
    if _ITERATION.fullmatch(folder.name) and folder.parent.name in _SPLITS:
        return folder.parent.parent
    return folder


# --- nerfbaselines: io.py, save_predictions and save_output_artifact ------------------------------------------------

_PREDICTIONS = re.compile(r"predictions-(\d+)(?:-(\w+))?")


def _read_nerfbaselines(folder: Path, place: Path) -> Contents | None:
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
        [RenderFiles(whole_files(list_images(base / "color")), base / "gt-color", step, split)],
        place,
        _scene(scene if isinstance(scene, str) else "", place),
        method if isinstance(method, str) and method else None,
        base / "mask" if (base / "mask").is_dir() else None,
    )


def _read_object(file: Path) -> dict[str, Any]:
    """The object of a JSON file; empty where it has none."""
    try:
        value = json.loads(_read_text(file))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


# --- gsplat: examples/simple_trainer.py and simple_trainer_2dgs.py, eval --------------------------------------------

_GSPLAT = re.compile(r"(val|compress)(?:_step(\d+))?_(\d+)\.png")
_GSPLAT_DATA = re.compile(r"""^data_dir: ['"]?(.*?)['"]?$|"data_dir": "([^"]*)\"""", re.MULTILINE)


def _read_gsplat(folder: Path, place: Path) -> Contents | None:
    """Read the folder of a result, or the folder `renders` in it; each step is a result.

    A canvas is `(val|compress)_step<step>_<n>.png`, and `val_<n>.png` of old versions and of the 2DGS trainer.
    """
    canvases = _gsplat_canvases(folder) or _gsplat_canvases(folder / "renders")
    result = folder.resolve().parent if folder.resolve().name == "renders" else folder
    named_after = place.parent if place.name == "renders" else place
    data = _GSPLAT_DATA.search(_read_text(result / "cfg.yml") or _read_text(result / "cfg.json"))
    if data is None:
        # Without the trainer's configuration, `val_0001.png` may be anybody's image.
        canvases = {key: files for key, files in canvases.items() if key[1] is not None}
    if not canvases:
        return None
    results = [
        _from_canvases(files, step=step, variant="" if stage == "val" else f"-{stage}")
        for (stage, step), files in sorted(canvases.items(), key=lambda item: (item[0][0] != "val", item[0][1] or 0))
    ]
    return Contents(results, named_after, _scene(data[1] or data[2] or "" if data else "", named_after))


def _gsplat_canvases(folder: Path) -> dict[tuple[str, int | None], dict[str, Path]]:
    """The canvases in a folder by stage and step, then by view name."""
    canvases: dict[tuple[str, int | None], dict[str, Path]] = {}
    for path, match in _matching(folder, _GSPLAT):
        step = None if match[2] is None else int(match[2])
        canvases.setdefault((match[1], step), {})[match[3]] = path
    return canvases


def _from_canvases(
    canvases: Mapping[str, Path], *, parts: int = 2, step: int | None = None, variant: str = ""
) -> RenderFiles:
    """The first image of each canvas is the reference, the last the render."""
    renders = {name: Picture(path, parts - 1, parts) for name, path in canvases.items()}
    references = {name: Picture(path, 0, parts) for name, path in canvases.items()}
    return RenderFiles(renders, references, step, variant=variant)


# --- nerfstudio: ns-eval --render-output-path -----------------------------------------------------------------------

_NS_EVAL = re.compile(r"eval_img_(\d+)\.png")


def _read_ns_eval(folder: Path, place: Path) -> Contents | None:
    """Read `eval_img_<n>.png`, each a canvas; other images are ignored.

    Raises:
        InputError: the number of images in the canvases is unknown.
    """
    canvases = {match[1]: path for path, match in _matching(folder, _NS_EVAL)}
    if not canvases:
        return None
    parts = _ns_eval_parts(next(iter(canvases.values())))
    return Contents([_from_canvases(canvases, parts=parts)], place, place.parent.name)


def _ns_eval_parts(canvas: Path) -> int:
    """Number of images in a canvas: reference and render, or reference, coarse and fine.

    The canvas alone does not tell. Models with a coarse and a fine network write the accumulation of both side by side,
    the others that of their one; splatfacto writes none, and has one.
    """
    accumulation = canvas.with_name(canvas.name.replace("img", "accumulation", 1))
    if not accumulation.is_file():
        return 2
    width, beside = stored_size(canvas)[0], stored_size(accumulation)[0]
    if width == 2 * beside:
        return 2
    if 2 * width == 3 * beside:
        return 3
    raise InputError(
        f"{canvas} is {width} pixels wide and {accumulation.name} beside it {beside}: it is neither reference and "
        "render (twice as wide) nor reference, coarse and fine (one and a half times). Cut the renders out, and give "
        "them with `--reference DIR`."
    )


LAYOUTS = (
    Layout("3D Gaussian splatting", "[test/]ours_<iteration>/ with renders/ and gt/", _read_3dgs),
    Layout("nerfbaselines", "[predictions/]color/ with gt-color/", _read_nerfbaselines),
    Layout("gsplat", "[renders/]val_step<step>_<n>.png, reference and render side by side", _read_gsplat),
    Layout("ns-eval --render-output-path", "eval_img_<n>.png, likewise", _read_ns_eval),
)
