"""Layouts of folders that other tools write and that include the references.

A new layout is one function here and one line of `LAYOUTS`, or an entry point of a plugin. They are tried in that
order; the first that recognises a folder reads it. Folders without references are read by `nvs_eval.sources.folders`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError
from nvs_eval.images.files import stored_size
from nvs_eval.sources.pictures import Picture, list_images, whole_files
from nvs_eval.system.plugins import entry_names, load_entry

ENTRY_POINTS = "nvs_eval.layouts"


@dataclass(frozen=True)
class RenderFiles:
    """Files of the renders and references of one result.

    Attributes:
        renders: render of each view, by view name.
        references: reference of each view, by view name, or the folder that contains them.
        step: step of the checkpoint, or None.
        split: split of the views, "test" or "train".
        variant: suffix of the method's name, for tools that render one training in several ways.
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
        named_after: folder that the method is named after, as the user refers to it.
        scene: name of the scene.
        method: name of the method, if the layout records it.
        masks: folder of masks that belongs to the renders, if it exists.
    """

    results: Sequence[RenderFiles]
    named_after: Path
    scene: str
    method: str | None = None
    masks: Path | None = None


@dataclass(frozen=True)
class Layout:
    """Layout of a folder, and the function that reads it.

    Attributes:
        tool: tool that writes the layout.
        looks_like: files by which the layout is recognised.
        read: returns the contents of a folder, or None if it has another layout. Called with the folder and the path by
            which the user knows it (the folder itself, or for an unpacked archive the archive without its suffix).
        notes: names of files that it reads besides images, which are unpacked from archives, too.
    """

    tool: str
    looks_like: str
    read: Callable[[Path, Path], Contents | None]
    notes: Sequence[str] = ()


def read_layout(folder: Path, place: Path) -> Contents | None:
    """Read a folder with the first layout that recognises it; return None if no layout does.

    Raises:
        InputError: a layout recognises the folder, but files are missing or unreadable.
    """
    return next((contents for layout in layouts() if (contents := layout.read(folder, place)) is not None), None)


def known_layouts() -> str:
    """Describe the layouts on one line, for an error message."""
    return "; ".join(f"{layout.looks_like} ({layout.tool})" for layout in layouts())


def layouts() -> Iterator[Layout]:
    """Yield the layouts of nvs-eval, then those of plugins, which are loaded only when reached.

    Raises:
        InputError: a plugin cannot be loaded; the message names its distribution.
    """
    yield from LAYOUTS
    for name in entry_names(ENTRY_POINTS):
        layout = load_entry(ENTRY_POINTS, name, kind="layout")
        if not isinstance(layout, Layout):
            raise InputError(f"The plugin's layout {name!r} must be a Layout. Got a {type(layout).__name__}.")
        yield layout


def _read_text(file: Path) -> str:
    """Return the text of a file, or an empty string if it is missing or not UTF-8."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _scene(data: str, named_after: Path) -> str:
    """Return the last part of the path of the training data, or the name of the parent folder if the path is empty."""
    return Path(data).name or named_after.parent.name


