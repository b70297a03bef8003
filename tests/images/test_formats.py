"""Values of every format against arrays that other libraries, or this file byte by byte, wrote."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from support.pngs import chunk, png_bytes

from nvs_eval.errors import InputError, ResourceError
from nvs_eval.images.files import Reading, decode, load_image, probe_image
from nvs_eval.images.formats import EXTENSIONS, OTHER_EXTENSIONS
from nvs_eval.images.pixels import linear_to_srgb
from nvs_eval.sources.pictures import list_images

RANDOM = np.random.default_rng(0)
RGB8 = RANDOM.integers(0, 256, (13, 18, 3)).astype(np.uint8)
RGBA8 = np.dstack([RGB8, RANDOM.integers(0, 256, (13, 18, 1)).astype(np.uint8)])
RGB16 = RANDOM.integers(0, 65536, (13, 18, 3)).astype(np.uint16)
FLOATS = RANDOM.random((13, 18, 3), dtype=np.float32)
LINE_FEED = np.concatenate([np.full((1, 18, 3), 10, np.uint8), RGB8[1:]])
BITS = RGB8[..., :1] > 127
PALETTE = Image.fromarray(RGB8).quantize(9)
EVERYTHING = Reading(grey_to_rgb=True, background=(0.0, 0.0, 0.0), exr="srgb")


def pillow(values: np.ndarray, **options: Any) -> bytes:
    return pillow_image(Image.fromarray(values), **options)


def pillow_image(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def tiff(values: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def opencv(values: np.ndarray, suffix: str) -> bytes:
    return cv2.imencode(suffix, values[..., [2, 1, 0, *range(3, values.shape[-1])]])[1].tobytes()


def avif(values: np.ndarray, bits: int) -> bytes:
    return bytes(imagecodecs.avif_encode(values, level=100, bitspersample=bits, pixelformat="444"))


def text(numbers: np.ndarray) -> bytes:
    return "\n".join(" ".join(map(str, row)) for row in numbers.reshape(len(numbers), -1)).encode()


def thumbnailed(values: np.ndarray) -> bytes:
    """Return a TIFF whose first page is a reduced version of the second."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(values[::2, ::2], photometric="rgb", subfiletype=1)
        writer.write(values, photometric="rgb")
    return file.getvalue()


def v5_bmp(values: np.ndarray) -> bytes:
    """Return a BMP of RGBA with masks for its channels."""
    height, width, _ = values.shape
    pixels = values[::-1, :, [2, 1, 0, 3]].tobytes()
    masks = struct.pack("<4I4s", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs")
    header = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 32, 3, len(pixels), 0, 0, 0, 0) + masks + bytes(64)
    return b"BM" + struct.pack("<IHHI", 14 + 124 + len(pixels), 0, 0, 14 + 124) + header + pixels


