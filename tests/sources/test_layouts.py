"""Layouts of other tools, which include references: each is read the way its tool writes it."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.layouts import (
    NAMES,
    PREDICTED,
    VIEWS,
    canvas,
    check_views,
    gsplat,
    labels,
    model,
    ns_eval,
    pack,
    predictions,
    refusal,
)
from support.pinned import Pinned
from support.protocols import protocol_file
from support.scenes import HEIGHT, WIDTH, image, write_pngs

from nvs_eval.cli import main
from nvs_eval.errors import InputError
from nvs_eval.images.files import save_png
from nvs_eval.records.record import Record, read_record
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.folders import open_folders
from nvs_eval.sources.layouts import Contents, Layout, RenderFiles, registry
from nvs_eval.sources.masks import load_mask
from nvs_eval.sources.pictures import Picture

# --- 3D Gaussian splatting --------------------------------------------------------------------------------------------


def test_a_model_has_references_and_iterations_are_steps(tmp_path: Path) -> None:
    folder = model(tmp_path / "garden-3dgs", 30000, 7000, trained_on="/data/360/garden/")
    (source,) = open_folders([folder])
    assert source.ids == [ResultId("garden", "garden-3dgs", step=step) for step in (7000, 30000)]
    first = next(iter(source))
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
    with pytest.raises(InputError, match=r"The folder .*ours_7000/gt does not exist"):
        open_folders([folder])
    other = write_pngs(tmp_path / "other", NAMES)
    (source,) = open_folders([folder], reference=other)
    assert next(iter(source)).reference_file == other / "0001.png"


def test_renders_named_like_an_iteration_are_an_ordinary_folder(tmp_path: Path) -> None:
    write_pngs(tmp_path / "garden" / "gt", NAMES)
    write_pngs(tmp_path / "garden" / "ours_7000", NAMES)
    (source,) = open_folders([tmp_path / "garden" / "ours_7000"], reference=tmp_path / "garden" / "gt")
    assert source.ids == [ResultId("garden", "ours_7000")]


# --- nerfbaselines ----------------------------------------------------------------------------------------------------


def test_predictions_have_references_scene_and_method(tmp_path: Path) -> None:
    folder = predictions(tmp_path / "predictions-30000")
    (source,) = open_folders([folder])
    assert source.ids == [ResultId("garden", "gaussian-splatting", step=30000)]
    check_views(source, PREDICTED)
    first = next(iter(source))
    assert first.reference_file == folder / "gt-color" / "cam0" / "DSC07956.png"
    assert first.renders[0].file == folder / "color" / "cam0" / "DSC07956.png"
    assert list(source.provenance[0]) == ["reading"]


def test_predictions_record_their_split(tmp_path: Path) -> None:
    (source,) = open_folders([predictions(tmp_path / "predictions-100-train")])
    assert source.ids == [ResultId("garden", "gaussian-splatting", step=100, split="train")]


@pytest.mark.parametrize(
    ("info", "names"),
    [
        (None, ("bicycle", "mine")),
        ("{", ("bicycle", "mine")),
        ([], ("bicycle", "mine")),
        ({"method": 3, "render_dataset_metadata": None}, ("bicycle", "mine")),
        ({"method": "nerfacto"}, ("bicycle", "nerfacto")),
        ({"dataset_metadata": {"scene": "room"}}, ("room", "mine")),
    ],
)
def test_predictions_without_names_are_named_after_their_folders(
    info: object, names: tuple[str, str], tmp_path: Path
) -> None:
    (source,) = open_folders([predictions(tmp_path / "bicycle" / "mine", info=info)])
    assert source.ids == [ResultId(*names)]


def test_names_from_the_user_take_precedence_over_predictions(tmp_path: Path) -> None:
    (source,) = open_folders([predictions(tmp_path / "p")], scene="s", methods=["m"])
    assert source.ids == [ResultId("s", "m")]


def test_masks_of_predictions_are_not_used_by_default(tmp_path: Path) -> None:
    folder = predictions(tmp_path / "p", mask=True)
    (source,) = open_folders([folder])
    assert next(iter(source)).mask is None
    assert source.provenance[0]["masks_not_used"] == str(folder / "mask")
    (source,) = open_folders([folder], masks=folder / "mask")
    first = next(iter(source))
    assert first.mask is not None
    assert first.mask_file == folder / "mask" / "cam0" / "DSC07956.png"
    assert "masks_not_used" not in source.provenance[0]


@pytest.mark.parametrize("packed", [False, True])
def test_masks_of_predictions_are_used_with_own_masks(packed: bool, tmp_path: Path) -> None:
    folder = predictions(tmp_path / "p", mask=True)
    path = pack(folder, tmp_path / "p.tar.gz") if packed else folder
    (source,) = open_folders([path], own_masks=True)
    first = next(iter(source))
    assert first.mask is not None
    assert torch.equal(first.mask, load_mask(folder / "mask" / "cam0" / "DSC07956.png"))
    # A record cannot refer to a file in an archive.
    assert first.mask_file == (None if packed else folder / "mask" / "cam0" / "DSC07956.png")
    assert "masks_not_used" not in source.provenance[0]


def test_renders_without_masks_are_refused_with_own_masks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"p includes no masks\. .*`--data-masks`.*`--masks DIR`"):
        open_folders([predictions(tmp_path / "p")], own_masks=True)


def test_predictions_without_a_reference_of_one_view_are_refused(tmp_path: Path) -> None:
    folder = predictions(tmp_path / "garden" / "p")
    (folder / "gt-color" / "cam1" / "DSC07964.png").unlink()
    assert "1 render without a reference: cam1/DSC07964" in refusal(folder)


# --- gsplat -----------------------------------------------------------------------------------------------------------


def test_canvases_of_gsplat_are_split_and_each_step_is_a_result(tmp_path: Path) -> None:
    folder = gsplat(tmp_path / "ours", 29999, 6999)
    (source,) = open_folders([folder])
    assert source.ids == [ResultId("garden", "ours", step=6999), ResultId("garden", "ours", step=29999)]
    check_views(source, {"0000": (1, 7000, 30000), "0001": (2, 7001, 30001)})


def test_the_folder_of_canvases_can_be_scored_directly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = gsplat(tmp_path / "ours", 29999)
    (source,) = open_folders([folder / "renders"])
    assert source.ids == [ResultId("garden", "ours", step=29999)]
    monkeypatch.chdir(folder / "renders")
    (source,) = open_folders([Path()])
    assert source.ids == [ResultId("garden", "ours", step=29999)]


def test_a_part_of_a_canvas_has_a_provenance_but_no_file(tmp_path: Path) -> None:
    folder = gsplat(tmp_path / "ours", 29999)
    (source,) = open_folders([folder])
    for view in source:
        assert (view.reference_file, view.renders[0].file) == (None, None)
    assert source.provenance[0]["renders_from"] == str(folder)
    assert "archive_sha256" not in source.provenance[0]


@pytest.mark.parametrize(
    ("data", "scene"), [("'data/my garden/'", "my garden"), ('"garden"', "garden"), (None, "above"), ("''", "above")]
)
def test_the_scene_of_gsplat_is_the_name_of_its_data(data: str | None, scene: str, tmp_path: Path) -> None:
    (source,) = open_folders([gsplat(tmp_path / "above" / "ours", 29999, data=data)])
    assert source.ids == [ResultId(scene, "ours", step=29999)]


def test_compressed_splats_are_a_separate_method(tmp_path: Path) -> None:
    folder = gsplat(gsplat(tmp_path / "ours", 29999, stage="compress"), 6999, 29999)
    (source,) = open_folders([folder])
    assert [result.label for result in source.ids] == [
        "garden/ours/6999",
        "garden/ours/29999",
        "garden/ours-compress/29999",
    ]


def test_canvases_without_a_step_need_the_trainers_config(tmp_path: Path) -> None:
    folder = tmp_path / "2dgs"
    for name, seed in VIEWS.items():
        canvas(folder / "renders" / f"val_{name}.png", seed, seed + 10)
        save_png(folder / "renders" / f"val_{name}_median_depth_29999.png", image(9))
    assert "has no references" in refusal(folder / "renders")
    (folder / "cfg.json").write_text('{"disable_viewer": false, "data_dir": "data/360_v2/garden", "test_every": 8}')
    (source,) = open_folders([folder])
    assert source.ids == [ResultId("garden", "2dgs")]
    check_views(source, {"0000": (1, 11), "0001": (2, 12)})


def test_other_images_beside_canvases_are_not_views(tmp_path: Path) -> None:
    folder = gsplat(tmp_path / "ours", 29999)
    for name in ("train_rank0.png", "val_step29999_0000.jpg.png", "traj_29999.png"):
        save_png(folder / "renders" / name, image(9))
    (source,) = open_folders([folder])
    check_views(source, {"0000": (1, 30000), "0001": (2, 30001)})


def test_a_reference_folder_takes_precedence_over_canvases(tmp_path: Path) -> None:
    references = write_pngs(tmp_path / "gt", {"0000": 5, "0001": 6})
    (source,) = open_folders([gsplat(tmp_path / "ours", 29999)], reference=references)
    check_views(source, {"0000": (5, 30000), "0001": (6, 30001)})
    assert next(iter(source)).reference_file == references / "0000.png"


def test_images_named_like_canvases_and_references_are_plain_images(tmp_path: Path) -> None:
    names = {"val_step1_0000": 1, "eval_img_0000": 2}
    for name, seed in names.items():
        write_pngs(tmp_path / name / "gt", {name: seed})
        write_pngs(tmp_path / name / "ours", {name: seed + 10})
        (source,) = open_folders([tmp_path / name / "ours"], reference=tmp_path / name / "gt")
        assert source.ids == [ResultId(name, "ours")]
        check_views(source, {name: (seed, seed + 10)})


def test_masks_are_matched_with_the_views_of_canvases(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    for name in VIEWS:
        save_png(masks / f"{name}.png", torch.ones(HEIGHT, WIDTH, 3))
    (source,) = open_folders([gsplat(tmp_path / "ours", 29999)], masks=masks)
    assert [view.mask_file for view in source] == [masks / "0000.png", masks / "0001.png"]
    save_png(masks / "0001.png", torch.ones(HEIGHT, 2 * WIDTH, 3))
    with pytest.raises(InputError, match=r"View '0001': the mask .*0001\.png is 96x40, .* 48x40"):
        open_folders([tmp_path / "ours"], masks=masks)


# --- ns-eval ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accumulated", [1, None], ids=["nerfacto", "splatfacto"])
def test_canvases_of_ns_eval_are_split(accumulated: int | None, tmp_path: Path) -> None:
    folder = ns_eval(tmp_path / "fox" / "nerfacto", 10, accumulated=accumulated)
    (source,) = open_folders([folder])
    assert source.ids == [ResultId("fox", "nerfacto")]
    check_views(source, {"0000": (1, 11), "0001": (2, 12)})
    assert source.provenance[0]["renders_from"] == str(folder)


def test_the_fine_render_is_scored_if_there_is_a_coarse_one(tmp_path: Path) -> None:
    (source,) = open_folders([ns_eval(tmp_path / "fox" / "vanilla-nerf", 10, 20, accumulated=2)])
    check_views(source, {"0000": (1, 21), "0001": (2, 22)})


@pytest.mark.parametrize(("offsets", "accumulated"), [((), 1), ((10, 20, 30), 1)], ids=["generfacto", "four"])
def test_canvases_of_another_shape_are_refused(
    offsets: tuple[int, ...], accumulated: int, tmp_path: Path, pinned: Pinned
) -> None:
    pinned("sources", refusal(ns_eval(tmp_path / "n", *offsets, accumulated=accumulated)))


# --- The command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Record]]:
    """Run `score` and return the records by their folders."""
    monkeypatch.chdir(tmp_path)
    protocol_file(tmp_path)

    def run(*args: str) -> dict[str, Record]:
        shutil.rmtree("out", ignore_errors=True)
        assert main(("score", *args, "--protocol", "light.yaml", "--output-dir", "out", "--device", "cpu")) == 0
        files = sorted(Path("out").rglob("*.json"))
        return {file.parent.relative_to("out").as_posix(): read_record(file) for file in files}

    return run


@pytest.mark.parametrize("option", ["-m", "--model_paths", "--model-paths"])
def test_the_model_options_of_3dgs_are_accepted(option: str, scored: Callable[..., dict[str, Record]]) -> None:
    model(Path("3dgs/garden"), 7000, 30000, trained_on="/data/garden", names=VIEWS)
    model(Path("3dgs/bicycle"), 7000, trained_on="/data/bicycle", names=VIEWS)
    records = scored(option, "3dgs/garden", "3dgs/bicycle")
    assert list(records) == ["bicycle/3dgs/7000", "garden/3dgs/30000", "garden/3dgs/7000"]
    for others in (("3dgs/garden", "3dgs/bicycle"), ("3dgs/garden", option, "3dgs/bicycle"), (option, "3dgs")):
        again = scored(*others)
        assert {place: record.means for place, record in again.items()} == {
            place: record.means for place, record in records.items()
        }


def test_nothing_to_score_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("score", "-m")) == 2
    assert "At least one folder of renders" in capsys.readouterr().err


def test_all_layouts_give_the_same_scores(scored: Callable[..., dict[str, Record]]) -> None:
    renders = {name: seed + 10 for name, seed in VIEWS.items()}
    plain = scored(str(write_pngs(Path("ours"), renders)), "--reference", str(write_pngs(Path("gt"), VIEWS)))
    (expected,) = plain.values()
    write_pngs(Path("nb/color"), renders)
    write_pngs(Path("nb/gt-color"), VIEWS)
    ns_eval(Path("ns"), 10)
    gsplat(Path("gs"), 10)
    model(Path("gauss"), 10, trained_on="/data/garden", names=VIEWS)
    archives = [str(pack(Path("nb"), Path("nb.tar.gz"))), str(pack(Path("ns"), Path("ns.zip")))]
    for path in ("nb", "ns", "gs", "gauss", *archives):
        (record,) = scored(path).values()
        assert [row.scores for row in record.views] == [row.scores for row in expected.views]
        assert record.references_sha256 == expected.references_sha256
        whole = path in ("nb", "gauss")
        assert all((row.render is not None) == (row.reference is not None) == whole for row in record.views)
        assert record.provenance.get("renders_from") == (None if whole else path)
        assert ("archive_sha256" in record.provenance) == (path in archives)


def test_files_that_a_layout_reads_come_out_of_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(folder: Path, place: Path) -> Contents | None:
        if not (folder / "mine.txt").is_file():
            return None
        renders = {name: Picture(folder / f"{name}.png") for name in NAMES}
        return Contents([RenderFiles(renders, renders)], place, (folder / "mine.txt").read_text())

    mine = Layout("mine", "mine.txt", read, ("mine.txt",))
    monkeypatch.setattr(registry, "LAYOUTS", (*registry.LAYOUTS, mine))
    write_pngs(tmp_path / "ours", NAMES)
    (tmp_path / "ours" / "mine.txt").write_text("attic")
    with zipfile.ZipFile(tmp_path / "ours.zip", "w") as archive:
        for file in (tmp_path / "ours").iterdir():
            archive.write(file, file.name)
    (source,) = open_folders([tmp_path / "ours.zip"])
    assert [(result.scene, result.method) for result in source.ids] == [("attic", "ours")]
