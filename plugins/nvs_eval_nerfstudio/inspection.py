"""The views that a trained nerfstudio run holds out, from its `config.yml` and its data. No model is built."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvs_eval.diagnostics.inspection import DataView, RunData
from nvs_eval_nerfstudio.config import load_config
from nvs_eval_nerfstudio.quiet import quiet

if TYPE_CHECKING:
    from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs

_NEVER_DOWNSCALED = 1600
"""Longer side, in pixels, up to which nerfstudio does not downscale images by default."""


def inspect_run(path: Path, *, data: Path | None) -> RunData:
    """The facts of a trained run.

    Args:
        path: `config.yml` of the run; its checkpoints are ignored.
        data: current place of the data (default: where the run recorded it).

    Raises:
        InputError: the configuration or the data cannot be read.
    """
    config = load_config(path)
    from nvs_eval_nerfstudio.eval_data import prepare_data, view_names

    with quiet():
        prepare_data(config, data=data)
    manager: Any = config.pipeline.datamanager
    parser = manager.dataparser
    if hasattr(parser, "load_3D_points"):
        # They say nothing of the images, take long to read, and nerfstudio may ask whether to make them.
        parser.load_3D_points = False
    built, training, held_out = _parse(parser)
    names = view_names(held_out.image_filenames) if held_out.image_filenames else []
    train_names = _below(parser.data, training.image_filenames)
    return RunData(
        name="/".join(filter(None, (config.experiment_name, config.method_name, config.timestamp))),
        config=path,
        data=parser.data,
        parser=parser._target.__name__,
        rule=split_rule(parser, training=len(train_names), held_out=len(names)),
        training=_views(training, train_names),
        held_out=_views(held_out, names),
        alpha=_alpha(held_out),
        preparation=_preparation(manager, built, held_out),
    )


def _parse(parser: Any) -> tuple[Any, DataparserOutputs, DataparserOutputs]:
    """The dataparser, as it chose its downscaling, and what it gives to train on and to evaluate."""
    from nvs_eval_nerfstudio.eval_data import parsing

    with parsing(parser.data), quiet():
        built = parser.setup()
        return built, built.get_dataparser_outputs(split="train"), built.get_dataparser_outputs(split="test")


def _below(folder: Path, files: Sequence[Path]) -> list[str]:
    """Names of training images: their paths below the data, where they are below it."""
    above = folder.parent if folder.suffix == ".json" else folder
    return [path.relative_to(above).as_posix() if path.is_relative_to(above) else str(path) for path in files]


def _views(parsed: DataparserOutputs, names: Sequence[str]) -> list[DataView]:
    from nvs_eval_nerfstudio.eval_data import view_sizes

    sizes = view_sizes(parsed, range(len(names)))
    masks = parsed.mask_filenames or [None] * len(names)
    return [
        DataView(name, Path(file), size, None if mask is None else Path(mask))
        for name, file, size, mask in zip(names, parsed.image_filenames, sizes, masks, strict=True)
    ]


def _alpha(parsed: DataparserOutputs) -> str:
    if parsed.alpha_color is None:
        return (
            "each method composites them over a background of its own, so that the references of two methods may differ"
        )
    colour = ", ".join(f"{value:g}" for value in parsed.alpha_color.tolist())
    return f"the dataparser has them composited over ({colour})"


def _preparation(manager: Any, built: Any, parsed: DataparserOutputs) -> list[str]:
    """Steps that prepare the references, other than alpha, in words."""
    from nvs_eval_nerfstudio.eval_data import undistorts

    sentences = _downscaling(built, parsed)
    scale = getattr(manager, "camera_res_scale_factor", 1.0)
    if scale != 1.0:
        sentences.append(
            f"The images are resized to {scale:g} of their size as they are read (camera_res_scale_factor)."
        )
    if parsed.mask_filenames and parsed.metadata.get("mask_color"):
        sentences.append(
            f"References are painted over where their masks are empty (mask_color {parsed.metadata['mask_color']})."
        )
    if undistorts(manager, parsed):
        sentences.append(
            "The cameras have lens distortion, and this method's data manager undistorts its references: they differ "
            "from those of methods that render distorted rays."
        )
    return sentences


def _downscaling(built: Any, parsed: DataparserOutputs) -> list[str]:
    """Factor by which the images were downscaled, and whether training is known to have used it."""
    chosen = getattr(built.config, "downscale_factor", None)
    # COLMAP's parser keeps its factor elsewhere, and takes it from the images' size alone.
    automatic = getattr(built, "downscale_factor", None)
    if chosen is None and automatic is not None:
        sizes = [*parsed.cameras.width.flatten().tolist(), *parsed.cameras.height.flatten().tolist()]
        if automatic * max(sizes, default=0) <= _NEVER_DOWNSCALED:
            return []
        return [
            f"The downscale factor {automatic} is not in config.yml: it follows from the images' size and from which "
            "folders such as images_2 are there now, and may have been another in training."
        ]
    factor = chosen or getattr(built, "_downscale_factor", None)
    return [] if factor in (None, 1) else [f"The images are those downscaled by {factor}, such as in images_{factor}."]


# --- Which views nerfstudio's own dataparsers hold out, and why, in words ---

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
        return f"files: {lists} name the views; eval_mode {parser.eval_mode} is not asked"
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
    transforms = json.loads(file.read_text(encoding="utf-8"))
    has_lists = any(f"{split}_filenames" in transforms for split in ("train", "val", "test"))
    return f"train_filenames and test_filenames of {file.name}" if has_lists else None