EXACT: dict[str, tuple[bytes, np.ndarray, int]] = {
    "webp": (pillow(RGB8, format="WEBP", lossless=True), RGB8, 255),
    "webp with alpha": (pillow(RGBA8, format="WEBP", lossless=True, exact=True), RGBA8, 255),
    "tiff": (tiff(RGB8, photometric="rgb"), RGB8, 255),
    "tiff of Pillow": (pillow(RGB8, format="TIFF", compression="tiff_lzw"), RGB8, 255),
    "tiff of OpenCV": (opencv(RGB16, ".tif"), RGB16, 65535),
    "tiff with alpha": (tiff(RGBA8, photometric="rgb", extrasamples=["unassalpha"]), RGBA8, 255),
    "grey tiff": (tiff(RGB16[..., 0]), RGB16[..., :1], 65535),
    "big-endian tiff": (tiff(RGB16, photometric="rgb", byteorder=">", bigtiff=True), RGB16, 65535),
    "tiff of planes": (tiff(RGB8.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"), RGB8, 255),
    "tiff of tiles": (tiff(RGB16, photometric="rgb", tile=(16, 16), compression="zlib", predictor=True), RGB16, 65535),
    "tiff in zstd": (tiff(RGB8, photometric="rgb", compression="zstd", rowsperstrip=5), RGB8, 255),
    "float tiff": (tiff(FLOATS, photometric="rgb", compression="lzw", predictor=True), FLOATS, 1),
    "half tiff": (tiff(FLOATS.astype(np.float16), photometric="rgb"), FLOATS.astype(np.float16), 1),
    "double tiff": (tiff(FLOATS.astype(np.float64), photometric="rgb"), FLOATS, 1),
    "bmp": (pillow(RGB8, format="BMP"), RGB8, 255),
    "bmp with alpha": (v5_bmp(RGBA8), RGBA8, 255),
    "grey bmp": (pillow(RGB8[..., 0], format="BMP"), RGB8[..., :1], 255),
    "bmp of bits": (pillow(BITS[..., 0], format="BMP"), BITS, 1),
    "palette bmp": (pillow_image(PALETTE, format="BMP"), np.asarray(PALETTE.convert("RGB")), 255),
    "ppm": (pillow(RGB8, format="PPM"), RGB8, 255),
    "ppm of 16 bits": (opencv(RGB16, ".ppm"), RGB16, 65535),
    "ppm of 10 bits": (b"P6 18\n13 # comment\n1023\n" + (RGB16 % 1024).astype(">u2").tobytes(), RGB16 % 1024, 1023),
    "plain ppm": (b"P3\n# comment\n18 13\n65535\n" + text(RGB16), RGB16, 65535),
    "plain ppm with comments": (
        b"P3 # comment 1\n18 13\n65535\n" + text(RGB16).replace(b"\n", b" # row 1\n", 1) + b"# end",
        RGB16,
        65535,
    ),
    "ppm of Windows": (b"P6\r\n18 13\r\n255\r\n" + RGB8.tobytes(), RGB8, 255),
    "ppm that starts with a line feed": (b"P6 18 13 255\r" + LINE_FEED.tobytes(), LINE_FEED, 255),
    "tiff after its thumbnail": (thumbnailed(RGB8), RGB8, 255),
    "npy": (npy(FLOATS), FLOATS, 1),
    "npy in the order of Fortran": (npy(np.asfortranarray(FLOATS)), FLOATS, 1),
    "pgm": (pillow(RGB8[..., 0], format="PPM"), RGB8[..., :1], 255),
    "pbm": (pillow(BITS[..., 0], format="PPM"), BITS, 1),
    "plain pbm": (b"P1 18 13\n" + text(1 - BITS.astype(int)), BITS, 1),
    "pfm": (b"PF\n18 13\n-1.0\n" + FLOATS[::-1].astype("<f4").tobytes(), FLOATS, 1),
    "pfm of OpenCV": (opencv(FLOATS, ".pfm"), FLOATS, 1),
    "grey pfm": (b"Pf 18 13 1\n" + FLOATS[::-1, :, 0].astype(">f4").tobytes(), FLOATS[..., :1], 1),
    "avif": (avif(RGB8, 8), RGB8, 255),
    "avif of 10 bits": (avif(RGB16 % 1024, 10), RGB16 % 1024, 1023),
    "avif of 12 bits": (avif(RGB16 % 4096, 12), RGB16 % 4096, 4095),
}


@pytest.mark.parametrize("name", EXACT)
def test_values_are_exact(name: str, tmp_path: Path) -> None:
    content, values, largest = EXACT[name]
    path = tmp_path / "image.png"  # The suffix does not matter.
    path.write_bytes(content)
    expected = torch.from_numpy((values.astype(np.float64) / largest).astype(np.float32))
    assert torch.equal(decode(path), expected)
    assert probe_image(path, EVERYTHING).size == (18, 13)
    assert load_image(path, EVERYTHING).shape == (13, 18, 3)


def rgbe(colours: np.ndarray) -> bytes:
    """Return an uncompressed HDR image."""
    _, exponents = np.frexp(colours.max(axis=-1))
    mantissas = np.floor(colours * np.exp2(8.0 - exponents)[..., None])
    pixels = np.dstack([mantissas, exponents + 128]).astype(np.uint8)
    return b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 13 +X 18\n" + pixels.tobytes()


@pytest.mark.parametrize("writer", ["byte by byte", "OpenCV"])
def test_hdr_shares_an_exponent(writer: str, tmp_path: Path) -> None:
    path, colours = tmp_path / "image.hdr", FLOATS * 8 + 0.01
    path.write_bytes(rgbe(colours) if writer == "byte by byte" else opencv(colours, ".hdr"))
    image = load_image(path, Reading(exr="srgb")).numpy()
    step = np.exp2(np.frexp(colours.max(axis=-1))[1] - 8.0)[..., None]
    assert (np.abs(image - colours) <= step).all()
    if writer == "OpenCV":
        assert np.array_equal(image, np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))[..., ::-1])
    else:
        assert np.array_equal(image, np.floor(colours / step) * step)


