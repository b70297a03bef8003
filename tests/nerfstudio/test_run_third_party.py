"""`nvs-eval run` of a whole method of a third party: data manager, dataloader, model and checkpoint of a few lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.commands import Said
from support.pinned import Pinned
from support.protocols import FLOAT, protocol_file
from support.scenes import nerfstudio_scene

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed: pip install 'nvs-eval[nerfstudio]'")

from nvs_eval.records.record import read_record
from nvs_eval_nerfstudio import source
from nvs_eval_nerfstudio.quiet import import_nerfstudio

import_nerfstudio()

from nerfstudio.configs.base_config import MachineConfig  # noqa: E402
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager, VanillaDataManagerConfig  # noqa: E402
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig  # noqa: E402
from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader  # noqa: E402
from nerfstudio.engine.trainer import TrainerConfig  # noqa: E402
from nerfstudio.models.base_model import Model, ModelConfig  # noqa: E402
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig  # noqa: E402

WIDTH, HEIGHT = 48, 36
OFFSET = 0.1


class Restoration(FixedIndicesEvalDataloader):
    """BAD-NeRF's dataloader, with the blurred training image in the batch."""

    def get_camera(self, image_idx: int = 0) -> Any:
        camera, batch = super().get_camera(image_idx)
        return camera, {**batch, "degraded": batch["image"].mean(dim=1, keepdim=True).expand(-1, WIDTH, -1)}


class RestorationManager(VanillaDataManager):
    """BAD-NeRF's data manager."""

    def setup_eval(self) -> None:
        super().setup_eval()
        self.fixed_indices_eval_dataloader = Restoration(self.eval_dataset, device=self.device, num_workers=0)


class Restored(Model):
    """BAD-NeRF's model: blurred input, render, reference. Its only weight is the colour of all of its renders."""

    def populate_modules(self) -> None:
        super().populate_modules()
        self.colour = torch.nn.Parameter(torch.zeros(3))

    def get_param_groups(self) -> Any:
        return {"colour": [self.colour]}

    def get_outputs(self, ray_bundle: Any) -> Any:
        raise NotImplementedError

    def get_outputs_for_camera(self, camera: Any, obb_box: Any = None) -> Any:
        return {"rgb": self.colour.expand(HEIGHT, WIDTH, 3)}

    def get_image_metrics_and_images(self, outputs: Any, batch: Any) -> Any:
        gt, rgb = batch["image"], outputs["rgb"]
        metrics = {"blur_mae": (batch["degraded"] - gt).abs().mean(), "fps": np.float32(2)}
        return metrics, {"img": torch.cat([batch["degraded"], rgb, gt], dim=1)}


@pytest.fixture
def method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Path) -> Iterator[Callable[..., list[str]]]:
    """Write a run with two checkpoints, and return the command that evaluates it."""
    scene = nerfstudio_scene(tmp_path / "scene", size=(WIDTH, HEIGHT))
    file = protocol_file(tmp_path, FLOAT, "float.yaml")

    def write(**parser: Any) -> list[str]:
        manager = VanillaDataManagerConfig(_target=RestorationManager, data=scene)
        manager.dataparser = NerfstudioDataParserConfig(**{"eval_mode": "interval", **parser})
        pipeline = VanillaPipelineConfig(datamanager=manager, model=ModelConfig(_target=Restored))
        config = TrainerConfig(method_name="bad-nerf", experiment_name="scene", timestamp="a", pipeline=pipeline)
        config.machine = MachineConfig(device_type="cpu")
        monkeypatch.setattr(source, "load_config", lambda path, *, trust: config)
        folder = tmp_path / "run"
        (folder / config.relative_model_dir).mkdir(parents=True)
        (folder / "config.yml").write_text("!!python/object:nerfstudio.engine.trainer.TrainerConfig\n")
        for step, colour in ((1, 0.25), (2, 0.5)):
            state = {"_model.colour": torch.full((3,), colour), "_model.device_indicator_param": torch.empty(0)}
            path = folder / config.relative_model_dir / f"step-{step:09d}.ckpt"
            torch.save({"step": step, "pipeline": state}, path)
        command = ["run", "--load-config", str(folder / "config.yml"), "--protocol", str(file), "--device", "cpu"]
        return [*command, "--output-dir", str(tmp_path / "out")]

    yield write
    source._built.clear()


def records_in(folder: Path) -> dict[str, Any]:
    return {file.parent.name: read_record(file) for file in sorted(folder.rglob("float-*.json"))}


def pixels(scene: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(scene / f"images/{name}.png"), np.float64) / 255


@pytest.mark.parametrize("steps", ["last", "all"])
def test_permuted_parts_are_scored_as_render_and_reference(
    steps: str, method: Callable[..., list[str]], cli: Callable[..., Said], tmp_path: Path
) -> None:
    result = cli(*method(), "--steps", steps)
    assert result.code == 0, result.err
    records = records_in(tmp_path / "out")
    assert list(records) == (["2"] if steps == "last" else ["1", "2"])
    for step, record in records.items():
        assert [row.name for row in record.views] == ["0001", "0009"]
        for row in record.views:
            image = pixels(tmp_path / "scene", row.name)
            error = ((image - {"1": 0.25, "2": 0.5}[step]) ** 2).mean()
            assert row.scores["psnr"] == pytest.approx(-10 * np.log10(error), abs=1e-4)
            blurred = image.mean(axis=1, keepdims=True)
            assert row.own == {"blur_mae": pytest.approx(np.abs(blurred - image).mean(), abs=1e-5), "fps": 2.0}
    table = cli("table", str(tmp_path / "out"), "--metrics", "own/blur_mae", "psnr")
    assert table.code == 0 and "own/blur_mae" in table.out


def test_training_views_lack_what_the_dataloader_adds(
    method: Callable[..., list[str]], cli: Callable[..., Said], pinned: Pinned
) -> None:
    result = cli(*method(), "--split", "train")
    assert (result.code, result.out) == (2, "")
    pinned("run", result.err.splitlines()[-1])


def test_run_without_held_out_views_says_so_below_the_table(
    method: Callable[..., list[str]], cli: Callable[..., Said], pinned: Pinned
) -> None:
    result = cli(*method(eval_mode="all"), "--every", "5")
    assert result.code == 0, result.err
    pinned("run", result.out.splitlines()[-1])


def test_only_training_views(
    method: Callable[..., list[str]], cli: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The advice of the error works."""

    def usual(self: Any, outputs: Any, batch: Any) -> Any:
        return {}, {"img": torch.cat([batch["image"], outputs["rgb"]], dim=1)}

    monkeypatch.setattr(Restored, "get_image_metrics_and_images", usual)
    command = method()
    file = tmp_path / "scene" / "transforms.json"
    data = json.loads(file.read_text())
    names = [frame["file_path"] for frame in data["frames"]]
    file.write_text(json.dumps({**data, "train_filenames": names, "val_filenames": [], "test_filenames": []}))
    result = cli(*command)
    assert result.code == 2 and "Its splits: train (10 views). Use `--split train`" in result.err
    result = cli(*command, "--split", "train", "--every", "4")
    assert result.code == 0, result.err
    assert result.out.startswith("scene, train views") and "!" not in result.out
