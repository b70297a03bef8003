"""Models of 3D Gaussian splatting and its forks, as render.py writes them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from support.layouts import (
    NAMES,
    check_views,
    labels,
    model,
    pack,
    refusal,
)
from support.pinned import Pinned
from support.scenes import image, write_pngs
from support.views import views_of

from nvs_eval.errors import InputError
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.folders import open_folders


def test_a_model_has_references_and_iterations_are_steps(tmp_path: Path) -> None:
    folder = model(tmp_path / "garden-3dgs", 30000, 7000, trained_on="/data/360/garden/")
    (source,) = open_folders([folder])
    assert source.ids == [ResultId("garden", "garden-3dgs", step=step) for step in (7000, 30000)]
    first = next(views_of(source))
    assert torch.equal(first.reference, image(1))
    assert [render.file for render in first.renders] == [
        folder / "test" / f"ours_{step}" / "renders" / "0001.png" for step in (7000, 30000)
    ]


def test_training_views_of_a_model_are_not_scored(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", 7000)
    write_pngs(folder / "train" / "ours_999" / "gt", NAMES)
    write_pngs(folder / "train" / "ours_999" / "renders", NAMES)
    (source,) = open_folders([folder])
    assert [(result.step, result.split) for result in source.ids] == [(7000, "test")]


def test_a_folder_of_training_views_has_the_split_train(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", 7000, trained_on="/data/garden")
    (source,) = open_folders([folder / "train" / "ours_7000"])
    assert source.ids == [ResultId("garden", "m", step=7000, split="train")]


def test_a_single_iteration_can_be_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = model(tmp_path / "m", 7000, 30000, trained_on="/data/garden")
    expected = [ResultId("garden", "m", step=30000)]
    (source,) = open_folders([folder / "test" / "ours_30000"])
    assert source.ids == expected
    # From inside the model's folder, so that the path does not name the model.
    monkeypatch.chdir(folder / "test")
    (source,) = open_folders([Path("ours_30000")])
    assert source.ids == expected
    monkeypatch.chdir("ours_30000")
    (source,) = open_folders([Path()])
    assert source.ids == expected


def test_several_iterations_are_one_method(tmp_path: Path) -> None:
    test = model(tmp_path / "m", 7000, 30000, trained_on="/data/garden") / "test"
    (source,) = open_folders([test / "ours_30000", test / "ours_7000"])
    assert labels([source]) == [["garden/m/30000", "garden/m/7000"]]


def test_a_model_without_a_scene_is_named_after_the_parent_folder(tmp_path: Path) -> None:
    (source,) = open_folders([model(tmp_path / "garden" / "m", 7000)])
    assert labels([source]) == [["garden/m/7000"]]
    (tmp_path / "garden" / "m" / "cfg_args").write_bytes(b"\xff\xfe no text")
    (source,) = open_folders([tmp_path / "garden" / "m"])
    assert labels([source]) == [["garden/m/7000"]]


def test_an_iteration_without_references_is_an_error(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", 7000)
    shutil.rmtree(folder / "test" / "ours_7000" / "gt")
    with pytest.raises(InputError, match=r"ours_7000 has no references \(gt/ is missing\)"):
        open_folders([folder])
    other = write_pngs(tmp_path / "other", NAMES)
    (source,) = open_folders([folder], reference=other)
    assert next(views_of(source)).reference_file == other / "0001.png"


def test_renders_named_like_an_iteration_are_an_ordinary_folder(tmp_path: Path) -> None:
    write_pngs(tmp_path / "garden" / "gt", NAMES)
    write_pngs(tmp_path / "garden" / "ours_7000", NAMES)
    (source,) = open_folders([tmp_path / "garden" / "ours_7000"], reference=tmp_path / "garden" / "gt")
    assert source.ids == [ResultId("garden", "ours_7000")]


# --- Parts of a model -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", ["test/ours_7000", "test/ours_7000/renders", "test"])
def test_a_model_a_split_a_step_and_its_renders_are_the_same_result(inside: str, tmp_path: Path) -> None:
    folder = model(tmp_path / "m", 7000, trained_on="/data/garden")
    (source,) = open_folders([folder / inside])
    assert source.ids == [ResultId("garden", "m", step=7000)]
    check_views(source, {name: (seed, seed + 7000) for name, seed in NAMES.items()})


def test_a_split_has_all_its_steps(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", 7000, 30000, trained_on="/data/garden")
    (source,) = open_folders([folder / "train"])
    assert source.ids == [ResultId("garden", "m", step=step, split="train") for step in (7000, 30000)]


def test_renders_beside_references_may_have_other_references(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", 7000, trained_on="/data/garden")
    other = write_pngs(tmp_path / "other", NAMES)
    (source,) = open_folders([folder / "test" / "ours_7000" / "renders"], reference=other)
    assert source.ids == [ResultId("garden", "m", step=7000)]
    assert next(views_of(source)).reference_file == other / "0001.png"


def test_other_folders_of_a_step_are_plain_folders(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", 7000) / "test" / "ours_7000"
    write_pngs(folder / "depth", NAMES)
    (source,) = open_folders([folder / "depth"], reference=folder / "gt")
    assert source.ids == [ResultId("ours_7000", "depth")]


def test_steps_with_a_name_come_after_numbers(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", 7000, 30000, trained_on="/data/garden")
    (folder / "test" / "ours_7000").rename(folder / "test" / "ours_best")
    (source,) = open_folders([folder])
    assert source.ids == [ResultId("garden", "m", step=30000), ResultId("garden", "m", step_name="best")]
    assert source.ids[1].folder == Path("garden/m/best")
    check_views(source, {name: (seed, seed + 30000, seed + 7000) for name, seed in NAMES.items()})


def test_a_model_of_training_views_says_that_nothing_was_held_out(tmp_path: Path, pinned: Pinned) -> None:
    folder = model(tmp_path / "m", 7000, trained_on="/data/garden")
    shutil.rmtree(folder / "test")
    pinned("sources", refusal(folder))
    (source,) = open_folders([folder / "train"])
    assert source.ids == [ResultId("garden", "m", step=7000, split="train")]


def test_a_model_without_renders_says_what_to_run(tmp_path: Path, pinned: Pinned) -> None:
    (tmp_path / "m" / "point_cloud" / "iteration_7000").mkdir(parents=True)
    (tmp_path / "m" / "cfg_args").write_text("Namespace(source_path='/data/garden')")
    pinned("sources", refusal(tmp_path / "m"))


# --- Names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        r"Namespace(eval=True, source_path='D:\\data\\360_v2\\garden')",
        r"Namespace(eval=True, source_path='D:\\data\\360_v2\\garden\\')",
        "Namespace(source_path='D:/data/garden')",
        'Namespace(source_path="/data/it\'s/garden", device=<object at 0x7f>)',
        "Namespace(resolution=-1, source_path='/data/360_v2/garden/')",
    ],
)
def test_the_scene_is_the_last_part_of_the_datas_path_on_any_system(config: str, tmp_path: Path) -> None:
    folder = model(tmp_path / "m", 7000)
    (folder / "cfg_args").write_text(config)
    (source,) = open_folders([folder])
    assert source.ids == [ResultId("garden", "m", step=7000)]


@pytest.mark.parametrize(
    "config",
    [
        "",
        "Namespace(source_path=open('/etc/passwd'))",
        r"Namespace(source_path='\N{nothing}')",
        "Namespace(",
        r"Namespace(source_path='\ud800x')",
        f"Namespace(source_path='/data/{'x' * 300}')",
    ],
)
def test_a_config_without_a_literal_path_names_no_scene(config: str, tmp_path: Path) -> None:
    folder = model(tmp_path / "above" / "m", 7000)
    (folder / "cfg_args").write_text(config)
    (source,) = open_folders([folder])
    assert source.ids == [ResultId("above", "m", step=7000)]


def test_a_folder_of_models_is_a_method_on_its_scenes(tmp_path: Path) -> None:
    model(tmp_path / "3dgs" / "garden", 7000, 30000, trained_on="/data/360_v2/garden")
    model(tmp_path / "3dgs" / "room", 7000)  # Without a record of its data, the folder is the scene.
    (tmp_path / "3dgs" / "logs").mkdir()
    assert labels(open_folders([tmp_path / "3dgs"])) == [
        ["garden/3dgs/7000", "garden/3dgs/30000"],
        ["room/3dgs/7000"],
    ]
    (tmp_path / "3dgs").rename(tmp_path / "eval")
    assert "'eval' is not the name of a method. Add `--method NAME`." in refusal(tmp_path / "eval")
    named = open_folders([tmp_path / "eval"], methods=["ours"])
    assert labels(named) == [["garden/ours/7000", "garden/ours/30000"], ["room/ours/7000"]]


def test_a_folder_of_models_names_the_one_that_is_not_rendered(tmp_path: Path) -> None:
    model(tmp_path / "3dgs" / "garden", 7000)
    shutil.rmtree(model(tmp_path / "3dgs" / "room", 7000) / "test")
    assert refusal(tmp_path / "3dgs").startswith(f"{tmp_path}/3dgs/room has renders of training views only")


def test_a_packed_folder_of_models_is_read(tmp_path: Path) -> None:
    for scene in ("garden", "room"):
        model(tmp_path / "3dgs" / scene, 7000, trained_on=f"/data/{scene}")
    archive = pack(tmp_path / "3dgs", tmp_path / "2dgs.zip", "results/")
    assert labels(open_folders([archive])) == [["garden/2dgs/7000"], ["room/2dgs/7000"]]


# --- mip-splatting and GOF --------------------------------------------------------------------------------------------


def scaled(folder: Path, *scales: str) -> Path:
    """Write the output of render.py of mip-splatting or GOF."""
    for scale in scales:
        step = folder / "test" / "ours_30000"
        write_pngs(step / f"gt_{scale}", NAMES)
        write_pngs(step / f"test_preds_{scale}", {name: seed + abs(int(scale)) for name, seed in NAMES.items()})
    (folder / "cfg_args").write_text("Namespace(source_path='/data/garden')")
    return folder


def test_a_scale_is_a_scene_of_its_own(tmp_path: Path) -> None:
    folder = scaled(tmp_path / "mip", "-1", "2", "8")
    full, half, eighth = open_folders([folder])
    assert labels([full, half, eighth]) == [["garden/mip/30000"], ["garden@2/mip/30000"], ["garden@8/mip/30000"]]
    check_views(full, {name: (seed, seed + 1) for name, seed in NAMES.items()})
    check_views(eighth, {name: (seed, seed + 8) for name, seed in NAMES.items()})
    assert labels(open_folders([folder], scene="s", methods=["m"])[1:2]) == [["s@2/m/30000"]]


def test_one_scale_may_be_named(tmp_path: Path) -> None:
    folder = scaled(tmp_path / "mip", "1", "2") / "test" / "ours_30000"
    assert labels(open_folders([folder / "test_preds_2"])) == [["garden@2/mip/30000"]]
    assert labels(open_folders([folder / "test_preds_1"])) == [["garden/mip/30000"]]


def test_a_scale_without_references_is_an_error(tmp_path: Path) -> None:
    folder = scaled(tmp_path / "mip", "2")
    shutil.rmtree(folder / "test" / "ours_30000" / "gt_2")
    assert refusal(folder) == (f"{folder}/test/ours_30000 has no references (gt_2/ is missing). Render it again.")
