"""Views of a run by split, doubts about views that are not held out, and dataloaders of third parties."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.inspecting import texts
from support.pinned import Pinned
from support.scenes import FRAMES, bitmap, frame, nerfstudio_scene

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed: pip install 'nvs-eval[nerfstudio]'")

from nvs_eval.diagnostics.inspection.run import inspect_run as report_on
from nvs_eval.errors import InputError
from nvs_eval_nerfstudio.inspection import inspect_run
from nvs_eval_nerfstudio.quiet import import_nerfstudio, quiet
from nvs_eval_nerfstudio.source import NerfstudioCheckpoint, open_run

import_nerfstudio()

from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig  # noqa: E402
from nerfstudio.data.datasets.base_dataset import InputDataset  # noqa: E402
from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader  # noqa: E402

from nvs_eval_nerfstudio.eval_data import evaluation_pairs  # noqa: E402

Trained = Callable[..., Path]
CPU = torch.device("cpu")


def opened(config: Path, split: Any = "test", **options: Any) -> NerfstudioCheckpoint:
    """Open a run whose checkpoint is an empty file: nothing is rendered."""
    (config.parent / "nerfstudio_models").mkdir(exist_ok=True)
    (config.parent / "nerfstudio_models" / "step-000000007.ckpt").touch()
    common: dict[str, Any] = {"steps": "last", "views": (), "every": 1, "data": None, "device": CPU, "trust": False}
    common |= {"eval_num_rays_per_chunk": None, "warn": pytest.fail}
    (checkpoint,) = open_run(config, split=split, **{**common, **options})
    return checkpoint


def blender_scene(folder: Path, splits: Sequence[str]) -> Path:
    """Write a scene of Blender data with two views of each split."""
    for number, split in enumerate(splits):
        (folder / split).mkdir(parents=True)
        names = [f"{split}/r_{index}" for index in range(2)]
        for index, name in enumerate(names):
            bitmap(10 * number + index, (16, 12), channels=4).save(folder / f"{name}.png")
        frames = [frame(index, f"./{name}") for index, name in enumerate(names)]
        text = json.dumps({"camera_angle_x": 0.7, "frames": frames})
        (folder / f"transforms_{split}.json").write_text(text)
    return folder


# --- Splits ---


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_each_split_has_its_own_views(split: str, tmp_path: Path, trained: Trained) -> None:
    data = blender_scene(tmp_path / "data", ["train", "val", "test"])
    checkpoint = opened(trained(data, parser=BlenderDataParserConfig()), split)
    files = [Path(file) for file in checkpoint.run.parsed.image_filenames]
    assert files == [data / split / "r_0.png", data / split / "r_1.png"]
    assert checkpoint.id.split == split
    assert checkpoint.doubts == []


def test_nerfstudio_data_has_the_same_views_in_val_and_test(tmp_path: Path, trained: Trained) -> None:
    config = trained(nerfstudio_scene(tmp_path / "data"), eval_mode="interval")
    assert opened(config, "val").names == opened(config, "test").names == ["0001", "0009"]


@pytest.mark.parametrize("splits", [("train", "test"), ("train",)], ids=["train and test", "only train"])
def test_missing_split_lists_the_others(
    splits: Sequence[str], tmp_path: Path, trained: Trained, pinned: Pinned
) -> None:
    config = trained(blender_scene(tmp_path / "data", splits), parser=BlenderDataParserConfig())
    with pytest.raises(InputError) as error:
        opened(config, "val")
    assert "--data" not in str(error.value)
    pinned("run", error.value)


def test_data_without_any_split_may_be_elsewhere(tmp_path: Path, trained: Trained) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match=r"cannot be read: FileNotFoundError.*pass its location with `--data`"):
        opened(trained(tmp_path / "data", parser=BlenderDataParserConfig()), "val")


@pytest.mark.parametrize(("splits", "loaded"), [(("train", "val"), "val"), (("train", "val", "test"), "test")])
def test_training_views_load_a_split_that_exists(
    splits: Sequence[str], loaded: str, tmp_path: Path, trained: Trained
) -> None:
    config = trained(blender_scene(tmp_path / "data", splits), parser=BlenderDataParserConfig())
    assert opened(config, "train").run.loaded == loaded


def test_training_views_alone_are_refused(tmp_path: Path, trained: Trained, pinned: Pinned) -> None:
    config = trained(blender_scene(tmp_path / "data", ["train"]), parser=BlenderDataParserConfig())
    with pytest.raises(InputError) as error:
        opened(config, "train")
    pinned("run", error.value)


# --- Views that are not held out ---


def test_run_says_what_inspect_says_of_training_views(tmp_path: Path, trained: Trained, pinned: Pinned) -> None:
    config = trained(nerfstudio_scene(tmp_path / "data"), eval_mode="all")
    (doubt,) = opened(config).doubts
    assert [doubt] == texts(report_on(inspect_run(config, data=None)), doubtful=True)
    pinned("run", doubt)
    assert list(opened(config, "val").doubts) == [doubt]
    assert opened(config, "train").doubts == []


def test_only_evaluated_views_are_doubted(tmp_path: Path, trained: Trained, pinned: Pinned) -> None:
    both = list(FRAMES[4:6])
    lists: Any = {"train_filenames": FRAMES[:5], "val_filenames": both, "test_filenames": both}
    config = trained(nerfstudio_scene(tmp_path / "data", **lists))
    (doubt,) = opened(config).doubts
    pinned("run", doubt)
    assert opened(config, views=["0006"]).doubts == []


def test_points_are_not_read(tmp_path: Path, trained: Trained) -> None:
    """They are missing, but only a model needs them."""
    scene = nerfstudio_scene(tmp_path / "data", ply_file_path="gone.ply")
    checkpoint = opened(trained(scene, eval_mode="interval", load_3D_points=True))
    assert checkpoint.names == ["0001", "0009"]
    manager: Any = checkpoint.run.config.pipeline.datamanager
    assert manager.dataparser.load_3D_points


# --- Dataloaders of third parties ---


class Degraded(FixedIndicesEvalDataloader):
    """The dataloader of BAD-NeRF, which adds the blurred training image to the batch."""

    def get_camera(self, image_idx: int = 0) -> Any:
        camera, batch = super().get_camera(image_idx)
        return camera, {**batch, "degraded": batch["image"] / 2}


@pytest.mark.parametrize(("split", "has_key"), [("test", True), ("val", True), ("train", False)])
def test_methods_own_dataloader_is_used(split: Any, has_key: bool, tmp_path: Path, trained: Trained) -> None:
    config = trained(nerfstudio_scene(tmp_path / "data"), eval_mode="interval", eval_interval=3)
    with quiet():
        datasets = [InputDataset(opened(config, name).run.parsed) for name in ("train", "test")]
    manager: Any = SimpleNamespace(train_dataset=datasets[0], eval_dataset=datasets[1])
    manager.fixed_indices_eval_dataloader = Degraded(datasets[1], device=CPU, num_workers=0)
    for _ in range(2):  # Several checkpoints share a data manager.
        batches = [batch for _, batch in evaluation_pairs(manager, split, [1, 3], CPU)]
        assert [batch["image_idx"] for batch in batches] == [1, 3]
        assert all(("degraded" in batch) == has_key for batch in batches)
