"""What other tools leave behind brings its references: each layout read as its tool writes it, archives included."""

from __future__ import annotations

import gc
import io
import json
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.protocols import protocol_file
from support.scenes import HEIGHT, WIDTH, files_below, image, write_pngs
from torch import Tensor

from nvs_eval.cli import main
from nvs_eval.errors import InputError
from nvs_eval.images.files import Reading, load_layers, save_png
from nvs_eval.records.record import Record, read_record
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources import pictures
from nvs_eval.sources.folders import ImageFiles, open_folders
from nvs_eval.sources.masks import load_mask

VIEWS = {"0000": 1, "0001": 2}


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where archives are unpacked, so that a test sees what is left there."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def canvas(path: Path, *seeds: int) -> None:
    save_png(path, torch.cat([image(seed) for seed in seeds], dim=1))


def bare(source: ImageFiles) -> list[ResultId]:
    return source.ids


def check_views(source: ImageFiles, expected: dict[str, tuple[int, ...]]) -> None:
    """Check that the views are the images of these seeds, the reference first."""
    views = list(source)
    assert [view.name for view in views] == list(expected)
    for view, (reference, *renders) in zip(views, expected.values(), strict=True):
        assert torch.equal(view.reference, image(reference))
        assert len(view.renders) == len(renders)
        for render, seed in zip(view.renders, renders, strict=True):
            assert torch.equal(render.image, image(seed))


def refusal(*folders: Path, reference: Path | None = None) -> str:
    with pytest.raises(InputError) as error:
        open_folders(folders, reference=reference)
    return str(error.value)


# --- nerfbaselines --------------------------------------------------------------------------------------------------


INFO = {
    "method": "gaussian-splatting",
    "nb_version": "1.2.7",
    "num_iterations": 30000,
    "dataset_metadata": {"id": "mipnerf360", "scene": "of training"},
    "evaluation_protocol": "nerf",
    "render_dataset_metadata": {"id": "mipnerf360", "scene": "garden", "background_color": None},
}
PREDICTED = {"cam0/DSC07956": (1, 11), "cam1/DSC07964": (2, 12)}


def predictions(folder: Path, *, info: object = INFO, mask: bool = False) -> Path:
    """What nerfbaselines' save_predictions writes."""
    for name, (reference, render) in PREDICTED.items():
        save_png(folder / "gt-color" / f"{name}.png", image(reference))
        save_png(folder / "color" / f"{name}.png", image(render))
        save_png(folder / "depth-rgb" / f"{name}.png", image(99))
        if mask:
            save_png(folder / "mask" / f"{name}.png", torch.ones(HEIGHT, WIDTH, 3))
        for kind, extension in (("cameras", "npz"), ("depth", "bin")):
            (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / kind / f"{name}.{extension}").write_bytes(b"no image")
    if info is not None:
        (folder / "info.json").write_text(info if isinstance(info, str) else json.dumps(info))
    return folder


def test_predictions_bring_references_scene_and_method(tmp_path: Path) -> None:
    folder = predictions(tmp_path / "predictions-30000")
    (source,) = open_folders([folder])
    assert bare(source) == [ResultId("garden", "gaussian-splatting", step=30000)]
    check_views(source, PREDICTED)
    first = next(iter(source))
    assert first.reference_file == folder / "gt-color" / "cam0" / "DSC07956.png"
    assert first.renders[0].file == folder / "color" / "cam0" / "DSC07956.png"
    assert list(source.provenance[0]) == ["reading"]


def test_predictions_of_another_split_are_called_so(tmp_path: Path) -> None:
    (source,) = open_folders([predictions(tmp_path / "predictions-100-train")])
    assert bare(source) == [ResultId("garden", "gaussian-splatting", step=100, split="train")]


@pytest.mark.parametrize(
    ("info", "said"),
    [
        (None, ("bicycle", "mine")),
        ("{", ("bicycle", "mine")),
        ([], ("bicycle", "mine")),
        ({"method": 3, "render_dataset_metadata": None}, ("bicycle", "mine")),
        ({"method": "nerfacto"}, ("bicycle", "nerfacto")),
        ({"dataset_metadata": {"scene": "room"}}, ("room", "mine")),
    ],
)
def test_predictions_that_do_not_say_are_named_after_their_folders(
    info: object, said: tuple[str, str], tmp_path: Path
) -> None:
    (source,) = open_folders([predictions(tmp_path / "bicycle" / "mine", info=info)])
    assert bare(source) == [ResultId(*said)]


