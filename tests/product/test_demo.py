"""The demo: the scene matches its files, and the training writes its checkpoints."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from support.records import record, row

from nvs_eval.api import page as page_module
from nvs_eval.api.page import Page
from nvs_eval.cli.commands.demo import Demo
from nvs_eval.cli.commands.run import Run
from nvs_eval.cli.demo import scene as scene_module
from nvs_eval.cli.demo import training
from nvs_eval.cli.demo.scene import SUN, TARGET, Box, Sphere, blend, cameras, draw, noise, write_scene
from nvs_eval.cli.demo.training import ON_CPU, ON_CUDA, Schedule, train
from nvs_eval.errors import InputError
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.options import ProtocolOptions
from nvs_eval.records.record import Record, record_file, write_record
from nvs_eval.system.owner import owner_tag

needs_nerfstudio = pytest.mark.skipif(
    importlib.util.find_spec("nerfstudio") is None,
    reason="nerfstudio is not installed: pip install 'nvs-eval[nerfstudio]'",
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("demo") / "still", views=16, width=48, height=36)


def _transforms(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "transforms.json").read_text())


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- The scene ---


def test_the_scene_is_deterministic(small: Path, tmp_path: Path) -> None:
    again = write_scene(tmp_path / "another name", views=16, width=48, height=36)
    assert _files(again) == _files(small)
    assert len(_files(small)) == 17


def test_images_have_the_default_size_and_texture() -> None:
    image = draw(cameras(40, 144, 108)[13])
    assert image.shape == (108, 144, 3) and image.dtype == np.uint8
    blocks = image[:104].reshape(13, 8, 18, 8, 3).astype(float)
    contrast = blocks.std(axis=(1, 3)).mean(axis=-1)
    # Some blocks show the smooth backdrop, most show stripes, bricks or tiles.
    assert (contrast < 3).sum() > 20
    assert (contrast > 12).sum() > 80


def test_each_image_matches_its_camera(small: Path) -> None:
    transforms = _transforms(small)
    assert transforms["camera_model"] == "OPENCV"
    for frame, camera in zip(transforms["frames"], cameras(16, 48, 36), strict=True):
        image = iio.imread(small / frame["file_path"])
        assert image.shape == (transforms["h"], transforms["w"], 3)
        np.testing.assert_array_equal(image, draw(camera))
        np.testing.assert_array_equal(frame["transform_matrix"], camera.pose)


def test_every_eighth_view_is_held_out(small: Path) -> None:
    transforms = _transforms(small)
    names = [frame["file_path"] for frame in transforms["frames"]]
    assert transforms["test_filenames"] == transforms["val_filenames"] == ["images/0004.png", "images/0012.png"]
    assert set(transforms["train_filenames"]).isdisjoint(transforms["test_filenames"])
    assert sorted(transforms["train_filenames"] + transforms["test_filenames"]) == names


def test_held_out_views_cover_all_sides() -> None:
    held_out = np.array([camera.pose[:3, 3] for camera in cameras(40, 144, 108)])[4::8]
    azimuths = np.sort(np.degrees(np.arctan2(held_out[:, 1], held_out[:, 0])))
    np.testing.assert_allclose(np.diff(azimuths), 72, atol=1e-3)


def test_poses_are_rigid_upright_and_look_at_the_target() -> None:
    for camera in cameras(40, 144, 108):
        rotation, position = camera.pose[:3, :3], camera.pose[:3, 3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-8)
        assert np.linalg.det(rotation) == pytest.approx(1)
        np.testing.assert_array_equal(camera.pose[3], [0, 0, 0, 1])
        toward = (TARGET - position) / np.linalg.norm(TARGET - position)
        np.testing.assert_allclose(-rotation[:, 2], toward, atol=1e-8)
        assert rotation[2, 1] > 0 and abs(rotation[2, 0]) < 1e-8  # y points up, and x is horizontal.


BALL = (0.55, -0.2, 0.7)


@pytest.fixture
def one_ball(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the scene by a small white ball in the dark, away from all axes."""
    monkeypatch.setattr(scene_module, "SOLIDS", (Sphere(BALL, 0.06, np.ones_like),))
    monkeypatch.setattr(scene_module, "_backdrop", np.zeros_like)


