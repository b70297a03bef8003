"""`inspect` of a nerfstudio run: the description of its split, and how its data manager prepares references."""

from __future__ import annotations

import copy
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.inspecting import texts
from support.pinned import Pinned
from support.scenes import FRAMES, bitmap, frame, nerfstudio_scene

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed", exc_type=ImportError)

from nvs_eval.cli import main
from nvs_eval.diagnostics.inspection import RunData, inspectors
from nvs_eval.diagnostics.inspection.run import inspect_run as report_on
from nvs_eval.errors import InputError
from nvs_eval_nerfstudio import inspection
from nvs_eval_nerfstudio.inspection import inspect_run, split_rule
from nvs_eval_nerfstudio.quiet import import_nerfstudio, quiet

import_nerfstudio()

from nerfstudio.configs.dataparser_configs import all_dataparsers  # noqa: E402
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig  # noqa: E402
from nerfstudio.data.dataparsers.nerfstudio_dataparser import (  # noqa: E402
    Nerfstudio,
    NerfstudioDataParserConfig,
)

FOX = Path("../shared/runs/fox/nerfacto/base/config.yml")
NAMES = list(FRAMES)


def names(run: RunData) -> tuple[list[str], list[str]]:
    """Return the names of the training views and of the held-out views."""
    return [view.name for view in run.training], [view.name for view in run.held_out]


def test_run_without_findings(tmp_path: Path, trained: Callable[..., Path], pinned: Pinned) -> None:
    run = inspect_run(trained(nerfstudio_scene(tmp_path / "data"), eval_mode="interval"), data=None)
    assert run.name == "made/nerfacto/base"
    assert names(run) == ([name for name in NAMES if name not in (NAMES[0], NAMES[8])], ["0001", "0009"])
    pinned("inspect", run.rule)
    assert {view.size for view in run.held_out} == {(16, 12)}
    assert (run.parser, run.data, run.preparation) == ("Nerfstudio", tmp_path / "data", [])
    assert report_on(run).findings == []


def test_moved_data(tmp_path: Path, trained: Callable[..., Path]) -> None:
    config = trained(tmp_path / "gone", eval_mode="interval")
    with pytest.raises(InputError, match=r"gone.*`--data`"):
        inspect_run(config, data=None)
    run = inspect_run(config, data=nerfstudio_scene(tmp_path / "moved"))
    assert run.data == tmp_path / "moved"
    assert names(run)[0][0] == NAMES[1]
    with pytest.raises(InputError, match="cannot be read: FileNotFoundError"):
        (tmp_path / "moved" / "transforms.json").unlink()
        inspect_run(config, data=tmp_path / "moved")


# --- Descriptions of the split --------------------------------------------------------------------------------------


def test_split_by_fraction(tmp_path: Path, trained: Callable[..., Path], pinned: Pinned) -> None:
    run = inspect_run(trained(nerfstudio_scene(tmp_path / "data"), train_split_fraction=0.65), data=None)
    pinned("inspect", run.rule)
    training, held_out = names(run)
    assert len(training) == 7 and len(held_out) == 3
    assert {training[0], training[-1]} == {NAMES[0], NAMES[-1]}


def test_split_by_file_name(tmp_path: Path, trained: Callable[..., Path], pinned: Pinned) -> None:
    images = ["images/train_1.png", "images/eval_1.png"]
    run = inspect_run(trained(nerfstudio_scene(tmp_path / "data", images), eval_mode="filename"), data=None)
    pinned("inspect", run.rule)
    assert names(run) == (images[:1], ["eval_1"])


def test_nerfstudio_run_that_trains_on_all_views(tmp_path: Path, trained: Callable[..., Path], pinned: Pinned) -> None:
    run = inspect_run(trained(nerfstudio_scene(tmp_path / "data"), eval_mode="all"), data=None)
    pinned("inspect", run.rule)
    (finding,) = texts(report_on(run), doubtful=True)
    pinned("inspect", finding)


def test_lists_in_the_data_override_the_mode(tmp_path: Path, trained: Callable[..., Path], pinned: Pinned) -> None:
    lists: Any = {"train_filenames": NAMES[:5], "val_filenames": NAMES[4:6], "test_filenames": NAMES[4:6]}
    config = trained(nerfstudio_scene(tmp_path / "data", **lists), eval_mode="interval")
    run = inspect_run(config, data=None)
    pinned("inspect", run.rule)
    assert names(run) == (NAMES[:5], ["0005", "0006"])
    (finding,) = texts(report_on(run))
    pinned("inspect", finding)


def test_empty_list_of_held_out_views(tmp_path: Path, trained: Callable[..., Path], pinned: Pinned) -> None:
    lists: Any = {"train_filenames": NAMES, "val_filenames": [], "test_filenames": []}
    run = inspect_run(trained(nerfstudio_scene(tmp_path / "data", **lists)), data=None)
    (finding,) = texts(report_on(run))
    pinned("inspect", finding)