def test_names_given_by_the_user_win_over_those_of_predictions(tmp_path: Path) -> None:
    (source,) = open_folders([predictions(tmp_path / "p")], scene="s", methods=["m"])
    assert bare(source) == [ResultId("s", "m")]


def test_masks_of_predictions_are_not_used_unless_they_are_given(tmp_path: Path) -> None:
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
def test_masks_that_came_with_predictions_are_used_where_they_are_asked_for(packed: bool, tmp_path: Path) -> None:
    folder = predictions(tmp_path / "p", mask=True)
    given = pack(folder, tmp_path / "p.tar.gz") if packed else folder
    (source,) = open_folders([given], own_masks=True)
    first = next(iter(source))
    assert first.mask is not None
    assert torch.equal(first.mask, load_mask(folder / "mask" / "cam0" / "DSC07956.png"))
    # What is in an archive is no file that a record could name.
    assert first.mask_file == (None if packed else folder / "mask" / "cam0" / "DSC07956.png")
    assert "masks_not_used" not in source.provenance[0]


def test_renders_without_masks_of_their_own_are_refused_where_these_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No masks came with .*p: leave `--data-masks` out, or say `--masks DIR`"):
        open_folders([predictions(tmp_path / "p")], own_masks=True)


def test_predictions_without_a_reference_of_one_view_are_refused(tmp_path: Path) -> None:
    folder = predictions(tmp_path / "garden" / "p")
    (folder / "gt-color" / "cam1" / "DSC07964.png").unlink()
    assert "1 renders without reference: cam1/DSC07964" in refusal(folder)


# --- Archives -------------------------------------------------------------------------------------------------------


