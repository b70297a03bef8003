from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nvs_eval.errors import InputError
from nvs_eval.images.files import Reading, load_image, probe_image
from nvs_eval.images.pixels import linear_to_srgb

exr: Any = pytest.importorskip("OpenEXR", reason="OpenEXR is not installed (the extra `exr`)")

RANDOM = np.random.RandomState(0)
SRGB = Reading(exr="srgb")
AP1 = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)
REC709 = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, 0.3127, 0.3290)
PLAIN = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}


def rgb(dtype: Any = np.float32, height: int = 5, width: int = 7) -> np.ndarray:
    return RANDOM.rand(height, width, 3).astype(dtype)


def layer(prefix: str, values: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{prefix}{name}": np.ascontiguousarray(values[..., i]) for i, name in enumerate("RGB")}


def write(path: Path, channels: dict[str, np.ndarray], **header: Any) -> Path:
    with exr.File({**PLAIN, **header}, channels) as file:
        file.write(str(path))
    return path


def window(left: int, top: int, right: int, bottom: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array([left, top], np.int32), np.array([right, bottom], np.int32)


def check_read(path: Path, expected: np.ndarray, reading: Reading = SRGB) -> None:
    assert torch.equal(load_image(path, reading), torch.from_numpy(expected.astype(np.float32)))
    assert probe_image(path, reading).size == (expected.shape[1], expected.shape[0])


def check_refused(path: Path, message: str, reading: Reading = SRGB) -> None:
    for read in (probe_image, load_image):
        with pytest.raises(InputError, match=message):
            read(path, reading)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_exr_needs_an_instruction(dtype: Any, tmp_path: Path) -> None:
    values = rgb(dtype)
    path = write(tmp_path / "image.exr", {"RGB": values})
    check_refused(path, r"image\.exr is an EXR file, which .* `--exr linear` .* or `--exr srgb`", Reading())
    stored = torch.from_numpy(values.astype(np.float32))
    assert torch.equal(load_image(path, SRGB), stored)
    assert torch.equal(load_image(path, Reading(exr="linear")), linear_to_srgb(stored))


def test_data_without_colours_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "depth.exr", {"Z": rgb()[..., 0].copy()})
    check_refused(path, r"depth\.exr must have the channels R, G and B, or Y\. Got Z")


def test_exr_without_its_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    (tmp_path / "image.exr").write_bytes(b"v/1\x01")
    check_refused(tmp_path / "image.exr", r"image\.exr: reading EXR requires OpenEXR .* pip install 'nvs-eval\[exr\]'")


# --- Types, storage -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["NO", "RLE", "ZIP", "ZIPS", "PIZ"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_lossless_compressions(dtype: Any, compression: str, tmp_path: Path) -> None:
    values = rgb(dtype, 40, 33)
    path = write(tmp_path / "a.exr", {"RGB": values}, compression=getattr(exr, f"{compression}_COMPRESSION"))
    check_read(path, values)


def test_channels_of_several_types(tmp_path: Path) -> None:
    values = rgb(np.float16)
    channels = layer("", values)
    channels["G"] = channels["G"].astype(np.float32)
    check_read(write(tmp_path / "a.exr", channels), values)


def test_tiles(tmp_path: Path) -> None:
    values = rgb(height=50, width=70)
    check_read(write(tmp_path / "a.exr", {"RGB": values}, type=exr.tiledimage, tiles=exr.TileDescription()), values)


def test_first_level_of_a_mipmap(tmp_path: Path) -> None:
    """The file is made by hand: 4x4 pixels in one tile, then 2x2 and 1x1 pixels that are 9."""
    values = rgb(height=4, width=4)

    def attribute(name: str, kind: str, value: bytes) -> bytes:
        return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<I", len(value)) + value

    channels = b"".join(name + b"\0" + struct.pack("<iB3xii", 2, 0, 1, 1) for name in (b"B", b"G", b"R"))
    header = (
        struct.pack("<II", 20000630, 2 | 0x200)
        + attribute("channels", "chlist", channels + b"\0")
        + attribute("compression", "compression", b"\0")
        + attribute("dataWindow", "box2i", struct.pack("<4i", 0, 0, 3, 3))
        + attribute("displayWindow", "box2i", struct.pack("<4i", 0, 0, 3, 3))
        + attribute("lineOrder", "lineOrder", b"\0")
        + attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
        + attribute("screenWindowCenter", "v2f", struct.pack("<ff", 0, 0))
        + attribute("screenWindowWidth", "float", struct.pack("<f", 1))
        + attribute("tiles", "tiledesc", struct.pack("<IIB", 4, 4, 1))
        + b"\0"
    )
    levels = [values, np.full((2, 2, 3), 9, np.float32), np.full((1, 1, 3), 9, np.float32)]
    tiles = []
    for level, pixels in enumerate(levels):
        data = pixels[..., ::-1].transpose(0, 2, 1).astype("<f4").tobytes()  # Each row: B, G, R.
        tiles.append(struct.pack("<5i", 0, 0, level, level, len(data)) + data)
    start = len(header) + 8 * len(tiles)
    offsets = [start + sum(map(len, tiles[:i])) for i in range(len(tiles))]
    (tmp_path / "a.exr").write_bytes(header + struct.pack("<3Q", *offsets) + b"".join(tiles))
    check_read(tmp_path / "a.exr", values)


def test_integer_channels_are_refused(tmp_path: Path) -> None:
    ids = RANDOM.randint(0, 9, (5, 7, 3)).astype(np.uint32)
    check_refused(write(tmp_path / "a.exr", {"RGB": ids}), r"a\.exr has integer channels \(R, G, B\)")


def test_luminance_and_chroma_are_refused(tmp_path: Path) -> None:
    imath = pytest.importorskip("Imath")
    floats = imath.PixelType(imath.PixelType.FLOAT)
    header = exr.Header(8, 6)
    header["channels"] = {"Y": imath.Channel(floats)} | dict.fromkeys(("RY", "BY"), imath.Channel(floats, 2, 2))
    file = exr.OutputFile(str(tmp_path / "a.exr"), header)
    file.writePixels({"Y": bytes(4 * 48), "RY": bytes(4 * 12), "BY": bytes(4 * 12)})
    file.close()
    check_refused(tmp_path / "a.exr", r"a\.exr stores luminance and chroma \(Y, RY, BY\)")


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.999])
def test_truncated_files_are_refused(keep: float, tmp_path: Path) -> None:
    path = write(tmp_path / "a.exr", {"RGB": rgb(height=200, width=100)})
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    # The header tells unless only the last rows are incomplete.
    for read in (probe_image, load_image) if keep < 0.99 else (load_image,):
        with pytest.raises(InputError, match=r"a\.exr cannot be read as an image: it is damaged or truncated"):
            read(path, SRGB)


