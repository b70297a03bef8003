"""Evaluation data of a run: locating it, naming its views, and loading them without the training images."""

from __future__ import annotations

import copy
import hashlib
import io
import os
import struct
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.datamanagers.base_datamanager import DataManager, VanillaDataManager
from nerfstudio.data.datamanagers.full_images_datamanager import FullImageDatamanager
from nerfstudio.data.datamanagers.parallel_datamanager import ParallelDataManager
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader
from nerfstudio.engine.trainer import TrainerConfig

from nvs_eval.errors import InputError, counted, listed, shortened, some
from nvs_eval.images.formats import check_format
from nvs_eval_nerfstudio.parsed import check_parsed, check_references

Split = Literal["test", "val", "train"]
SPLITS: tuple[Split, ...] = get_args(Split)
_LONGEST_REASON = 300
_LARGEST_JSON = 2**26


def prepare_data(config: TrainerConfig, *, data: Path | None) -> None:
    """Prepare a loaded configuration so that its data manager loads only the views to evaluate.

    Args:
        config: configuration, changed in place.
        data: current location of the data (default: the location recorded in the run).

    Raises:
        InputError: if the data does not exist, or if the method has no dataparser.
    """
    manager: Any = config.pipeline.datamanager
    if not hasattr(manager, "dataparser"):
        raise InputError(
            f"The held-out views of {config.method_name!r} are unknown, because its data manager "
            f"({type(manager).__name__}) has no dataparser. Score folders of its renders with `nvs-eval score`."
        )
    if data is not None:
        manager.data = data
    recorded = manager.data or manager.dataparser.data
    if not Path(recorded).exists():
        raise InputError(
            f"The data of this run is not at {recorded}. "
            + (
                "Pass its current location with `--data`."
                if data is None
                else "`--data` must be the folder (or file) that was passed to ns-train."
            )
        )
    manager.dataparser.data = Path(recorded)
    _check_bounds(manager.dataparser)
    manager._target = _in_this_process(manager._target)
    # Do not read the whole training set into memory to render a few held-out views.
    for name, value in (
        ("train_num_images_to_sample_from", 1),
        ("eval_num_images_to_sample_from", 1),
        ("cache_images", "cpu"),
        ("images_on_gpu", False),
    ):
        if hasattr(manager, name):
            setattr(manager, name, value)


def _check_bounds(parser: Any) -> None:
    """Check numbers of a dataparser with which it would not end, or hold no view out."""
    if (every := getattr(parser, "eval_interval", 1)) < 1:
        raise InputError(f"eval_interval of the dataparser must be at least 1. Got {every}. Correct it in config.yml.")
    files = [parser.data] if parser.data.is_file() else parser.data.glob("*.json")
    for file in files:
        if (size := file.stat().st_size) > _LARGEST_JSON:
            raise InputError(
                f"{file} must have at most {_LARGEST_JSON // 2**20} MiB, which is some 100,000 frames. Got "
                f"{size // 2**20} MiB. Split the scene."
            )


def _in_this_process(target: Any) -> Any:
    """Replace ParallelDataManager, which reads all training images in another process, by VanillaDataManager.

    Both return the same views.
    """
    if get_origin(target) is ParallelDataManager:
        (dataset,) = get_args(target)
        return VanillaDataManager[dataset]
    return VanillaDataManager if target is ParallelDataManager else target


def _file_read(error: BaseException) -> Path | None:
    """Return the file that was open where an error was raised."""
    file = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        names = (getattr(value, "name", None) for value in frame.f_locals.values() if isinstance(value, io.IOBase))
        file = next((Path(name) for name in names if isinstance(name, str)), file)
    return file


@contextmanager
def parsing(data: Path) -> Iterator[None]:
    """Turn any error of a dataparser into an InputError that names its data."""
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {shortened(str(error), _LONGEST_REASON)}"
        if isinstance(error, struct.error | MemoryError) and (file := _file_read(error)):
            raise InputError(
                f"The data of this run at {data} cannot be parsed: {file} is cut, or a count in it is wrong. Copy it "
                "again, or run COLMAP again."
            ) from error
        if isinstance(error, FileNotFoundError | AssertionError | SystemExit):  # Parsers assert that files exist.
            raise InputError(
                f"The data of this run at {data} cannot be read: {reason}. If it is elsewhere, pass its location with "
                "`--data`."
            ) from error
        action = "read" if isinstance(error, OSError) else "parsed"
        raise InputError(f"The data of this run at {data} cannot be {action} ({reason}).") from error


def parse_views(config: TrainerConfig, split: Split) -> DataparserOutputs:
    """Return the image files and cameras of a split of a prepared run. Images and points are not read.

    Raises:
        InputError: if the split is empty, or if the data cannot be parsed. If the data has other splits, the message
            names them.
    """
    parser = without_points(config.pipeline.datamanager)
    outputs = _parsed(parser, split)
    if isinstance(outputs, InputError) or not outputs.image_filenames:
        raise _no_views(parser, split, outputs)
    missing = [path for path in outputs.image_filenames if not Path(path).exists()]
    if missing:
        raise InputError(f"{counted(len(missing), f'{split} image')} of this run cannot be found: {some(missing, 1)}.")
    for path in (*outputs.image_filenames, *(outputs.mask_filenames or ())):
        check_format(Path(path))
    check_references(config.pipeline.datamanager, outputs)
    check_parsed(outputs, parser.data)
    return outputs