def pack(folder: Path, archive: Path, prefix: str = "") -> Path:
    """An archive of all that is in a folder, below a prefix."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for file in files:
                packed.write(file, prefix + file.relative_to(folder).as_posix())
    else:
        with tarfile.open(archive, "w:gz") as packed:
            for file in files:
                packed.add(file, prefix + file.relative_to(folder).as_posix())
    return archive


@pytest.mark.parametrize("prefix", ["", "./", "predictions/", "results/garden/"])
@pytest.mark.parametrize("suffix", ["zip", "tar.gz", "tgz"])
def test_an_archive_is_read_as_the_folder_that_was_packed(
    suffix: str, prefix: str, tmp_path: Path, temporary: Path
) -> None:
    archive = pack(predictions(tmp_path / "p"), tmp_path / f"predictions-7000.{suffix}", prefix)
    (source,) = open_folders([archive])
    assert bare(source) == [ResultId("garden", "gaussian-splatting", step=7000)]
    check_views(source, PREDICTED)
    # Only what may be needed was unpacked.
    assert {Path(file).suffix for file in files_below(temporary)} == {".png", ".json"}


def test_what_nerfbaselines_publishes_has_predictions_beside_other_things(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    predictions(whole / "predictions")
    (whole / "results.json").write_text("{}")
    save_png(whole / "checkpoint" / "preview.png", image(5))
    (source,) = open_folders([pack(whole, tmp_path / "garden.zip")])
    assert bare(source) == [ResultId("garden", "gaussian-splatting")]
    check_views(source, PREDICTED)


def test_an_image_in_an_archive_has_no_file_and_the_record_says_which_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    archive = pack(predictions(tmp_path / "p", mask=True), tmp_path / "p.tar.gz")
    monkeypatch.chdir(tmp_path)
    (source,) = open_folders([Path("p.tar.gz")])
    for view in source:
        assert (view.reference_file, view.renders[0].file) == (None, None)
    assert source.provenance[0] == {
        "renders_from": "p.tar.gz",
        "archive_sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "masks_not_used": "p.tar.gz/mask",
        "reading": {"background": None, "grey_to_rgb": False, "exr": None},
    }


def test_what_was_unpacked_lasts_as_long_as_its_source_and_no_longer(tmp_path: Path, temporary: Path) -> None:
    archive = pack(predictions(tmp_path / "p"), tmp_path / "p.zip")
    sources = open_folders([archive, predictions(tmp_path / "q", info=None)])
    views = iter(sources[0])
    del sources
    gc.collect()
    next(views)
    assert len(list(temporary.iterdir())) == 1
    assert len(list(views)) == 1
    del views
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_an_archive_and_a_folder_of_the_same_references_are_one_source(tmp_path: Path) -> None:
    folder = predictions(tmp_path / "p", info={**INFO, "method": "other"})
    archive = pack(predictions(tmp_path / "q"), tmp_path / "q.zip")
    (source,) = open_folders([folder, archive])
    assert [result.method for result in source.ids] == ["other", "gaussian-splatting"]


def test_a_plain_archive_is_matched_with_the_references_and_named_after_itself(tmp_path: Path) -> None:
    references = write_pngs(tmp_path / "garden" / "gt", VIEWS)
    renders = write_pngs(tmp_path / "r", {name: seed + 10 for name, seed in VIEWS.items()})
    archive = pack(renders, tmp_path / "runs" / "ours.tar.gz", "renders/")
    (source,) = open_folders([archive], reference=references)
    assert bare(source) == [ResultId("garden", "ours")]
    check_views(source, {"0000": (1, 11), "0001": (2, 12)})
    assert next(iter(source)).reference_file == references / "0000.png"
    assert refusal(archive).startswith(f"{archive} has no references of its own: say `--reference DIR`.")


def test_hidden_files_of_an_archive_are_none(tmp_path: Path) -> None:
    folder = predictions(tmp_path / "p")
    save_png(folder / "__MACOSX" / "._a.png", image(1))
    save_png(folder / "color" / ".cache" / "b.png", image(1))
    (source,) = open_folders([pack(folder, tmp_path / "p.zip")])
    assert len(source) == 2


def test_folders_that_an_archive_separates_by_backslashes_are_folders(tmp_path: Path) -> None:
    folder = predictions(tmp_path / "p")
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as packed:
        for file in sorted(folder.rglob("*.png")):
            packed.writestr(file.relative_to(folder).as_posix().replace("/", "\\"), file.read_bytes())
    (source,) = open_folders([tmp_path / "p.zip"])
    check_views(source, PREDICTED)


def test_errors_name_the_archive_and_what_is_in_it(tmp_path: Path) -> None:
    folder = predictions(tmp_path / "p")
    damaged = folder / "color" / "cam0" / "DSC07956.png"
    damaged.write_bytes(damaged.read_bytes()[:20])
    archive = pack(folder, tmp_path / "p.zip")
    assert refusal(archive).startswith(f"{archive}/color/cam0/DSC07956.png cannot be read as an image")
    save_png(damaged, image(1, height=HEIGHT + 1))
    archive = pack(folder, tmp_path / "q.tar.gz")
    assert refusal(archive).startswith(
        f"View 'cam0/DSC07956': the render {archive}/color/cam0/DSC07956.png is 48x41 and the reference "
        f"{archive}/gt-color/cam0/DSC07956.png is 48x40."
    )
    shutil.rmtree(folder / "color")
    (folder / "color").mkdir()
    (folder / "color" / "info.json").write_text("{}")
    archive = pack(folder, tmp_path / "r.zip")
    assert refusal(archive) == f"The folder {archive}/color has no images (.png, .jpg, .jpeg, .npy, .exr)."


# --- Archives that are damaged, or meant to do damage ---------------------------------------------------------------


def tar_with(archive: Path, *infos: tarfile.TarInfo) -> Path:
    with tarfile.open(archive, "w:gz") as packed:
        good = tarfile.TarInfo("good.png")
        good.size = 4
        packed.addfile(good, io.BytesIO(b"good"))
        for info in infos:
            packed.addfile(info, io.BytesIO(b"\0" * info.size))
    return archive


def zip_with(archive: Path, *infos: zipfile.ZipInfo) -> Path:
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("good.png", b"good")
        for info in infos:
            packed.writestr(info, b"/etc/passwd")
    return archive


@pytest.fixture
def untouched(tmp_path: Path, temporary: Path) -> Callable[[Path], str]:
    """What an archive is refused with, nothing of it left or written anywhere."""

    def refused(archive: Path) -> str:
        before = files_below(tmp_path)
        said = refusal(archive)
        gc.collect()
        assert files_below(tmp_path) == before
        assert list(temporary.iterdir()) == []
        assert str(archive) in said
        return said

    return refused


@pytest.mark.parametrize(
    "name", ["/abs.png", "../up.png", "a/../../up.png", "..\\up.png", "C:/x.png", "\\\\host\\x.png"]
)
@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_a_name_that_leads_out_of_the_archive_is_refused(
    suffix: str, name: str, tmp_path: Path, untouched: Callable[[Path], str]
) -> None:
    archive = tmp_path / f"evil.{suffix}"
    if suffix == "zip":
        zip_with(archive, zipfile.ZipInfo(name))
        name = name.replace("\\", "/")
    else:
        tar_with(archive, tarfile.TarInfo(name))
    assert untouched(archive) == (
        f"{archive} holds {name!r}, which leads out of the folder that it is unpacked into: nothing was unpacked. Do "
        "not trust this archive, or pack it again with relative paths."
    )


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.SYMTYPE, "a link to '/etc/passwd'"),
        (tarfile.LNKTYPE, "a link to '/etc/passwd'"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.FIFOTYPE, "a device"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(
    kind: bytes, said: str, tmp_path: Path, untouched: Callable[[Path], str]
) -> None:
    info = tarfile.TarInfo("color/0001.png")
    info.type, info.linkname = kind, "/etc/passwd"
    assert untouched(tar_with(tmp_path / "evil.tar.gz", info)).endswith(
        f"holds 'color/0001.png', which is {said}, and only files and folders are unpacked: pack the files themselves "
        "(of tar, `--dereference`)."
    )


@pytest.mark.parametrize(("mode", "said"), [(stat.S_IFLNK, "a link"), (stat.S_IFIFO, "a device")])
def test_links_and_devices_in_a_zip_are_refused(
    mode: int, said: str, tmp_path: Path, untouched: Callable[[Path], str]
) -> None:
    info = zipfile.ZipInfo("color/0001.png")
    info.external_attr = (mode | 0o777) << 16
    assert f"holds 'color/0001.png', which is {said}, and only" in untouched(zip_with(tmp_path / "evil.zip", info))


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_more_than_there_is_room_for_is_refused_before_anything_is_written(
    suffix: str, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, untouched: Callable[[Path], str]
) -> None:
    folder = predictions(tmp_path / "p")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.suffix in (".png", ".json"))
    archive = pack(folder, tmp_path / f"p.{suffix}")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, size))
    assert len(open_folders([archive])) == 1
    gc.collect()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, size - 1))
    assert untouched(archive) == (
        f"The images in {archive} need {size / 1e6:.1f} MB in {temporary}, and {(size - 1) / 1e6:.1f} MB are free: "
        "make room, set the environment variable TMPDIR, or unpack it yourself and give the folder."
    )


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
@pytest.mark.parametrize("damage", ["empty", "text", "cut", "flipped", "checksum"])
def test_a_damaged_archive_is_named(damage: str, suffix: str, tmp_path: Path, untouched: Callable[[Path], str]) -> None:
    archive = pack(predictions(tmp_path / "p"), tmp_path / f"p.{suffix}")
    whole = archive.read_bytes()
    middle = len(whole) // 2
    content = {
        "empty": b"",
        "text": b"no archive",
        "cut": whole[:-100],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :],
        "checksum": whole[:-6] + bytes([whole[-6] ^ 255]) + whole[-5:],
    }
    archive.write_bytes(content[damage])
    assert untouched(archive).startswith(f"{archive} cannot be unpacked: ")


def test_an_encrypted_archive_is_named(tmp_path: Path, untouched: Callable[[Path], str]) -> None:
    archive = pack(predictions(tmp_path / "p"), tmp_path / "p.zip")
    data = bytearray(archive.read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = data.find(signature)
        while place >= 0:
            data[place + flags] |= 1
            place = data.find(signature, place + 1)
    archive.write_bytes(data)
    assert "encrypted" in untouched(archive)


# --- gsplat ---------------------------------------------------------------------------------------------------------


def gsplat(folder: Path, *steps: int, stage: str = "val", data: str | None = "data/360_v2/garden") -> Path:
    """What gsplat's simple_trainer leaves behind: reference left, render right."""
    for step in steps:
        for name, seed in VIEWS.items():
            canvas(folder / "renders" / f"{stage}_step{step}_{name}.png", seed, seed + step)
    if data is not None:
        said = (
            f"antialiased: false\ndata_dir: {data}\ndata_factor: 4\nstrategy: !!python/object:gsplat.DefaultStrategy\n"
        )
        (folder / "cfg.yml").write_text(said)
    return folder


