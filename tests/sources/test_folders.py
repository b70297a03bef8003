"""Folders of images become views: matched by name, known layouts recognised, shared references read once."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from support.scenes import HEIGHT, WIDTH, float_image, image, write_pngs

from nvs_eval.errors import InputError
from nvs_eval.images.files import Reading, save_npy, save_png
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources import pictures
from nvs_eval.sources.folders import ImageFiles, list_images, open_folders
from nvs_eval.sources.image_source import RenderSet
from nvs_eval.sources.pictures import Picture

NAMES = {"0001": 1, "0002": 2, "0003": 3}


@pytest.fixture
def garden(tmp_path: Path) -> Path:
    """A scene with references and two methods' renders of the same views."""
    write_pngs(tmp_path / "garden" / "gt", NAMES)
    for offset, method in ((10, "ours"), (20, "theirs")):
        write_pngs(tmp_path / "garden" / method, {name: seed + offset for name, seed in NAMES.items()})
    return tmp_path / "garden"


def model(folder: Path, *steps: int, names: dict[str, int] = NAMES, trained_on: str | None = None) -> Path:
    """What graphdeco-inria/gaussian-splatting leaves behind after render.py."""
    for step in steps:
        for split in ("test", "train"):
            write_pngs(folder / split / f"ours_{step}" / "gt", names)
            write_pngs(folder / split / f"ours_{step}" / "renders", {n: seed + step for n, seed in names.items()})
    if trained_on is not None:
        said = f"Namespace(data_device='cuda', images='images', source_path='{trained_on}', white_background=False)"
        (folder / "cfg_args").write_text(said)
    return folder


def bare(source: ImageFiles) -> list[ResultId]:
    """The columns without what their provenance says."""
    return source.ids


def columns(sources: Sequence[ImageFiles]) -> list[list[str]]:
    return [[result.label for result in source.ids] for source in sources]


# --- Matching -------------------------------------------------------------------------------------------------------


def test_renders_are_matched_with_references_by_name(garden: Path) -> None:
    (source,) = open_folders([garden / "ours"], reference=garden / "gt")
    assert bare(source) == [ResultId("garden", "ours")]
    views = list(source)
    assert [view.name for view in views] == list(NAMES)
    for view, seed in zip(views, NAMES.values(), strict=True):
        assert torch.equal(view.reference, image(seed))
        (render,) = view.renders
        assert torch.equal(render.image, image(seed + 10))
        assert (render.file, render.seconds) == (garden / "ours" / f"{view.name}.png", None)
        assert view.reference_file == garden / "gt" / f"{view.name}.png"


def test_several_folders_with_one_reference_folder_are_one_source(garden: Path) -> None:
    (source,) = open_folders([garden / "theirs", garden / "ours"], reference=garden / "gt")
    assert columns([source]) == [["garden/theirs", "garden/ours"]]
    first = next(iter(source))
    assert [render.file for render in first.renders] == [garden / m / "0001.png" for m in ("theirs", "ours")]
    assert torch.equal(first.renders[0].image, image(21))


def test_each_reference_is_decoded_once_whatever_the_number_of_renders(
    garden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Path] = []

    def load(path: Path, reading: Reading) -> tuple[torch.Tensor, None]:
        decoded.append(path)
        return image(0), None

    monkeypatch.setattr(pictures, "load_layers", load)
    (source,) = open_folders([garden / "theirs", garden / "ours"], reference=garden / "gt")
    assert len(list(source)) == len(source) == 3
    assert sorted(decoded) == sorted(garden.glob("*/*.png"))


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
    assert torch.equal(next(iter(source)).renders[0].image, float_image(3))


def write_png_16bit(path: Path, values: np.ndarray) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def test_formats_may_be_mixed_within_one_folder_each_at_its_own_precision(tmp_path: Path) -> None:
    sixteen = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16)
    write_png_16bit(tmp_path / "ours" / "a.png", sixteen)
    save_png(tmp_path / "ours" / "b.png", image(2))
    save_npy(tmp_path / "ours" / "c.npy", float_image(3))
    write_pngs(tmp_path / "gt", {"a": 4, "b": 5, "c": 6})
    (source,) = open_folders([tmp_path / "ours"], reference=tmp_path / "gt")
    a, b, c = (view.renders[0].image for view in source)
    assert torch.equal(a, torch.from_numpy((sixteen / 65535).astype(np.float32)))
    assert torch.equal(b, image(2))
    assert torch.equal(c, float_image(3))


