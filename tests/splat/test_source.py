"""Splats from their files to records: `nvs-eval run --load-config MODEL`."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation
from support.commands import Said
from support.protocols import LIGHT as LIGHT_PROTOCOL

pytest.importorskip("numba", reason="numba is not installed")

from support.splat_runs import Splat, changed, draw, save, write_splat
from support.splat_scenes import NAMES, ring
from support.splats import write_gsplat, write_inria, write_ply

import nvs_eval
from nvs_eval.errors import InputError
from nvs_eval_splat.cameras.frames import gsplat_frames
from nvs_eval_splat.models.parameters import Parameters

SHARED = Path(__file__).resolve().parents[3] / "shared"
LIGHT = ("--protocol", "nerf", "--device", "cpu", "--keep-renders", "none")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Splat:
    return write_splat(tmp_path_factory.mktemp("splat"))


@pytest.fixture
def splat(made: Splat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Splat]:
    """The scene and its models, in a folder of the test."""
    for path in (made.scene, made.inria, made.gsplat):
        shutil.copytree(path, tmp_path / path.name)
    shutil.copy(made.ply, tmp_path / made.ply.name)
    monkeypatch.chdir(tmp_path)
    scene, inria, gsplat, ply = (Path(path.name) for path in made[:4])
    yield Splat(scene, inria, gsplat, ply, made.parameters)


def run(*models: Path, **options: Any) -> list[nvs_eval.Record]:
    given = {"protocol": "nerf", "device": "cpu", "keep_renders": "none", "data": Path("ball"), **options}
    return nvs_eval.run(models, **given)


def test_one_splat_has_the_same_scores_from_each_kind_of_file(splat: Splat) -> None:
    records = run(splat.inria, splat.gsplat, splat.ply, convention="inria")
    assert [str(record.id) for record in records] == ["ball/first/7", "ball/second/6-inria", "ball/third"]
    assert [row.name for row in records[0].views] == ["0001", "0009"]
    for place, row in enumerate(records[0].views):
        reference = np.asarray(Image.open(splat.scene / "images" / f"{row.name}.png")) / 255
        error = np.mean((draw(splat.parameters, ring()[8 * place]).astype(float) - reference) ** 2)
        assert row.scores["psnr"] == pytest.approx(-10 * math.log10(error), abs=1e-4)
        for other in records[1:]:
            assert other.views[place].scores["psnr"] == pytest.approx(row.scores["psnr"], abs=1e-6)
    assert {record.provenance["rasteriser"] for record in records} == {
        "raster|inria|lowpass:0.3|cutoff:3sigma|alpha:0.99|near:0.2|pp:centre|aa:0|bg:0,0,0|v1"
    }
    assert {record.provenance["gaussians"] for record in records} == {300}
    assert records[2].provenance["model_bytes"] == splat.ply.stat().st_size


def test_conventions_are_named_and_not_ranked_together(splat: Splat, cli: Callable[..., Said]) -> None:
    said = cli("run", "--load-splat", "first", "second", "--data", "ball", *LIGHT)
    assert said.code == 0, said.err
    assert "Held out by interval 8: the first of every 8 images is held out" in said.err
    lines = {line.split()[0]: line for line in said.out.splitlines() if line.strip()}
    assert "inria v1" in lines["first"]
    assert "gsplat-1.4 v1" in lines["second"]
    assert "different rasterisers (inria v1 and gsplat-1.4 v1)" in said.out
    assert "none is ranked" in said.out
    refused = cli("table", "nvs-eval-results")
    assert refused.code == 2
    assert "different rasterisers (inria v1 and gsplat-1.4 v1)" in refused.err
    assert "Render both with one `--convention`" in refused.err
    assert cli("table", "nvs-eval-results", "--allow-mixed").code == 0
    alone = cli("table", "nvs-eval-results/ball/first")
    assert "rasteriser" not in alone.out
    assert "raster|inria|lowpass:0.3" in alone.out


def test_what_changes_pixels_changes_the_record(splat: Splat) -> None:
    (first,) = run(splat.inria)
    (again,) = run(splat.inria)
    assert again.provenance["started"] == first.provenance["started"]
    for changes in ({"background": "white"}, {"antialiased": True}):
        with pytest.raises(InputError, match="another configuration"):
            run(splat.inria, **changes)
    (white,) = run(splat.inria, background="white", overwrite=True)
    assert "bg:1,1,1" in white.provenance["rasteriser"]
    Image.fromarray(np.zeros((32, 40, 3), np.uint8)).save("ball/images/0009.png")
    with pytest.raises(InputError, match="other data"):
        run(splat.inria, background="white")


def test_options_of_views(splat: Splat) -> None:
    (record,) = run(splat.inria, views=["0009"])
    assert [row.name for row in record.views] == ["0009"]
    assert record.selection is not None
    save(Path("mask.png"), np.ones((32, 40, 3)))
    Path("light.yaml").write_text(LIGHT_PROTOCOL)
    (masked,) = run(splat.inria, masks="mask.png", protocol="light.yaml")
    assert masked.views[1].coverage == 1
    (train,) = run(splat.inria, split="train", every=3)
    assert [row.name for row in train.views] == ["0002", "0005", "0008"]
    (kept,) = run(splat.inria, keep_renders="png", output_dir="kept")
    assert kept.views[0].render == "renders/0001.png"
    (held,) = run(splat.inria, hold=5, output_dir="held")
    assert [row.name for row in held.views] == ["0001", "0006"]
    assert kept.views[0].render_seconds is None
    assert kept.views[1].render_seconds is not None


def test_all_steps(splat: Splat) -> None:
    write_inria(splat.inria, {30: changed(splat.parameters, opacities=splat.parameters.opacities - 1)})
    first, last = run(splat.inria, steps="all")
    assert (first.step, last.step) == (7, 30)
    assert first.means["psnr"] > last.means["psnr"]
    with pytest.raises(InputError, match=r"first has no step 8. Its steps: 7, 30"):
        run(splat.inria, steps=[8])


# --- Frames -----------------------------------------------------------------------------------------------------------


def moved(model: Parameters) -> Parameters:
    """Return a model of degree 0 in gsplat's normalised frame of the scene."""
    points = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    matrix = gsplat_frames(ring(), points)[0].matrix
    scale = np.cbrt(np.linalg.det(matrix[:3, :3]))
    turn = Rotation.from_matrix(matrix[:3, :3] / scale)
    turned = turn * Rotation.from_quat(np.roll(model.rotations, -1, axis=1))
    return changed(
        model,
        means=model.means @ matrix[:3, :3].T + matrix[:3, 3],
        scales=model.scales + np.log(scale),
        rotations=np.roll(turned.as_quat(), 1, axis=1),
        harmonics=model.harmonics[:, :1],
    )