def test_the_canvases_of_gsplat_are_halves_and_each_step_is_a_row(tmp_path: Path) -> None:
    folder = gsplat(tmp_path / "ours", 29999, 6999)
    (source,) = open_folders([folder])
    assert bare(source) == [ResultId("garden", "ours", step=6999), ResultId("garden", "ours", step=29999)]
    check_views(source, {"0000": (1, 7000, 30000), "0001": (2, 7001, 30001)})


def test_the_folder_of_canvases_may_be_given_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = gsplat(tmp_path / "ours", 29999)
    (source,) = open_folders([folder / "renders"])
    assert bare(source) == [ResultId("garden", "ours", step=29999)]
    monkeypatch.chdir(folder / "renders")
    (source,) = open_folders([Path()])
    assert bare(source) == [ResultId("garden", "ours", step=29999)]


def test_a_half_of_a_canvas_has_no_file_and_the_record_says_which_folder(tmp_path: Path) -> None:
    folder = gsplat(tmp_path / "ours", 29999)
    (source,) = open_folders([folder])
    for view in source:
        assert (view.reference_file, view.renders[0].file) == (None, None)
    assert source.provenance[0]["renders_from"] == str(folder)
    assert "archive_sha256" not in source.provenance[0]


@pytest.mark.parametrize(
    ("data", "scene"), [("'data/my garden/'", "my garden"), ('"garden"', "garden"), (None, "above"), ("''", "above")]
)
def test_the_scene_of_gsplat_is_that_of_its_data(data: str | None, scene: str, tmp_path: Path) -> None:
    (source,) = open_folders([gsplat(tmp_path / "above" / "ours", 29999, data=data)])
    assert bare(source) == [ResultId(scene, "ours", step=29999)]