def test_lossy_files_equal_those_of_other_decoders(tmp_path: Path) -> None:
    for name, options in {
        "a.webp": {"format": "WEBP", "quality": 70},
        "a.avif": {"format": "AVIF", "quality": 70},
        "a.jpg": {"format": "JPEG", "quality": 70, "subsampling": 2, "progressive": True},
    }.items():
        (tmp_path / name).write_bytes(content := pillow(RGB8, **options))
        with Image.open(io.BytesIO(content)) as image:
            expected = torch.from_numpy(np.asarray(image).astype(np.float32)) / 255
        assert torch.equal(load_image(tmp_path / name), expected), name


@pytest.mark.parametrize("name", ["float tiff", "pfm", "hdr"])
def test_formats_of_linear_light_need_an_instruction(name: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(rgbe(FLOATS) if name == "hdr" else EXACT[name][0])
    for read in (probe_image, load_image):
        with pytest.raises(InputError, match=r"contains linear light by convention.*`--exr linear`.*`--exr srgb`"):
            read(path)
    stored = load_image(path, Reading(exr="srgb"))
    assert torch.equal(load_image(path, Reading(exr="linear")), linear_to_srgb(stored.contiguous()))


def several(format: str) -> bytes:
    frames = [Image.fromarray(RGB8[::-1])]
    return pillow_image(Image.fromarray(RGB8), format=format, save_all=True, append_images=frames)


def bmp_with_undefined_channel() -> bytes:
    return pillow(RGBA8, format="BMP")


REFUSED: dict[str, tuple[bytes, str]] = {
    "apng": (several("PNG"), "must contain one image. Got an animated PNG"),
    "animated webp": (several("WEBP"), "must contain one image. Got an animation of 2 frames"),
    "animated avif": (several("AVIF"), "must contain one image. Got an animation of 2 frames"),
    "gif": (several("GIF"), "Got GIF. Save its frames as PNG"),
    "pages": (several("TIFF"), "must contain one image. Got a stack"),
    "ImageJ stack": (tiff(np.stack([RGB16[..., 0]] * 3), imagej=True), "must contain one image. Got a stack"),
    "12-bit jpeg": (
        bytes(imagecodecs.jpeg8_encode((RGB16 >> 4), bitspersample=12)),
        "must have 8 bits per channel. Got 12. Convert it to PNG",
    ),
    "JPEG-LS": (bytes(imagecodecs.jpegls_encode(RGB8)), "Got JPEG-LS. Save it as PNG"),
    "pam": (b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 3\nMAXVAL 255\nENDHDR\nabc", "Got PAM. Save it as PNG"),
    "pcx": (pillow(RGB8, format="PCX"), "Got PCX. Save it as PNG"),
    "sgi": (pillow(RGB8, format="SGI"), "Got SGI. Save it as PNG"),
    "two arrays": (2 * npy(FLOATS), "must contain one array. Got more data after it"),
    "two ppm": (2 * EXACT["ppm"][0], "must contain one image. Got more data after it"),
    "raw": (
        tiff(RGB8, photometric="rgb", extratags=[(50706, 1, 4, (1, 4, 0, 0), True)]),
        "Got the raw data of a camera",
    ),
    "palette tiff": (pillow_image(PALETTE, format="TIFF"), "must be grey or RGB. Got PALETTE"),
    "cmyk tiff": (pillow_image(Image.new("CMYK", (9, 9)), format="TIFF"), "must be grey or RGB. Got SEPARATED"),
    "inverted tiff": (tiff(RGB8[..., 0], photometric="miniswhite"), "must be grey or RGB. Got MINISWHITE"),
    "signed tiff": (tiff(RGB8.astype(np.int16), photometric="rgb"), r"must have 8 or 16 bits or floats.* \(int16\)"),
    "premultiplied tiff": (tiff(RGBA8, photometric="rgb", extrasamples=["assocalpha"]), "premultiplied by alpha"),
    "unspecified tiff": (tiff(RGBA8, photometric="rgb", extrasamples=["unspecified"]), "the last have no meaning"),
    "undefined bmp": (bmp_with_undefined_channel(), "fourth channel, whose meaning BMP does not define"),
    "scaled pfm": (b"PF\n18 13\n-2.0\n" + FLOATS.tobytes(), "scale of 1 or -1 in its header. Got -2"),
    "exposed hdr": (rgbe(FLOATS).replace(b"FORMAT", b"EXPOSURE=2\nFORMAT", 1), "unscaled colours.*EXPOSURE=2"),
    "hdr with gamma": (rgbe(FLOATS).replace(b"FORMAT", b"GAMMA = 2.2\nFORMAT", 1), "unscaled colours.*GAMMA=2.2"),
    "hdr of Rec. 2020": (
        rgbe(FLOATS).replace(b"FORMAT", b" PRIMARIES=.708 .292 .17 .797 .131 .046 .3127 .329\nFORMAT", 1),
        "must have sRGB colours. Got the primaries of Rec. 2020",
    ),
    "xyz hdr": (rgbe(FLOATS).replace(b"rgbe", b"xyze", 1), "must contain RGB. Got the format 32-bit_rle_xyze"),
    "mirrored hdr": (rgbe(FLOATS).replace(b"-Y 13 +X", b"+Y 13 +X", 1), "rows from top to bottom"),
    "jxl": (bytes(imagecodecs.jpegxl_encode(RGB8)), r"Got JPEG XL. Save it as PNG \(`djxl`\)"),
    "jp2": (pillow(RGB8, format="JPEG2000"), "Got JPEG 2000. Save it as PNG"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", r"Got HEIC. Save it as PNG \(`heif-convert`\)"),
    "psd": (b"8BPS\0\1", "Got Photoshop. Export it as PNG or 16-bit TIFF"),
    "mp4": (b"\0\0\0\x18ftypisom\0\0\0\0mp41", "Got video. Save its frames as PNG"),
    "text": (b"no image", "Its content is none of them"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_content_is_refused_from_its_header(name: str, tmp_path: Path) -> None:
    content, message = REFUSED[name]
    path = tmp_path / "image.png"
    path.write_bytes(content)
    for read in (probe_image, load_image):
        with pytest.raises(InputError, match=rf"image\.png .*{message}"):
            read(path, EVERYTHING)


CUT = [
    "webp",
    "tiff",
    "tiff of tiles",
    "float tiff",
    "bmp",
    "ppm",
    "plain ppm",
    "pbm",
    "pfm",
    "avif",
    "avif of 10 bits",
]


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.98])
def test_incomplete_files_are_refused(name: str, keep: float, tmp_path: Path) -> None:
    path, content = tmp_path / "image", EXACT[name][0]
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(InputError, match=r"image (cannot be read as an image|must)"):
        load_image(path, EVERYTHING)


def test_missing_parts_of_a_tiff_are_not_black(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    path.write_bytes(tiff(RGB8, photometric="rgb", rowsperstrip=4))
    with tifffile.TiffFile(path, mode="r+") as file:
        counts = file.pages.first.tags["StripByteCounts"]
        counts.overwrite([*counts.value[:-1], 0])
    assert not tifffile.imread(path)[-1].any()
    for read in (probe_image, load_image):
        with pytest.raises(InputError, match=r"damaged or truncated \(parts of its pixels are missing\)"):
            read(path)


def test_size_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(EXACT["tiff"][0])
    assert probe_image(path, Reading(max_pixels=18 * 13)).size == (18, 13)
    for read in (probe_image, load_image):
        with pytest.raises(InputError, match=r"image\.png must have at most 233 pixels .*--max-pixels.* Got 18x13"):
            read(path, Reading(max_pixels=18 * 13 - 1))
    with pytest.raises(InputError, match="must be at least 1"):
        Reading(max_pixels=0)
    # A small file of a hundred million pixels, which Pillow would refuse.
    path.write_bytes(png_bytes(np.zeros((10000, 10000, 1), np.uint8), depth=8))
    assert probe_image(path, EVERYTHING).size == (10000, 10000)
    assert decode(path).shape == (10000, 10000, 1)
    monkeypatch.setattr("nvs_eval.images.stored.free_memory", lambda device: 2**29)
    with pytest.raises(ResourceError, match=r"is 10000x10000 and needs .* of memory to read, but only .* are free"):
        probe_image(path, EVERYTHING)


def test_a_few_bytes_are_not_a_large_image(tmp_path: Path) -> None:
    path = tmp_path / "image.webp"
    path.write_bytes(pillow_image(Image.new("RGB", (7000, 7000)), format="WEBP", lossless=True, method=0))
    with pytest.raises(InputError, match=r"is 7000x7000, far more than its \d+ bytes can show"):
        probe_image(path)
    assert load_image(path, Reading(max_pixels=7000**2)).shape == (7000, 7000, 3)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("over", [0, 1])
def test_pixels_beyond_the_palette_are_refused(depth: int, over: int, tmp_path: Path) -> None:
    entries, path = max(2**depth - 1, 1), tmp_path / "a.png"
    indices = np.array([0, entries - 1 + over, *[0] * 6], np.uint8)
    bits = np.unpackbits(indices[:, None], axis=1)[:, 8 - depth :]
    palette = np.arange(3 * entries).astype(np.uint8)
    header = struct.pack(">IIBBBBB", 8, 1, depth, 3, 0, 0, 0)
    pixels = zlib.compress(b"\0" + np.packbits(bits).tobytes())
    chunks = {b"IHDR": header, b"PLTE": palette.tobytes(), b"tRNS": b"\x80", b"IDAT": pixels, b"IEND": b""}
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in chunks.items()))
    if over:
        with pytest.raises(InputError, match=rf"damaged .* colours beyond the {entries} of its palette"):
            load_image(path, EVERYTHING)
    else:
        expected = palette.reshape(-1, 3)[indices].astype(np.float32) / 255
        assert np.array_equal(decode(path).numpy()[0, :, :3], expected)


RENAMED = {"jpg": ("jfif", "jpe", "pjpeg"), "png": ("apng",), "bmp": ("dib",)}


@pytest.mark.parametrize(("kind", "suffix"), [(kind, suffix) for kind, all in RENAMED.items() for suffix in all])
def test_rare_suffixes_are_read(kind: str, suffix: str, tmp_path: Path) -> None:
    Image.fromarray(RGB8).save(tmp_path / f"a.{kind}")
    expected = load_image(tmp_path / f"a.{kind}")
    path = (tmp_path / f"a.{kind}").rename(tmp_path / f"a.{suffix.upper()}")
    assert list_images(tmp_path) == {"a": path}
    assert torch.equal(load_image(path), expected)


@pytest.mark.parametrize("suffix", ["pam", "phm", "sgi", "pcx", "ras", "dpx", "jls", "mpo", "iiq", "ktx2"])
def test_images_of_other_formats_are_not_passed_over(suffix: str, tmp_path: Path) -> None:
    for name in ("a.png", f"b.{suffix}"):
        Image.fromarray(RGB8).save(tmp_path / name, format="PNG")
    with pytest.raises(InputError, match=rf"1 image in .* cannot be read: b\.{suffix}\. The format is "):
        list_images(tmp_path)


def test_suffixes_of_formats_are_distinct() -> None:
    assert len({*EXTENSIONS}) == len(EXTENSIONS)
    assert not {*EXTENSIONS} & {*OTHER_EXTENSIONS}
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in (*EXTENSIONS, *OTHER_EXTENSIONS))
