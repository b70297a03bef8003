"""Scenes of DepthSplat and other descendants of pixelSplat."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.layouts import check_views, labels, pack, refusal
from support.scenes import write_pngs

from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.folders import open_folders

FRAMES = {"000001": 1, "000040": 2}


def scene(folder: Path) -> Path:
    """Write the test views of a scene."""
    write_pngs(folder / "color", {name: seed + 10 for name, seed in FRAMES.items()})
    write_pngs(folder / "color", {f"{name}_gt": seed for name, seed in FRAMES.items()})
    write_pngs(folder / "depth", FRAMES)
    return folder


@pytest.mark.parametrize("inside", ["", "color"])
def test_a_scene_has_references_beside_renders(inside: str, tmp_path: Path) -> None:
    folder = scene(tmp_path / "depthsplat" / "images" / "5aca87f95a9412c6")
    (source,) = open_folders([folder / inside])
    assert source.ids == [ResultId("5aca87f95a9412c6", "depthsplat")]
    check_views(source, {name: (seed, seed + 10) for name, seed in FRAMES.items()})


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_of_scenes_is_scored_by_scene(packed: bool, tmp_path: Path) -> None:
    images = tmp_path / "depthsplat" / "images"
    for name in ("a", "b"):
        scene(images / name)
    path = pack(images, tmp_path / "depthsplat.tar.gz") if packed else images
    assert labels(open_folders([images.parent])) == [["a/depthsplat"], ["b/depthsplat"]]
    assert labels(open_folders([path])) == [["a/depthsplat"], ["b/depthsplat"]]


def test_renders_alone_are_a_plain_folder(tmp_path: Path) -> None:
    color = write_pngs(tmp_path / "color", FRAMES)
    assert "has no references" in refusal(color)
    references = write_pngs(tmp_path / "room" / "gt", FRAMES)
    assert labels(open_folders([color], reference=references)) == [["room/color"]]


def test_a_render_without_a_reference_is_an_error(tmp_path: Path) -> None:
    folder = scene(tmp_path / "depthsplat" / "a")
    (folder / "color" / "000040_gt.png").unlink()
    assert "1 render without a reference: 000040" in refusal(folder)