def test_compressed_splats_are_a_method_of_their_own(tmp_path: Path) -> None:
    folder = gsplat(gsplat(tmp_path / "ours", 29999, stage="compress"), 6999, 29999)
    (source,) = open_folders([folder])
    assert [result.label for result in source.ids] == [
        "garden/ours/6999",
        "garden/ours/29999",
        "garden/ours-compress/29999",
    ]


def test_canvases_without_a_step_are_read_beside_the_configuration_of_their_trainer(tmp_path: Path) -> None:
    folder = tmp_path / "2dgs"
    for name, seed in VIEWS.items():
        canvas(folder / "renders" / f"val_{name}.png", seed, seed + 10)
        save_png(folder / "renders" / f"val_{name}_median_depth_29999.png", image(9))
    assert "has no references of its own" in refusal(folder / "renders")
    (folder / "cfg.json").write_text('{"disable_viewer": false, "data_dir": "data/360_v2/garden", "test_every": 8}')
    (source,) = open_folders([folder])
    assert bare(source) == [ResultId("garden", "2dgs")]
    check_views(source, {"0000": (1, 11), "0001": (2, 12)})


def test_other_images_beside_canvases_are_not_views(tmp_path: Path) -> None:
    folder = gsplat(tmp_path / "ours", 29999)
    for name in ("train_rank0.png", "val_step29999_0000.jpg.png", "traj_29999.png"):
        save_png(folder / "renders" / name, image(9))
    (source,) = open_folders([folder])
    check_views(source, {"0000": (1, 30000), "0001": (2, 30001)})


def test_results_with_the_same_references_are_scored_together_and_others_apart(tmp_path: Path) -> None:
    a, b = (gsplat(tmp_path / name, 6999) for name in "ab")
    (source,) = open_folders([a, b])
    assert [result.method for result in source.ids] == ["a", "b"]
    canvas(b / "renders" / "val_step6999_0001.png", 3, 4)
    assert [len(source.sets) for source in open_folders([a, b])] == [1, 1]


def test_a_canvas_is_decoded_once_a_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def load(path: Path, reading: Reading) -> tuple[Tensor, Tensor | None]:
        read.append(path.name)
        return load_layers(path, reading)

    monkeypatch.setattr(pictures, "load_layers", load)
    monkeypatch.setattr(pictures, "decode", lambda path: pytest.fail(f"{path} was decoded for its hash alone"))
    (source,) = open_folders([gsplat(tmp_path / "ours", 29999)])
    assert len(list(source)) == 2
    assert read == ["val_step29999_0000.png", "val_step29999_0001.png"]


