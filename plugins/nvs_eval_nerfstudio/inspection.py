"""Held-out views of a trained nerfstudio run, read from its `config.yml` and its data. No model is built."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvs_eval.diagnostics.inspection import DataView, RunData
from nvs_eval_nerfstudio.admitted import reading
from nvs_eval_nerfstudio.config import EXPECTED, SUFFIXES, knows, load_config

if TYPE_CHECKING:
    from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs

__all__ = ["EXPECTED", "SUFFIXES", "inspect_run", "knows"]

_NEVER_DOWNSCALED = 1600
"""Longer side, in pixels, up to which nerfstudio does not downscale images by default."""


def inspect_run(path: Path, *, data: Path | None, trust: bool = False) -> RunData:
    """Return the views of a trained run, its split rule, and how its references are prepared.

    Args:
        path: `config.yml` of the run. Checkpoints are not read.
        data: current location of the data (default: the location recorded in the run).
        trust: whether the user trusts the author of the run.

    Raises:
        InputError: if the configuration or the data cannot be read.
    """
    config = load_config(path, trust=trust)
    from nvs_eval_nerfstudio.eval_data import parsing, prepare_data, view_names, without_points
    from nvs_eval_nerfstudio.parsed import check_parsed, check_references
    from nvs_eval_nerfstudio.third_party import note_on

    with reading(path, trust=trust):
        prepare_data(config, data=data)
        manager: Any = config.pipeline.datamanager
        parser = without_points(manager)
        with parsing(parser.data):
            built = parser.setup()  # Chooses the downscale factor.
            training, held_out = (built.get_dataparser_outputs(split=split) for split in ("train", "test"))
    for parsed in (training, held_out):
        check_parsed(parsed, parser.data)
    check_references(manager, held_out)
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
        preparation=[*_preparation(manager, built, held_out), *filter(None, [note_on(config)])],
    )


def _below(folder: Path, files: Sequence[Path]) -> list[str]:
    """Return the names of training images: paths relative to the data folder if they are inside it, else as given."""
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
        return "each method composites them over its own background, so references may differ between methods"
    colour = ", ".join(f"{value:g}" for value in parsed.alpha_color.tolist())
    return f"the dataparser composites them over ({colour})"


def _preparation(manager: Any, built: Any, parsed: DataparserOutputs) -> list[str]:
    """Describe how references are prepared, apart from alpha, in one sentence per step."""
    from nvs_eval_nerfstudio.eval_data import undistorts

    sentences = _downscaling(built, parsed)
    scale = getattr(manager, "camera_res_scale_factor", 1.0)
    if scale != 1.0:
        sentences.append(f"Images are resized to {scale:g} of their size when they are read (camera_res_scale_factor).")
    if parsed.mask_filenames and parsed.metadata.get("mask_color"):
        sentences.append(
            f"References are painted over outside their masks (mask_color {parsed.metadata['mask_color']})."
        )
    if undistorts(manager, parsed):
        sentences.append(
            "The cameras have lens distortion, and this method's data manager undistorts its references. They differ "
            "from the references of methods that render distorted rays."
        )
    return sentences


def _downscaling(built: Any, parsed: DataparserOutputs) -> list[str]:
    """Describe the downscaling of the images, and warn if training may have used a different factor."""
    chosen = getattr(built.config, "downscale_factor", None)
    # The COLMAP parser stores its factor elsewhere, and derives it from the image size only.
    automatic = getattr(built, "downscale_factor", None)
    if chosen is None and automatic is not None:
        sizes = [*parsed.cameras.width.flatten().tolist(), *parsed.cameras.height.flatten().tolist()]
        if automatic * max(sizes, default=0) <= _NEVER_DOWNSCALED:
            return []
        return [
            f"The downscale factor {automatic} is not in config.yml. It depends on the image size and on which folders "
            "such as images_2 exist now, so training may have used a different one."
        ]
    factor = chosen or getattr(built, "_downscale_factor", None)
    return [] if factor in (None, 1) else [f"Images are downscaled by {factor} (folders such as images_{factor})."]


# --- Descriptions of the split rules of nerfstudio's dataparsers ---

_ORDERS = {"Nerfstudio": "their paths", "ColmapDataParser": "their COLMAP ids", "InstantNGP": "transforms.json"}

# Parsers with a single rule.
_FIXED = {
    "Blender": "files: transforms_train.json and transforms_test.json name the views",
    "DNeRF": "files: transforms_train.json and transforms_test.json name the views",
    "Dycheck": "none: training images are evaluated (all of them, or the first if there is a splits/test.json)",
    "MinimalDataParser": "files: train.npz and test.npz name the views",
    "NeRFOSR": "folders: train/ and test/ contain the views",
    "ScanNetpp": "files: test_frames of transforms.json are held out; frames are training views",
    "Sitcoms3D": "none: every image is used for both training and evaluation",
}


def split_rule(parser: Any, *, training: int, held_out: int) -> str:
    """Describe the rule by which views are held out.

    Args:
        parser: configuration of the dataparser; its `data` is the current location.
        training: number of training views.
        held_out: number of held-out views.
    """
    kind = parser._target
    name = kind.__name__
    if not kind.__module__.startswith("nerfstudio.data.dataparsers."):
        return f"unknown: decided by {kind.__module__}.{name}, which is not part of nerfstudio"
    if lists := _lists(parser, name):
        return f"files: {lists} name the views; eval_mode {parser.eval_mode} is ignored"
    if name in _FIXED:
        return _FIXED[name]
    if name == "SDFStudio":
        every = parser.skip_every_for_val_split
        evaluated = "and evaluated" if every <= 1 else f"and one in {every} is evaluated"
        return f"none: every image is trained on {evaluated}"
    order = _ORDERS.get(name, "the data")
    return _by_mode(parser, order, count=training + held_out)


def _by_mode(parser: Any, order: str, *, count: int) -> str:
    mode = getattr(parser, "eval_mode", "fraction" if hasattr(parser, "train_split_fraction") else None)
    if mode == "fraction":
        fraction = parser.train_split_fraction
        # NuScenes applies the fraction to snapshots of several cameras, not to images.
        counts = "" if parser._target.__name__ == "NuScenes" else f" ({math.ceil(count * fraction)} of {count})"
        return (
            f"fraction {fraction:g}: this fraction of the images{counts} is used for training, evenly spaced from the "
            f"first to the last in the order of {order}; the rest is held out"
        )
    if mode == "interval":
        every = parser.eval_interval
        return f"interval {every}: the first of every {every} images is held out, in the order of {order}"
    if mode == "filename":
        return "filename: images with `train` in the file name are trained on; images with `eval` are held out"
    if mode == "all":
        return "all: every image is used for both training and evaluation (eval_mode all)"
    return "unknown"


def _lists(parser: Any, name: str) -> str | None:
    """Name the lists in the data that override the rule, or return None if there are none."""
    if name == "ColmapDataParser":
        has_lists = any((parser.data / f"{split}_list.txt").exists() for split in ("train", "test", "validation"))
        return "train_list.txt and test_list.txt" if has_lists else None
    if name != "Nerfstudio":
        return None
    file = parser.data if parser.data.suffix == ".json" else parser.data / "transforms.json"
    transforms = json.loads(file.read_text(encoding="utf-8"))
    has_lists = any(f"{split}_filenames" in transforms for split in ("train", "val", "test"))
    return f"train_filenames and test_filenames of {file.name}" if has_lists else None