@pytest.mark.usefixtures("one_ball")
def test_a_point_projects_as_in_the_pinhole_model(tmp_path: Path) -> None:
    """Uses only the written files: OpenGL poses, pixel centres at half-integers."""
    folder = write_scene(tmp_path / "ball", views=8)
    transforms = _transforms(folder)
    for frame in transforms["frames"]:
        visible = iio.imread(folder / frame["file_path"]).any(axis=-1)
        rows, columns = np.nonzero(visible)
        x, y, z, _ = np.linalg.inv(np.array(frame["transform_matrix"])) @ [*BALL, 1]
        assert z < 0
        assert columns.mean() + 0.5 == pytest.approx(transforms["cx"] + transforms["fl_x"] * x / -z, abs=0.4)
        assert rows.mean() + 0.5 == pytest.approx(transforms["cy"] - transforms["fl_y"] * y / -z, abs=0.4)


@needs_nerfstudio
@pytest.mark.usefixtures("one_ball")
@pytest.mark.filterwarnings("ignore")
def test_nerfstudio_reads_the_scene_with_the_same_rays(tmp_path: Path) -> None:
    from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig

    folder = write_scene(tmp_path / "ball", views=16)
    config = NerfstudioDataParserConfig(
        data=folder, orientation_method="none", center_method="none", auto_scale_poses=False
    )
    parsed = {split: config.setup().get_dataparser_outputs(split) for split in ("train", "test")}
    assert [path.name for path in parsed["test"].image_filenames] == ["0004.png", "0012.png"]
    assert len(parsed["train"].image_filenames) == 14
    for index, path in enumerate(parsed["test"].image_filenames):
        rays = parsed["test"].cameras.generate_rays(camera_indices=index)
        assert rays.directions.shape == (108, 144, 3)
        away = np.array(BALL) - rays.origins.numpy()
        distance = np.linalg.norm(np.cross(away, rays.directions.numpy()), axis=-1)
        # Except at its outline, nerfstudio's rays hit the ball exactly where it was drawn.
        drawn = np.any(iio.imread(path), axis=-1)
        assert drawn[distance < 0.045].all()
        assert not drawn[distance > 0.075].any()


def test_distances_and_normals_in_closed_form() -> None:
    origins, directions = np.array([[5.0, 0.0, 0.0], [5.0, 0.0, 2.0]]), np.array([[-1.0, 0.0, 0.0]] * 2)
    ball = Sphere((1.0, 0.0, 0.0), 0.5, np.ones_like)
    np.testing.assert_allclose(ball.intersect(origins, directions), [3.5, np.inf])
    box = Box((1.0, 0.0, 0.0), (0.5, 2.0, 1.0), np.pi / 2, np.ones_like)  # rotated: 2 along x, 0.5 along y
    np.testing.assert_allclose(box.intersect(origins, directions), [2.0, np.inf])
    for solid, point in ((ball, [1.5, 0.0, 0.0]), (box, [3.0, 0.1, 0.1])):
        np.testing.assert_allclose(solid.surface(np.array([point]))[1], [[1, 0, 0]], atol=1e-12)
    assert np.linalg.norm(SUN) == pytest.approx(1)


def test_noise_is_smooth_and_bounded() -> None:
    points = np.random.default_rng(0).uniform(-5, 5, (1000, 3))
    values = noise(points, 3.0)
    assert 0 <= values.min() < 0.2 and 0.8 < values.max() <= 1
    assert np.abs(noise(points + 1e-4, 3.0) - values).max() < 2e-3
    np.testing.assert_array_equal(blend((0, 0, 0), (1, 2, 3), np.array([0.0, 1.0])), [[0, 0, 0], [1, 2, 3]])


def test_a_complete_scene_is_reused(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_module, "draw", lambda camera: pytest.fail("drawn again"))
    assert write_scene(small, views=16, width=48, height=36) == small


