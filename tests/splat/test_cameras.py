"""Cameras, splits, sizes and frames of the data of splats, against scipy and the tools' own rules."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.splat_scenes import NAMES, PINHOLE, ring, write_colmap, write_images, write_transforms
from support.splats import random_parameters, write_gsplat, write_inria, write_ply

from nvs_eval.errors import InputError
from nvs_eval_splat.cameras.camera import rotation_of
from nvs_eval_splat.cameras.find import open_scene
from nvs_eval_splat.cameras.frames import DATA_FRAME, gsplat_frames
from nvs_eval_splat.cameras.resolution import Reference, inria_size
from nvs_eval_splat.cameras.scene import Scene
from nvs_eval_splat.models.find import open_model
from nvs_eval_splat.models.model import Model

BLACK = (0.0, 0.0, 0.0)
POSES = ring()


def ply(folder: Path) -> Model:
    return open_model(write_ply(folder / "model.ply", random_parameters()))


def scene(data: Path, model: Model | None = None, **options: Any) -> Scene:
    given = {"hold": None, "images": None, **options}
    return open_scene(model or ply(data.parent), data=data, **given)


def names(data: Scene, split: str = "test") -> list[str]:
    return [shot.name for shot in data.shots(split, BLACK)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_images(tmp_path / "scene" / "images")
    return tmp_path / "scene"


@pytest.mark.parametrize("text", [False, True], ids=["binary", "text"])
def test_colmap(data: Path, text: bool) -> None:
    write_colmap(data, POSES[::-1], NAMES[::-1], text=text)
    found = scene(data)
    assert names(found) == ["0001", "0009"]
    assert names(found, "train") == [f"{place:04d}" for place in (2, 3, 4, 5, 6, 7, 8, 10)]
    camera = found.shots("test", BLACK)[1].pinhole(DATA_FRAME)
    assert (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy) == (32, 24, 30, 31, 16, 12)
    assert np.abs(camera.world_to_camera - np.linalg.inv(POSES[8])).max() < 1e-12
    assert np.abs(camera.position - POSES[8][:3, 3]).max() < 1e-12


def test_quaternions_of_any_length() -> None:
    from scipy.spatial.transform import Rotation

    quaternions = np.random.default_rng(0).normal(size=(20, 4))
    expected = Rotation.from_quat(np.roll(quaternions, -1, axis=1)).as_matrix()
    assert np.abs(rotation_of(quaternions * 3) - expected).max() < 1e-12


def test_blender(tmp_path: Path) -> None:
    for split, size in (("train", 32), ("test", 32)):
        write_images(tmp_path / split, [f"r_{place}.png" for place in range(3)], (size, 24))
        stems = [f"r_{place}" for place in range(3)]
        write_transforms(
            tmp_path / f"transforms_{split}.json", POSES[:3], stems, folder=f"./{split}/", camera_angle_x=0.8
        )
    found = scene(tmp_path, ply(tmp_path / "models"))
    assert (found.kind, names(found)) == ("blender", ["r_0", "r_1", "r_2"])
    camera = found.shots("test", BLACK)[2].pinhole(DATA_FRAME)
    assert camera.fx == camera.fy == pytest.approx(16 / math.tan(0.4), abs=1e-12)
    assert np.abs(camera.world_to_camera - np.linalg.inv(POSES[2])).max() < 1e-12
    with pytest.raises(InputError, match=r"no val views. Its splits: .*train .3 views"):
        found.shots("val", BLACK)
    with pytest.raises(InputError, match="--hold is for data without splits"):
        scene(tmp_path, ply(tmp_path / "models"), hold=8)


def test_nerfstudio_holds_out_by_its_fraction_or_lists(data: Path) -> None:
    file = write_transforms(data / "transforms.json", POSES, **PINHOLE)
    # nerfstudio: 9 of 10 evenly spaced places, linspace(0, 9, 9) rounded down; the rest is held out.
    held_out = sorted(set(range(10)) - set(np.linspace(0, 9, 9, dtype=int).tolist()))
    assert names(scene(data)) == [f"{place + 1:04d}" for place in held_out]
    assert names(scene(file, hold=5)) == ["0001", "0006"]
    write_transforms(file, POSES, **PINHOLE, test_filenames=["images/0003.png"])
    assert names(scene(data)) == ["0003"]
    write_transforms(file, POSES, **PINHOLE, test_filenames=["images/0099.png"])
    with pytest.raises(InputError, match=r"test_filenames names 1 unknown frame: images/0099.png"):
        scene(data)


def test_the_cameras_json_of_a_model(data: Path) -> None:
    model = write_inria(data.parent / "model", {7: random_parameters()})
    entries = [
        {
            "id": place, "img_name": name[:-4], "width": 32, "height": 24, "fx": 30.0, "fy": 31.0,
            "position": pose[:3, 3].tolist(), "rotation": pose[:3, :3].tolist(),
        }
        for place, (name, pose) in enumerate(zip(NAMES, POSES, strict=True))
    ]  # fmt: skip
    (model / "cameras.json").write_text(json.dumps(entries[::-1]))
    found = scene(data, open_model(model), hold=4)
    assert names(found) == ["0001", "0005", "0009"]
    camera = found.shots("test", BLACK)[1].pinhole(DATA_FRAME)
    assert (camera.fx, camera.cx) == (30, 16)
    assert np.abs(camera.world_to_camera - np.linalg.inv(POSES[4])).max() < 1e-12
    (model / "cameras.json").write_text("[]")
    with pytest.raises(InputError, match="has no cameras"):
        scene(data, open_model(model))


# --- Rules ------------------------------------------------------------------------------------------------------------


def test_the_rule_is_that_of_the_tool(data: Path, tmp_path: Path) -> None:
    sparse = write_colmap(data, POSES)
    inria = {name: write_inria(tmp_path / name, {7: random_parameters()}, f"eval={name}") for name in ("True", "False")}
    evaluated = scene(data, open_model(inria["True"]))
    assert "interval 8" in evaluated.rule.words
    assert not evaluated.rule.assumed
    all_trained = scene(data, open_model(inria["False"]))
    with pytest.raises(InputError, match=r"no test views. Its splits: train \(10 views\).*Pass `--hold 8`"):
        all_trained.shots("test", BLACK)
    assert scene(data, open_model(inria["False"]), hold=8).rule.trained_on
    assert scene(data).rule.assumed
    gsplat = write_gsplat(tmp_path / "g", {5: random_parameters()}, "test_every: 3\nnormalize_world_space: false\n")
    assert names(scene(data, open_model(gsplat))) == ["0001", "0004", "0007", "0010"]
    (sparse / "test.txt").write_text("0002.png\n0005.png\n")
    assert names(scene(data, open_model(inria["True"]))) == ["0002", "0005"]
    assert names(scene(data, open_model(inria["True"]), hold=5)) == ["0001", "0006"]
    with pytest.raises(InputError, match="--hold must be at least 1"):
        scene(data, hold=-1)


def test_names_have_their_folders(tmp_path: Path) -> None:
    paths = [f"cam{place % 2}/{place:02d}.jpg" for place in range(10)]
    write_images(tmp_path / "images", paths)
    write_colmap(tmp_path, POSES, paths)
    assert names(scene(tmp_path, ply(tmp_path / "models"), hold=3)) == ["cam0/00", "cam0/06", "cam1/03", "cam1/09"]


# --- Sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "resolution", "expected"),
    [
        ((4946, 3286), -1, (1600, 1063)),  # 3DGS evaluates full-size photographs at this size.
        ((1600, 1063), -1, (1600, 1063)),
        ((1237, 822), -1, (1237, 822)),
        ((4946, 3286), 4, (1236, 822)),
        ((4947, 3286), 2, (2474, 1643)),
        ((800, 800), 8, (100, 100)),
        ((979, 546), 400, (400, 223)),
    ],
)
def test_sizes_of_inria(size: tuple[int, int], resolution: int, expected: tuple[int, int]) -> None:
    assert inria_size(size, resolution) == expected
    with pytest.raises(InputError, match="Got 0"):
        inria_size(size, 0)


def test_inria_resizes_as_pillow_does(data: Path, tmp_path: Path) -> None:
    write_colmap(data, POSES)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(pixels).save(data / "images" / "0001.png")
    model = open_model(write_inria(tmp_path / "m", {7: random_parameters()}, "eval=True, resolution=2"))
    shot = scene(data, model).shots("test", BLACK)[0]
    camera = shot.pinhole(DATA_FRAME)
    assert (camera.width, camera.height, camera.fx, camera.fy, camera.cx) == (16, 12, 15, 15.5, 8)
    expected = np.asarray(Image.fromarray(pixels).resize((16, 12))) / 255
    assert np.abs(shot.reference.load().numpy() - expected).max() < 1e-7


def test_the_factor_of_gsplat(data: Path, tmp_path: Path) -> None:
    # gsplat divides by the size that it rounds down, not by the quarter of the size.
    write_images(data / "images_4", size=(9, 6))
    write_colmap(data, POSES, size=(35, 25), values=(30.0, 31.0, 17.5, 12.5))
    configuration = "data_factor: 4\ntest_every: 8\nnormalize_world_space: false\n"
    model = open_model(write_gsplat(tmp_path / "g", {5: random_parameters()}, configuration))
    camera = scene(data, model).shots("test", BLACK)[0].pinhole(DATA_FRAME)
    assert (camera.width, camera.height) == (9, 6)
    assert camera.fx == pytest.approx(30 / 4 * 9 / 8, abs=1e-12)
    assert camera.cy == pytest.approx(12.5 / 4 * 6 / 6, abs=1e-12)
    write_images(data / "images_4_png", size=(9, 7))
    assert scene(data, model).shots("test", BLACK)[0].reference.size == (9, 7)


def test_images_of_another_shape_are_refused(data: Path) -> None:
    write_colmap(data, POSES, size=(24, 32))
    with pytest.raises(InputError, match=r"0001.png is 32x24, but its camera is 24x32: another aspect ratio"):
        scene(data).shots("test", BLACK)


def test_transparent_pixels_are_composited_and_truncated_as_inria_does(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    pixels[..., 3][:, :3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    norm = pixels / 255.0
    blended = norm[..., :3] * norm[..., 3:] + np.array([1, 1, 1]) * (1 - norm[..., 3:])
    expected = np.array(blended * 255.0, dtype=np.uint8) / 255
    white = (1.0, 1.0, 1.0)
    truncated = Reference(tmp_path / "a.png", (7, 5), (7, 5), white, truncate=True).load()
    assert truncated.dtype == torch.float32
    assert np.abs(truncated.numpy() - expected).max() < 1e-7
    assert np.abs(Reference(tmp_path / "a.png", (7, 5), (7, 5), white).load().numpy() - blended).max() < 1e-6


# --- Frames -----------------------------------------------------------------------------------------------------------


def test_the_frame_of_gsplat() -> None:
    turn = rotation_of(np.array([0.9, 0.2, -0.3, 0.4]))
    world = np.eye(4)
    world[:3, :3] = turn
    poses = [world @ pose for pose in POSES]
    points = np.random.default_rng(1).normal(size=(500, 3)) * (3, 0.2, 1) @ turn.T + (0.3, -0.5, 0.2)
    first, *others = gsplat_frames(poses, points.astype(np.float32))
    scale = np.cbrt(np.linalg.det(first.matrix[:3, :3]))
    moved = points @ first.matrix[:3, :3].T + first.matrix[:3, 3]
    assert np.abs(np.median(moved, axis=0)).max() < 0.05 * np.abs(moved).max()
    spread = np.cov(moved, rowvar=False)
    assert np.abs(spread - np.diag(np.diag(spread))).max() < 1e-5 * spread[0, 0]
    assert spread[0, 0] > spread[1, 1] > spread[2, 2]
    assert np.median(moved[:, 2]) <= np.mean(moved[:, 2])
    # All cameras look at the origin, from which their median distance becomes 1.
    positions = np.array([pose[:3, 3] for pose in poses])
    assert scale * np.median(np.linalg.norm(positions, axis=1)) == pytest.approx(1, rel=1e-9)
    for frame in others:
        ratio = frame.matrix @ np.linalg.inv(first.matrix)
        assert np.abs(np.abs(ratio[:3, :3]) - np.eye(3)).max() < 1e-9
        assert np.linalg.det(ratio) == pytest.approx(1)


def test_a_frame_does_not_change_what_a_camera_sees(data: Path, tmp_path: Path) -> None:
    write_colmap(data, POSES)
    (tmp_path / "dataparser_transforms.json").write_text(
        json.dumps({"transform": [[0, 1, 0, 2], [1, 0, 0, 3], [0, 0, -1, 4]], "scale": 0.25})
    )
    found = scene(data, ply(tmp_path / "exports" / "splat"))
    (frame,) = found.frames("auto")
    shot = found.shots("test", BLACK)[0]
    here, there = shot.pinhole(DATA_FRAME), shot.pinhole(frame)
    point = np.array([0.3, 0.2, -0.1, 1])
    seen = there.world_to_camera @ (frame.matrix @ point)
    assert np.abs(seen[:3] - 0.25 * (here.world_to_camera @ point)[:3]).max() < 1e-12
    assert found.frames("data") == [DATA_FRAME]
    assert len(found.frames("gsplat")) == 4
    (tmp_path / "dataparser_transforms.json").write_text('{"transform": [[1]], "scale": 1}')
    with pytest.raises(InputError, match="transform must be a matrix of 4x4 or 3x4 numbers"):
        found.frames("auto")


def test_poses_of_nerfstudio_are_in_the_frame_of_the_original_data(data: Path, tmp_path: Path) -> None:
    applied = [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0]]
    write_transforms(data / "transforms.json", POSES, **PINHOLE, applied_transform=applied)
    transform = [[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0]]
    (tmp_path / "dataparser_transforms.json").write_text(json.dumps({"transform": transform, "scale": 1}))
    (frame,) = scene(data, ply(tmp_path)).frames("auto")
    expected = np.array(transform)[:, :3] @ np.linalg.inv(np.array(applied)[:, :3])
    assert np.abs(frame.matrix[:3, :3] - expected).max() < 1e-12


# --- Bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("camera", "values", "message"),
    [
        ("OPENCV", (30, 31, 16, 12, 0.05, 0, 0, 0), "OPENCV with the distortion 0.05.*image_undistorter"),
        ("SIMPLE_RADIAL", (30, 16, 12, 0.01), "SIMPLE_RADIAL with the distortion 0.01"),
        ("OPENCV_FISHEYE", (30, 31, 16, 12, 0, 0, 0, 0), "It is OPENCV_FISHEYE"),
    ],
)
def test_distorted_cameras_of_colmap(data: Path, camera: str, values: tuple[float, ...], message: str) -> None:
    for text in (False, True):
        write_colmap(data, POSES, camera=camera, values=values, text=text)
        with pytest.raises(InputError, match=message):
            scene(data)
    write_colmap(data, POSES, camera="SIMPLE_RADIAL", values=(30, 16, 12, 0))
    assert scene(data).shots("test", BLACK)[0].pinhole(DATA_FRAME).fy == 30


def test_distorted_cameras_of_nerfstudio(data: Path) -> None:
    write_transforms(data / "transforms.json", POSES, **PINHOLE, camera_model="OPENCV", k1=0.05, k2=0)
    with pytest.raises(InputError, match=r"must be an undistorted pinhole. It has k1 0.05. Undistort the images"):
        scene(data)
    write_transforms(data / "transforms.json", POSES, **PINHOLE, camera_model="OPENCV_FISHEYE")
    with pytest.raises(InputError, match="It has 'OPENCV_FISHEYE'"):
        scene(data)


def test_binary_files_of_colmap_that_lie(data: Path) -> None:
    sparse = write_colmap(data, POSES)
    whole = {name: (sparse / name).read_bytes() for name in ("cameras.bin", "images.bin", "points3D.bin")}
    for name, content in whole.items():
        for damaged in (content[:-1], content[: len(content) // 2], struct.pack("<Q", 2**62) + content[8:], b""):
            (sparse / name).write_bytes(damaged)
            with pytest.raises(InputError, match=f"{name}.* is truncated"):
                scene(data).gsplat_frames()
        (sparse / name).write_bytes(content)
    points = struct.pack("<Q", 2**60)
    place = whole["images.bin"].index(b"0001.png") + 9
    (sparse / "images.bin").write_bytes(whole["images.bin"][:place] + points + whole["images.bin"][place + 8 :])
    with pytest.raises(InputError, match="is truncated, or a count in it is wrong"):
        scene(data)


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/secret.png", ""])
def test_names_outside_of_the_images_are_refused(data: Path, name: str) -> None:
    write_colmap(data, POSES[:1], [name])
    with pytest.raises(InputError, match="must be a path below the folder of images"):
        scene(data)


def test_an_image_twice_and_a_camera_that_is_missing(data: Path) -> None:
    sparse = write_colmap(data, POSES[:2], ["0001.png", "0001.png"])
    with pytest.raises(InputError, match="has an image twice"):
        scene(data)
    (sparse / "cameras.bin").write_bytes(struct.pack("<QiiQQ4d", 1, 8, 1, 32, 24, 30, 31, 16, 12))
    with pytest.raises(InputError, match=r"camera 7 is not in cameras.bin"):
        scene(data)


def _json(**changes: Any) -> Callable[[Path], None]:
    def write(data: Path) -> None:
        write_transforms(data / "transforms.json", POSES, **{**PINHOLE, **changes})

    return write


def _text(content: str) -> Callable[[Path], None]:
    return lambda data: [(data / "transforms.json").write_text(content), None][1]


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda data: None, "has no cameras: neither sparse/0 of COLMAP nor transforms.json"),
        (_text("[" * 100_000), "is not JSON"),
        (_text("[]"), "must be a mapping of JSON"),
        (_text('{"frames": []}'), "must have a list of frames"),
        (_text('{"frames": [3]}'), "each frame must have a file_path. Got 3"),
        (_text('{"frames": [{"file_path": "a", "transform_matrix": [[1]]}], "fl_x": 1}'), "matrix of 4x4 or 3x4"),
        (_json(fl_x="30"), "fl_x must be a number. Got '30'"),
        (_json(fl_x=1e400), "fl_x must be a number. Got inf"),
        (_json(w=None), "must have its size w and h. Got None and 24.0"),
        (_json(fl_x=None), "must have fl_x, or camera_angle_x"),
    ],
)
def test_damaged_transforms(data: Path, write: Callable[[Path], None], message: str) -> None:
    write(data)
    with pytest.raises(InputError, match=message):
        scene(data)


def test_poses_that_are_no_rotations(data: Path) -> None:
    for wrong in (np.diag([1.0, -1, 1, 1]), np.diag([1.0, 2, 1, 1]), np.zeros((4, 4))):
        write_transforms(data / "transforms.json", [wrong, *POSES[1:]], **PINHOLE)
        with pytest.raises(InputError, match=r"The pose of images/0001.png must be a rotation and a translation"):
            scene(data, hold=8).shots("test", BLACK)[0].pinhole(DATA_FRAME)


def test_images_that_are_missing(data: Path) -> None:
    write_colmap(data, POSES)
    (data / "images" / "0009.png").unlink()
    with pytest.raises(InputError, match=r"1 image of 2 test views cannot be found: .*0009.png.*`--data`"):
        scene(data).shots("test", BLACK)
    (data / "images" / "0002.png").unlink()
    assert [shot.name for shot in scene(data).some_training(3, BLACK)] == ["0003.png", "0006.png", "0010.png"]
    Image.new("RGB", (32, 24)).save(data / "images" / "0009.jpg")
    assert names(scene(data)) == ["0001", "0009"]


def test_data_that_is_missing(tmp_path: Path) -> None:
    model = ply(tmp_path)
    with pytest.raises(InputError, match=r"does not say what it was trained on. Pass .* with `--data`"):
        open_scene(model, data=None, hold=None, images=None)
    with pytest.raises(InputError, match="does not exist"):
        open_scene(model, data=tmp_path / "nothing", hold=None, images=None)
    moved = replace(model, training=replace(model.training, data=tmp_path / "gone"))
    with pytest.raises(InputError, match=r"is not at .*gone. Pass its folder with `--data`"):
        open_scene(moved, data=None, hold=None, images=None)
    with pytest.raises(InputError, match="--images must be a folder below that of the data"):
        open_scene(model, data=tmp_path, hold=None, images="../other")
