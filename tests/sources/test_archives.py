"""Archives are read like the folders that were packed. Nothing is written from a damaged or malicious archive."""

from __future__ import annotations

import gc
import hashlib
import io
import os
import re
import shutil
import stat
import tarfile
import zipfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
from support.layouts import (
    PREDICTED,
    VIEWS,
    check_views,
    gsplat,
    model,
    ns_eval,
    pack,
    predictions,
    refusal,
)
from support.pinned import Pinned
from support.pngs import chunk
from support.profiles import exif_data
from support.scenes import HEIGHT, files_below, image, write_pngs
from support.views import views_of

from nvs_eval.errors import InputWarning
from nvs_eval.images.files import save_png
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.folders import open_folders
from nvs_eval.system.owner import owner_tag


@pytest.mark.parametrize("prefix", ["", "./", "predictions/", "results/garden/"])
@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_an_archive_is_read_as_the_folder_that_was_packed(
    suffix: str, prefix: str, tmp_path: Path, temporary: Path
) -> None:
    archive = pack(predictions(tmp_path / "p"), tmp_path / f"predictions-7000.{suffix}", prefix)
    (source,) = open_folders([archive])
    assert source.ids == [ResultId("garden", "gaussian-splatting", step=7000)]
    check_views(source, PREDICTED)
    # Depth maps and cameras were not unpacked.
    assert {Path(file).suffix for file in files_below(temporary)} == {".png", ".json"}