def test_a_truncated_further_part_is_refused(tmp_path: Path) -> None:
    parts = [exr.Part({**PLAIN, "name": name}, {"RGB": rgb(height=64)}) for name in ("left", "right")]
    path = tmp_path / "a.exr"
    exr.File(parts).write(str(path))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"a\.exr cannot be read as an image: it is damaged or truncated"):
        load_image(path, Reading(exr="srgb", exr_layer="right"))


# --- Grey and alpha ---------------------------------------------------------------------------------------------------


def test_grey_needs_an_instruction(tmp_path: Path) -> None:
    values = rgb()[..., 0].copy()
    path = write(tmp_path / "a.exr", {"Y": values})
    check_refused(path, r"Got a grey image")
    check_read(path, np.repeat(values[..., None], 3, -1), Reading(exr="srgb", grey_to_rgb=True))


@pytest.mark.parametrize("colours", ["RGB", "Y"])
def test_alpha_must_be_1(colours: str, tmp_path: Path) -> None:
    values, alpha = rgb(), np.ones((5, 7), np.float32)
    channels = layer("", values) if colours == "RGB" else {"Y": values[..., 0].copy()}
    expected = values if colours == "RGB" else np.repeat(values[..., :1], 3, -1)
    reading = Reading(exr="srgb", grey_to_rgb=True, background=(1.0, 1.0, 1.0))
    check_read(write(tmp_path / "a.exr", {**channels, "A": alpha}), expected, reading)
    alpha[2, 3] = 0.5
    path = write(tmp_path / "b.exr", {**channels, "A": alpha})
    check_refused(path, r"b\.exr has an alpha channel that is not 1 everywhere\. .*premultiplied", reading)


# --- Layers, parts, views ---------------------------------------------------------------------------------------------


def test_the_only_layer_with_colours_is_read(tmp_path: Path) -> None:
    values, other = rgb(), rgb()
    data = {"Z": other[..., 0].copy(), "N.X": other[..., 0].copy(), "N.Y": other[..., 1].copy()}
    path = write(tmp_path / "a.exr", {**layer("ViewLayer.Combined.", values), **data})
    check_read(path, values)