def test_nothing_hidden_is_a_view(garden: Path) -> None:
    for name in ("._0001.png", ".hidden.png", ".ipynb_checkpoints/0001.png", "cam/.cache/9.png", "notes.txt"):
        (garden / "ours" / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(garden / "gt" / "0001.png", garden / "ours" / name)
    (garden / "ours" / "folder.png").mkdir()
    assert list(list_images(garden / "ours")) == list(NAMES)


def test_a_folder_within_a_hidden_one_is_read_like_any_other(tmp_path: Path) -> None:
    assert list(list_images(write_pngs(tmp_path / ".cache" / "renders", {"a": 1}))) == ["a"]


# --- What does not match --------------------------------------------------------------------------------------------


def test_orphans_on_either_side_are_an_error_with_their_names(garden: Path) -> None:
    (garden / "ours" / "0001.png").unlink()
    (garden / "gt" / "0003.png").unlink()
    with pytest.raises(InputError) as error:
        open_folders([garden / "ours"], reference=garden / "gt")
    assert str(error.value) == (
        "The views of garden/ours do not match: 1 renders without reference: 0003; 1 references without render: 0001. "
        "Add what is missing, or say `--allow-missing` to score the views that both have."
    )


def test_many_orphans_are_counted_and_the_first_named(tmp_path: Path) -> None:
    write_pngs(tmp_path / "gt", dict.fromkeys((f"{index:03}" for index in range(9)), 0))
    write_pngs(tmp_path / "ours", {"000": 0})
    with pytest.raises(InputError, match="8 references without render: 001, 002, 003, 004, 005 and 3 more"):
        open_folders([tmp_path / "ours"], reference=tmp_path / "gt")


def test_what_is_missing_may_be_left_out_when_asked(garden: Path) -> None:
    (garden / "ours" / "0001.png").unlink()
    (garden / "gt" / "0003.png").unlink()
    (source,) = open_folders([garden / "ours"], reference=garden / "gt", allow_missing=True)
    assert [view.name for view in source] == ["0002"]


def test_no_common_name_is_an_error_even_when_views_may_be_missing(garden: Path) -> None:
    write_pngs(garden / "renamed", {"r_0": 1, "r_1": 2})
    for allow_missing in (False, True):
        with pytest.raises(InputError) as error:
            open_folders([garden / "renamed"], reference=garden / "gt", allow_missing=allow_missing)
        assert str(error.value) == (
            "No render of garden/renamed has the name of a reference: renders are r_0, r_1, references are 0001, 0002, "
            "0003. Give both the same names."
        )


def test_two_files_of_one_name_are_an_error(garden: Path) -> None:
    save_npy(garden / "ours" / "0002.npy", image(1))
    with pytest.raises(InputError, match=r"0002\.npy and .*0002\.png would both be view '0002': keep one of them"):
        open_folders([garden / "ours"], reference=garden / "gt")


def test_sizes_that_differ_are_an_error_before_anything_is_scored(garden: Path) -> None:
    save_png(garden / "ours" / "0003.png", image(1, height=HEIGHT + 1))
    with pytest.raises(InputError) as error:
        open_folders([garden / "ours"], reference=garden / "gt")
    assert str(error.value) == (
        f"View '0003': the render {garden}/ours/0003.png is 48x41 and the reference {garden}/gt/0003.png is 48x40. "
        "Nothing is resized here: render at the reference's size."
    )


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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read as an image"),
        (b"no image at all", "cannot be read as an image"),
    ],
)
def test_a_file_that_is_no_image_is_named_before_anything_is_scored(garden: Path, content: bytes, said: str) -> None:
    (garden / "ours" / "0002.png").write_bytes(content)
    with pytest.raises(InputError, match=said) as error:
        open_folders([garden / "ours"], reference=garden / "gt")
    assert str(garden / "ours" / "0002.png") in str(error.value)


def test_damage_below_the_header_is_named_when_it_is_met(garden: Path) -> None:
    file = garden / "ours" / "0002.png"
    file.write_bytes(file.read_bytes()[:-200])
    (source,) = open_folders([garden / "ours"], reference=garden / "gt")
    with pytest.raises(InputError, match=r"0002\.png cannot be read as an image"):
        list(source)


