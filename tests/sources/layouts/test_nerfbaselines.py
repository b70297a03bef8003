"""Predictions of NerfBaselines."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.layouts import (
    PREDICTED,
    check_views,
    pack,
    predictions,
    refusal,
)
from support.views import views_of

from nvs_eval.errors import InputError
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.folders import open_folders
from nvs_eval.sources.masks import load_mask


def test_predictions_have_references_scene_and_method(tmp_path: Path) -> None:
    folder = predictions(tmp_path / "predictions-30000")
    (source,) = open_folders([folder])
    assert source.ids == [ResultId("garden", "gaussian-splatting", step=30000)]
    check_views(source, PREDICTED)
    first = next(views_of(source))
    assert first.reference_file == folder / "gt-color" / "cam0" / "DSC07956.png"
    assert first.renders[0].file == folder / "color" / "cam0" / "DSC07956.png"
    assert list(source.provenance[0]) == ["reading"]


def test_colours_of_predictions_are_the_predictions(tmp_path: Path) -> None:
    folder = predictions(tmp_path / "predictions-30000", mask=True)
    (source,) = open_folders([folder / "color"])
    assert source.ids == [ResultId("garden", "gaussian-splatting", step=30000)]
    check_views(source, PREDICTED)
    assert source.provenance[0]["masks_not_used"] == str(folder / "mask")


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
    assert next(views_of(source)).mask is None
    assert source.provenance[0]["masks_not_used"] == str(folder / "mask")
    (source,) = open_folders([folder], masks=folder / "mask")
    first = next(views_of(source))
    assert first.mask is not None
    assert first.mask_file == folder / "mask" / "cam0" / "DSC07956.png"
    assert "masks_not_used" not in source.provenance[0]


@pytest.mark.parametrize("packed", [False, True])
def test_masks_of_predictions_are_used_with_own_masks(packed: bool, tmp_path: Path) -> None:
    folder = predictions(tmp_path / "p", mask=True)
    path = pack(folder, tmp_path / "p.tar.gz") if packed else folder
    (source,) = open_folders([path], own_masks=True)
    first = next(views_of(source))
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
