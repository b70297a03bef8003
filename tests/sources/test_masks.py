"""Masks in files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from support.pinned import Pinned
from support.scenes import image
from support.views import views_of

from nvs_eval.errors import InputError, InputWarning
from nvs_eval.images.pixels import sha256_of_mask
from nvs_eval.sources.masks import MaskFiles, Masks, find_masks, load_mask, probe_mask
from nvs_eval.sources.views import Render, View

LEVELS = np.arange(40 * 48).reshape(40, 48) % 256
HALF = np.where(np.arange(48) < 24, 255, 0) * np.ones((40, 1))


def png(path: Path, values: np.ndarray[Any, Any], dtype: Any = np.uint8) -> Path:
    Image.fromarray(values.astype(dtype)).save(path)
    return path


def npy(path: Path, values: np.ndarray[Any, Any]) -> Path:
    np.save(path, values)
    return path


# --- One mask -----------------------------------------------------------------------------------------------------


def test_white_counts_and_black_does_not(tmp_path: Path) -> None:
    mask = load_mask(png(tmp_path / "a.png", HALF))
    assert mask.dtype == torch.float32
    assert mask.shape == (40, 48)
    assert mask[:, :24].eq(1).all()
    assert mask[:, 24:].eq(0).all()


def test_grey_is_a_weight(tmp_path: Path) -> None:
    expected = torch.from_numpy(LEVELS.astype(np.float32) / 255)
    assert torch.equal(load_mask(png(tmp_path / "grey.png", LEVELS)), expected)
    colour = png(tmp_path / "colour.png", np.repeat(LEVELS[..., None], 3, axis=-1))
    assert torch.equal(load_mask(colour), expected)
    assert load_mask(png(tmp_path / "16.png", LEVELS * 257, np.uint16)).sub(expected).abs().max() < 1e-7


@pytest.mark.parametrize("dtype", [bool, np.float32, np.float64])
@pytest.mark.parametrize("channel", [(), (1,)])
def test_arrays_contain_booleans_or_floats(dtype: Any, channel: tuple[int, ...], tmp_path: Path) -> None:
    values = (HALF / 255).astype(dtype)
    path = npy(tmp_path / "a.npy", values.reshape(40, 48, *channel))
    assert torch.equal(load_mask(path), torch.from_numpy((HALF > 0).astype(np.float32)))
    assert probe_mask(path).size == (48, 40)


def test_the_size_is_read_from_the_header(tmp_path: Path) -> None:
    assert probe_mask(png(tmp_path / "a.png", LEVELS)).size == (48, 40)


def truncated(folder: Path) -> Path:
    content = png(folder / "whole.png", LEVELS).read_bytes()
    (folder / "truncated.png").write_bytes(content[: len(content) // 2])
    return folder / "truncated.png"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda f: png(f / "a.png", np.stack([LEVELS, LEVELS, 255 - LEVELS], -1)),
            r"a\.png .* 3 channels",
        ),
        (lambda f: png(f / "a.png", np.stack([LEVELS] * 3 + [255 - LEVELS], -1)), r"a\.png .* 4 channels"),
        (lambda f: npy(f / "a.npy", LEVELS), r"a\.npy .* int64 of shape \[40, 48\]"),
        (lambda f: npy(f / "a.npy", HALF[0]), r"a\.npy .* float64 of shape \[48\]"),
        (lambda f: npy(f / "a.npy", np.array([{}], dtype=object)), r"a\.npy cannot be read"),
        (lambda f: f / "none.npy", r"none\.npy cannot be read"),
        (lambda f: f / "none.png", r"none\.png"),
        (truncated, r"truncated\.png"),
    ],
)
def test_an_invalid_mask_is_an_error_that_names_the_file(make: Any, message: str, tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(InputError, match=message):
        load_mask(path)


# --- Masks of a source --------------------------------------------------------------------------------------------


def view(name: str) -> View:
    return View(name, image(0), (Render(image(1)),))


def test_a_view_gets_the_mask_of_its_name(tmp_path: Path) -> None:
    files = {"a": png(tmp_path / "a.png", HALF), "cam0/b": png(tmp_path / "b.png", 255 - HALF)}
    masks = Masks(files)
    first, second = views_of(masks.attach(view(name)) for name in files)
    assert first.mask is not None
    assert second.mask is not None
    assert torch.equal(first.mask, 1 - second.mask)
    assert (first.mask_file, second.mask_file) == tuple(files.values())
    assert masks.sha256("a") == sha256_of_mask(first.mask) != masks.sha256("cam0/b")


def test_binary_masks_count_every_pixel_that_is_not_black(tmp_path: Path) -> None:
    files = {"a": png(tmp_path / "a.png", LEVELS)}
    soft, hard = (masked.mask for masked in views_of(Masks(files, binary=b).attach(view("a")) for b in (False, True)))
    assert soft is not None
    assert hard is not None
    assert torch.equal(hard, (soft > 0).float())
    assert Masks(files, binary=True).sha256("a") == sha256_of_mask(hard) != Masks(files).sha256("a")


def test_a_mask_of_another_size_is_an_error(tmp_path: Path) -> None:
    masks = Masks({"a": png(tmp_path / "a.png", HALF[:, :47])})
    with pytest.raises(InputError, match=r"View 'a': the mask .*a\.png is 47x40, .* 48x40"):
        masks.check({"a": (48, 40)})
    failed = masks.attach(view("a")).failed
    assert re.search(r"The mask of view 'a' .*\[40, 47\]", str(failed[0]))
    Masks({"a": png(tmp_path / "b.png", HALF)}).check({"a": (48, 40)})


def test_weights_beyond_0_and_1_are_an_error(tmp_path: Path) -> None:
    for value in (1.5, -0.1, np.nan):
        path = npy(tmp_path / "a.npy", np.full((40, 48), value))
        failed = Masks({"a": path}).attach(view("a")).failed
        assert re.search(r"mask of view 'a' has values outside \[0, 1\]", str(failed[0]))


def test_views_without_a_mask_are_named(tmp_path: Path, pinned: Pinned) -> None:
    masks = Masks({"a": png(tmp_path / "a.png", HALF), "c": tmp_path / "c.png"})
    with pytest.raises(InputError) as error:
        masks.check(dict.fromkeys(("a", "b", "d"), (48, 40)))
    pinned("sources", error.value)


def test_attach_gives_each_view_of_a_source_its_mask(tmp_path: Path) -> None:
    masks = Masks({name: png(tmp_path / f"{name}.png", HALF) for name in "ab"})
    attached = [view.mask for view in views_of(masks.attach(view(name)) for name in "ab")]
    assert all(mask is not None and mask.mean() == 0.5 for mask in attached)


def test_a_one_bit_png_is_read_as_black_and_white(tmp_path: Path) -> None:
    bits = np.zeros((4, 5), dtype=bool)
    bits[1:3, 2] = True
    Image.fromarray(bits).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as saved:
        assert saved.mode == "1"
    assert torch.equal(load_mask(tmp_path / "a.png"), torch.from_numpy(bits.astype(np.float32)))
    assert probe_mask(tmp_path / "a.png").size == (5, 4)


# --- Masks that are found -----------------------------------------------------------------------------------------


BLACK, LABELS = np.zeros((40, 48)), HALF / 255


def write(folder: Path, **masks: np.ndarray[Any, Any]) -> Path:
    folder.mkdir()
    for name, values in masks.items():
        png(folder / f"{name}.png", values)
    return folder


def labelled(path: Path) -> MaskFiles:
    """Return the masks of a path for which the warning about labels is raised once."""
    with pytest.warns(InputWarning, match=r" has no white pixel\. Every value above 0 counts as white\.") as caught:
        found = find_masks(path)
    assert len(caught) == 1
    return found


def test_masks_of_0_and_1_count_as_black_and_white(tmp_path: Path) -> None:
    masks = labelled(write(tmp_path / "masks", a=BLACK, b=LABELS, c=1 - LABELS)).of("abc")
    assert masks.binary
    assert [masks.load(name).mean().item() for name in "abc"] == [0.0, 0.5, 0.5]
    assert masks.load("b").unique().tolist() == [0.0, 1.0]
    assert masks.sha256("b") == Masks({"b": png(tmp_path / "b.png", HALF)}).sha256("b")


@pytest.mark.parametrize("level", [1, 255])
def test_levels_of_8_bits_in_16_bits_count_as_black_and_white(level: int, tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", LABELS * level, np.uint16)
    assert labelled(path).of("a").load("a").unique().tolist() == [0.0, 1.0]


def test_a_soft_mask_is_not_one_of_labels(tmp_path: Path) -> None:
    masks = find_masks(write(tmp_path / "masks", a=LABELS, b=LEVELS)).of("ab")
    assert torch.equal(masks.load("b"), torch.from_numpy(LEVELS.astype(np.float32) / 255))
    with pytest.raises(InputError, match=r"The mask .*a\.png must have white pixels .* largest weight is 1/255"):
        masks.load("a")


def test_dark_grey_of_several_levels_is_neither(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.png must have white pixels .* largest weight is 0\.992/255"):
        find_masks(png(tmp_path / "a.png", LEVELS, np.uint16))


CLASSES = np.arange(40 * 48).reshape(40, 48) // 480  # 0 to 3.


@pytest.mark.parametrize(
    ("masks", "largest"),
    [
        ({"a": CLASSES}, 3),
        ({"a": BLACK, "b": CLASSES % 3}, 2),
        ({"a": LABELS, "b": 2 * LABELS}, 2),
        ({"a": 20 * CLASSES}, 60),
        ({"a": 2 * LABELS}, 2),
    ],
)
def test_labels_of_several_classes_are_refused(masks: Any, largest: int, tmp_path: Path) -> None:
    folder = write(tmp_path / "masks", **masks)
    with pytest.raises(InputError, match=rf"The masks in .*masks must have white .* {largest}/255, as in images of la"):
        find_masks(folder)


def test_levels_that_differ_between_files_are_classes(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for level in (1, 2):
        png(tmp_path / "masks" / f"{level}.png", LABELS * level, np.uint16)
    with pytest.raises(InputError, match=r"must have white pixels .* largest weight is 0\.00778/255"):
        find_masks(tmp_path / "masks")


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("jpg", {"quality": 75}),
        ("jpg", {"quality": 95}),
        ("webp", {"quality": 90}),
        ("avif", {}),
        ("tif", {"compression": "jpeg"}),
    ],
)
def test_labels_in_a_lossy_file_are_refused(suffix: str, options: Any, tmp_path: Path) -> None:
    labels = Image.fromarray((np.arange(48) < 21).astype(np.uint8) * np.ones((40, 1), np.uint8))
    labels.save(tmp_path / f"a.{suffix}", **options)
    with pytest.raises(InputError, match=rf"The mask .*a\.{suffix} must have white pixels .*Save a PNG in"):
        find_masks(tmp_path / f"a.{suffix}")


def test_labels_in_lossless_webp_and_tiff_count_as_black_and_white(tmp_path: Path) -> None:
    for name, options in {"a.webp": {"lossless": True}, "b.tif": {"compression": "tiff_lzw"}, "c.bmp": {}}.items():
        Image.fromarray(LABELS.astype(np.uint8)).save(tmp_path / name, **options)
        assert labelled(tmp_path / name).binary


def test_black_and_white_in_a_jpeg_and_soft_masks_are_weights(tmp_path: Path) -> None:
    Image.fromarray(HALF.astype(np.uint8)).save(tmp_path / "a.jpg")
    assert find_masks(tmp_path / "a.jpg").of("a").load("a").max() > 0.98
    soft = png(tmp_path / "soft.png", LEVELS * 0.8)
    assert find_masks(soft).of("a").load("a").max().item() == pytest.approx(204 / 255)


def test_black_masks_and_small_weights_in_arrays_are_as_they_say(tmp_path: Path) -> None:
    assert find_masks(write(tmp_path / "masks", a=BLACK, b=BLACK)).of("ab").load("b").sum() == 0
    weights = np.full((40, 48), 1 / 1920, np.float32)
    assert find_masks(npy(tmp_path / "a.npy", weights)).of("a").load("a").unique().tolist() == [weights[0, 0]]


@pytest.mark.parametrize("largest", [0.4, 0.02])
@pytest.mark.parametrize("suffix", ["npy", "tif", "pfm"])
def test_floats_are_weights(suffix: str, largest: float, tmp_path: Path) -> None:
    weights = (LEVELS / 255 * largest).astype(np.float32)
    path = tmp_path / f"a.{suffix}"
    match suffix:
        case "npy":
            npy(path, weights)
        case "tif":
            tifffile.imwrite(path, weights)
        case _:
            path.write_bytes(b"Pf\n48 40\n-1.0\n" + weights[::-1].tobytes())
    masks = find_masks(path).of("a")
    assert not masks.binary
    assert torch.equal(masks.load("a"), torch.from_numpy(weights))


def test_weights_in_integers_that_could_be_labels_are_refused(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", LEVELS * 0.4)
    with pytest.raises(InputError, match=r"largest weight is 102/255, .*, or save small weights as floats \(NPY\)\."):
        find_masks(path)


def test_only_as_many_masks_are_read_as_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr("nvs_eval.sources.masks.load_mask", lambda path: read.append(path) or load_mask(path))
    find_masks(write(tmp_path / "masks", a=BLACK, b=HALF, c=HALF))
    assert [path.name for path in read] == ["a.png", "b.png"]


def test_one_mask_for_all_views_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = png(tmp_path / "hood.png", HALF)
    masks = find_masks(path).of(["a", "cam0/b", "c"])
    read: list[Path] = []
    monkeypatch.setattr("nvs_eval.sources.masks.load_mask", lambda path: read.append(path) or load_mask(path))
    masks.check(dict.fromkeys(masks.files, (48, 40)))
    assert masks.load("a") is masks.load("cam0/b")
    assert next(views_of([masks.attach(view("c"))])).mask_file == path
    assert masks.sha256("a") == masks.sha256("c") == Masks({"a": path}).sha256("a")
    assert read == [path, path]  # The second time for the other `Masks`.
    with pytest.raises(InputError, match=r"View 'c': the mask .*hood\.png is 48x40, but the image is 40x48"):
        masks.check({"a": (48, 40), "c": (40, 48)})


@pytest.mark.parametrize("name", ["DSC1.JPG.png", "DSC1.png", "DSC1.jpg.npy"])
def test_a_mask_can_have_the_name_of_the_image_file(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    path = (npy if name.endswith("npy") else png)(folder / name, HALF / 255 if name.endswith("npy") else HALF)
    for view_name in ("DSC1", "DSC1.JPG"):
        assert find_masks(folder).of([view_name]).files[view_name] == path


def test_two_masks_of_one_view_are_an_error(tmp_path: Path) -> None:
    folder = write(tmp_path / "masks", a=HALF, **{"a.jpg": HALF, "b": HALF})
    with pytest.raises(InputError, match=r"a\.jpg\.png and .*a\.png both belong to the view 'a'"):
        find_masks(folder).of("ab")