def test_the_unnamed_layer_is_read(tmp_path: Path) -> None:
    values, other = rgb(), rgb()
    path = write(tmp_path / "a.exr", {**layer("", values), **layer("diffuse.", other)})
    check_read(path, values)
    check_read(path, other, Reading(exr="srgb", exr_layer="diffuse"))
    message = r"a\.exr has no layer 'specular' with colours\. Its layers are the unnamed one, diffuse"
    check_refused(path, message, Reading(exr="srgb", exr_layer="specular"))
    # Files without other layers need no choice.
    path = write(tmp_path / "b.exr", {"RGB": values})
    check_read(path, values, Reading(exr="srgb", exr_layer="diffuse"))


def test_several_layers_need_a_choice(tmp_path: Path) -> None:
    beauty, diffuse = rgb(), rgb()
    path = write(tmp_path / "a.exr", {**layer("beauty.", beauty), **layer("diffuse.", diffuse)})
    check_refused(path, r"a\.exr has several layers with colours: beauty, diffuse\. Use `--exr-layer NAME`")
    check_read(path, beauty, Reading(exr="srgb", exr_layer="beauty"))
    check_read(path, diffuse, Reading(exr="srgb", exr_layer="diffuse"))


@pytest.mark.parametrize("first", ["depth", "beauty"])
def test_the_only_part_with_colours_is_read(first: str, tmp_path: Path) -> None:
    values, depth = rgb(), {"Z": rgb()[..., 0].copy()}
    parts = {"beauty": {"RGB": values}, "depth": depth}
    names = sorted(parts, key=lambda name: name != first)
    exr.File([exr.Part({**PLAIN, "name": name}, parts[name]) for name in names]).write(str(tmp_path / "a.exr"))
    check_read(tmp_path / "a.exr", values)


def test_several_parts_need_a_choice(tmp_path: Path) -> None:
    left, right = rgb(), rgb()
    parts = [exr.Part({**PLAIN, "name": name}, {"RGB": values}) for name, values in (("l", left), ("r", right))]
    path = tmp_path / "a.exr"
    exr.File(parts).write(str(path))
    check_refused(path, r"a\.exr has several layers with colours: l, r\. ")
    check_read(path, left, Reading(exr="srgb", exr_layer="l"))
    check_read(path, right, Reading(exr="srgb", exr_layer="r"))


def test_integers_of_a_further_part_are_refused(tmp_path: Path) -> None:
    parts = [exr.Part({**PLAIN, "name": "z"}, {"Z": rgb()[..., 0].copy()})]
    parts.append(exr.Part({**PLAIN, "name": "ids"}, {"RGB": np.zeros((5, 7, 3), np.uint32)}))
    exr.File(parts).write(str(tmp_path / "a.exr"))
    with pytest.raises(InputError, match=r"a\.exr has integer channels \(R, G, B\)"):
        load_image(tmp_path / "a.exr", SRGB)


def test_views_need_a_choice(tmp_path: Path) -> None:
    left, right = rgb(), rgb()
    path = write(tmp_path / "a.exr", {**layer("", left), **layer("right.", right)}, multiView=["left", "right"])
    check_refused(path, r"a\.exr has several layers with colours: left, right\. ")
    check_read(path, left, Reading(exr="srgb", exr_layer="left"))
    check_read(path, right, Reading(exr="srgb", exr_layer="right"))


# --- Windows ----------------------------------------------------------------------------------------------------------


def test_the_origin_of_the_windows_does_not_matter(tmp_path: Path) -> None:
    values = rgb()
    box = window(10, -20, 16, -16)
    check_read(write(tmp_path / "a.exr", {"RGB": values}, dataWindow=box, displayWindow=box), values)


def test_overscan_is_cropped(tmp_path: Path) -> None:
    values = rgb(height=8, width=9)
    windows = {"dataWindow": window(-1, -2, 7, 5), "displayWindow": window(0, 0, 5, 4)}
    check_read(write(tmp_path / "a.exr", {"RGB": values}, **windows), values[2:7, 1:7])


def test_pixels_that_are_not_stored_are_black(tmp_path: Path) -> None:
    values = rgb(height=2, width=3)
    windows = {"dataWindow": window(2, 1, 4, 2), "displayWindow": window(0, 0, 9, 4)}
    expected = np.zeros((5, 10, 3), np.float32)
    expected[1:3, 2:5] = values
    check_read(write(tmp_path / "a.exr", {"RGB": values}, **windows), expected)
    alpha = np.ones((2, 3), np.float32)
    path = write(tmp_path / "b.exr", {**layer("", values), "A": alpha}, **windows)
    check_refused(path, r"b\.exr has an alpha channel that is not 1 everywhere \(pixels .* outside the data window")