def test_a_link_to_nothing_is_not_overlooked(garden: Path) -> None:
    (garden / "ours" / "0002.png").unlink()
    (garden / "ours" / "0002.png").symlink_to(garden / "gone.png")
    with pytest.raises(InputError, match=r"0002\.png cannot be read as an image"):
        open_folders([garden / "ours"], reference=garden / "gt", allow_missing=True)


# --- The layout <model>/test/ours_<iteration>/{renders,gt} ----------------------------------------------------------


def test_a_model_brings_its_references_and_each_iteration_is_a_step(tmp_path: Path) -> None:
    folder = model(tmp_path / "garden-3dgs", 30000, 7000, trained_on="/data/360/garden/")
    (source,) = open_folders([folder])
    assert bare(source) == [ResultId("garden", "garden-3dgs", step=step) for step in (7000, 30000)]
    first = next(iter(source))
    assert torch.equal(first.reference, image(1))
    assert [render.file for render in first.renders] == [
        folder / "test" / f"ours_{step}" / "renders" / "0001.png" for step in (7000, 30000)
    ]


def test_the_training_views_of_a_model_are_no_held_out_views(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", 7000)
    write_pngs(folder / "train" / "ours_999" / "gt", NAMES)
    write_pngs(folder / "train" / "ours_999" / "renders", NAMES)
    (source,) = open_folders([folder])
    assert [(result.step, result.split) for result in source.ids] == [(7000, "test")]


def test_training_views_given_by_themselves_are_called_so(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", 7000, trained_on="/data/garden")
    (source,) = open_folders([folder / "train" / "ours_7000"])
    assert bare(source) == [ResultId("garden", "m", step=7000, split="train")]


def test_one_iteration_may_be_given_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = model(tmp_path / "m", 7000, 30000, trained_on="/data/garden")
    expected = [ResultId("garden", "m", step=30000)]
    (source,) = open_folders([folder / "test" / "ours_30000"])
    assert bare(source) == expected
    # From within, where the path itself says nothing of the model.
    monkeypatch.chdir(folder / "test")
    (source,) = open_folders([Path("ours_30000")])
    assert bare(source) == expected
    monkeypatch.chdir("ours_30000")
    (source,) = open_folders([Path()])
    assert bare(source) == expected


def test_several_iterations_given_by_themselves_are_one_method(tmp_path: Path) -> None:
    test = model(tmp_path / "m", 7000, 30000, trained_on="/data/garden") / "test"
    (source,) = open_folders([test / "ours_30000", test / "ours_7000"])
    assert columns([source]) == [["garden/m/30000", "garden/m/7000"]]


def test_a_model_that_does_not_say_its_scene_is_of_the_folder_above(tmp_path: Path) -> None:
    (source,) = open_folders([model(tmp_path / "garden" / "m", 7000)])
    assert columns([source]) == [["garden/m/7000"]]
    (tmp_path / "garden" / "m" / "cfg_args").write_bytes(b"\xff\xfe no text")
    (source,) = open_folders([tmp_path / "garden" / "m"])
    assert columns([source]) == [["garden/m/7000"]]


def test_an_iteration_without_references_says_what_is_missing(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", 7000)
    shutil.rmtree(folder / "test" / "ours_7000" / "gt")
    with pytest.raises(InputError, match=r"The folder .*ours_7000/gt does not exist"):
        open_folders([folder])
    other = write_pngs(tmp_path / "other", NAMES)
    (source,) = open_folders([folder], reference=other)
    assert next(iter(source)).reference_file == other / "0001.png"


def test_renders_called_like_an_iteration_are_an_ordinary_folder(tmp_path: Path) -> None:
    write_pngs(tmp_path / "garden" / "gt", NAMES)
    write_pngs(tmp_path / "garden" / "ours_7000", NAMES)
    (source,) = open_folders([tmp_path / "garden" / "ours_7000"], reference=tmp_path / "garden" / "gt")
    assert bare(source) == [ResultId("garden", "ours_7000")]


# --- Groups ---------------------------------------------------------------------------------------------------------


def test_models_with_the_same_references_are_scored_together(tmp_path: Path) -> None:
    a, b = (model(tmp_path / name, 7000, trained_on="/data/garden") for name in "ab")
    (source,) = open_folders([a, b])
    assert columns([source]) == [["garden/a/7000", "garden/b/7000"]]


def test_models_whose_references_differ_are_scored_apart(tmp_path: Path) -> None:
    a, b = (model(tmp_path / name, 7000, trained_on="/data/garden") for name in "ab")
    save_png(b / "test" / "ours_7000" / "gt" / "0002.png", image(99))
    assert columns(open_folders([a, b])) == [["garden/a/7000"], ["garden/b/7000"]]


def test_models_with_other_views_are_scored_apart(tmp_path: Path) -> None:
    a = model(tmp_path / "a", 7000, trained_on="/data/garden")
    b = model(tmp_path / "b", 7000, names={"0001": 1, "0002": 2}, trained_on="/data/garden")
    first, second = open_folders([a, b])
    assert (len(first), len(second)) == (3, 2)


def test_the_same_references_under_other_names_are_other_views(tmp_path: Path) -> None:
    a = model(tmp_path / "a", 7000, trained_on="/data/garden")
    b = model(
        tmp_path / "b", 7000, names={f"r_{name}": seed for name, seed in NAMES.items()}, trained_on="/data/garden"
    )
    assert columns(open_folders([a, b])) == [["garden/a/7000"], ["garden/b/7000"]]


def test_two_scenes_are_two_sources_even_where_their_images_are_the_same(tmp_path: Path) -> None:
    a, b = (model(tmp_path / name, 7000, trained_on=f"/data/{name}") for name in "ab")
    assert columns(open_folders([a, b])) == [["a/a/7000"], ["b/b/7000"]]


def test_views_that_one_method_lacks_put_it_into_a_group_of_its_own(garden: Path) -> None:
    (garden / "ours" / "0001.png").unlink()
    sources = open_folders([garden / "ours", garden / "theirs"], reference=garden / "gt", allow_missing=True)
    assert [(columns([source])[0], len(source)) for source in sources] == [(["garden/ours"], 2), (["garden/theirs"], 3)]


# --- Names ----------------------------------------------------------------------------------------------------------


def test_names_given_by_the_user_win(garden: Path) -> None:
    (source,) = open_folders(
        [garden / "ours", garden / "theirs"], reference=garden / "gt", scene="s", methods=["a", "b/c"]
    )
    assert bare(source) == [ResultId("s", "a"), ResultId("s", "b/c")]


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
def test_names_that_collide_get_the_shortest_path_that_tells_them_apart(
    given: list[str], names: list[str], tmp_path: Path
) -> None:
    write_pngs(tmp_path / "gt", NAMES)
    (source,) = open_folders([write_pngs(tmp_path / folder, NAMES) for folder in given], reference=tmp_path / "gt")
    assert [result.method for result in source.ids] == names


def test_models_that_collide_are_told_apart_by_what_is_above_them(tmp_path: Path) -> None:
    (source,) = open_folders([model(tmp_path / run / "m", 7000, trained_on="/d/garden") for run in ("one", "two")])
    assert [result.method for result in source.ids] == ["one/m", "two/m"]


def test_a_folder_given_twice_is_an_error(garden: Path) -> None:
    again = garden / "theirs" / ".." / "ours"
    with pytest.raises(InputError, match=r"The folder .*garden/ours was given twice"):
        open_folders([garden / "ours", again], reference=garden / "gt")


def test_a_relative_folder_has_the_name_of_what_it_is(garden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(garden / "ours")
    (source,) = open_folders([Path()], reference=Path("../gt"))
    assert bare(source) == [ResultId("garden", "ours")]


def test_times_of_renders_reach_the_views(garden: Path) -> None:
    files = {name: Picture(garden / "ours" / f"{name}.png") for name in NAMES}
    times = {"0001": None, "0002": 2.0, "0003": 3.0}
    source = ImageFiles([RenderSet(ResultId("s", "m"), files, files, seconds=times)])
    assert [view.renders[0].seconds for view in source] == [None, 2.0, 3.0]


def test_a_reference_that_cannot_be_read_is_named(garden: Path) -> None:
    reference = garden / "gt" / f"{next(iter(NAMES))}.png"
    reference.unlink()
    reference.symlink_to("/nowhere")
    with pytest.raises(InputError, match=rf"{reference.name} cannot be read"):
        open_folders([garden / "ours"], reference=garden / "gt")
