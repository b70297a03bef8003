"""Which views nerfstudio's own dataparsers hold out, and why, in words."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

_ORDERS = {"Nerfstudio": "their paths", "ColmapDataParser": "their COLMAP ids", "InstantNGP": "transforms.json"}

# What parsers do that have no choice of a rule.
_FIXED = {
    "Blender": "files: transforms_train.json and transforms_test.json name the views",
    "DNeRF": "files: transforms_train.json and transforms_test.json name the views",
    "Dycheck": "none: training images are evaluated, the first where there is a splits/test.json, else all",
    "MinimalDataParser": "files: train.npz and test.npz name the views",
    "NeRFOSR": "folders: train/ and test/ hold the views",
    "ScanNetpp": "files: test_frames of transforms.json are held out, frames are trained on",
    "Sitcoms3D": "none: every image is trained on and evaluated alike",
}


def split_rule(parser: Any, *, training: int, held_out: int) -> str:
    """The rule by which views are held out.

    Args:
        parser: the configuration of the dataparser, its `data` where the data lies now.
        training: how many views it gave to train on.
        held_out: how many it gave to evaluate.
    """
    kind = parser._target
    name = kind.__name__
    if not kind.__module__.startswith("nerfstudio.data.dataparsers."):
        return f"that of {kind.__module__}.{name}, which is not nerfstudio's own and not known here"
    if lists := _lists(parser, name):
        return f"files: {lists} name the views{_overruled(parser)}"
    if name in _FIXED:
        return _FIXED[name]
    if name == "SDFStudio":
        every = parser.skip_every_for_val_split
        return f"none: every image is trained on, and {'each' if every <= 1 else f'one of {every}'} is evaluated"
    order = _ORDERS.get(name, "the data")
    return _by_mode(parser, order, count=training + held_out)


def _by_mode(parser: Any, order: str, *, count: int) -> str:
    mode = getattr(parser, "eval_mode", "fraction" if hasattr(parser, "train_split_fraction") else None)
    if mode == "fraction":
        fraction = parser.train_split_fraction
        # NuScenes counts snapshots of several cameras: its numbers of images are others.
        of = "" if parser._target.__name__ == "NuScenes" else f", which are {math.ceil(count * fraction)} of {count}"
        return (
            f"fraction {fraction:g}: so much of the images is trained on{of}, evenly spaced in the order of {order} "
            "from the first to the last; the others are held out"
        )
    if mode == "interval":
        every = parser.eval_interval
        return f"interval {every}: of every {every} images in the order of {order} the first is held out"
    if mode == "filename":
        return "filename: images with `train` in their file's name are trained on, those with `eval` in it held out"
    if mode == "all":
        return "all: every image is trained on and evaluated alike (eval_mode all)"
    return "not known here"


def _lists(parser: Any, name: str) -> str | None:
    """The lists beside the images that are asked before any rule, where there are some."""
    if name == "ColmapDataParser":
        has_lists = any((parser.data / f"{split}_list.txt").exists() for split in ("train", "test", "validation"))
        return "train_list.txt and test_list.txt" if has_lists else None
    if name != "Nerfstudio":
        return None
    file = parser.data if parser.data.suffix == ".json" else parser.data / "transforms.json"
    return f"train_filenames and test_filenames of {file.name}" if _has_lists(file) else None


def _has_lists(file: Path) -> bool:
    transforms = json.loads(file.read_text(encoding="utf-8"))
    return any(f"{split}_filenames" in transforms for split in ("train", "val", "test"))


def _overruled(parser: Any) -> str:
    return f"; eval_mode {parser.eval_mode} is not asked"
