"""The views that a trained nerfstudio run holds out, from its `config.yml` and its data. No model is built."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvs_eval.diagnostics.inspection import DataView, RunData
from nvs_eval_nerfstudio.config import load_config
from nvs_eval_nerfstudio.quiet import quiet
from nvs_eval_nerfstudio.split_rules import split_rule

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
    parser.data = Path(manager.data or parser.data)
    _without_points(parser)
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


def _without_points(parser: Any) -> None:
    """A cloud of points says nothing of the images, takes long to read, and nerfstudio may ask whether to make it."""
    if hasattr(parser, "load_3D_points"):
        parser.load_3D_points = False


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
