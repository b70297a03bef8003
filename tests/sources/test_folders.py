"""Folders of images become views: which folders are accepted, and what their results are called."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.layouts import (
    NAMES,
    model,
)
from support.scenes import image, write_pngs

from nvs_eval.errors import InputError
from nvs_eval.images.files import save_npy
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.folders import list_images, open_folders


def test_nothing_hidden_is_a_view(garden: Path) -> None:
    for name in ("._0001.png", ".hidden.png", ".ipynb_checkpoints/0001.png", "cam/.cache/9.png", "notes.txt"):
        (garden / "ours" / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(garden / "gt" / "0001.png", garden / "ours" / name)
    (garden / "ours" / "folder.png").mkdir()
    assert list(list_images(garden / "ours")) == list(NAMES)


def test_a_folder_within_a_hidden_one_is_read_like_any_other(tmp_path: Path) -> None:
    assert list(list_images(write_pngs(tmp_path / ".cache" / "renders", {"a": 1}))) == ["a"]


def test_two_files_of_one_name_are_an_error(garden: Path) -> None:
    save_npy(garden / "ours" / "0002.npy", image(1))
    with pytest.raises(InputError, match=r"0002\.npy and .*0002\.png would both be view '0002': keep one of them"):
        open_folders([garden / "ours"], reference=garden / "gt")


def test_an_empty_folder_is_an_error(garden: Path) -> None:
    (garden / "empty").mkdir()
    for renders, reference in (("empty", "gt"), ("ours", "empty")):
        with pytest.raises(InputError, match=r"The folder .*empty has no images \(\.png, \.jpg, "):
            open_folders([garden / renders], reference=garden / reference)


def test_a_folder_that_is_none_is_an_error(garden: Path) -> None:
    with pytest.raises(InputError, match=r"The folder of renders .*gone does not exist\."):
        open_folders([garden / "gone"], reference=garden / "gt")
    with pytest.raises(InputError, match=r"The folder of renders .*0001\.png is no folder\."):
        open_folders([garden / "gt" / "0001.png"], reference=garden / "gt")
    with pytest.raises(InputError, match=r"The folder .*gone does not exist\."):
        open_folders([garden / "ours"], reference=garden / "gone")


def test_a_folder_without_references_needs_them_named(garden: Path) -> None:
    with pytest.raises(InputError) as error:
        open_folders([garden / "ours"])
    assert str(error.value) == (
        f"{garden}/ours has no references of its own: say `--reference DIR`. What brings its references is known by "
        "these files: [test/]ours_<iteration>/ with renders/ and gt/ (3D Gaussian splatting); [predictions/]color/ "
        "with gt-color/ (nerfbaselines); [renders/]val_step<step>_<n>.png, reference and render side by side (gsplat); "
        "eval_img_<n>.png, likewise (ns-eval --render-output-path)."
    )


def test_a_folder_given_twice_is_an_error(garden: Path) -> None:
    again = garden / "theirs" / ".." / "ours"
    with pytest.raises(InputError, match=r"The folder .*garden/ours was given twice"):
        open_folders([garden / "ours", again], reference=garden / "gt")


# --- Names ------------------------------------------------------------------------------------------------------------


def test_names_given_by_the_user_win(garden: Path) -> None:
    (source,) = open_folders(
        [garden / "ours", garden / "theirs"], reference=garden / "gt", scene="s", methods=["a", "b/c"]
    )
    assert source.ids == [ResultId("s", "a"), ResultId("s", "b/c")]


def test_a_method_is_named_for_each_folder_or_for_none(garden: Path) -> None:
    with pytest.raises(InputError, match="1 method for 2 folders of renders: give one for each, or none"):
        open_folders([garden / "ours", garden / "theirs"], reference=garden / "gt", methods=["a"])


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["x/a", "x/b"], ["a", "b"]),
        (["x/a", "y/a"], ["x/a", "y/a"]),
        (["x/a", "y/a", "x/b"], ["x/a", "y/a", "b"]),
        (["x/1/a", "y/1/a", "y/2/a"], ["x/1/a", "y/1/a", "2/a"]),
    ],
)
def test_names_that_collide_get_the_shortest_unique_path(given: list[str], names: list[str], tmp_path: Path) -> None:
    write_pngs(tmp_path / "gt", NAMES)
    (source,) = open_folders([write_pngs(tmp_path / folder, NAMES) for folder in given], reference=tmp_path / "gt")
    assert [result.method for result in source.ids] == names


def test_models_that_collide_are_named_after_the_folder_above(tmp_path: Path) -> None:
    (source,) = open_folders([model(tmp_path / run / "m", 7000, trained_on="/d/garden") for run in ("one", "two")])
    assert [result.method for result in source.ids] == ["one/m", "two/m"]


def test_a_relative_folder_has_the_name_of_what_it_is(garden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(garden / "ours")
    (source,) = open_folders([Path()], reference=Path("../gt"))
    assert source.ids == [ResultId("garden", "ours")]