def test_a_canvas_without_two_halves_is_named(tmp_path: Path) -> None:
    folder = gsplat(tmp_path / "ours", 29999)
    odd = folder / "renders" / "val_step29999_0001.png"
    save_png(odd, image(1, width=2 * WIDTH + 1))
    assert refusal(folder) == f"{odd} is 97 pixels wide, and 2 images of one width side by side are needed."


def test_references_that_are_given_win_over_those_in_canvases(tmp_path: Path) -> None:
    references = write_pngs(tmp_path / "gt", {"0000": 5, "0001": 6})
    (source,) = open_folders([gsplat(tmp_path / "ours", 29999)], reference=references)
    check_views(source, {"0000": (5, 30000), "0001": (6, 30001)})
    assert next(iter(source)).reference_file == references / "0000.png"


def test_images_that_are_called_like_canvases_are_none_where_references_are_called_so_too(tmp_path: Path) -> None:
    names = {"val_step1_0000": 1, "eval_img_0000": 2}
    for name, seed in names.items():
        write_pngs(tmp_path / name / "gt", {name: seed})
        write_pngs(tmp_path / name / "ours", {name: seed + 10})
        (source,) = open_folders([tmp_path / name / "ours"], reference=tmp_path / name / "gt")
        assert bare(source) == [ResultId(name, "ours")]
        check_views(source, {name: (seed, seed + 10)})


def test_masks_are_matched_with_the_views_of_canvases(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    for name in VIEWS:
        save_png(masks / f"{name}.png", torch.ones(HEIGHT, WIDTH, 3))
    (source,) = open_folders([gsplat(tmp_path / "ours", 29999)], masks=masks)
    assert [view.mask_file for view in source] == [masks / "0000.png", masks / "0001.png"]
    save_png(masks / "0001.png", torch.ones(HEIGHT, 2 * WIDTH, 3))
    with pytest.raises(InputError, match=r"View '0001': the mask .*0001\.png is 96x40 and the image 48x40"):
        open_folders([tmp_path / "ours"], masks=masks)


# --- ns-eval --------------------------------------------------------------------------------------------------------


def ns_eval(folder: Path, *offsets: int, accumulated: int | None = 1) -> Path:
    """What `ns-eval --render-output-path` writes: the reference and the renders, and images of other things."""
    for name, seed in VIEWS.items():
        canvas(folder / f"eval_img_{name}.png", seed, *(seed + offset for offset in offsets))
        if accumulated is not None:
            for other in ("accumulation", "depth", "prop_depth_0", "nvs_error"):
                canvas(folder / f"eval_{other}_{name}.png", *[9] * accumulated)
    return folder


@pytest.mark.parametrize("accumulated", [1, None], ids=["nerfacto", "splatfacto"])
def test_what_ns_eval_writes_is_halves(accumulated: int | None, tmp_path: Path) -> None:
    folder = ns_eval(tmp_path / "fox" / "nerfacto", 10, accumulated=accumulated)
    (source,) = open_folders([folder])
    assert bare(source) == [ResultId("fox", "nerfacto")]
    check_views(source, {"0000": (1, 11), "0001": (2, 12)})
    assert source.provenance[0]["renders_from"] == str(folder)


def test_of_a_coarse_and_a_fine_render_the_fine_one_is_scored(tmp_path: Path) -> None:
    (source,) = open_folders([ns_eval(tmp_path / "fox" / "vanilla-nerf", 10, 20, accumulated=2)])
    check_views(source, {"0000": (1, 21), "0001": (2, 22)})


@pytest.mark.parametrize(("offsets", "accumulated"), [((), 1), ((10, 20, 30), 1)], ids=["generfacto", "four"])
def test_canvases_of_another_shape_are_refused(offsets: tuple[int, ...], accumulated: int, tmp_path: Path) -> None:
    folder = ns_eval(tmp_path / "n", *offsets, accumulated=accumulated)
    assert refusal(folder) == (
        f"{folder}/eval_img_0000.png is {(1 + len(offsets)) * WIDTH} pixels wide and eval_accumulation_0000.png beside "
        f"it {WIDTH}: it is neither reference and render (twice as wide) nor reference, coarse and fine (one and a "
        "half times). Cut the renders out, and give them with `--reference DIR`."
    )


def test_two_methods_of_ns_eval_share_their_references(tmp_path: Path) -> None:
    a, b = ns_eval(tmp_path / "a", 10), ns_eval(tmp_path / "b", 20, 30, accumulated=2)
    (source,) = open_folders([a, b], scene="fox")
    check_views(source, {"0000": (1, 11, 31), "0001": (2, 12, 32)})


def test_canvases_may_come_in_an_archive(tmp_path: Path) -> None:
    archive = pack(ns_eval(tmp_path / "n", 10, 20, accumulated=2), tmp_path / "fox" / "vanilla-nerf.tar.gz", "out/")
    (source,) = open_folders([archive])
    assert bare(source) == [ResultId("fox", "vanilla-nerf")]
    check_views(source, {"0000": (1, 21), "0001": (2, 22)})
    archive = pack(gsplat(tmp_path / "g", 29999), tmp_path / "g.zip", "garden/")
    (source,) = open_folders([archive])
    assert bare(source) == [ResultId("garden", "g", step=29999)]


# --- 3D Gaussian splatting, and the command -------------------------------------------------------------------------


def model(folder: Path, *steps: int, scene: str) -> Path:
    for step in steps:
        write_pngs(folder / "test" / f"ours_{step}" / "gt", VIEWS)
        write_pngs(folder / "test" / f"ours_{step}" / "renders", {name: seed + step for name, seed in VIEWS.items()})
    (folder / "cfg_args").write_text(f"Namespace(source_path='/data/{scene}', sh_degree=3)")
    return folder


def test_a_model_may_come_in_an_archive(tmp_path: Path) -> None:
    archive = pack(model(tmp_path / "m", 7000, 30000, scene="garden"), tmp_path / "ours.zip", "output/")
    (source,) = open_folders([archive])
    assert bare(source) == [ResultId("garden", "ours", step=7000), ResultId("garden", "ours", step=30000)]
    check_views(source, {"0000": (1, 7001, 30001), "0001": (2, 7002, 30002)})


@pytest.fixture
def scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Record]]:
    """Runs `score`; gives the records by their folders."""
    monkeypatch.chdir(tmp_path)
    protocol_file(tmp_path)

    def run(*args: str) -> dict[str, Record]:
        shutil.rmtree("out", ignore_errors=True)
        assert main(("score", *args, "--protocol", "light.yaml", "--output-dir", "out", "--device", "cpu")) == 0
        files = sorted(Path("out").rglob("*.json"))
        return {file.parent.relative_to("out").as_posix(): read_record(file) for file in files}

    return run


