"""Views from files: when each file is opened and decoded, and what is checked beforehand."""

from __future__ import annotations

import builtins
import io
import json
import os
import re
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.layouts import (
    NAMES,
    gsplat,
    refusal,
)
from support.pinned import Pinned
from support.pngs import png_bytes
from support.records import record
from support.scenes import HEIGHT, WIDTH, float_image, image, write_masks, write_pngs
from support.views import views_of
from torch import Tensor

from nvs_eval.errors import InputError, ResourceError
from nvs_eval.images.files import Reading, load_image, load_layers, save_npy, save_png
from nvs_eval.images.formats import EXTENSIONS
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources import pictures
from nvs_eval.sources.folders import ImageFiles, open_folders
from nvs_eval.sources.image_source import RenderSet, reading_entry, reading_of
from nvs_eval.sources.masks import load_mask
from nvs_eval.sources.pictures import Picture


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """Number of times each image file was opened."""
    counts: Counter[Path] = Counter()
    original = io.open

    def counting(file: Any, *args: Any, **options: Any) -> Any:
        if isinstance(file, str | os.PathLike) and Path(file).suffix in EXTENSIONS:
            counts[Path(file)] += 1
        return original(file, *args, **options)

    for module in (io, builtins):
        monkeypatch.setattr(module, "open", counting)
    return counts


@pytest.fixture
def masks(garden: Path) -> Path:
    """White masks of all views."""
    return write_masks(garden / "masks", dict.fromkeys(NAMES, 1))


def test_each_file_is_opened_once_to_check_to_hash_and_to_decode(
    garden: Path, masks: Path, opened: Counter[Path]
) -> None:
    opened.clear()
    (source,) = open_folders(
        [garden / "ours", garden / "theirs"],
        reference=garden / "gt",
        masks=masks,
        alpha=("composite", "drop", "error"),
    )
    assert len(opened) == 12
    # The first mask is also decoded, to see whether it has white pixels.
    assert opened == Counter(garden.glob("*/*.png")) + Counter([min(masks.iterdir())])
    opened.clear()
    list(source)
    # Masks are not hashed as files; a record has the hash of their pixels.
    hashed = [file for folder in ("ours", "theirs", "gt") for file in (garden / folder).glob("*.png")]
    assert opened == Counter(garden.glob("*/*.png")) + Counter(hashed)
    # The hashes of the record need no further reading.
    opened.clear()
    for renders in source.sets:
        source.inputs_sha256(renders, list(source.references))
    assert not opened


def test_masks_are_decoded_in_the_background(garden: Path, masks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def load(path: Path) -> Tensor:
        threads.append(threading.current_thread().name)
        return load_mask(path)

    monkeypatch.setattr("nvs_eval.sources.masks.load_mask", load)
    (source,) = open_folders([garden / "ours"], reference=garden / "gt", masks=masks)
    threads.clear()
    assert all(view.mask is not None and view.mask.eq(1).all() for view in views_of(source))
    assert len(threads) == 3
    assert all(name.startswith("nvs-eval-ahead") for name in threads)


def test_a_reference_is_decoded_once_for_all_renders(garden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Path] = []

    def load(path: Path, reading: Reading) -> tuple[torch.Tensor, None]:
        decoded.append(path)
        return image(0), None

    monkeypatch.setattr(pictures, "load_layers", load)
    (source,) = open_folders([garden / "theirs", garden / "ours"], reference=garden / "gt")
    assert len(list(source)) == len(source) == 3
    assert sorted(decoded) == sorted(garden.glob("*/*.png"))


def test_a_canvas_is_decoded_once_per_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def load(path: Path, reading: Reading) -> tuple[Tensor, Tensor | None]:
        read.append(path.name)
        return load_layers(path, reading)

    monkeypatch.setattr(pictures, "load_layers", load)
    monkeypatch.setattr(pictures, "decode", lambda path: pytest.fail(f"{path} was decoded for its hash alone"))
    (source,) = open_folders([gsplat(tmp_path / "ours", 29999)])
    assert len(list(source)) == 2
    assert read == ["val_step29999_0000.png", "val_step29999_0001.png"]


def test_formats_mixed_in_one_folder_keep_their_precision(tmp_path: Path) -> None:
    sixteen = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16)
    save_png(tmp_path / "ours" / "b.png", image(2))
    (tmp_path / "ours" / "a.png").write_bytes(png_bytes(sixteen))
    save_npy(tmp_path / "ours" / "c.npy", float_image(3))
    write_pngs(tmp_path / "gt", {"a": 4, "b": 5, "c": 6})
    (source,) = open_folders([tmp_path / "ours"], reference=tmp_path / "gt")
    a, b, c = (view.renders[0].image for view in views_of(source))
    assert torch.equal(a, torch.from_numpy((sixteen / 65535).astype(np.float32)))
    assert torch.equal(b, image(2))
    assert torch.equal(c, float_image(3))