def test_data_is_a_json_file(tmp_path: Path, trained: Callable[..., Path]) -> None:
    file = nerfstudio_scene(tmp_path / "data") / "transforms.json"
    run = inspect_run(trained(file, eval_mode="interval"), data=None)
    assert names(run)[0][0] == NAMES[1]


def test_blender_data(tmp_path: Path, trained: Callable[..., Path], pinned: Pinned) -> None:
    for seed, (split, image) in enumerate((("train", "train/r_0"), ("test", "test/r_0"), ("test", "test/r_1"))):
        (tmp_path / split).mkdir(exist_ok=True)
        bitmap(seed, (16, 12), channels=4).save(tmp_path / f"{image}.png")
        file = tmp_path / f"transforms_{split}.json"
        frames = json.loads(file.read_text())["frames"] if file.exists() else []
        file.write_text(json.dumps({"camera_angle_x": 0.7, "frames": [*frames, frame(1, f"./{image}")]}))
    run = inspect_run(trained(tmp_path, parser=BlenderDataParserConfig()), data=None)
    pinned("inspect", run.rule)
    assert names(run) == (["train/r_0.png"], ["r_0", "r_1"])
    (finding,) = texts(report_on(run))
    pinned("inspect", finding)
    assert run.alpha in finding


def test_split_rule_of_every_nerfstudio_parser_is_described(tmp_path: Path) -> None:
    (tmp_path / "transforms.json").write_text("{}")
    assert {"nerfstudio-data", "blender-data", "colmap", "sdfstudio-data"} <= set(all_dataparsers)
    unknown = []
    for name, stock in all_dataparsers.items():
        parser: Any = copy.deepcopy(stock)
        parser.data = tmp_path
        if split_rule(parser, training=9, held_out=1).startswith("unknown"):
            unknown.append(name)
    assert unknown == []


class Foreign(Nerfstudio):
    """A third party's parser, which may use any split."""


def test_split_rule_of_a_third_partys_parser_is_unknown() -> None:
    parser = NerfstudioDataParserConfig(_target=Foreign)
    rule = split_rule(parser, training=9, held_out=1)
    assert rule == f"unknown: decided by {Foreign.__module__}.Foreign, which is not part of nerfstudio"


@pytest.mark.parametrize("listed", [True, False])
def test_lists_of_the_colmap_parser(listed: bool, tmp_path: Path, pinned: Pinned) -> None:
    from nerfstudio.data.dataparsers.colmap_dataparser import ColmapDataParserConfig

    if listed:
        (tmp_path / "test_list.txt").touch()
    pinned("inspect", split_rule(ColmapDataParserConfig(data=tmp_path), training=7, held_out=1))


# --- The images -----------------------------------------------------------------------------------------------------


def test_missing_images_are_reported(tmp_path: Path, trained: Callable[..., Path], pinned: Pinned) -> None:
    data = nerfstudio_scene(tmp_path / "data")
    (data / NAMES[8]).unlink()
    (finding,) = texts(report_on(inspect_run(trained(data, eval_mode="interval"), data=None)))
    pinned("inspect", finding)


def test_image_size_differs_from_the_cameras(tmp_path: Path, trained: Callable[..., Path], pinned: Pinned) -> None:
    data = nerfstudio_scene(tmp_path / "data")
    bitmap(8, (8, 6)).save(data / NAMES[8])
    (finding,) = texts(report_on(inspect_run(trained(data, eval_mode="interval"), data=None)), doubtful=True)
    pinned("inspect", finding)


def test_alpha_is_composited_by_the_method(tmp_path: Path, trained: Callable[..., Path], pinned: Pinned) -> None:
    data = nerfstudio_scene(tmp_path / "data")
    bitmap(8, (16, 12), channels=4).save(data / NAMES[8])
    (finding,) = texts(report_on(inspect_run(trained(data, eval_mode="interval"), data=None)))
    pinned("inspect", finding)


def test_masks_of_nerfstudio_data(tmp_path: Path, trained: Callable[..., Path], pinned: Pinned) -> None:
    data = nerfstudio_scene(tmp_path / "data", more=lambda name: {"mask_path": name.replace("images", "masks")})
    (data / "masks").mkdir()
    for name in NAMES:
        bitmap(1, (16, 12)).save(data / name.replace("images", "masks"))
    run = inspect_run(trained(data, eval_mode="interval"), data=None)
    assert [view.mask for view in run.held_out] == [data / "masks/0001.png", data / "masks/0009.png"]
    report = report_on(run)
    pinned("inspect", dict(report.facts)["masks"])
    assert texts(report) == []
    (sentence,) = preparation(trained(data, eval_mode="interval", mask_color=(0.0, 0.0, 0.0)))
    pinned("inspect", sentence)


