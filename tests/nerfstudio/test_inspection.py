"""What `inspect` says of a nerfstudio run: its split in words, and what its data manager does to references."""

from __future__ import annotations

import copy
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from support.inspecting import texts
from support.scenes import FRAMES, bitmap, frame, nerfstudio_scene

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed", exc_type=ImportError)

from nvs_eval.cli import main
from nvs_eval.diagnostics.inspection import RunData, inspectors
from nvs_eval.diagnostics.inspection.run import inspect_run as report_on
from nvs_eval.errors import InputError
from nvs_eval_nerfstudio.inspection import inspect_run, split_rule
from nvs_eval_nerfstudio.quiet import import_nerfstudio, quiet

import_nerfstudio()

from nerfstudio.configs.dataparser_configs import all_dataparsers  # noqa: E402
from nerfstudio.configs.method_configs import all_methods  # noqa: E402
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig  # noqa: E402
from nerfstudio.data.dataparsers.nerfstudio_dataparser import (  # noqa: E402
    Nerfstudio,
    NerfstudioDataParserConfig,
)

FOX = Path("../shared/runs/fox/nerfacto/base/config.yml")
NAMES = list(FRAMES)


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., Path]:
    """The config.yml of a run on some data, of which nothing was trained."""

    def write(data: Path, *, method: str = "nerfacto", parser: Any = None, **options: Any) -> Path:
        config: Any = copy.deepcopy(all_methods[method])
        config.data = data
        config.experiment_name, config.timestamp = "made", "base"
        manager = config.pipeline.datamanager
        manager.data = data
        manager.dataparser = parser or NerfstudioDataParserConfig()
        for name, value in options.items():
            setattr(manager if hasattr(manager, name) else manager.dataparser, name, value)
        path = tmp_path / "config.yml"
        path.write_text(yaml.dump(config))
        return path

    return write


def names(run: RunData) -> tuple[list[str], list[str]]:
    return [view.name for view in run.training], [view.name for view in run.held_out]


def test_a_run_that_is_in_order(tmp_path: Path, trained: Callable[..., Path]) -> None:
    run = inspect_run(trained(nerfstudio_scene(tmp_path / "data"), eval_mode="interval"), data=None)
    assert run.name == "made/nerfacto/base"
    assert names(run) == ([name for name in NAMES if name not in (NAMES[0], NAMES[8])], ["0001", "0009"])
    assert run.rule == "interval 8: of every 8 images in the order of their paths the first is held out"
    assert {view.size for view in run.held_out} == {(16, 12)}
    assert (run.parser, run.data, run.preparation) == ("Nerfstudio", tmp_path / "data", [])
    assert report_on(run).findings == []


def test_the_data_lies_elsewhere(tmp_path: Path, trained: Callable[..., Path]) -> None:
    config = trained(tmp_path / "gone", eval_mode="interval")
    with pytest.raises(InputError, match=r"is not at .*gone, .*`--data`"):
        inspect_run(config, data=None)
    run = inspect_run(config, data=nerfstudio_scene(tmp_path / "moved"))
    assert run.data == tmp_path / "moved"
    assert names(run)[0][0] == NAMES[1]
    with pytest.raises(InputError, match="cannot be read: FileNotFoundError"):
        (tmp_path / "moved" / "transforms.json").unlink()
        inspect_run(config, data=tmp_path / "moved")


# --- The split, in words --------------------------------------------------------------------------------------------


def test_a_fraction(tmp_path: Path, trained: Callable[..., Path]) -> None:
    run = inspect_run(trained(nerfstudio_scene(tmp_path / "data"), train_split_fraction=0.65), data=None)
    assert run.rule == (
        "fraction 0.65: so much of the images is trained on, which are 7 of 10, evenly spaced in the order of their "
        "paths from the first to the last; the others are held out"
    )
    training, held_out = names(run)
    assert len(training) == 7 and len(held_out) == 3
    assert {training[0], training[-1]} == {NAMES[0], NAMES[-1]}