@pytest.mark.parametrize("option", ["-m", "--model_paths", "--model-paths"])
def test_several_models_are_given_as_to_their_own_metrics(
    option: str, scored: Callable[..., dict[str, Record]]
) -> None:
    model(Path("output/garden"), 7000, 30000, scene="garden")
    model(Path("output/bicycle"), 7000, scene="bicycle")
    records = scored(option, "output/garden", "output/bicycle")
    assert list(records) == ["bicycle/bicycle/7000", "garden/garden/30000", "garden/garden/7000"]
    positional = scored("output/garden", "output/bicycle")
    assert {place: record.means for place, record in positional.items()} == {
        place: record.means for place, record in records.items()
    }
    assert list(scored("output/garden", option, "output/bicycle")) == list(records)


def test_nothing_to_score_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("score", "-m")) == 2
    assert "No folder of renders was given." in capsys.readouterr().err


def test_every_layout_scores_the_same_images_alike(scored: Callable[..., dict[str, Record]]) -> None:
    renders = {name: seed + 10 for name, seed in VIEWS.items()}
    plain = scored(str(write_pngs(Path("ours"), renders)), "--reference", str(write_pngs(Path("gt"), VIEWS)))
    (expected,) = plain.values()
    write_pngs(Path("nb/color"), renders)
    write_pngs(Path("nb/gt-color"), VIEWS)
    ns_eval(Path("ns"), 10)
    gsplat(Path("gs"), 10)
    model(Path("gauss"), 10, scene="garden")
    archives = [str(pack(Path("nb"), Path("nb.tar.gz"))), str(pack(Path("ns"), Path("ns.zip")))]
    for given in ("nb", "ns", "gs", "gauss", *archives):
        (record,) = scored(given).values()
        assert [row.scores for row in record.views] == [row.scores for row in expected.views]
        assert record.references_sha256 == expected.references_sha256
        whole = given in ("nb", "gauss")
        assert all((row.render is not None) == (row.reference is not None) == whole for row in record.views)
        assert record.provenance.get("renders_from") == (None if whole else given)
        assert ("archive_sha256" in record.provenance) == (given in archives)
