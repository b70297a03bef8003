"""Folders of images: which folders are accepted, how renders are matched with references, how results are named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from support.layouts import (
    INFO,
    NAMES,
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
from support.scenes import float_image, image, write_pngs
from support.views import views_of

from nvs_eval.errors import InputError
from nvs_eval.images.files import save_npy, save_png
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.folders import open_folders
from nvs_eval.sources.pictures import Picture, list_images


def test_hidden_files_are_not_views(garden: Path) -> None:
    for name in ("._0001.png", ".hidden.png", ".ipynb_checkpoints/0001.png", "cam/.cache/9.png", "notes.txt"):
        (garden / "ours" / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(garden / "gt" / "0001.png", garden / "ours" / name)
    (garden / "ours" / "folder.png").mkdir()
    assert list(list_images(garden / "ours")) == list(NAMES)


def test_a_folder_within_a_hidden_one_is_read_like_any_other(tmp_path: Path) -> None:
    assert list(list_images(write_pngs(tmp_path / ".cache" / "renders", {"a": 1}))) == ["a"]


def test_two_files_of_one_name_are_an_error(garden: Path) -> None:
    save_npy(garden / "ours" / "0002.npy", image(1))
    with pytest.raises(InputError, match=r"0002\.npy and .*0002\.png .* '0002'"):
        open_folders([garden / "ours"], reference=garden / "gt")


def test_images_that_cannot_be_read_are_named(garden: Path) -> None:
    (garden / "gt" / "0009.heic").touch()
    (garden / "gt" / "0010.HEIC").touch()
    for name in ("notes.txt", "transforms.json", "video.mp4", "turntable.gif", "points.ply", ".hidden.heic"):
        (garden / "ours" / name).touch()
    with pytest.raises(InputError) as error:
        open_folders([garden / "ours"], reference=garden / "gt", allow_missing=True)
    assert str(error.value).startswith(
        f"2 images in {garden / 'gt'} cannot be read: 0009.heic, 0010.HEIC. The format is HEIC. Save it as PNG"
    )
    for path in garden.glob("gt/*.[hH]*"):
        path.unlink()
    assert len(open_folders([garden / "ours"], reference=garden / "gt")) == 1


def test_images_in_an_archive_that_cannot_be_read_are_named(garden: Path) -> None:
    (garden / "ours" / "0009.dng").touch()
    archive = shutil.make_archive(str(garden / "packed"), "zip", garden / "ours")
    with pytest.raises(InputError, match=r"1 image in .*packed\.zip.* cannot be read: 0009\.dng\..* camera raw"):
        open_folders([Path(archive)], reference=garden / "gt")


def test_files_of_a_folder_without_images_are_named(garden: Path) -> None:
    (garden / "gifs").mkdir()
    for number in range(7):
        (garden / "gifs" / f"{number}.gif").touch()
    with pytest.raises(
        InputError, match=r"gifs has no images \(\.png, .*\)\. Its files are 0\.gif, .* 4\.gif and 2 more\.$"
    ):
        open_folders([garden / "gifs"], reference=garden / "gt")


def test_an_empty_folder_is_an_error(garden: Path) -> None:
    (garden / "empty").mkdir()
    for renders, reference in (("empty", "gt"), ("ours", "empty")):
        with pytest.raises(InputError, match=r"The folder .*empty has no images \(\.png, "):
            open_folders([garden / renders], reference=garden / reference)


def test_a_missing_folder_is_an_error(garden: Path) -> None:
    with pytest.raises(InputError, match=r"The folder of renders .*gone does not exist\."):
        open_folders([garden / "gone"], reference=garden / "gt")
    with pytest.raises(InputError, match=r"The folder of renders .*0001\.png is not a folder\."):
        open_folders([garden / "gt" / "0001.png"], reference=garden / "gt")
    with pytest.raises(InputError, match=r"The folder .*gone does not exist\."):
        open_folders([garden / "ours"], reference=garden / "gone")


def test_a_folder_without_references_needs_a_reference_folder(garden: Path, pinned: Pinned) -> None:
    pinned("sources", refusal(garden / "ours"))


def test_a_folder_listed_twice_is_an_error(garden: Path) -> None:
    again = garden / "theirs" / ".." / "ours"
    with pytest.raises(InputError, match=r"The folder .*garden/ours is listed twice"):
        open_folders([garden / "ours", again], reference=garden / "gt")


# --- Names ------------------------------------------------------------------------------------------------------------


def test_names_from_the_user_take_precedence(garden: Path) -> None:
    (source,) = open_folders(
        [garden / "ours", garden / "theirs"], reference=garden / "gt", scene="s", methods=["a", "b/c"]
    )
    assert source.ids == [ResultId("s", "a"), ResultId("s", "b/c")]


def test_one_method_does_for_all_folders(tmp_path: Path) -> None:
    a, b = (model(tmp_path / "eval" / name, 7000, trained_on=f"/data/{name}") for name in ("garden", "room"))
    assert labels(open_folders([a, b], methods=["3dgs"])) == [["garden/3dgs/7000"], ["room/3dgs/7000"]]


def test_a_method_is_named_for_all_folders_or_for_each(garden: Path) -> None:
    with pytest.raises(
        InputError, match=r"--method has 3 names for 2 folders of renders\. Give one, or one per folder"
    ):
        open_folders([garden / "ours", garden / "theirs"], reference=garden / "gt", methods=["a", "b", "c"])


def test_a_method_above_folders_that_are_named_after_their_scenes(tmp_path: Path) -> None:
    models = [
        model(tmp_path / method / name, 7000, trained_on=f"/data/{name}")
        for method in ("3dgs", "2dgs")
        for name in ("garden", "room")
    ]
    assert [result.label for source in open_folders(models) for result in source.ids] == [
        "garden/3dgs/7000",
        "garden/2dgs/7000",
        "room/3dgs/7000",
        "room/2dgs/7000",
    ]
    # Each alone gets the same name, so that a second command does not replace the records of the first.
    assert [labels(open_folders([path])) for path in models[::2]] == [[["garden/3dgs/7000"]], [["garden/2dgs/7000"]]]


def test_a_plain_folder_named_after_its_scene_gets_the_name_above(tmp_path: Path) -> None:
    references = write_pngs(tmp_path / "data" / "garden" / "images", NAMES)
    renders = write_pngs(tmp_path / "3dgs" / "garden", NAMES)
    assert labels(open_folders([renders], reference=references)) == [["garden/3dgs"]]
    renders = write_pngs(tmp_path / "results" / "garden", NAMES)
    with pytest.raises(InputError, match=r"method of .*results/garden is unknown, because 'results' is .* `--method"):
        open_folders([renders], reference=references)
    assert labels(open_folders([renders], reference=references, methods=["m"])) == [["garden/m"]]
    # A plain folder is named as it is called, whatever that says.
    assert labels(open_folders([write_pngs(tmp_path / "renders", NAMES)], reference=references)) == [["garden/renders"]]


def test_paths_tell_folders_above_apart(tmp_path: Path) -> None:
    models = [model(tmp_path / run / "output" / "garden", 7000, trained_on="/d/garden") for run in ("one", "two")]
    with pytest.raises(InputError, match="'output' is not the name of a method"):
        open_folders(models[:1])
    (source,) = open_folders(models)
    assert [result.method for result in source.ids] == ["one/output", "two/output"]


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["x/a", "x/b"], ["a", "b"]),
        (["x/a", "y/a"], ["x/a", "y/a"]),
        (["x/a", "y/a", "x/b"], ["x/a", "y/a", "b"]),
        (["x/1/a", "y/1/a", "y/2/a"], ["x/1/a", "y/1/a", "2/a"]),
    ],
)
def test_names_that_collide_get_the_shortest_unique_path(folders: list[str], names: list[str], tmp_path: Path) -> None:
    write_pngs(tmp_path / "gt", NAMES)
    (source,) = open_folders([write_pngs(tmp_path / folder, NAMES) for folder in folders], reference=tmp_path / "gt")
    assert [result.method for result in source.ids] == names


def test_models_that_collide_are_named_after_the_folder_above(tmp_path: Path) -> None:
    (source,) = open_folders([model(tmp_path / run / "m", 7000, trained_on="/d/garden") for run in ("one", "two")])
    assert [result.method for result in source.ids] == ["one/m", "two/m"]


def test_a_relative_path_is_resolved_for_the_name(garden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(garden / "ours")
    (source,) = open_folders([Path()], reference=Path("../gt"))
    assert source.ids == [ResultId("garden", "ours")]


# --- Matching ---------------------------------------------------------------------------------------------------------


def test_renders_are_matched_with_references_by_name(garden: Path) -> None:
    (source,) = open_folders([garden / "ours"], reference=garden / "gt")
    assert source.ids == [ResultId("garden", "ours")]
    views = list(views_of(source))
    assert [view.name for view in views] == list(NAMES)
    for view, seed in zip(views, NAMES.values(), strict=True):
        assert torch.equal(view.reference, image(seed))
        (render,) = view.renders
        assert torch.equal(render.image, image(seed + 10))
        assert (render.file, render.seconds) == (garden / "ours" / f"{view.name}.png", None)
        assert view.reference_file == garden / "gt" / f"{view.name}.png"


def test_names_reach_into_subfolders(tmp_path: Path) -> None:
    rig = {"cam0/0001": 1, "cam0/0002": 2, "cam1/0001": 3}
    write_pngs(tmp_path / "rig" / "gt", rig)
    write_pngs(tmp_path / "rig" / "ours", rig)
    (source,) = open_folders([tmp_path / "rig" / "ours"], reference=tmp_path / "rig" / "gt")
    assert [view.name for view in source] == list(rig)


def test_extensions_need_not_agree_and_dots_in_names_stay(tmp_path: Path) -> None:
    save_png(tmp_path / "gt" / "frame.001.PNG", image(1))
    save_png(tmp_path / "gt" / "frame.002.png", image(2))
    save_npy(tmp_path / "ours" / "frame.001.npy", float_image(3))
    save_npy(tmp_path / "ours" / "frame.002.npy", float_image(4))
    (source,) = open_folders([tmp_path / "ours"], reference=tmp_path / "gt")
    assert [view.name for view in source] == ["frame.001", "frame.002"]
    assert torch.equal(next(views_of(source)).renders[0].image, float_image(3))


def test_orphans_on_either_side_are_an_error_with_their_names(garden: Path, pinned: Pinned) -> None:
    (garden / "ours" / "0001.png").unlink()
    (garden / "gt" / "0003.png").unlink()
    pinned("sources", refusal(garden / "ours", reference=garden / "gt"))


def test_many_orphans_are_counted_and_the_first_named(tmp_path: Path) -> None:
    write_pngs(tmp_path / "gt", dict.fromkeys((f"{index:03}" for index in range(9)), 0))
    write_pngs(tmp_path / "ours", {"000": 0})
    with pytest.raises(InputError, match=r"8 references .*: 001, 002, 003, 004, 005 and 3 more"):
        open_folders([tmp_path / "ours"], reference=tmp_path / "gt")


def test_allow_missing_skips_orphans(garden: Path) -> None:
    (garden / "ours" / "0001.png").unlink()
    (garden / "gt" / "0003.png").unlink()
    (source,) = open_folders([garden / "ours"], reference=garden / "gt", allow_missing=True)
    assert [view.name for view in source] == ["0002"]


def test_no_common_name_is_an_error_with_allow_missing_too(garden: Path, pinned: Pinned) -> None:
    write_pngs(garden / "renamed", {"r_0": 1, "r_1": 2})
    for allow_missing in (False, True):
        with pytest.raises(InputError) as error:
            open_folders([garden / "renamed"], reference=garden / "gt", allow_missing=allow_missing)
        pinned("sources", error.value)


# --- Groups -----------------------------------------------------------------------------------------------------------


def test_folders_with_the_same_reference_folder_are_one_source(garden: Path) -> None:
    (source,) = open_folders([garden / "theirs", garden / "ours"], reference=garden / "gt")
    assert labels([source]) == [["garden/theirs", "garden/ours"]]
    first = next(views_of(source))
    assert [render.file for render in first.renders] == [garden / m / "0001.png" for m in ("theirs", "ours")]
    assert torch.equal(first.renders[0].image, image(21))


def test_references_in_the_same_files_are_not_hashed(garden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Picture, "sha256", lambda picture: pytest.fail(f"{picture} was read for its hash"))
    (source,) = open_folders([garden / "theirs", garden / "ours"], reference=garden / "gt")
    assert len(source.ids) == 2


def test_models_with_the_same_references_are_scored_together(tmp_path: Path) -> None:
    a, b = (model(tmp_path / name, 7000, trained_on="/data/garden") for name in "ab")
    (source,) = open_folders([a, b])
    assert labels([source]) == [["garden/a/7000", "garden/b/7000"]]
    first, second = source.sets
    assert second.references == first.references  # A single copy is read for all.


def test_models_whose_references_differ_are_scored_apart(tmp_path: Path) -> None:
    a, b = (model(tmp_path / name, 7000, trained_on="/data/garden") for name in "ab")
    save_png(b / "test" / "ours_7000" / "gt" / "0002.png", image(99))
    assert labels(open_folders([a, b])) == [["garden/a/7000"], ["garden/b/7000"]]


def test_models_with_different_views_are_scored_apart(tmp_path: Path) -> None:
    a = model(tmp_path / "a", 7000, trained_on="/data/garden")
    b = model(tmp_path / "b", 7000, names={"0001": 1, "0002": 2}, trained_on="/data/garden")
    first, second = open_folders([a, b])
    assert (len(first), len(second)) == (3, 2)


def test_references_with_different_names_are_different_views(tmp_path: Path) -> None:
    a = model(tmp_path / "a", 7000, trained_on="/data/garden")
    b = model(
        tmp_path / "b", 7000, names={f"r_{name}": seed for name, seed in NAMES.items()}, trained_on="/data/garden"
    )
    assert labels(open_folders([a, b])) == [["garden/a/7000"], ["garden/b/7000"]]


def test_two_scenes_of_the_same_images_are_two_sources(tmp_path: Path) -> None:
    a, b = (model(tmp_path / name, 7000, trained_on=f"/data/{name}") for name in "ab")
    assert labels(open_folders([a, b], methods=["m"])) == [["a/m/7000"], ["b/m/7000"]]


def test_a_method_with_missing_views_is_scored_apart(garden: Path) -> None:
    (garden / "ours" / "0001.png").unlink()
    sources = open_folders([garden / "ours", garden / "theirs"], reference=garden / "gt", allow_missing=True)
    assert [(labels([source])[0], len(source)) for source in sources] == [(["garden/ours"], 2), (["garden/theirs"], 3)]


def test_canvases_with_the_same_references_are_scored_together(tmp_path: Path) -> None:
    a, b = (gsplat(tmp_path / name, 6999) for name in "ab")
    (source,) = open_folders([a, b])
    assert [result.method for result in source.ids] == ["a", "b"]
    canvas(b / "renders" / "val_step6999_0001.png", 3, 4)
    assert [len(source.sets) for source in open_folders([a, b])] == [1, 1]


def test_two_methods_of_ns_eval_share_their_references(tmp_path: Path) -> None:
    a, b = ns_eval(tmp_path / "a", 10), ns_eval(tmp_path / "b", 20, 30, accumulated=2)
    (source,) = open_folders([a, b], scene="fox")
    check_views(source, {"0000": (1, 11, 31), "0001": (2, 12, 32)})


def test_an_archive_and_a_folder_share_their_references(tmp_path: Path) -> None:
    folder = predictions(tmp_path / "p", info={**INFO, "method": "other"})
    archive = pack(predictions(tmp_path / "q"), tmp_path / "q.zip")
    (source,) = open_folders([folder, archive])
    assert [result.method for result in source.ids] == ["other", "gaussian-splatting"]