def test_names_that_say_their_split(tmp_path: Path, trained: Callable[..., Path]) -> None:
    images = ["images/train_1.png", "images/eval_1.png"]
    run = inspect_run(trained(nerfstudio_scene(tmp_path / "data", images), eval_mode="filename"), data=None)
    assert run.rule.startswith("filename: images with `train` in their file's name are trained on")
    assert names(run) == (images[:1], ["eval_1"])


def test_all(tmp_path: Path, trained: Callable[..., Path]) -> None:
    run = inspect_run(trained(nerfstudio_scene(tmp_path / "data"), eval_mode="all"), data=None)
    assert run.rule == "all: every image is trained on and evaluated alike (eval_mode all)"
    (said,) = texts(report_on(run), doubtful=True)
    assert said.startswith("Every view that is evaluated was trained on: ")


def test_lists_in_the_data_overrule_the_mode(tmp_path: Path, trained: Callable[..., Path]) -> None:
    lists: Any = {"train_filenames": NAMES[:5], "val_filenames": NAMES[4:6], "test_filenames": NAMES[4:6]}
    config = trained(nerfstudio_scene(tmp_path / "data", **lists), eval_mode="interval")
    run = inspect_run(config, data=None)
    assert run.rule == (
        "files: train_filenames and test_filenames of transforms.json name the views; eval_mode interval is not asked"
    )
    assert names(run) == (NAMES[:5], ["0005", "0006"])
    assert texts(report_on(run)) == ["1 of 2 held-out views is in the training list, too: 0005."]


def test_lists_that_hold_nothing_out(tmp_path: Path, trained: Callable[..., Path]) -> None:
    lists: Any = {"train_filenames": NAMES, "val_filenames": [], "test_filenames": []}
    run = inspect_run(trained(nerfstudio_scene(tmp_path / "data", **lists)), data=None)
    assert texts(report_on(run)) == ["No view is held out: there is nothing to evaluate but the training views."]


def test_a_json_file_as_the_data(tmp_path: Path, trained: Callable[..., Path]) -> None:
    file = nerfstudio_scene(tmp_path / "data") / "transforms.json"
    run = inspect_run(trained(file, eval_mode="interval"), data=None)
    assert names(run)[0][0] == NAMES[1]


def test_blender(tmp_path: Path, trained: Callable[..., Path]) -> None:
    for seed, (split, image) in enumerate((("train", "train/r_0"), ("test", "test/r_0"), ("test", "test/r_1"))):
        (tmp_path / split).mkdir(exist_ok=True)
        bitmap(seed, (16, 12), channels=4).save(tmp_path / f"{image}.png")
        file = tmp_path / f"transforms_{split}.json"
        frames = json.loads(file.read_text())["frames"] if file.exists() else []
        file.write_text(json.dumps({"camera_angle_x": 0.7, "frames": [*frames, frame(1, f"./{image}")]}))
    run = inspect_run(trained(tmp_path, parser=BlenderDataParserConfig()), data=None)
    assert run.rule == "files: transforms_train.json and transforms_test.json name the views"
    assert names(run) == (["train/r_0.png"], ["r_0", "r_1"])
    assert run.alpha == "the dataparser has them composited over (1, 1, 1)"
    assert texts(report_on(run)) == [
        "All 2 references have an alpha channel: the dataparser has them composited over (1, 1, 1)."
    ]


def test_every_parser_of_nerfstudio_has_its_rule_in_words(tmp_path: Path) -> None:
    (tmp_path / "transforms.json").write_text("{}")
    assert {"nerfstudio-data", "blender-data", "colmap", "sdfstudio-data"} <= set(all_dataparsers)
    unknown = []
    for name, stock in all_dataparsers.items():
        parser: Any = copy.deepcopy(stock)
        parser.data = tmp_path
        if "not known here" in split_rule(parser, training=9, held_out=1):
            unknown.append(name)
    assert unknown == []


