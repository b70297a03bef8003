"""Renders that Brush saves while it trains, named after the photographs with their extension."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.layouts import check_views, labels, refusal
from support.pinned import Pinned
from support.scenes import image, write_pngs

from nvs_eval.images.files import save_png
from nvs_eval.records.result_id import ResultId, selection_of
from nvs_eval.sources.folders import open_folders
from nvs_eval.sources.matching import Matching

VIEWS = {f"{number:04d}": number for number in range(8)}
HELD_OUT = ("0000", "0004")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Photographs `0000.jpg` to `0007.jpg` of a scene."""
    return write_pngs(tmp_path / "garden" / "images", VIEWS)


def exported(folder: Path, *steps: int, suffix: str = ".jpg.png") -> Path:
    """Write held-out views at some steps. Old versions leave out the photograph's extension."""
    for step in steps:
        for name in HELD_OUT:
            save_png(folder / f"eval_{step}" / f"{name}{suffix}", image(VIEWS[name] + step))
    return folder


@pytest.mark.parametrize("suffix", [".jpg.png", ".png"])
def test_steps_are_results_of_the_export_folder(suffix: str, photographs: Path, tmp_path: Path) -> None:
    folder = exported(tmp_path / "brush", 1000, 30000, suffix=suffix)
    (source,) = open_folders([folder], reference=photographs, matching=Matching(every=4))
    selection = selection_of(HELD_OUT, VIEWS)
    assert source.ids == [ResultId("garden", "brush", step=step, selection=selection) for step in (1000, 30000)]
    check_views(source, {"0000": (0, 1000, 30000), "0004": (4, 1004, 30004)})


def test_one_step_can_be_named(photographs: Path, tmp_path: Path) -> None:
    folder = exported(tmp_path / "brush", 1000, 30000)
    source = open_folders([folder / "eval_30000"], reference=photographs, allow_missing=True)
    assert labels(source) == [["garden/brush/30000"]]


def test_brush_needs_references(tmp_path: Path, pinned: Pinned) -> None:
    pinned("sources", refusal(exported(tmp_path / "brush", 1000)))