def test_the_normalised_frame_of_gsplat(splat: Splat) -> None:
    normalised = moved(splat.parameters)
    write_gsplat(Path("normal"), {6: normalised}, "data_dir: ball\ntest_every: 8\nnormalize_world_space: true\n")
    flat = changed(splat.parameters, harmonics=splat.parameters.harmonics[:, :1])
    (expected,) = run(write_ply(Path("flat.ply"), flat), convention="gsplat-1.4")
    (record,) = run(Path("normal"))
    assert record.means["psnr"] == pytest.approx(expected.means["psnr"], abs=0.01)
    assert record.provenance["frame"].startswith("gsplat's normalised frame")
    exported = write_ply(Path("exported.ply"), normalised)
    with pytest.raises(InputError, match=r"does not fit 3 training views .* pass `--frame gsplat` \(2\d\.\d dB\)"):
        run(exported)
    (record,) = run(exported, frame="gsplat", convention="gsplat-1.4")
    assert record.means["psnr"] == pytest.approx(expected.means["psnr"], abs=0.01)


def test_a_model_of_another_scene(splat: Splat) -> None:
    far = write_ply(Path("far.ply"), changed(splat.parameters, means=splat.parameters.means + 100))
    with pytest.raises(InputError, match=r"0% of the pixels opaque\. Likely causes: the data is of another scene"):
        run(far)
    assert not Path("nvs-eval-results").exists()


def test_another_activation_is_named(splat: Splat) -> None:
    model = changed(splat.parameters, scales=np.exp(splat.parameters.scales))
    with pytest.raises(
        InputError, match="With another activation it fits: scales look as if they were stored activated"
    ):
        run(write_ply(Path("scales.ply"), model))


def test_without_training_images_the_check_is_skipped(splat: Splat, cli: Callable[..., Said]) -> None:
    for name in NAMES:
        if name not in ("0001.png", "0009.png"):
            (splat.scene / "images" / name).unlink()
    said = cli("run", "--load-config", "first", "--data", "ball", *LIGHT)
    assert said.code == 0
    assert "the frame of the model was not checked: there are no training images." in said.err


# --- The export check -------------------------------------------------------------------------------------------------