# --- Preparation of references --------------------------------------------------------------------------------------


def downscaled(folder: Path, size: tuple[int, int], factors: Sequence[int]) -> Path:
    """Write a scene of large images, with downscaled copies beside them."""
    data = nerfstudio_scene(folder, NAMES[:2], w=size[0], h=size[1], cx=size[0] / 2, cy=size[1] / 2)
    for name in NAMES[:2]:
        Image.new("L", size).save(data / name)
        for factor in factors:
            small = data / name.replace("images", f"images_{factor}")
            small.parent.mkdir(exist_ok=True)
            bitmap(len(list(data.rglob("*"))), (size[0] // factor, size[1] // factor)).save(small)
    return data


def preparation(config: Path) -> list[str]:
    return list(inspect_run(config, data=None).preparation)


@pytest.mark.parametrize("factors", [(), (2,)])
def test_downscaling_that_is_not_recorded(
    factors: Sequence[int], tmp_path: Path, trained: Callable[..., Path], pinned: Pinned
) -> None:
    config = trained(downscaled(tmp_path / "data", (2000, 4), factors), eval_mode="interval")
    (sentence,) = preparation(config)
    pinned("inspect", sentence)


def test_downscaling_that_is_recorded(tmp_path: Path, trained: Callable[..., Path], pinned: Pinned) -> None:
    data = downscaled(tmp_path / "data", (32, 24), [2])
    assert preparation(trained(data, eval_mode="interval")) == []  # Small images are not downscaled.
    assert preparation(trained(data, eval_mode="interval", downscale_factor=1)) == []
    config = trained(data, eval_mode="interval", downscale_factor=2)
    (sentence,) = preparation(config)
    pinned("inspect", sentence)
    assert texts(report_on(inspect_run(config, data=None)), doubtful=True) == []


def test_images_that_are_resized_when_read(tmp_path: Path, trained: Callable[..., Path], pinned: Pinned) -> None:
    config = trained(nerfstudio_scene(tmp_path / "data"), eval_mode="interval", camera_res_scale_factor=0.5)
    (sentence,) = preparation(config)
    pinned("inspect", sentence)


@pytest.mark.parametrize(
    ("method", "k1", "count"), [("splatfacto", 0.1, 1), ("splatfacto", 0, 0), ("nerfacto", 0.1, 0)]
)
def test_undistorted_references(
    *, method: str, k1: float, count: int, tmp_path: Path, trained: Callable[..., Path], pinned: Pinned
) -> None:
    config = trained(nerfstudio_scene(tmp_path / "data", k1=k1), method=method, eval_mode="interval")
    sentences = preparation(config)
    assert len(sentences) == count
    for sentence in sentences:
        pinned("inspect", sentence)


def test_points_are_not_read(tmp_path: Path, trained: Callable[..., Path]) -> None:
    """The point cloud is missing, so nerfstudio would fail if it were read."""
    config = trained(
        nerfstudio_scene(tmp_path / "data", ply_file_path="gone.ply"), eval_mode="interval", load_3D_points=True
    )
    assert len(inspect_run(config, data=None).held_out) == 2


class Asking(Nerfstudio):
    """A parser that prompts the user, as nerfstudio's do if downscaled images are missing."""

    def _generate_dataparser_outputs(self, split: str = "train") -> Any:
        print("Downscale")
        if input("the images? "):
            raise SystemExit(1)
        return super()._generate_dataparser_outputs(split)


class Leaving(Nerfstudio):
    def _generate_dataparser_outputs(self, split: str = "train") -> Any:
        raise SystemExit(1)


def parse_with(parser: type[Nerfstudio], data: Path) -> None:
    from nvs_eval_nerfstudio.eval_data import parsing

    with quiet(), parsing(data):
        NerfstudioDataParserConfig(_target=parser, data=data).setup().get_dataparser_outputs(split="train")


def test_prompts_of_nerfstudio_are_not_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = io.StringIO("y\n")
    monkeypatch.setattr(sys, "stdin", answers)
    with pytest.raises(InputError, match=r"asks a question before .*'Downscale the images\?'"):
        parse_with(Asking, nerfstudio_scene(tmp_path / "data"))
    assert sys.stdin is answers and answers.read() == "y\n"
    with pytest.raises(InputError, match="cannot be read: SystemExit: 1"):
        parse_with(Leaving, tmp_path / "data")


# --- A real run -----------------------------------------------------------------------------------------------------


def test_report_of_a_real_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, pinned: Pinned
) -> None:
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    if not FOX.exists():
        pytest.skip(f"{FOX} does not exist")
    monkeypatch.setattr(inspectors, "find_inspector", lambda path: inspection)
    assert main(["inspect", str(FOX)]) == 0
    pinned("inspect", capsys.readouterr().out)
