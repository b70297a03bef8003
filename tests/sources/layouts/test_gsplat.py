"""Canvases of gsplat's trainers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.layouts import (
    VIEWS,
    canvas,
    check_views,
    gsplat,
    refusal,
)
from support.scenes import HEIGHT, WIDTH, image, write_pngs
from support.views import views_of

from nvs_eval.errors import InputError
from nvs_eval.images.files import save_png
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.folders import open_folders


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
    for view in views_of(source):
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
    assert next(views_of(source)).reference_file == references / "0000.png"


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
    assert [view.mask_file for view in views_of(source)] == [masks / "0000.png", masks / "0001.png"]
    save_png(masks / "0001.png", torch.ones(HEIGHT, 2 * WIDTH, 3))
    with pytest.raises(InputError, match=r"View '0001': the mask .*0001\.png is 96x40, .* 48x40"):
        open_folders([tmp_path / "ours"], masks=masks)