def test_rendering_times_reach_the_views(garden: Path) -> None:
    files = {name: Picture(garden / "ours" / f"{name}.png") for name in NAMES}
    times = {"0001": None, "0002": 2.0, "0003": 3.0}
    source = ImageFiles([RenderSet(ResultId("s", "m"), files, files, seconds=times)])
    assert [view.renders[0].seconds for view in views_of(source)] == [None, 2.0, 3.0]


# --- Checks -----------------------------------------------------------------------------------------------------------


def test_sizes_that_differ_are_an_error_before_scoring(garden: Path, pinned: Pinned) -> None:
    save_png(garden / "ours" / "0003.png", image(1, height=HEIGHT + 1))
    pinned("sources", refusal(garden / "ours", reference=garden / "gt"))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def text(file: Path) -> None:
    file.write_bytes(b"no image at all")


def dangling(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.parent / "gone.png")


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def other_size(file: Path) -> None:
    """Write a header of an image of 2x2, which lacks its checksum."""
    content = bytearray(file.read_bytes())
    content[16:24] = struct.pack(">II", 2, 2)
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, emptied, text, dangling, pipe, other_size])
@pytest.mark.parametrize(("damaged", "failed"), [("ours", [0]), ("gt", [0, 1]), ("masks", [0, 1])])
def test_a_file_without_a_header_costs_its_view_and_is_named_before_scoring(
    damage: Callable[[Path], None], damaged: str, failed: list[int], garden: Path
) -> None:
    for name in NAMES:
        save_png(garden / "masks" / f"{name}.png", torch.ones(HEIGHT, WIDTH, 3))
    damage(file := garden / damaged / "0002.png")
    said: list[str] = []
    folders = [garden / "ours", garden / "theirs"]
    (source,) = open_folders(folders, reference=garden / "gt", masks=garden / "masks", warn=said.append)
    (warning,) = said
    assert warning.startswith(f"1 file cannot be read. Views that need it will not be scored. {file} ")
    assert ("0002" in source.sizes) == (damaged == "ours")
    by_name = {view.name: view for view in source}
    assert [list(by_name[name].failed) for name in ("0001", "0002", "0003")] == [[], failed, []]
    assert all(str(file) in str(error) for error in by_name["0002"].failed.values())


@pytest.mark.parametrize("folder", ["ours", "gt", "masks"])
def test_views_that_are_all_damaged_are_an_error_before_scoring(folder: str, garden: Path) -> None:
    for name in NAMES:
        save_png(garden / "masks" / f"{name}.png", torch.ones(HEIGHT, WIDTH, 3))
        emptied(garden / folder / f"{name}.png")
    if folder == "masks":
        save_png(garden / "masks" / "other.png", torch.ones(HEIGHT, WIDTH, 3))
    with pytest.raises(InputError, match=rf"{folder}/0001\.png cannot be read as an? \w+: it is empty"):
        open_folders([garden / "ours"], reference=garden / "gt", masks=garden / "masks")


def test_a_result_whose_files_are_all_damaged_does_not_end_the_others(tmp_path: Path) -> None:
    folders = [gsplat(tmp_path / name, 29999) for name in ("ours", "theirs")]
    for file in (folders[1] / "renders").iterdir():
        cut(file)
    sources = open_folders([tmp_path / "ours", tmp_path / "theirs"])
    assert [(len(source.sizes), len(source.damaged)) for source in sources] == [(2, 0), (0, 2)]
    assert [len(view.failed) for source in sources for view in source] == [0, 0, 1, 1]


