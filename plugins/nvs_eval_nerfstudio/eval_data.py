"""Evaluation data of a run: locating it, naming its views, and loading them without the training images."""

from __future__ import annotations

import hashlib
import os
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

from nvs_eval.errors import InputError, counted, some, unknown_name

Split = Literal["test", "train"]


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


def _in_this_process(target: Any) -> Any:
    """Replace ParallelDataManager, which reads all training images in another process, by VanillaDataManager.

    Both return the same views.
    """
    if get_origin(target) is ParallelDataManager:
        (dataset,) = get_args(target)
        return VanillaDataManager[dataset]
    return VanillaDataManager if target is ParallelDataManager else target


@contextmanager
def parsing(data: Path) -> Iterator[None]:
    """Turn any error of a dataparser into an InputError that names its data."""
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(
            f"The data of this run at {data} cannot be read: {type(error).__name__}: {error}. If it is elsewhere, pass "
            "its location with `--data`."
        ) from error


def parse_views(config: TrainerConfig, split: Split) -> DataparserOutputs:
    """Return the image files and cameras of a split of a prepared run. Images are not read.

    Raises:
        InputError: if the split is empty, or if the data cannot be parsed.
    """
    manager: Any = config.pipeline.datamanager
    parser = manager.dataparser
    with parsing(parser.data):
        outputs = parser.setup().get_dataparser_outputs(split=split)
    if not outputs.image_filenames:
        raise InputError(
            f"The data of this run has no {split} views. Train with a dataparser that holds some out, or use "
            "`--split train`."
        )
    missing = [path for path in outputs.image_filenames if not Path(path).exists()]
    if missing:
        raise InputError(
            f"{counted(len(missing), f'{split} image')} of this run cannot be found: {some(map(str, missing), 1)}."
        )
    return outputs


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


def choose_views(names: Sequence[str], *, wanted: Sequence[str], every: int) -> dict[int, str]:
    """Return the views to evaluate by position: every n-th of the wanted ones (default: all), in the order of the data.

    Raises:
        InputError: if a name is unknown, or `every` is not positive.
    """
    if every < 1:
        raise InputError(f"--every must be at least 1 (all views). Got {every}.")
    for name in wanted:
        if name not in names:
            raise unknown_name("view", name, names)
    chosen = [(index, name) for index, name in enumerate(names) if not wanted or name in wanted]
    return dict(chosen[::every])


def evaluation_pairs(
    manager: DataManager, split: Split, indices: Sequence[int], device: torch.device
) -> Iterator[tuple[Cameras, dict[str, Any]]]:
    """Return an iterator over camera and batch of each view, as in the method's own evaluation."""
    if isinstance(manager, FullImageDatamanager):
        return _undistorted_pairs(manager, split, indices, device)
    chosen: Any = tuple(indices)
    return iter(FixedIndicesEvalDataloader(_dataset(manager, split), chosen, device, num_workers=0))


def _undistorted_pairs(
    manager: FullImageDatamanager, split: Split, indices: Sequence[int], device: torch.device
) -> Iterator[tuple[Cameras, dict[str, Any]]]:
    # Must come first: reading the cache undistorts the images and corrects their cameras.
    cache = manager.cached_eval if split == "test" else manager.cached_train
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
    return manager.eval_dataset if split == "test" else manager.train_dataset


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
