"""Tags of the files of views: orientation of references, renders and masks, and colours other than sRGB."""

from __future__ import annotations

import io
import math
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms
from support.pngs import chunk, png_bytes
from support.profiles import exif_data, icc_profile
from support.views import views_of

from nvs_eval import psnr
from nvs_eval.errors import InputError, InputWarning
from nvs_eval.images.files import Header, Reading, load_image, probe_image
from nvs_eval.sources.folders import ImageFiles, open_folders

RANDOM = np.random.RandomState(0)
STORED = RANDOM.randint(0, 256, (16, 16, 3)).astype(np.uint8)
SRGB_XY = (0.3127, 0.3290, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
P3_XY = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
P3 = icc_profile("Display P3", "Display P3")


def write(path: Path, orientation: int | None = None, values: np.ndarray = STORED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = b"" if orientation is None else b"Exif\0\0" + exif_data(orientation)
    options: dict[str, Any] = {"quality": 100, "subsampling": 0} if path.suffix == ".jpg" else {}
    Image.fromarray(values).save(path, exif=exif, **options)
    return path


def opened(root: Path, reading: Reading | None = None, *, masks: bool = False) -> ImageFiles:
    (source,) = open_folders(
        [root / "ours"], reference=root / "gt", reading=reading, masks=root / "masks" if masks else None
    )
    return source


# --- Orientation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize(("reference", "render"), [(6, None), (None, 6), (3, 8), (1, 2)])
def test_different_orientations_are_an_error(
    suffix: str, reference: int | None, render: int | None, tmp_path: Path
) -> None:
    write(tmp_path / "gt" / f"0001{suffix}", reference)
    write(tmp_path / "ours" / f"0001{suffix}", render)
    pattern = (
        rf"View '0001': the reference \S*gt/0001{suffix} has EXIF orientation {reference or 1} \([a-z0-9 ]+\), but the "
        rf"render \S*ours/0001{suffix} has EXIF orientation {render or 1} .*`--ignore-orientation`"
    )
    with pytest.raises(InputError, match=pattern):
        opened(tmp_path)
    (view,) = views_of(opened(tmp_path, Reading(ignore_orientation=True)))
    assert torch.equal(view.reference, load_image(tmp_path / "gt" / f"0001{suffix}"))


def test_the_orientation_explains_another_size(tmp_path: Path) -> None:
    """A render of the rotated image, as OpenCV reads it, has another size."""
    write(tmp_path / "gt" / "a.jpg", 6, STORED[:8])
    write(tmp_path / "ours" / "a.png", None, np.ascontiguousarray(np.rot90(STORED[:8], -1)))
    with pytest.raises(InputError, match=r"has EXIF orientation 6 \(rotated by 90 degrees clockwise\)"):
        opened(tmp_path)
    with pytest.raises(InputError, match=r"is 8x16, but the reference .* is 16x8"):
        opened(tmp_path, Reading(ignore_orientation=True))


@pytest.mark.parametrize("orientation", range(2, 9))
def test_equal_orientations_are_scored_as_stored_with_a_warning(orientation: int, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / "gt" / f"{name}.png", orientation)
        write(tmp_path / "ours" / f"{name}.png", orientation)
    message = r"gt/a\.png has an EXIF orientation\. Stored pixels are scored; they are not rotated \(2 views\)"
    with pytest.warns(InputWarning, match=message) as caught:
        source = opened(tmp_path)
    assert len(caught) == 1
    expected = torch.from_numpy(STORED.astype(np.float32) / np.float32(255))
    for view in views_of(source):
        assert torch.equal(view.reference, expected)
        assert torch.equal(view.renders[0].image, expected)


def test_upright_images_cause_no_warning(tmp_path: Path) -> None:
    write(tmp_path / "gt" / "a.jpg", 1)
    write(tmp_path / "ours" / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(opened(tmp_path))


@pytest.mark.parametrize(("image", "mask"), [(6, None), (None, 3)])
def test_a_mask_has_the_orientation_of_its_view(image: int | None, mask: int | None, tmp_path: Path) -> None:
    write(tmp_path / "gt" / "a.png", image)
    write(tmp_path / "ours" / "a.png", image)
    write(tmp_path / "masks" / "a.png", mask, np.full((16, 16), 255, np.uint8))
    pattern = rf"View 'a': the image has EXIF orientation {image or 1} .*, but the mask \S*a\.png has .* {mask or 1} "
    with pytest.raises(InputError, match=pattern):
        opened(tmp_path, masks=True)
    opened(tmp_path, Reading(ignore_orientation=True), masks=True)


def test_orientation_after_the_pixels_of_a_png_is_found(tmp_path: Path) -> None:
    content = png_bytes(STORED, depth=8)
    end = content.index(b"IEND") - 4
    path = tmp_path / "a.png"
    path.write_bytes(content[:end] + chunk(b"eXIf", exif_data(3)) + content[end:])
    assert probe_image(path).orientation == 3
    with Image.open(path) as image:
        image.load()
        assert image.getexif()[0x112] == 3
    damaged = content[:end] + chunk(b"eXIf", exif_data(3))[:-1] + b"?" + content[end:]
    path.write_bytes(damaged)
    assert probe_image(path).orientation == 1
    with pytest.warns(InputWarning, match=r"a\.png is damaged outside of its pixels"):
        load_image(path)


def before_end(content: bytes, *chunks: bytes) -> bytes:
    end = content.index(b"IEND") - 4
    return content[:end] + b"".join(chunks) + content[end:]


@pytest.mark.parametrize(
    "chunks",
    [
        (chunk(b"eXIf", exif_data(6)), chunk(b"tEXt", b"a\0" + b"x" * 9000)),
        (chunk(b"eXIf", exif_data(6) + bytes(20000)),),
        (chunk(b"IDAT", b""), chunk(b"tEXt", b"a\0" + b"eXIf" * 9000), chunk(b"eXIf", exif_data(6))),
    ],
)
def test_the_length_of_what_follows_the_pixels_does_not_matter(chunks: tuple[bytes, ...], tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(before_end(png_bytes(STORED, depth=8), *chunks))
    assert probe_image(path).orientation == 6
    with Image.open(path) as image:
        image.load()
        assert image.getexif()[0x112] == 6


def raw_profile(kind: str, profile: bytes) -> bytes:
    """Return EXIF data in the text of ImageMagick: 72 hexadecimal digits per line."""
    digits = profile.hex()
    lines = [digits[start : start + 72] for start in range(0, len(digits), 72)]
    return "\n".join(["", kind, f"{len(profile):8}", *lines, ""]).encode()


RAW = raw_profile("exif", b"Exif\0\0" + exif_data(6) + bytes(100))


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(RAW)),
        chunk(b"tEXt", b"Raw profile type exif\0" + RAW),
        chunk(b"iTXt", b"Raw profile type exif\0\0\0en\0\0" + RAW),
        chunk(b"iTXt", b"Raw profile type exif\0\1\0\0\0" + zlib.compress(RAW)),
        chunk(b"zTXt", b"Raw profile type APP1\0\0" + zlib.compress(RAW.replace(b"exif", b"APP1"))),
    ],
)
def test_exif_in_a_text_is_found(text: bytes, late: bool, tmp_path: Path) -> None:
    path, content = tmp_path / "a.png", png_bytes(STORED, depth=8, before_pixels=b"" if late else text)
    path.write_bytes(before_end(content, text) if late else content)
    assert probe_image(path).orientation == 6
    if b"APP1" not in text:
        with Image.open(path) as image:
            image.load()
            assert image.getexif()[0x112] == 6


@pytest.mark.parametrize("text", [b"junk", b"\nexif\n      9\nxyz"])
def test_a_damaged_text_of_exif_is_a_warning(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(STORED, depth=8, before_pixels=chunk(b"tEXt", b"Raw profile type exif\0" + text)))
    with pytest.warns(InputWarning, match=r"a\.png has a damaged EXIF data\. It was read as if it had none\."):
        assert probe_image(path).orientation == 1


def test_xmp_in_an_app1_text_is_no_exif(tmp_path: Path) -> None:
    text = raw_profile("APP1", b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>")
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(STORED, depth=8, before_pixels=chunk(b"tEXt", b"Raw profile type APP1\0" + text)))
    assert probe_image(path).orientation == 1


# --- Colours ----------------------------------------------------------------------------------------------------------


def save_p3(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"quality": 100, "subsampling": 0} if path.suffix == ".jpg" else {}
    Image.fromarray(values).save(path, icc_profile=P3, **options)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_display_p3_is_refused_unless_ignored(suffix: str, tmp_path: Path) -> None:
    path = save_p3(tmp_path / f"a{suffix}", STORED)
    plain = tmp_path / f"plain{suffix}"
    options: dict[str, Any] = {"quality": 100, "subsampling": 0} if suffix == ".jpg" else {}
    Image.fromarray(STORED).save(plain, **options)
    pattern = rf"a{suffix} must have sRGB colours\. Got the ICC profile 'Display P3'\. .*`--ignore-colour-tags`"
    for read in (probe_image, load_image):
        with pytest.raises(InputError, match=pattern):
            read(path)
    assert torch.equal(load_image(path, Reading(ignore_colour_tags=True)), load_image(plain))


def test_witness_that_ignoring_a_profile_changes_the_score(tmp_path: Path) -> None:
    """A render of the converted colours is perfect against the converted reference, and not against stored values."""
    stored = (STORED // 2 + 64).astype(np.uint8)  # Inside the gamut of sRGB.
    path = save_p3(tmp_path / "gt.png", stored)
    with Image.open(path) as image:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"))
    assert converted is not None
    # A converted file without a profile is read; its own sRGB profile is accepted too.
    converted.save(tmp_path / "converted.png", icc_profile=icc_profile("sRGB"))
    render = load_image(tmp_path / "converted.png")
    ignored = load_image(path, Reading(ignore_colour_tags=True))
    error = (np.asarray(converted).astype(np.float64) - stored) / 255
    expected = -10 * math.log10((error**2).mean())
    assert expected < 30
    assert psnr(ignored.permute(2, 0, 1), render.permute(2, 0, 1)).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "data", "colours"),
    [
        (b"gAMA", (100000).to_bytes(4, "big"), r"gamma 1 \(gAMA 100000\)"),
        (b"cICP", bytes([12, 13, 0, 1]), r"Display P3 primaries, sRGB transfer \(cICP 12/13/0/1\)"),
    ],
)
@pytest.mark.parametrize("depth", [8, 16])
def test_chunks_of_png_are_refused_unless_ignored(
    name: bytes, data: bytes, colours: str, depth: int, tmp_path: Path
) -> None:
    path, values = tmp_path / "a.png", STORED.astype(int) * (257 if depth == 16 else 1)
    path.write_bytes(png_bytes(values, depth=depth, before_pixels=chunk(name, data)))
    for read in (probe_image, load_image):
        with pytest.raises(InputError, match=rf"a\.png must have sRGB colours\. Got {colours}\."):
            read(path)
    expected = torch.from_numpy((STORED / 255).astype(np.float32))
    assert torch.equal(load_image(path, Reading(ignore_colour_tags=True)), expected)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_damaged_profile_is_a_warning(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(STORED).save(path, icc_profile=b"this is no profile")
    for read in (probe_image, load_image):
        with pytest.warns(InputWarning, match=rf"a{suffix} has a damaged ICC profile\. It was read as if it had none"):
            read(path)


def test_adobe_rgb_of_cameras_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "_MG_0001.jpg"
    Image.fromarray(STORED).save(path, exif=b"Exif\0\0" + exif_data(1, space=65535, index=b"R03\0"))
    with pytest.raises(InputError, match=r"_MG_0001\.jpg must have sRGB colours\. Got Adobe RGB \(EXIF\)\."):
        probe_image(path)


def test_colours_are_checked_before_anything_is_decoded(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / "ours" / f"{name}.png")
    write(tmp_path / "gt" / "a.png")
    save_p3(tmp_path / "gt" / "b.png", STORED)
    with pytest.raises(InputError, match=r"gt/b\.png must have sRGB colours"):
        opened(tmp_path)
    (source,) = open_folders([tmp_path / "ours"], reference=tmp_path / "gt", reading=Reading(ignore_colour_tags=True))
    assert source.provenance[0]["reading"]["ignore_colour_tags"] is True
    assert len(list(source)) == 2


def test_tags_of_masks_do_not_matter(tmp_path: Path) -> None:
    """Masks are weights, not colours."""
    write(tmp_path / "gt" / "a.png")
    write(tmp_path / "ours" / "a.png")
    (tmp_path / "masks").mkdir()
    content = png_bytes(STORED[..., :1], depth=8, before_pixels=chunk(b"gAMA", (100000).to_bytes(4, "big")))
    (tmp_path / "masks" / "a.png").write_bytes(content)
    (view,) = views_of(opened(tmp_path, masks=True))
    assert view.mask is not None
    assert torch.equal(view.mask, torch.from_numpy((STORED[..., 0] / 255).astype(np.float32)))


# --- Other formats ----------------------------------------------------------------------------------------------------

BLOCKS = np.kron(RANDOM.randint(0, 256, (2, 3, 3)), np.ones((16, 16, 1))).astype(np.uint8)
LOSSLESS = {".webp": {"lossless": True}, ".tif": {}, ".avif": {"quality": 100, "subsampling": "4:4:4"}}


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("suffix", LOSSLESS)
def test_orientation_in_other_formats(suffix: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    path = tmp_path / f"a{suffix}"
    Image.fromarray(BLOCKS).save(path, exif=exif, **LOSSLESS[suffix])
    assert probe_image(path).orientation == orientation
    stored = load_image(path).numpy()
    assert stored.shape == (32, 48, 3)
    assert np.abs(255 * stored - BLOCKS).max() < 4


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_profiles_in_other_formats(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(BLOCKS).save(path, icc_profile=P3, **LOSSLESS[suffix])
    for read in (probe_image, load_image):
        with pytest.raises(InputError, match=rf"a{suffix} must have sRGB colours\. Got the ICC profile 'Display P3'"):
            read(path)
    assert probe_image(path, Reading(ignore_colour_tags=True)).colours == "the ICC profile 'Display P3'"
    Image.fromarray(BLOCKS).save(path, icc_profile=icc_profile("sRGB"), **LOSSLESS[suffix])
    load_image(path)


def test_code_points_of_avif(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    Image.fromarray(BLOCKS).save(path, quality=100)
    content = path.read_bytes()
    start = content.index(b"colrnclx") + 8
    assert content[start : start + 4] == b"\0\1\0\x0d"  # sRGB: primaries 1, transfer 13.
    load_image(path)
    path.write_bytes(content[:start] + b"\0\x0c" + content[start + 2 :])
    with pytest.raises(InputError, match=r"a\.avif must have sRGB colours\. Got Display P3 primaries, sRGB transfer"):
        probe_image(path)


@pytest.mark.parametrize(("xy", "name"), [(SRGB_XY, None), (P3_XY, r"the primaries of Display P3")])
def test_primaries_of_tiff(xy: tuple[float, ...], name: str | None, tmp_path: Path) -> None:
    rational = [part for value in xy for part in (round(10000 * value), 10000)]
    tags = [(318, "2I", 2, tuple(rational[:4]), True), (319, "2I", 6, tuple(rational[4:]), True)]
    tifffile.imwrite(tmp_path / "a.tif", STORED, photometric="rgb", extratags=tags)
    if name is None:
        assert probe_image(tmp_path / "a.tif") == Header((16, 16))
    else:
        with pytest.raises(InputError, match=rf"a\.tif must have sRGB colours\. Got {name} \(PrimaryChromaticities\)"):
            probe_image(tmp_path / "a.tif")