class Foreign(Nerfstudio):
    """A third party's parser, which may hold out what it likes."""


def test_the_rule_of_a_foreign_parser_is_not_guessed() -> None:
    parser = NerfstudioDataParserConfig(_target=Foreign)
    said = split_rule(parser, training=9, held_out=1)
    assert said == f"that of {Foreign.__module__}.Foreign, which is not nerfstudio's own and not known here"


@pytest.mark.parametrize("listed", [True, False])
def test_colmaps_lists(listed: bool, tmp_path: Path) -> None:
    from nerfstudio.data.dataparsers.colmap_dataparser import ColmapDataParserConfig

    if listed:
        (tmp_path / "test_list.txt").touch()
    said = split_rule(ColmapDataParserConfig(data=tmp_path), training=7, held_out=1)
    if listed:
        assert said == "files: train_list.txt and test_list.txt name the views; eval_mode interval is not asked"
    else:
        assert said == "interval 8: of every 8 images in the order of their COLMAP ids the first is held out"


# --- The images -----------------------------------------------------------------------------------------------------


def test_missing_images_are_found(tmp_path: Path, trained: Callable[..., Path]) -> None:
    data = nerfstudio_scene(tmp_path / "data")
    (data / NAMES[8]).unlink()
    report = report_on(inspect_run(trained(data, eval_mode="interval"), data=None))
    assert texts(report) == [f"1 of 2 held-out images is missing: {data / NAMES[8]}."]


def test_sizes_that_are_not_the_cameras(tmp_path: Path, trained: Callable[..., Path]) -> None:
    data = nerfstudio_scene(tmp_path / "data")
    bitmap(8, (8, 6)).save(data / NAMES[8])
    report = report_on(inspect_run(trained(data, eval_mode="interval"), data=None))
    assert texts(report, doubtful=True) == [
        "1 of 2 held-out images is not of the camera's size: 0009 is 8x6, its camera 16x12."
    ]


def test_alpha_is_the_methods_own(tmp_path: Path, trained: Callable[..., Path]) -> None:
    data = nerfstudio_scene(tmp_path / "data")
    bitmap(8, (16, 12), channels=4).save(data / NAMES[8])
    report = report_on(inspect_run(trained(data, eval_mode="interval"), data=None))
    (said,) = texts(report)
    assert said.startswith("1 of 2 references has an alpha channel (0009): each method composites ")


def test_masks(tmp_path: Path, trained: Callable[..., Path]) -> None:
    data = nerfstudio_scene(tmp_path / "data", more=lambda name: {"mask_path": name.replace("images", "masks")})
    (data / "masks").mkdir()
    for name in NAMES:
        bitmap(1, (16, 12)).save(data / name.replace("images", "masks"))
    run = inspect_run(trained(data, eval_mode="interval"), data=None)
    assert [view.mask for view in run.held_out] == [data / "masks/0001.png", data / "masks/0009.png"]
    report = report_on(run)
    assert dict(report.facts)["masks"].startswith("2 of 2 held-out views have one")
    assert texts(report) == []
    painted = inspect_run(trained(data, eval_mode="interval", mask_color=(0.0, 0.0, 0.0)), data=None)
    assert painted.preparation == [
        "References are painted over where their masks are empty (mask_color (0.0, 0.0, 0.0))."
    ]


# --- What is done to references -------------------------------------------------------------------------------------


def downscaled(folder: Path, size: tuple[int, int], factors: Sequence[int]) -> Path:
    """A scene whose images are large, with smaller ones beside them."""
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
def test_a_downscaling_that_is_written_down_nowhere(
    factors: Sequence[int], tmp_path: Path, trained: Callable[..., Path]
) -> None:
    config = trained(downscaled(tmp_path / "data", (2000, 4), factors), eval_mode="interval")
    (said,) = preparation(config)
    assert said.startswith(f"The downscale factor {2 if factors else 1} is not in config.yml: ")