@pytest.mark.parametrize("data", [(3, 2, 11, 8), (-3, -2, 4, 2), (20, 20, 24, 22), (-9, -9, -5, -5)])
def test_windows_that_overlap_in_part_or_not_at_all(data: tuple[int, int, int, int], tmp_path: Path) -> None:
    left, top, right, bottom = data
    values = rgb(height=bottom - top + 1, width=right - left + 1)
    windows = {"dataWindow": window(*data), "displayWindow": window(0, 0, 6, 4)}
    expected = np.zeros((5, 7, 3), np.float32)
    for y in range(5):
        for x in range(7):
            if left <= x <= right and top <= y <= bottom:
                expected[y, x] = values[y - top, x - left]
    check_read(write(tmp_path / "a.exr", {"RGB": values}, **windows), expected)


# --- Chromaticities ---------------------------------------------------------------------------------------------------


def test_chromaticities_other_than_srgb_are_refused(tmp_path: Path) -> None:
    values = rgb()
    check_read(write(tmp_path / "a.exr", {"RGB": values}, chromaticities=REC709), values)
    path = write(tmp_path / "b.exr", {"RGB": values}, chromaticities=AP1)
    check_refused(path, r"b\.exr must have sRGB colours\. Got the primaries of ACEScg \(AP1\) \(chromaticities\)")
    check_read(path, values, Reading(exr="srgb", ignore_colour_tags=True))


@pytest.mark.skipif(not hasattr(exr, "colorInteropIDToChromaticities"), reason="OpenEXR is older than 3.5")
def test_the_colour_interop_id_names_primaries(tmp_path: Path) -> None:
    values = rgb()
    linear = Reading(exr="linear")
    path = write(tmp_path / "a.exr", {"RGB": values}, colorInteropID="lin_rec709_scene")
    assert torch.equal(load_image(path, linear), linear_to_srgb(torch.from_numpy(values)))
    path = write(tmp_path / "b.exr", {"RGB": values}, colorInteropID="lin_p3d65_scene")
    check_refused(path, r"Got the primaries of Display P3 \(colorInteropID lin_p3d65_scene\)")


IDS = ["srgb_p3d65_scene", "g22_adobergb_scene", "srgb_ap1_scene", "lin_ciexyzd65_scene", "g18_rec709_scene", "data"]
IDS += ["pq_rec2020_display", "my_colours"]


@pytest.mark.parametrize("space", IDS)
def test_other_colour_interop_ids_are_refused_by_name(space: str, tmp_path: Path) -> None:
    values = rgb()
    path = write(tmp_path / "a.exr", {"RGB": values}, colorInteropID=space)
    for way in ("linear", "srgb"):
        with pytest.raises(InputError, match=rf"must have sRGB colours\. Got .*colorInteropID {space}"):
            probe_image(path, Reading(exr=way))
    check_read(path, values, Reading(exr="srgb", ignore_colour_tags=True))


@pytest.mark.parametrize(
    ("space", "right", "wrong"),
    [
        ("lin_rec709_scene", "linear", "srgb"),
        ("srgb_rec709_scene", "srgb", "linear"),
        ("srgb_rec709_display", "srgb", "linear"),
        ("g22_rec709_scene", "srgb", "linear"),
    ],
)
def test_a_declared_encoding_must_be_that_of_the_option(space: str, right: Any, wrong: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.exr", {"RGB": rgb()}, colorInteropID=space)
    probe_image(path, Reading(exr=right))
    message = rf"\(`--exr {wrong}`\)\. Its colorInteropID declares .*\. Use `--exr {right}`, or `--ignore-colour-tags`"
    for read in (probe_image, load_image):
        with pytest.raises(InputError, match=message):
            read(path, Reading(exr=wrong))
    probe_image(path, Reading(exr=wrong, ignore_colour_tags=True))


def test_unknown_colours_and_grey_of_other_primaries_are_read(tmp_path: Path) -> None:
    values = rgb()
    check_read(write(tmp_path / "a.exr", {"RGB": values}, colorInteropID="unknown"), values)
    path = write(tmp_path / "b.exr", {"RGB": values}, colorInteropID="unknown", chromaticities=AP1)
    check_refused(path, r"Got the primaries of ACEScg")
    grey = write(tmp_path / "c.exr", {"Y": values[..., 0].copy()}, colorInteropID="lin_ap1_scene")
    probe_image(grey, Reading(exr="linear", grey_to_rgb=True))