def _matching(folder: Path, pattern: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
    """Return the files in a folder whose names match a pattern, sorted; empty if the folder does not exist."""
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
    """Return the `ours_<n>` folders of a model, ordered by n."""
    candidates = [folder] if _ITERATION.fullmatch(folder.resolve().name) else (folder / "test").glob("ours_*")
    matches = [(_ITERATION.fullmatch(path.resolve().name), path) for path in candidates]
    return sorted((int(match[1]), path) for match, path in matches if match and (path / "renders").is_dir())


def _split(iteration: Path) -> str:
    """Return the split of an `ours_<n>` folder: "train" only if the user named a folder inside `train`."""
    parent = iteration.resolve().parent.name
    return parent if parent in _SPLITS else "test"


def _model_folder(folder: Path) -> Path:
    """Return the model's folder for `<model>/{test,train}/ours_<n>`, and any other folder unchanged."""
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
    """Return the object in a JSON file, or an empty one if the file has no object."""
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

    A canvas is named `(val|compress)_step<step>_<n>.png`. Old versions and the 2DGS trainer write `val_<n>.png`.
    """
    canvases = _gsplat_canvases(folder) or _gsplat_canvases(folder / "renders")
    result = folder.resolve().parent if folder.resolve().name == "renders" else folder
    named_after = place.parent if place.name == "renders" else place
    data = _GSPLAT_DATA.search(_read_text(result / "cfg.yml") or _read_text(result / "cfg.json"))
    if data is None:
        # Without the trainer's configuration, `val_0001.png` could come from any tool.
        canvases = {key: files for key, files in canvases.items() if key[1] is not None}
    if not canvases:
        return None
    results = [
        _from_canvases(files, step=step, variant="" if stage == "val" else f"-{stage}")
        for (stage, step), files in sorted(canvases.items(), key=lambda item: (item[0][0] != "val", item[0][1] or 0))
    ]
    return Contents(results, named_after, _scene(data[1] or data[2] or "" if data else "", named_after))


def _gsplat_canvases(folder: Path) -> dict[tuple[str, int | None], dict[str, Path]]:
    """Return the canvases in a folder by stage and step, then by view name."""
    canvases: dict[tuple[str, int | None], dict[str, Path]] = {}
    for path, match in _matching(folder, _GSPLAT):
        step = None if match[2] is None else int(match[2])
        canvases.setdefault((match[1], step), {})[match[3]] = path
    return canvases


def _from_canvases(
    canvases: Mapping[str, Path], *, parts: int = 2, step: int | None = None, variant: str = ""
) -> RenderFiles:
    """Take the first image of each canvas as the reference and the last as the render."""
    renders = {name: Picture(path, parts - 1, parts) for name, path in canvases.items()}
    references = {name: Picture(path, 0, parts) for name, path in canvases.items()}
    return RenderFiles(renders, references, step, variant=variant)


# --- nerfstudio: ns-eval --render-output-path -----------------------------------------------------------------------

_NS_EVAL = re.compile(r"eval_img_(\d+)\.png")


def _read_ns_eval(folder: Path, place: Path) -> Contents | None:
    """Read `eval_img_<n>.png`, each of which is a canvas; ignore other images.

    Raises:
        InputError: the number of images in a canvas cannot be determined.
    """
    canvases = {match[1]: path for path, match in _matching(folder, _NS_EVAL)}
    if not canvases:
        return None
    parts = _ns_eval_parts(next(iter(canvases.values())))
    return Contents([_from_canvases(canvases, parts=parts)], place, place.parent.name)


def _ns_eval_parts(canvas: Path) -> int:
    """Return the number of images in a canvas: reference and render, or reference, coarse and fine.

    The width of the canvas alone is ambiguous, so the accumulation image decides. Models with a coarse and a fine
    network write both accumulations side by side, and other models write one. splatfacto writes none; its canvases have
    one render.
    """
    accumulation = canvas.with_name(canvas.name.replace("img", "accumulation", 1))
    if not accumulation.is_file():
        return 2
    width, accumulation_width = stored_size(canvas)[0], stored_size(accumulation)[0]
    if width == 2 * accumulation_width:
        return 2
    if 2 * width == 3 * accumulation_width:
        return 3
    raise InputError(
        f"{canvas} must be 2 or 1.5 times as wide as {accumulation.name} (reference and render, or reference, coarse "
        f"and fine). Got widths of {width} and {accumulation_width} pixels. Crop the renders and score them with "
        "`--reference DIR`."
    )


LAYOUTS = (
    Layout("3D Gaussian splatting", "[test/]ours_<iteration>/ with renders/ and gt/", _read_3dgs, ("cfg_args",)),
    Layout("nerfbaselines", "[predictions/]color/ with gt-color/", _read_nerfbaselines, ("info.json",)),
    Layout(
        "gsplat",
        "[renders/]val_step<step>_<n>.png, reference and render side by side",
        _read_gsplat,
        ("cfg.yml", "cfg.json"),
    ),
    Layout("ns-eval --render-output-path", "eval_img_<n>.png, reference and render side by side", _read_ns_eval),
)