def test_a_file_that_is_the_model(splat: Splat, cli: Callable[..., Said]) -> None:
    said = cli("run", "--load-config", "first", "--data", "ball", *LIGHT)
    assert "the file reproduces the tool's renders to 59 dB (2 views, each at least 59 dB)" in said.err
    (record,) = nvs_eval.read_records("nvs-eval-results")
    assert all(58 < (row.own or {})["export"] < 60 for row in record.views)
    inspected = cli("inspect", "nvs-eval-results/ball/first/7/" + next(Path("nvs-eval-results").rglob("*.json")).name)
    assert "· The file reproduces the tool's renders to 59 dB" in inspected.out


def test_a_file_that_is_not_the_model(splat: Splat, cli: Callable[..., Said]) -> None:
    tools = Path("own")
    absolute = np.abs(splat.parameters.opacities).clip(1e-6, 1 - 1e-6)
    model = changed(splat.parameters, opacities=np.log(absolute / (1 - absolute)))
    for place, pose in enumerate(ring()[::8]):
        save(tools / f"{place:05d}.png", draw(model, pose))
    said = cli("run", "--load-config", "third.ply", "--data", "ball", "--own-renders", "own", *LIGHT)
    assert said.code == 0
    assert "the file is not the model: " in said.err
    assert "; opacity looks like |x| instead of sigmoid." in said.err
    file = next(Path("nvs-eval-results").rglob("*.json"))
    assert "! The file is not the model: " in cli("inspect", str(file)).out
    assert "opacity looks like |x| instead of sigmoid" in cli("inspect", str(file)).out
    (tools / "00001.png").unlink()
    refused = cli("run", "--load-config", "third.ply", "--data", "ball", "--own-renders", "own", *LIGHT, "--overwrite")
    assert refused.code == 2
    assert "must have a render of each of the 2 views of the split" in refused.err


def test_the_canvases_of_gsplat(splat: Splat, cli: Callable[..., Said]) -> None:
    for place, pose in enumerate(ring()[::8]):
        image = draw(splat.parameters, pose, "gsplat-1.4")
        save(splat.gsplat / "renders" / f"val_step6_{place:04d}.png", np.concatenate([0 * image, image], axis=1))
    said = cli("run", "--load-config", "second", "--data", "ball", *LIGHT)
    assert "the file reproduces the tool's renders to 59 dB" in said.err


# --- Inspection and bad input -----------------------------------------------------------------------------------------


def test_inspect_a_splat(splat: Splat, cli: Callable[..., Said]) -> None:
    out = cli("inspect", "first", "--data", "ball").out
    assert "interval 8: the first of every 8 images is held out, in the order of their names" in out
    assert "2 of 10: 0001, 0009" in out
    assert "read by COLMAP's sparse model" in out


def test_options_that_do_not_apply(splat: Splat, refused: Callable[..., str]) -> None:
    message = refused("run", "--load-config", "first", "--eval-num-rays-per-chunk", "9", *LIGHT)
    assert "does not apply to splats" in message
    assert "must be white, black or r,g,b" in refused("run", "--load-config", "first", "--background", "red", *LIGHT)
    message = refused("run", "--load-config", "nothing", *LIGHT)
    assert "the config.yml of a nerfstudio run, or the folder of a splat" in message
    assert "nothing does not exist" in message
    Path("a.spz").write_bytes(b"x")
    assert "splat-transform" in refused("run", "--load-config", "a.spz", *LIGHT)


def test_the_fox_is_distorted(splat: Splat) -> None:
    if not (fox := SHARED / "scenes" / "fox_8").is_dir():
        pytest.skip("the scene fox_8 is not here")
    with pytest.raises(InputError, match=r"must be an undistorted pinhole. It has k1 .* Undistort the images"):
        run(splat.ply, data=fox)


def test_a_checkpoint_without_trust_runs_nothing(splat: Splat) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path("owned").touch, ()

    torch.save({"step": 6, "splats": Evil()}, "second/ckpts/ckpt_6_rank0.pt")
    with pytest.raises(InputError, match="is refused"):
        run(splat.gsplat)
    assert not Path("owned").exists()


def test_gaussians_that_are_not_finite_are_counted(splat: Splat, cli: Callable[..., Said]) -> None:
    means = splat.parameters.means.copy()
    means[:3] = np.nan
    write_ply(Path("nan.ply"), changed(splat.parameters, means=means))
    said = cli("run", "--load-config", "nan.ply", "--data", "ball", *LIGHT)
    assert said.code == 0
    assert "3 Gaussians with NaN or infinite parameters not drawn" in said.err
    (record,) = nvs_eval.read_records("nvs-eval-results")
    assert record.provenance["gaussians"] == 297
