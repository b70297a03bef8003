"""A run's data for evaluation: found where it lies now, loaded without the training images, its views by name."""

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

from nvs_eval.errors import InputError, unknown_name

Split = Literal["test", "train"]


def prepare_data(config: TrainerConfig, *, data: Path | None) -> None:
    """Set a loaded configuration up so that its data manager loads what is evaluated, and no more.

    Args:
        config: changed in place; its data manager's class is the registered method's, as YAML cannot hold it.
        data: where the data lies now, or None for the recorded place.

    Raises:
        InputError: the data is not there.
    """
    manager: Any = config.pipeline.datamanager
    if not hasattr(manager, "dataparser"):
        raise InputError(
            f"The method {config.method_name!r} has a data manager without a dataparser ({type(manager).__name__}), "
            "so that its held-out views cannot be told: score folders of its renders with `nvs-eval score`."
        )
    if data is not None:
        manager.data = data
    recorded = manager.data or manager.dataparser.data
    if not Path(recorded).exists():
        raise InputError(
            f"The data of this run is not at {recorded}"
            + (
                ", where the run recorded it. Say where it lies now with `--data`."
                if data is None
                else ": `--data` takes the folder (or file) that ns-train was given."
            )
        )
    manager.dataparser.data = Path(recorded)
    manager._target = _in_this_process(manager._target)
    # Whole training sets are not to be read into memory only to render a few held-out views.
    for name, value in (
        ("train_num_images_to_sample_from", 1),
        ("eval_num_images_to_sample_from", 1),
        ("cache_images", "cpu"),
        ("images_on_gpu", False),
    ):
        if hasattr(manager, name):
            setattr(manager, name, value)


def _in_this_process(target: Any) -> Any:
    """ParallelDataManager reads all training images in another process; VanillaDataManager gives the same views."""
    if get_origin(target) is ParallelDataManager:
        (dataset,) = get_args(target)
        return VanillaDataManager[dataset]
    return VanillaDataManager if target is ParallelDataManager else target


@contextmanager
def parsing(data: Path) -> Iterator[None]:
    """Within this scope what a dataparser raises is said to be of its data: they are many, and raise all sorts."""
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(
            f"The data of this run at {data} cannot be read: {type(error).__name__}: {error}. Say with `--data` where "
            "it lies, if this is not it."
        ) from error


def parse_views(config: TrainerConfig, split: Split) -> DataparserOutputs:
    """The images and cameras of a split, as the dataparser of a prepared run says; no image is read.

    Raises:
        InputError: there are none, or the data cannot be parsed.
    """
    manager: Any = config.pipeline.datamanager
    parser = manager.dataparser
    with parsing(parser.data):
        outputs = parser.setup().get_dataparser_outputs(split=split)
    if not outputs.image_filenames:
        raise InputError(
            f"The data of this run has no {split} views: hold some out when training (an evaluation split of the "
            "dataparser), or say `--split train`."
        )
    missing = [path for path in outputs.image_filenames if not Path(path).exists()]
    if missing:
        raise InputError(f"{len(missing)} images of the {split} views are missing, the first is {missing[0]}.")
    return outputs


def view_names(files: Sequence[Path]) -> list[str]:
    """Each view's name: its image's path below the images' common folder, without extension."""
    files = [Path(os.path.abspath(path)) for path in files]
    common = Path(os.path.commonpath([path.parent for path in files]))
    names = [path.relative_to(common).with_suffix("").as_posix() for path in files]
    if len(set(names)) == len(names):
        return names
    return [path.relative_to(common).as_posix() for path in files]


def choose_views(names: Sequence[str], *, wanted: Sequence[str], every: int) -> dict[int, str]:
    """The views to evaluate, by position: those named, or each `every`-th of all, in the order of the data.

    Raises:
        InputError: a name is unknown, or `every` is not positive.
    """
    if every < 1:
        raise InputError(f"`--every` is {every}, and 1 (all views) or more is needed.")
    for name in wanted:
        if name not in names:
            raise unknown_name("view", name, names)
    chosen = [(index, name) for index, name in enumerate(names) if not wanted or name in wanted]
    return dict(chosen[::every])


def evaluation_pairs(
    manager: DataManager, split: Split, indices: Sequence[int], device: torch.device
) -> Iterator[tuple[Cameras, dict[str, Any]]]:
    """The camera and batch of each view, one after the other, as the method's own evaluation gets them."""
    if isinstance(manager, FullImageDatamanager):
        return _undistorted_pairs(manager, split, indices, device)
    chosen: Any = tuple(indices)
    return iter(FixedIndicesEvalDataloader(_dataset(manager, split), chosen, device, num_workers=0))


def _undistorted_pairs(
    manager: FullImageDatamanager, split: Split, indices: Sequence[int], device: torch.device
) -> Iterator[tuple[Cameras, dict[str, Any]]]:
    # Reading the cache is what undistorts the images and corrects their cameras: so it comes first.
    cache = manager.cached_eval if split == "test" else manager.cached_train
    cameras = _dataset(manager, split).cameras
    for index in indices:
        batch = dict(cache[index])
        batch["image"] = batch["image"].to(device)
        yield cameras[index : index + 1].to(device), batch


def undistorts(manager: Any, views: DataparserOutputs) -> bool:
    """Whether a configured data manager undistorts these views: their references are not what the files hold."""
    target = get_origin(manager._target) or manager._target
    distortion = views.cameras.distortion_params
    if not (isinstance(target, type) and issubclass(target, FullImageDatamanager)) or distortion is None:
        return False
    return bool((distortion != 0).any())


def _dataset(manager: Any, split: Split) -> Any:
    return manager.eval_dataset if split == "test" else manager.train_dataset


def data_sha256(views: DataparserOutputs, indices: Sequence[int]) -> str:
    """Hash of the views: the bytes of their image files, and their cameras."""
    digest = hashlib.sha256()
    for index in indices:
        digest.update(Path(views.image_filenames[index]).read_bytes())
        for name in ("camera_to_worlds", "fx", "fy", "cx", "cy", "width", "height", "distortion_params", "camera_type"):
            value = getattr(views.cameras, name)
            if value is not None:
                digest.update(value[index].cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def view_sizes(views: DataparserOutputs, indices: Sequence[int]) -> list[tuple[int, int]]:
    """Width and height of each view, as its camera says."""
    cameras = views.cameras
    return [(int(cameras.width[index]), int(cameras.height[index])) for index in indices]
