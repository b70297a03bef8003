"""Masks in nerfstudio's data: found, read as nerfstudio reads them, and used with --data-masks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.commands import Said
from support.pinned import Pinned
from support.protocols import LIGHT, protocol_file
from support.scenes import FRAMES, nerfstudio_scene

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed", exc_type=ImportError)

from nvs_eval.errors import InputError
from nvs_eval.records.record import read_record
from nvs_eval.sources.masks import Masks, load_mask
from nvs_eval_nerfstudio.quiet import import_nerfstudio, quiet

import_nerfstudio()

from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager  # noqa: E402
from nerfstudio.data.datamanagers.full_images_datamanager import FullImageDatamanager  # noqa: E402
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig  # noqa: E402
from nerfstudio.data.utils.data_utils import get_image_mask_tensor_from_path  # noqa: E402

from nvs_eval_nerfstudio.eval_data import parse_views, view_names  # noqa: E402
from nvs_eval_nerfstudio.source import NerfstudioCheckpoint, Run  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
FOX = SHARED / "runs" / "fox" / "nerfacto" / "base" / "config.yml"
SCENE = SHARED / "scenes" / "fox_8"


def add_masks(scene: Path, width: int, height: int, *, value: int = 1) -> None:
    """Add a mask for each image. Its right half and its first `index` rows have the given value, the rest is 0."""
    file = scene / "transforms.json"
    transforms = json.loads(file.read_text())
    (scene / "masks").mkdir()
    for index, frame in enumerate(sorted(transforms["frames"], key=lambda frame: frame["file_path"])):
        mask = np.zeros((height, width), np.uint8)
        mask[:, width // 2 :] = value
        mask[: index % height] = value
        frame["mask_path"] = f"masks/{Path(frame['file_path']).stem}.png"
        Image.fromarray(mask).save(scene / frame["mask_path"])
    file.write_text(json.dumps(transforms))


def checkpoint(
    scene: Path, indices: list[int] | None = None, *, manager: type = VanillaDataManager
) -> NerfstudioCheckpoint:
    """Return a checkpoint of a run on a scene, without loading a model."""
    from types import SimpleNamespace

    data = SimpleNamespace(data=scene, dataparser=NerfstudioDataParserConfig(data=scene), _target=manager)
    config: Any = SimpleNamespace(method_name="mine", pipeline=SimpleNamespace(datamanager=data))
    with quiet():
        parsed = parse_views(config, "test")
    names = view_names(parsed.image_filenames)
    chosen = {index: name for index, name in enumerate(names) if indices is None or index in indices}
    run = Run(Path("config.yml"), config, torch.device("cpu"), "test", parsed, chosen, pytest.fail)
    return NerfstudioCheckpoint(run, 1, Path("step-000000001.ckpt"))


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    held_out = list(FRAMES[::5])
    lists: Any = {"train_filenames": [name for name in FRAMES if name not in held_out]}
    lists |= {"val_filenames": held_out, "test_filenames": held_out}
    return nerfstudio_scene(tmp_path / "scene", size=(48, 36), **lists)


def test_data_without_masks_has_none(scene: Path) -> None:
    assert checkpoint(scene).masks is None


def test_masks_are_matched_to_their_views(scene: Path) -> None:
    add_masks(scene, 48, 36)
    all_views = checkpoint(scene)
    masks = all_views.masks
    assert isinstance(masks, Masks)
    assert list(masks.files) == all_views.names
    assert len(all_views.names) > 1
    for name, file in masks.files.items():
        assert file == scene / "masks" / f"{Path(name).name}.png"
    masks.check(dict(zip(all_views.names, all_views.sizes, strict=True)))
    # If views are chosen, only they have masks.
    last = checkpoint(scene, [len(all_views.names) - 1])
    assert last.masks is not None
    assert dict(last.masks.files) == {all_views.names[-1]: masks.files[all_views.names[-1]]}


@pytest.mark.parametrize("value", [1, 128, 255])
def test_masks_agree_with_nerfstudios(value: int, scene: Path) -> None:
    add_masks(scene, 48, 36, value=value)
    masks = checkpoint(scene).masks
    assert masks is not None
    for name, file in masks.files.items():
        expected = get_image_mask_tensor_from_path(file)[..., 0]
        assert expected.any() and not expected.all()
        assert torch.equal((load_mask(file) > 0).float(), expected.float())
        assert masks.sha256(name) == Masks({name: file}, binary=True).sha256(name)
        if value > 1:
            assert (masks.sha256(name) == Masks({name: file}).sha256(name)) == (value == 255)


def test_masks_of_undistorted_references_are_refused(scene: Path, pinned: Pinned) -> None:
    add_masks(scene, 48, 36)
    # Cameras without distortion are not undistorted.
    assert checkpoint(scene, manager=FullImageDatamanager).masks is not None
    transforms = json.loads((scene / "transforms.json").read_text())
    (scene / "transforms.json").write_text(json.dumps({**transforms, "k1": 0.05}))
    assert checkpoint(scene).masks is not None
    with pytest.raises(InputError) as error:
        _ = checkpoint(scene, manager=FullImageDatamanager).masks
    pinned("run", error.value)


@pytest.mark.slow
@pytest.mark.skipif(not (FOX.is_file() and SCENE.is_dir()), reason="there are no trained runs (../shared/runs)")
def test_trained_run_is_scored_with_the_masks_of_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Said]
) -> None:
    monkeypatch.chdir(ROOT)
    data = shutil.copytree(SCENE, tmp_path / "data")
    add_masks(data, 135, 240)
    light = str(protocol_file(tmp_path, LIGHT))
    command = ("run", "--load-config", str(FOX), "--views", "0110", "--data", str(data), "--protocol", light)
    out = tmp_path / "out"
    assert cli(*command, "--data-masks", "--output-dir", str(out)).code == 0
    (file,) = out.rglob("light-*.json")
    record = read_record(file)
    (row,) = record.views
    assert record.provenance["masks"] == "binary"
    mask = file.parent / str(row.mask)
    assert mask.resolve() == (data / "masks" / "0110.png").resolve()
    weights = load_mask(mask) > 0
    assert row.coverage == pytest.approx(float(weights.double().mean()), abs=1e-12)
    assert 0.4 < float(weights.double().mean()) < 0.95
    # The records are reused, and `score` gives the same scores for the render files with the same masks.
    before = file.stat().st_mtime_ns
    assert cli(*command, "--data-masks", "--output-dir", str(out)).code == 0
    assert file.stat().st_mtime_ns == before
    (reference,) = (out / "fox" / "references").iterdir()
    Image.fromarray(weights.numpy().astype(np.uint8) * 255).save(tmp_path / "0110.png")
    (tmp_path / "white").mkdir()
    shutil.move(tmp_path / "0110.png", tmp_path / "white" / "0110.png")
    renders = ("score", str(file.parent / "renders"), "--reference", str(reference), "--masks", str(tmp_path / "white"))
    assert cli(*renders, "--protocol", light, "--output-dir", str(tmp_path / "again")).code == 0
    (again,) = (tmp_path / "again").rglob("light-*.json")
    assert read_record(again).views[0].scores == row.scores
    assert read_record(again).views[0].mask_sha256 == row.mask_sha256
