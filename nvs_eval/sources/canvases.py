"""Folders of canvases, as gsplat and `ns-eval` write them: reference and render side by side in one image."""

from __future__ import annotations

import re
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.images.files import stored_size
from nvs_eval.sources.found import Found, Part, read_text, scene_name
from nvs_eval.sources.pictures import Picture

_GSPLAT = re.compile(r"(val|compress)(?:_step(\d+))?_(\d+)\.png")
_GSPLAT_DATA = re.compile(r"""^data_dir: ['"]?(.*?)['"]?$|"data_dir": "([^"]*)\"""", re.MULTILINE)
_NS_EVAL = re.compile(r"eval_img_(\d+)\.png")


# --- gsplat: examples/simple_trainer.py and simple_trainer_2dgs.py, eval --------------------------------------------


def find_gsplat(folder: Path, place: Path) -> Found | None:
    """What gsplat's trainers leave behind: the folder of a result, or the folder `renders` in it, each step a column.

    A canvas is `(val|compress)_step<step>_<n>.png`, and `val_<n>.png` of old versions and of the 2DGS trainer.
    """
    canvases = _gsplat_canvases(folder) or _gsplat_canvases(folder / "renders")
    result = folder.resolve().parent if folder.resolve().name == "renders" else folder
    named_after = place.parent if place.name == "renders" else place
    said = _GSPLAT_DATA.search(read_text(result / "cfg.yml") or read_text(result / "cfg.json"))
    if said is None:
        # Without the trainer's configuration, `val_0001.png` may be anybody's image.
        canvases = {key: files for key, files in canvases.items() if key[1] is not None}
    if not canvases:
        return None
    parts = [
        Part(
            {name: Picture(path, 1, 2) for name, path in files.items()},
            {name: Picture(path, 0, 2) for name, path in files.items()},
            step,
            variant="" if stage == "val" else f"-{stage}",
        )
        for (stage, step), files in sorted(canvases.items(), key=lambda item: (item[0][0] != "val", item[0][1] or 0))
    ]
    scene = scene_name(said[1] or said[2] or "" if said else "", named_after)
    return Found(parts, named_after, scene)


def _gsplat_canvases(folder: Path) -> dict[tuple[str, int | None], dict[str, Path]]:
    """The canvases in a folder by stage and step, then by view name."""
    canvases: dict[tuple[str, int | None], dict[str, Path]] = {}
    for path, match in _matching(folder, _GSPLAT):
        step = None if match[2] is None else int(match[2])
        canvases.setdefault((match[1], step), {})[match[3]] = path
    return canvases


# --- nerfstudio: ns-eval --render-output-path -----------------------------------------------------------------------


def find_ns_eval(folder: Path, place: Path) -> Found | None:
    """What `ns-eval --render-output-path` writes: `eval_img_<n>.png` is a canvas; the other images are not looked at.

    Raises:
        InputError: what the canvases hold side by side is not known.
    """
    canvases = {match[1]: path for path, match in _matching(folder, _NS_EVAL)}
    if not canvases:
        return None
    parts = _ns_eval_parts(next(iter(canvases.values())))
    return Found(
        [
            Part(
                {name: Picture(path, parts - 1, parts) for name, path in canvases.items()},
                {name: Picture(path, 0, parts) for name, path in canvases.items()},
            )
        ],
        place,
        place.parent.name,
    )


def _ns_eval_parts(canvas: Path) -> int:
    """How many images a canvas holds: reference and render, or reference, coarse and fine.

    The canvas alone does not say. Models with a coarse and a fine network write the accumulation of both side by side,
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


def _matching(folder: Path, pattern: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
    """The files in a folder with names of a pattern, sorted; none where there is no such folder."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    matches = [(path, pattern.fullmatch(path.name)) for path in files]
    return [(path, match) for path, match in matches if match]