def test_predictions_published_beside_other_files_are_read(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    predictions(whole / "predictions")
    (whole / "results.json").write_text("{}")
    save_png(whole / "checkpoint" / "preview.png", image(5))
    (source,) = open_folders([pack(whole, tmp_path / "garden.zip")])
    assert source.ids == [ResultId("garden", "gaussian-splatting")]
    check_views(source, PREDICTED)


def test_images_in_an_archive_have_a_provenance_but_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = pack(predictions(tmp_path / "p", mask=True), tmp_path / "p.tar.gz")
    monkeypatch.chdir(tmp_path)
    (source,) = open_folders([Path("p.tar.gz")])
    for view in views_of(source):
        assert (view.reference_file, view.renders[0].file) == (None, None)
    assert source.provenance[0] == {
        "renders_from": "p.tar.gz",
        "archive_sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "masks_not_used": "p.tar.gz/mask",
        "reading": {"background": None, "grey_to_rgb": False, "exr": None},
    }


def test_unpacked_files_last_as_long_as_their_source(tmp_path: Path, temporary: Path) -> None:
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


def test_files_that_a_killed_process_unpacked_are_removed(tmp_path: Path, temporary: Path) -> None:
    host, process, start, _ = owner_tag().split("-")
    ended = temporary / f"nvs-eval-unpacked-{host}-{process}-{int(start) + 1}-x"
    others = [temporary / f"nvs-eval-unpacked-{'0' * 8}-12-34-x", temporary / "nvs-eval-unpacked-mine"]
    for folder in (ended, *others):
        write_pngs(folder, {"a": 1})
        os.utime(folder, (1, 1))
    sources = open_folders([pack(predictions(tmp_path / "p"), tmp_path / "p.zip")])
    assert len({*temporary.iterdir()} - {*others}) == len(sources)
    assert not ended.exists()


def test_a_plain_archive_is_matched_and_named_after_itself(tmp_path: Path) -> None:
    references = write_pngs(tmp_path / "garden" / "gt", VIEWS)
    renders = write_pngs(tmp_path / "r", {name: seed + 10 for name, seed in VIEWS.items()})
    archive = pack(renders, tmp_path / "runs" / "ours.tar.gz", "renders/")
    (source,) = open_folders([archive], reference=references)
    assert source.ids == [ResultId("garden", "ours")]
    check_views(source, {"0000": (1, 11), "0001": (2, 12)})
    assert next(views_of(source)).reference_file == references / "0000.png"
    assert refusal(archive).startswith(f"{archive} has no references. Add `--reference DIR`.")


def test_hidden_files_in_an_archive_are_skipped(tmp_path: Path) -> None:
    folder = predictions(tmp_path / "p")
    save_png(folder / "__MACOSX" / "._a.png", image(1))
    save_png(folder / "color" / ".cache" / "b.png", image(1))
    (source,) = open_folders([pack(folder, tmp_path / "p.zip")])
    assert len(source) == 2


def test_backslashes_in_an_archive_separate_folders(tmp_path: Path) -> None:
    folder = predictions(tmp_path / "p")
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as packed:
        for file in sorted(folder.rglob("*.png")):
            packed.writestr(file.relative_to(folder).as_posix().replace("/", "\\"), file.read_bytes())
    (source,) = open_folders([tmp_path / "p.zip"])
    check_views(source, PREDICTED)


def test_canvases_are_read_from_an_archive(tmp_path: Path) -> None:
    archive = pack(ns_eval(tmp_path / "n", 10, 20, accumulated=2), tmp_path / "fox" / "vanilla-nerf.tar.gz", "out/")
    (source,) = open_folders([archive])
    assert source.ids == [ResultId("fox", "vanilla-nerf")]
    check_views(source, {"0000": (1, 21), "0001": (2, 22)})
    archive = pack(gsplat(tmp_path / "g", 29999), tmp_path / "g.zip", "garden/")
    (source,) = open_folders([archive])
    assert source.ids == [ResultId("garden", "g", step=29999)]


def test_a_model_is_read_from_an_archive(tmp_path: Path) -> None:
    archive = pack(
        model(tmp_path / "m", 7000, 30000, trained_on="/data/garden", names=VIEWS), tmp_path / "ours.zip", "output/"
    )
    (source,) = open_folders([archive])
    assert source.ids == [ResultId("garden", "ours", step=7000), ResultId("garden", "ours", step=30000)]
    check_views(source, {"0000": (1, 7001, 30001), "0001": (2, 7002, 30002)})


def test_errors_name_the_archive_and_the_file_in_it(tmp_path: Path) -> None:
    folder = predictions(tmp_path / "p")
    damaged = folder / "color" / "cam0" / "DSC07956.png"
    damaged.write_bytes(damaged.read_bytes()[:20])
    archive = pack(folder, tmp_path / "p.zip")
    (source,) = open_folders([archive])
    (error,) = source.damaged.values()
    assert str(error).startswith(f"{archive}/color/cam0/DSC07956.png cannot be read as an image")
    assert str(error) in [str(reason) for view in source for reason in view.failed.values()]
    save_png(damaged, image(1, height=HEIGHT + 1))
    archive = pack(folder, tmp_path / "q.tar.gz")
    assert refusal(archive).startswith(
        f"View 'cam0/DSC07956': the render {archive}/color/cam0/DSC07956.png is 48x41, but the reference "
        f"{archive}/gt-color/cam0/DSC07956.png is 48x40."
    )
    shutil.rmtree(folder / "color")
    (folder / "color").mkdir()
    (folder / "color" / "info.json").write_text("{}")
    archive = pack(folder, tmp_path / "r.zip")
    assert refusal(archive) == f"{archive} has no renders (color/ is empty). Render it again."


# --- Damaged and malicious archives -----------------------------------------------------------------------------------


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
    """Return the error for an archive; check that nothing was written or left behind."""

    def refused(archive: Path) -> str:
        before = files_below(tmp_path)
        message = refusal(archive)
        gc.collect()
        assert files_below(tmp_path) == before
        assert list(temporary.iterdir()) == []
        assert str(archive) in message
        return message

    return refused


@pytest.mark.parametrize(
    "name", ["/abs.png", "../up.png", "a/../../up.png", "..\\up.png", "C:/x.png", "\\\\host\\x.png"]
)
@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_a_path_outside_the_archive_is_refused(
    suffix: str, name: str, tmp_path: Path, untouched: Callable[[Path], str], pinned: Pinned
) -> None:
    archive = tmp_path / f"evil.{suffix}"
    if suffix == "zip":
        zip_with(archive, zipfile.ZipInfo(name))
        name = name.replace("\\", "/")
    else:
        tar_with(archive, tarfile.TarInfo(name))
    message = untouched(archive)
    assert repr(name) in message
    pinned("sources", message)


@pytest.mark.parametrize(
    ("kind", "description"),
    [
        (tarfile.SYMTYPE, "a link to '/etc/passwd'"),
        (tarfile.LNKTYPE, "a link to '/etc/passwd'"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.FIFOTYPE, "a device"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(
    kind: bytes, description: str, tmp_path: Path, untouched: Callable[[Path], str], pinned: Pinned
) -> None:
    info = tarfile.TarInfo("color/0001.png")
    info.type, info.linkname = kind, "/etc/passwd"
    message = untouched(tar_with(tmp_path / "evil.tar.gz", info))
    assert f"'color/0001.png', which is {description}." in message
    pinned("sources", message)


@pytest.mark.parametrize(("mode", "description"), [(stat.S_IFLNK, "a link"), (stat.S_IFIFO, "a device")])
def test_links_and_devices_in_a_zip_are_refused(
    mode: int, description: str, tmp_path: Path, untouched: Callable[[Path], str]
) -> None:
    info = zipfile.ZipInfo("color/0001.png")
    info.external_attr = (mode | 0o777) << 16
    assert f"'color/0001.png', which is {description}." in untouched(zip_with(tmp_path / "evil.zip", info))


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_a_full_disk_is_noticed_before_anything_is_written(
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
    assert re.search(
        rf"The images in {archive} need {size / 1e3:.3f} kB in {temporary}, .* {(size - 1) / 1e3:.3f} kB .* TMPDIR",
        untouched(archive),
    )


@pytest.mark.parametrize("suffix", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
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


def test_a_tar_that_is_cut_between_members_is_damaged(tmp_path: Path, untouched: Callable[[Path], str]) -> None:
    archive = pack(predictions(tmp_path / "p"), tmp_path / "p.tar")
    whole = archive.read_bytes()
    with tarfile.open(archive) as packed:
        middle = packed.getmembers()[2].offset
    for damaged in (whole[:middle], whole[: middle + 100], whole[:middle] + b"x" * 512 + whole[middle + 512 :], b""):
        archive.write_bytes(damaged)
        assert untouched(archive).startswith(f"{archive} cannot be unpacked: ")


def test_warnings_name_the_archive(tmp_path: Path) -> None:
    folder = predictions(tmp_path / "p")
    for path in folder.rglob("*.png"):
        content = path.read_bytes()
        end = content.index(b"IEND") - 4
        added = chunk(b"eXIf", exif_data(3)) + chunk(b"tEXt", b"a")[:-1] + b"?"
        path.write_bytes(content[:end] + added + content[end:])
    archive = pack(folder, tmp_path / "p.zip")
    with pytest.warns(InputWarning) as caught:
        (source,) = open_folders([archive])
        list(source)
    words = [str(warning.message) for warning in caught]
    assert any("has an EXIF orientation" in text for text in words)
    assert any("is damaged outside of its pixels" in text for text in words)
    assert all(text.startswith(f"{archive}/") for text in words)


@pytest.mark.parametrize("suffix", ["7z", "rar", "tar.zst"])
def test_an_archive_of_another_kind_is_named(suffix: str, tmp_path: Path) -> None:
    archive = tmp_path / f"p.{suffix}"
    archive.write_bytes(b"archive")
    assert refusal(archive) == (
        f"{archive} must be one of .zip, .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz. Unpack it and pass the folder."
    )


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