def evaluated_split(config: TrainerConfig, split: Split) -> Literal["test", "val"]:
    """Return the split that nerfstudio loads for evaluation when it builds the model to render a split.

    It loads one even to render training views. The split may be empty.

    Raises:
        InputError: if the data has neither.
    """
    if split != "train":
        return split
    parser = without_points(config.pipeline.datamanager)
    for other in ("test", "val"):
        if not isinstance(_parsed(parser, other), InputError):
            return other
    raise InputError(
        "nerfstudio builds a model only from data with test or val views. Got train views alone. Add a test split, for "
        "example a copy of the training split."
    )


def training_files(config: TrainerConfig) -> list[Path]:
    """Return the image files that a prepared run was trained on; none if the data has no training views."""
    outputs = _parsed(without_points(config.pipeline.datamanager), "train")
    return [] if isinstance(outputs, InputError) else [Path(file) for file in outputs.image_filenames]


def without_points(manager: Any) -> Any:
    """Return a copy of the dataparser's configuration that reads no point cloud.

    Points are slow to read, and only a model needs them. If they are missing, nerfstudio may prompt the user.
    """
    parser = copy.copy(manager.dataparser)
    if hasattr(parser, "load_3D_points"):
        parser.load_3D_points = False
    return parser


def _parsed(parser: Any, split: Split) -> DataparserOutputs | InputError:
    try:
        with parsing(parser.data):
            return parser.setup().get_dataparser_outputs(split=split)
    except InputError as error:
        return error


def _no_views(parser: Any, split: Split, failure: object) -> InputError:
    """Return the error for a split that is empty or cannot be read. The location is wrong only if no split is read."""
    counts: dict[str, int] = {}
    for other in SPLITS:
        outputs = None if other == split else _parsed(parser, other)
        if outputs is not None and not isinstance(outputs, InputError):
            counts[other] = len(outputs.image_filenames)
    present = {name: f"{name} ({counted(count, 'view')})" for name, count in counts.items() if count}
    if not present:
        return failure if isinstance(failure, InputError) else InputError("The data of this run has no views.")
    reason = f" ({type(failure.__cause__).__name__}: {failure.__cause__})" if isinstance(failure, InputError) else ""
    advice = ", or train with a dataparser that holds some views out" if list(present) == ["train"] else ""
    return InputError(
        f"The data of this run has no {split} views{reason}. Its splits: {listed(list(present.values()))}. Use "
        f"`--split {next(iter(present))}`{advice}."
    )


def view_names(files: Sequence[Path]) -> list[str]:
    """Return the name of each view: the path of its image relative to the images' common folder, without extension.

    Extensions are kept if names would not be unique without them.
    """
    files = [Path(os.path.abspath(path)) for path in files]
    common = Path(os.path.commonpath([path.parent for path in files]))
    names = [path.relative_to(common).with_suffix("").as_posix() for path in files]
    if len(set(names)) == len(names):
        return names
    return [path.relative_to(common).as_posix() for path in files]


def evaluation_pairs(
    manager: DataManager, split: Split, indices: Sequence[int], device: torch.device
) -> Iterator[tuple[Cameras, dict[str, Any]]]:
    """Return an iterator over camera and batch of each view, as in the method's own evaluation.

    A method may have a dataloader of its own, which adds to the batches (BAD-NeRF adds the blurred images).
    """
    if isinstance(manager, FullImageDatamanager):
        return _undistorted_pairs(manager, split, indices, device)
    chosen: Any = tuple(indices)
    own = getattr(manager, "fixed_indices_eval_dataloader", None)
    if split != "train" and isinstance(own, FixedIndicesEvalDataloader) and type(own) is not FixedIndicesEvalDataloader:
        own.image_indices = chosen
        return iter(own)
    return iter(FixedIndicesEvalDataloader(_dataset(manager, split), chosen, device, num_workers=0))


def _undistorted_pairs(
    manager: FullImageDatamanager, split: Split, indices: Sequence[int], device: torch.device
) -> Iterator[tuple[Cameras, dict[str, Any]]]:
    # Must come first: reading the cache undistorts the images and corrects their cameras.
    cache = manager.cached_train if split == "train" else manager.cached_eval
    cameras = _dataset(manager, split).cameras
    for index in indices:
        batch = dict(cache[index])
        batch["image"] = batch["image"].to(device)
        yield cameras[index : index + 1].to(device), batch


def undistorts(manager: Any, views: DataparserOutputs) -> bool:
    """Return whether a data manager undistorts these views, so that references differ from the image files."""
    target = get_origin(manager._target) or manager._target
    distortion = views.cameras.distortion_params
    if not (isinstance(target, type) and issubclass(target, FullImageDatamanager)) or distortion is None:
        return False
    return bool((distortion != 0).any())


def _dataset(manager: Any, split: Split) -> Any:
    return manager.train_dataset if split == "train" else manager.eval_dataset


def data_sha256(views: DataparserOutputs, indices: Sequence[int]) -> str:
    """Return a hash of the image files and cameras of some views."""
    digest = hashlib.sha256()
    for index in indices:
        digest.update(Path(views.image_filenames[index]).read_bytes())
        for name in ("camera_to_worlds", "fx", "fy", "cx", "cy", "width", "height", "distortion_params", "camera_type"):
            value = getattr(views.cameras, name)
            if value is not None:
                digest.update(value[index].cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def view_sizes(views: DataparserOutputs, indices: Sequence[int]) -> list[tuple[int, int]]:
    """Return the width and height of the camera of each view, in pixels."""
    cameras = views.cameras
    return [(int(cameras.width[index]), int(cameras.height[index])) for index in indices]