def test_a_lack_of_memory_is_no_fault_of_a_view(garden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = open_folders([garden / "ours"], reference=garden / "gt")
    monkeypatch.setattr("nvs_eval.images.stored._LARGE", 0)
    assert len(list(source)) == len(source)
    monkeypatch.setattr("nvs_eval.images.stored.free_memory", lambda device: 48 * 40)
    with pytest.raises(ResourceError, match=r"\.png is 48x40 and needs .* of memory to read, but only"):
        list(source)


def test_damaged_pixels_are_reported_when_they_are_decoded(garden: Path) -> None:
    file = garden / "ours" / "0002.png"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    (source,) = open_folders([garden / "ours"], reference=garden / "gt")
    views = list(source)
    assert [type(view).__name__ for view in views] == ["View", "FailedView", "View"]
    assert re.search(r"0002\.png cannot be read as an image", str(views[1].failed[0]))


@pytest.mark.parametrize(("damaged", "failed"), [("ours", {0}), ("theirs", {1}), ("gt", {0, 1}), ("masks", {0, 1})])
def test_a_damaged_file_costs_the_results_that_need_it(damaged: str, failed: set[int], garden: Path) -> None:
    for name in ("0001", "0002", "0003"):
        save_png(garden / "masks" / f"{name}.png", torch.ones(HEIGHT, WIDTH, 3))
    (source,) = open_folders([garden / "ours", garden / "theirs"], reference=garden / "gt", masks=garden / "masks")
    file = garden / damaged / "0001.png"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    first, *others = source
    assert set(first.failed) == failed
    assert all(str(file) in str(error) for error in first.failed.values())
    assert [(other.failed, len(other.renders)) for other in views_of(others)] == [({}, 2)] * 2
    if len(failed) == 1:
        (left,) = {0, 1} - failed
        (view,) = views_of([first])
        assert [render.file for render in view.renders] == [garden / ["ours", "theirs"][left] / "0001.png"]


def test_a_canvas_of_odd_width_is_named(tmp_path: Path, pinned: Pinned) -> None:
    folder = gsplat(tmp_path / "ours", 29999)
    save_png(folder / "renders" / "val_step29999_0001.png", image(1, width=2 * WIDTH + 1))
    pinned("sources", refusal(folder))


# --- Reading recorded in provenance ---------------------------------------------------------------------------------


def test_a_record_stores_how_its_files_were_read() -> None:
    reading = Reading(background=(1.0, 0.5, 0.0), grey_to_rgb=True, exr="linear")
    entry = json.loads(json.dumps(reading_entry(reading)))
    dropping = {"name": "light", "definition": {"alpha": "drop", "round_means": None}, "fingerprint": "9f2c51ab"}
    # Tags of files that were scored are not judged again.
    assert reading_entry(replace(reading, max_pixels=10**9)) == reading_entry(reading)
    reading = replace(reading, ignore_colour_tags=True, ignore_orientation=True)
    assert reading_of(record(provenance={"reading": entry})) == reading
    assert reading_of(record(provenance={"reading": entry}, protocol=dropping)) == replace(reading, alpha="drop")


def test_options_of_later_versions_are_stored_only_if_set() -> None:
    assert reading_entry(Reading()) == {"background": None, "grey_to_rgb": False, "exr": None}
    assert reading_entry(Reading(exr="srgb", exr_layer="beauty", ignore_colour_tags=True)) == {
        **reading_entry(Reading(exr="srgb")),
        "exr_layer": "beauty",
        "ignore_colour_tags": True,
    }


@pytest.mark.parametrize("entry", [None, [], {}, {"background": "white", "exr": 3}, {"background": [1, 1]}])
def test_an_invalid_entry_means_the_default(entry: object) -> None:
    expected = Reading(ignore_colour_tags=True, ignore_orientation=True)
    assert reading_of(record(provenance={"reading": entry})) == expected


def test_float_files_in_0_to_255_are_refused_by_name(garden: Path) -> None:
    for path in (garden / "ours").iterdir():
        save_npy(path.with_suffix(".npy"), 255 * load_image(path))
        path.unlink()
    (source,) = open_folders([garden / "ours"], reference=garden / "gt")
    first, *_ = source
    assert re.search(r"ours/0001\.npy\) must be in \[0, 1\]\. Got values up to 255", str(first.failed[0]))