def test_another_scene_is_not_overwritten(small: Path) -> None:
    before = _files(small)
    with pytest.raises(InputError, match="Remove that folder or name another one"):
        write_scene(small, views=8, width=48, height=36)
    assert _files(small) == before
    assert [path.name for path in small.parent.iterdir()] == ["still"]


def test_an_interrupted_scene_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(camera: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(scene_module, "draw", stop)
    with pytest.raises(KeyboardInterrupt):
        write_scene(tmp_path / "still")
    assert list(tmp_path.iterdir()) == []


def test_the_next_scene_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    host, process, start, _ = owner_tag().split("-")
    left = tmp_path / f".nvs-eval-{host}-{process}-{int(start) + 1}-x" / "images"
    left.mkdir(parents=True)
    (left / "0000.png").write_text("half")
    write_scene(tmp_path / "still", views=1, width=8, height=6)
    assert [path.name for path in tmp_path.iterdir()] == ["still"]


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written to .*file/still"):
        write_scene(tmp_path / "file" / "still")


# --- The command ---


@pytest.mark.parametrize("codes", [(0, 0), (0, 3), (3, 0)])
def test_the_demo_ends_with_the_page_and_does_not_name_the_command_for_it(
    codes: tuple[int, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored = record([row("0001", psnr=20.0)], scene="still-life")

    def score(self: Run, callbacks: Callbacks) -> list[tuple[Path, Record]]:
        write_record(record_file(scored, self.output_dir), scored)
        return [(self.output_dir, scored)]

    monkeypatch.setattr(ProtocolOptions, "scorer", lambda self, protocols: SimpleNamespace(device=torch.device("cpu")))
    monkeypatch.setattr(scene_module, "write_scene", lambda folder: folder)
    monkeypatch.setattr(training, "train", lambda scene, runs, **options: runs / "config.yml")
    monkeypatch.setattr(Run, "score", score)
    monkeypatch.setattr(Run, "_report_failed", lambda self, records, lost: codes[0])
    made = Page(tmp_path / "page" / "index.html", "lost" if codes[1] else "")
    monkeypatch.setattr(page_module, "make_page", lambda options, callbacks: made)
    assert Demo(folder=tmp_path, device="cpu").run() == max(codes)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == f"Page: {tmp_path}/page/index.html"
    assert not any("nvs-eval report" in line for line in lines)


# --- The training ---


def test_schedules_have_at_least_three_checkpoints() -> None:
    assert ON_CPU.checkpoints == (300, 600, 900)
    for schedule in (ON_CPU, ON_CUDA):
        assert len(schedule.checkpoints) >= 3 and schedule.checkpoints[-1] == schedule.steps


def test_without_nerfstudio_the_error_names_the_extra(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'nvs-eval\[nerfstudio\]'"):
        train(small, tmp_path, device="cpu")


SHORT = Schedule(steps=12, steps_per_save=4, rays=32)
Pretend = Callable[[str], None]


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Replace the training by a script, in which `run` is the folder of the run."""
    monkeypatch.setattr(training.importlib.util, "find_spec", lambda name: object())

    def use(script: str) -> None:
        def command(scene: Path, output_dir: Path, device: str, schedule: Schedule) -> list[str]:
            run = output_dir / scene.name / "nerfacto" / "demo"
            preamble = f"import os, sys, time, pathlib\nrun = pathlib.Path({str(run)!r})\n"
            return [sys.executable, "-u", "-c", preamble + script]

        monkeypatch.setattr(training, "_command", command)

    return use


WORKS = """
print("Step (% Done)       Train Iter (time)    ETA (time)")
(run / "nerfstudio_models").mkdir()
for step in range(13):
    print(f"{step} ({100 * step / 13:.02f}%)          1 s, 39.428 ms       1 m, 44 s")
    if step and step % 4 == 0:
        (run / "nerfstudio_models" / f"step-{step:09d}.ckpt").write_text("trained")
(run / "config.yml").write_text("")
"""


def test_progress_is_reported_and_a_finished_run_reused(small: Path, tmp_path: Path, pretend: Pretend) -> None:
    pretend(WORKS)
    steps: list[tuple[int, int]] = []
    config = train(
        small, tmp_path, device="cpu", schedule=SHORT, progress=lambda step, last: steps.append((step, last))
    )
    assert config == tmp_path / "still" / "nerfacto" / "demo" / "config.yml"
    assert steps == [(step, 12) for step in range(13)]
    pretend("sys.exit('trained again')")
    assert train(small, tmp_path, device="cpu", schedule=SHORT) == config
    # Checkpoints of a run with other inputs must not pass for new ones.
    with pytest.raises(InputError, match="trained again"):
        train(small, tmp_path, device="cpu", schedule=Schedule(steps=16, steps_per_save=4, rays=32))
    assert list((config.parent / "nerfstudio_models").iterdir()) == []


def test_a_failure_shows_the_path_and_the_end_of_the_log(small: Path, tmp_path: Path, pretend: Pretend) -> None:
    pretend("print('first', *range(40), sep='\\n')\nraise RuntimeError('failed')")
    with pytest.raises(InputError) as caught:
        train(small, tmp_path, device="cpu", schedule=SHORT)
    log = tmp_path / "still" / "nerfacto" / "demo" / "train.log"
    assert str(log) in str(caught.value) and "RuntimeError: failed" in str(caught.value)
    assert "first" not in str(caught.value) and log.read_text().startswith("first\n")


def test_success_without_checkpoints_is_a_failure(small: Path, tmp_path: Path, pretend: Pretend) -> None:
    """nerfstudio exits with 0 even if it is interrupted."""
    pretend("print('KeyboardInterrupt')")
    with pytest.raises(InputError, match="exit code 0"):
        train(small, tmp_path, device="cpu", schedule=SHORT)


@pytest.mark.skipif(os.name != "posix", reason="process groups need POSIX")
def test_an_interrupt_ends_the_training_and_its_children(small: Path, tmp_path: Path, pretend: Pretend) -> None:
    pretend(
        "child = os.fork()\nif child:\n    print(os.getpid(), child, file=(run / 'pids').open('w'), flush=True)\n"
        "    print('0 (0.00%)')\ntime.sleep(600)"
    )

    def interrupt(step: int, last: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(small, tmp_path, device="cpu", schedule=SHORT, progress=interrupt)
    for pid in (tmp_path / "still" / "nerfacto" / "demo" / "pids").read_text().split():
        assert not _is_alive(int(pid))


def _is_alive(pid: int) -> bool:
    """Return whether a process is alive. A zombie, which may remain of an orphaned child, is not."""
    status = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self").exists():
        pytest.skip("the state of processes is read from /proc")
    for _ in range(100):
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        time.sleep(0.05)
    return True


@needs_nerfstudio
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_short_training_writes_a_standard_run(small: Path, tmp_path: Path) -> None:
    import torch

    from nvs_eval.metrics.weights.backbones import find_backbone, load_backbone

    if not find_backbone("alex").verified:
        pytest.skip("the AlexNet weights of LPIPS are missing: run `make weights`")
    steps: list[int] = []
    config = train(small, tmp_path, device="cpu", schedule=SHORT, progress=lambda step, last: steps.append(step))
    assert steps and steps[-1] <= 12
    checkpoints = sorted((config.parent / "nerfstudio_models").iterdir())
    assert [path.name for path in checkpoints] == [f"step-{step:09d}.ckpt" for step in SHORT.checkpoints]
    # The configuration is plain nerfacto, so that every ns-* command can load it.
    text = config.read_text()
    assert "method_name: nerfacto\n" in text and "nvs_eval" not in text.replace(str(tmp_path), "")
    state = torch.load(checkpoints[-1], weights_only=False)["pipeline"]
    # The model's own LPIPS, which ns-eval uses, has the published weights.
    assert torch.equal(state["_model.lpips.net.net.slice1.0.weight"], load_backbone("alex")["features.0.weight"])
