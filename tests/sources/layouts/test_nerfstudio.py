"""Canvases of `ns-eval` and folders of `ns-render dataset`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from support.layouts import (
    NAMES,
    check_views,
    labels,
    ns_eval,
    pack,
    refusal,
)
from support.pinned import Pinned
from support.scenes import image, write_pngs
from support.views import views_of

from nvs_eval.images.files import save_png
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.folders import open_folders


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


@pytest.mark.parametrize(("offsets", "width"), [((10,), 48), ((10, 20), 48), ((10, 20), 45)])
def test_canvases_without_accumulation_are_cut_where_their_parts_look_alike(
    offsets: tuple[int, ...], width: int, tmp_path: Path
) -> None:
    images = [image(1, width=width), *((image(1, width=width) + image(n, width=width) / 8) / 1.125 for n in offsets)]
    folder = tmp_path / "fox" / "n"
    save_png(folder / "eval_img_0000.png", torch.cat(images, dim=1))
    warned: list[str] = []
    (source,) = open_folders([folder], warn=warned.append)
    (view,) = views_of(source)
    assert torch.equal(view.reference, images[0])
    assert (view.renders[0].image - images[-1]).abs().max() < 1 / 255
    assert len(warned) == (width == 45)  # Only thirds are whole pixels; that is no evidence.


def test_the_assumed_parts_of_canvases_are_named(tmp_path: Path) -> None:
    warned: list[str] = []
    folder = ns_eval(tmp_path / "fox" / "n", 10, 20, accumulated=None)  # Images of noise, of which no two are alike.
    open_folders([folder], warn=warned.append)
    assert warned == [
        f"{folder}/eval_img_0000.png has no accumulation image beside it. It is read as 2 images side by side, of "
        "which the first is the reference and the last the render."
    ]


def test_jpeg_canvases_of_old_versions_are_split(tmp_path: Path) -> None:
    folder = ns_eval(tmp_path / "fox" / "nerfacto", 10, 20, accumulated=2)
    for file in folder.glob("eval_*.png"):
        kind, _, number = file.stem.removeprefix("eval_").rpartition("_")
        with Image.open(file) as canvas:
            canvas.save(folder / f"{int(number):06d}-{kind}.jpg", quality=100, subsampling=0)
        file.unlink()
    (source,) = open_folders([folder])
    assert source.ids == [ResultId("fox", "nerfacto")]
    for view, seed in zip(views_of(source), (1, 2), strict=True):
        # Up to what JPEG loses.
        assert (view.reference - image(seed)).abs().max() < 0.02
        assert (view.renders[0].image - image(seed + 20)).abs().max() < 0.02
    assert [view.name for view in source] == ["000000", "000001"]


# --- ns-render dataset ------------------------------------------------------------------------------------------------


def ns_render(folder: Path, *splits: str) -> Path:
    """Write the output of `ns-render dataset`: a folder per split and output; raw outputs are compressed arrays."""
    for split in splits:
        seeds = {f"cam0/{name}": seed for name, seed in NAMES.items()}
        write_pngs(folder / split / "gt-rgb", seeds)
        write_pngs(folder / split / "rgb", {name: seed + len(split) for name, seed in seeds.items()})
        for output in ("depth", "accumulation"):
            write_pngs(folder / split / output, seeds)
        (folder / split / "raw-depth" / "cam0").mkdir(parents=True)
        (folder / split / "raw-depth" / "cam0" / "0001.npy.gz").write_bytes(b"array")
    return folder


@pytest.mark.parametrize("inside", ["", "test", "test/rgb"])
def test_a_rendered_data_set_has_references(inside: str, tmp_path: Path) -> None:
    folder = ns_render(tmp_path / "fox" / "nerfacto", "test", "train")
    (source,) = open_folders([folder / inside])
    assert source.ids == [ResultId("fox", "nerfacto")]
    check_views(source, {f"cam0/{name}": (seed, seed + 4) for name, seed in NAMES.items()})
    assert next(views_of(source)).renders[0].file == folder / "test" / "rgb" / "cam0" / "0001.png"


def test_splits_of_a_rendered_data_set_can_be_named(tmp_path: Path) -> None:
    folder = ns_render(tmp_path / "fox" / "nerfacto", "val", "train")
    assert [open_folders([folder / split])[0].ids for split in ("", "val", "train", "train/rgb")] == [
        [ResultId("fox", "nerfacto", split=split)] for split in ("val", "val", "train", "train")
    ]


def test_a_data_set_of_training_views_says_what_to_render(tmp_path: Path, pinned: Pinned) -> None:
    pinned("sources", refusal(ns_render(tmp_path / "fox" / "nerfacto", "train")))


def test_the_default_folder_of_ns_render_names_no_method(tmp_path: Path) -> None:
    folder = ns_render(tmp_path / "fox" / "renders", "test")
    assert "'renders' is not the name of a method. Add `--method NAME`." in refusal(folder)
    assert labels(open_folders([folder], methods=["nerfacto"])) == [["fox/nerfacto"]]


def test_a_rendered_data_set_is_read_from_an_archive(tmp_path: Path) -> None:
    archive = pack(ns_render(tmp_path / "r", "test"), tmp_path / "fox" / "nerfacto.zip", "renders/")
    assert labels(open_folders([archive])) == [["fox/nerfacto"]]
