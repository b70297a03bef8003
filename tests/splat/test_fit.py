"""The example that fits a splat: on a small distorted scene, and on photographs where they are at hand."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from support import splat_oracle
from support.splat_models import model
from support.splat_scenes import PINHOLE, ring, write_transforms

from nvs_eval.errors import InputError
from nvs_eval_splat.cameras.find import open_scene
from nvs_eval_splat.cameras.frames import DATA_FRAME
from nvs_eval_splat.conventions import CONVENTIONS
from nvs_eval_splat.models.find import open_model
from nvs_eval_splat.models.parameters import activated
from nvs_eval_splat.pinhole import Pinhole

pytest.importorskip("numba", reason="numba is not installed")
pytest.importorskip("plyfile", reason="plyfile is not installed")

from nvs_eval_splat.rasterise import rasterise

ROOT = Path(__file__).resolve().parents[2]
FOX = ROOT.parent / "shared" / "scenes" / "fox_8"
LENS = {**PINHOLE, "w": 40, "h": 32, "cx": 20.6, "cy": 15.7, "k1": 0.03, "k2": -0.02, "p1": 1e-3, "p2": -5e-4}
BLACK = (0.0, 0.0, 0.0)
POSES = ring(16)
FORMATS = ("inria", "gsplat", "splat.ply")


@pytest.fixture(scope="module")
def example() -> ModuleType:
    specification = importlib.util.spec_from_file_location("fit_splat", ROOT / "examples" / "fit_splat.py")
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # Where dataclasses look up their types.
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def fitted(example: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, float]]:
    """Fit a few Gaussians to views of others."""
    folder = tmp_path_factory.mktemp("fit")
    truth = replace(model(60, seed=41, degree=0, opacities=0.9, scales=0.25))
    truth.means[:] = np.random.default_rng(0).uniform(-1, 1, truth.means.shape)
    truth.harmonics[:] = np.random.default_rng(1).normal(size=truth.harmonics.shape)
    names = [f"{place:04d}.png" for place in range(16)]
    (folder / "photographs" / "images").mkdir(parents=True)
    for name, pose in zip(names, POSES, strict=True):
        view = Pinhole(
            40, 32, LENS["fl_x"], LENS["fl_y"], LENS["cx"], LENS["cy"], np.linalg.inv(pose).astype(np.float64)
        )
        rgb, _ = rasterise(truth, view, CONVENTIONS["gsplat-1.5"], background=BLACK)
        Image.fromarray(np.rint(rgb.clip(0, 1) * 255).astype(np.uint8)).save(folder / "photographs" / "images" / name)
    write_transforms(folder / "photographs" / "transforms.json", POSES, names, **LENS)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    options = {"data": folder / "photographs", "output": folder / "out", "gaussians": 120, "steps": 60}
    psnr = example.main([text for name, value in options.items() for text in (f"--{name}", str(value))])
    torch.set_num_threads(threads)
    yield folder / "out", psnr


def test_a_fit_is_better_than_black(fitted: tuple[Path, float]) -> None:
    folder, psnr = fitted
    references = [np.asarray(Image.open(file)) / 255 for file in (folder / "inria/test/ours_60/gt").iterdir()]
    black = np.mean([-10 * np.log10(np.mean(image**2)) for image in references])
    assert len(references) == 2
    assert psnr > black + 1.5


def test_all_formats_are_the_same_model(fitted: tuple[Path, float]) -> None:
    folder, _ = fitted
    opened = [open_model(folder / name) for name in FORMATS]
    assert [list(one.files) for one in opened] == [[60], [60], [None]]
    assert [one.tool for one in opened] == ["3dgs", "gsplat", "ply"]
    stored = [one.read(next(iter(one.files.values()))) for one in opened]
    assert len(stored[0].means) == 120
    for other in stored[1:]:
        for name in ("means", "scales", "rotations", "opacities", "harmonics"):
            assert np.array_equal(getattr(stored[0], name), getattr(other, name))
    assert opened[0].training.hold == opened[1].training.hold == 8


def test_the_cameras_of_all_formats_reproduce_the_renders(fitted: tuple[Path, float]) -> None:
    folder, _ = fitted
    opened = open_model(folder / "inria")
    (files,) = opened.files.values()
    gaussians = activated(opened.read(files), "The fit").gaussians
    saved = [folder / f"inria/test/ours_60/renders/{place:05d}.png" for place in range(2)]
    for data in (None, folder / "scene"):
        scene = open_scene(opened, data=data, hold=None, images=None)
        shots = scene.shots("test", BLACK)
        assert [shot.name for shot in shots] == ["0000", "0008"]
        for shot, file in zip(shots, saved, strict=True):
            camera = shot.pinhole(DATA_FRAME)
            assert (camera.cx, camera.cy) == (camera.width / 2, camera.height / 2)
            rgb, _ = rasterise(gaussians, camera, CONVENTIONS["inria"], background=BLACK)
            assert np.abs(rgb.clip(0, 1) - np.asarray(Image.open(file)) / 255).max() < 0.5 / 255 + 1e-6


def test_pixels_are_taken_from_where_the_lens_puts_them(example: ModuleType) -> None:
    rows, columns = example.sample_places(LENS)
    height, width = rows.shape
    assert width < 40
    for row, column in ((0, 0), (height // 2, width - 1), (height - 1, 3)):
        # OpenCV's lens, written out for one point.
        x, y = (column + 0.5 - width / 2) / LENS["fl_x"], (row + 0.5 - height / 2) / LENS["fl_y"]
        r2 = x**2 + y**2
        factor = 1 + LENS["k1"] * r2 + LENS["k2"] * r2**2
        u = x * factor + 2 * LENS["p1"] * x * y + LENS["p2"] * (r2 + 2 * x**2)
        v = y * factor + LENS["p1"] * (r2 + 2 * y**2) + 2 * LENS["p2"] * x * y
        assert columns[row, column] == pytest.approx(LENS["fl_x"] * u + LENS["cx"] - 0.5, abs=1e-9)
        assert rows[row, column] == pytest.approx(LENS["fl_y"] * v + LENS["cy"] - 0.5, abs=1e-9)


def test_distorted_photographs_are_refused(fitted: tuple[Path, float]) -> None:
    folder, _ = fitted
    with pytest.raises(InputError, match="must be an undistorted pinhole"):
        open_scene(open_model(folder / "inria"), data=folder.parent / "photographs", hold=None, images=None)


def crop(camera: Pinhole, corner: tuple[int, int], size: int) -> Pinhole:
    """Return the camera of a square of pixels."""
    column, row = corner
    return replace(camera, width=size, height=size, cx=camera.cx - column, cy=camera.cy - row)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_fitted_splat_against_the_definition(fitted: tuple[Path, float], name: str) -> None:
    check_against_definition(fitted[0], name, 16)


def check_against_definition(folder: Path, name: str, size: int) -> None:
    opened = open_model(folder / "splat.ply")
    (files,) = opened.files.values()
    gaussians = activated(opened.read(files), "The fit").gaussians
    frame = json.loads((folder / "scene" / "transforms.json").read_text())
    pose = np.linalg.inv(np.array(frame["frames"][0]["transform_matrix"]) @ np.diag([1, -1, -1, 1]))
    whole = Pinhole(frame["w"], frame["h"], frame["fl_x"], frame["fl_y"], frame["cx"], frame["cy"], pose)
    view = crop(whole, ((whole.width - size) // 2, (whole.height - size) // 2), size)
    rgb, alpha = rasterise(gaussians, view, CONVENTIONS[name], background=BLACK)
    expected, opaque, doubt = splat_oracle.render(gaussians, view, CONVENTIONS[name], np.array(BLACK))
    assert doubt.mean() < 0.01
    assert opaque.mean() > 0.3
    assert np.abs(rgb - expected)[~doubt].max() < 1e-5
    assert np.abs(alpha - opaque)[~doubt].max() < 1e-5


@pytest.mark.long
@pytest.mark.skipif(not FOX.is_dir(), reason="the photographs of fox_8 are not beside the checkout")
def test_photographs_of_a_fox(example: ModuleType, tmp_path: Path) -> None:
    assert example.main(["--data", str(FOX), "--output", str(tmp_path), "--steps", "400"]) > 18
    assert (tmp_path / "splat.ply").stat().st_size < 300_000
    for name in CONVENTIONS:
        check_against_definition(tmp_path, name, 24)
    with pytest.raises(InputError, match="must be an undistorted pinhole"):
        open_scene(open_model(tmp_path / "inria"), data=FOX, hold=None, images=None)