def test_a_downscaling_that_is_written_down(tmp_path: Path, trained: Callable[..., Path]) -> None:
    data = downscaled(tmp_path / "data", (32, 24), [2])
    assert preparation(trained(data, eval_mode="interval")) == []  # Small images are taken as they are.
    assert preparation(trained(data, eval_mode="interval", downscale_factor=1)) == []
    config = trained(data, eval_mode="interval", downscale_factor=2)
    assert preparation(config) == ["The images are those downscaled by 2, such as in images_2."]
    assert texts(report_on(inspect_run(config, data=None)), doubtful=True) == []


def test_images_that_are_resized_as_they_are_read(tmp_path: Path, trained: Callable[..., Path]) -> None:
    config = trained(nerfstudio_scene(tmp_path / "data"), eval_mode="interval", camera_res_scale_factor=0.5)
    assert preparation(config) == [
        "The images are resized to 0.5 of their size as they are read (camera_res_scale_factor)."
    ]


@pytest.mark.parametrize(("method", "k1", "said"), [("splatfacto", 0.1, 1), ("splatfacto", 0, 0), ("nerfacto", 0.1, 0)])
def test_references_that_are_undistorted(
    method: str, k1: float, said: int, tmp_path: Path, trained: Callable[..., Path]
) -> None:
    config = trained(nerfstudio_scene(tmp_path / "data", k1=k1), method=method, eval_mode="interval")
    found = preparation(config)
    assert len(found) == said
    assert all("undistorts its references" in text for text in found)


def test_points_are_not_read(tmp_path: Path, trained: Callable[..., Path]) -> None:
    """The point cloud is missing, which nerfstudio would stumble over."""
    config = trained(
        nerfstudio_scene(tmp_path / "data", ply_file_path="gone.ply"), eval_mode="interval", load_3D_points=True
    )
    assert len(inspect_run(config, data=None).held_out) == 2


class Asking(Nerfstudio):
    """A parser with a question, as nerfstudio's own have where something is missing."""

    def _generate_dataparser_outputs(self, split: str = "train") -> Any:
        print("Downscale")
        if input("the images? "):
            raise SystemExit(1)
        return super()._generate_dataparser_outputs(split)


class Leaving(Nerfstudio):
    def _generate_dataparser_outputs(self, split: str = "train") -> Any:
        raise SystemExit(1)


def parse_with(parser: type[Nerfstudio], data: Path) -> None:
    from nvs_eval_nerfstudio.inspection import _parse

    with quiet():
        _parse(NerfstudioDataParserConfig(_target=parser, data=data))


def test_nerfstudios_questions_are_not_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = io.StringIO("y\n")
    monkeypatch.setattr(sys, "stdin", answers)
    with pytest.raises(InputError, match=r"has a question before it reads this data: 'Downscale the images\?'"):
        parse_with(Asking, nerfstudio_scene(tmp_path / "data"))
    assert sys.stdin is answers and answers.read() == "y\n"
    with pytest.raises(InputError, match="cannot be read: SystemExit: 1"):
        parse_with(Leaving, tmp_path / "data")


# --- A real run -----------------------------------------------------------------------------------------------------


def test_the_report_of_a_real_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    if not FOX.exists():
        pytest.skip(f"{FOX} is not here")
    monkeypatch.setattr(inspectors, "find_inspector", lambda name: inspect_run)
    assert main(["inspect", str(FOX)]) == 0
    assert (
        capsys.readouterr().out
        == f"""\
fox/nerfacto/base
· Nothing was found that makes the numbers doubtful.
config     {FOX}
data       ../shared/scenes/fox_8, read by Nerfstudio
split      interval 8: of every 8 images in the order of their paths the first is held out
training   43 views
held out   7 of 50: 0001, 0012, 0027, 0042, 0073, 0089, 0110
references PNG, 135x240
masks      none with the held-out views
compared   files, bytes and pixels; near duplicates are not looked for
"""
    )
