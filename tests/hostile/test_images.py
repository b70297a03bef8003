"""Hostile images among renders, references and masks."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.commands import Said
from support.hostile import CANARY, TOUCH, Case, Payload
from support.hostile_files import LONG, bound_socket, linked_to, picture, png, put, scene, scored, sparse
from support.pngs import chunk

POSTSCRIPT = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 12\n(%pipe%{TOUCH}) (w) file pop\nshowpage\n".encode()
SHORT = zlib.compress(bytes(12 * 49))
PIXELS = chunk(b"IDAT", SHORT)


def array(values: object, **options: bool) -> bytes:
    out = io.BytesIO()
    np.save(out, np.asarray(values), **options)
    return out.getvalue()


def array_header(text: str) -> bytes:
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text) + 1) + text.encode() + b"\n"


def array_of_long_type() -> bytes:
    return array(np.zeros(2, [("A" * 9000, "<f4")]))


def tiff(entries: list[tuple[int, int, int, int]], after: int = 0) -> bytes:
    """Return a TIFF with one directory, and the offset of the next."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + body + struct.pack("<I", after)


def tiff_of(width: int, height: int, **other: int) -> list[tuple[int, int, int, int]]:
    values = {256: width, 257: height, 258: 8, 259: other.get("compression", 1), 262: 1, 273: 200, 277: 1, 278: height}
    values[279] = other.get("length", 100)
    return [
        (tag, 4 if value > 65535 else 3, other.get("count", 1) if tag == 273 else 1, value)
        for tag, value in values.items()
    ]


def profile_beyond() -> bytes:
    """Return a TIFF whose ICC profile is not in the file."""
    pixels = 8 + 2 + 12 * 10 + 4
    entries = [(tag, kind, count, pixels if tag == 273 else value) for tag, kind, count, value in tiff_of(16, 12)]
    entries = [(279, 4, 1, 192) if entry[0] == 279 else entry for entry in entries]
    return tiff([*entries, (34675, 7, 560, 10**6)]) + bytes(192)


def expanding_tiff() -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(
        out, np.zeros((4000, 4000), np.uint8), compression="zlib", rowsperstrip=4000, photometric="minisblack"
    )
    content = bytearray(out.getvalue())
    for tag, size in ((256, 16), (257, 12)):
        at = next(at for kind in (3, 4) if (at := content.find(struct.pack("<HHI", tag, kind, 1))) > 0)
        content[at + 8 : at + 10] = size.to_bytes(2, "little")
    return bytes(content)


def long_tiff() -> bytes:
    """Return a TIFF with 200,000 empty directories."""
    count = 200_000
    return (
        b"II*\0"
        + struct.pack("<I", 8)
        + b"".join(struct.pack("<HI", 0, 8 + 6 * (index + 1) if index + 1 < count else 0) for index in range(count))
    )


def webp(kind: bytes, data: bytes) -> bytes:
    body = b"WEBP" + kind + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def scans() -> bytes:
    content = picture(form="JPEG", progressive=True)
    start = content.rindex(b"\xff\xda")
    return content[:start] + content[start:-2] * 3000 + content[-2:]


def jpeg_header(width: int, height: int) -> bytes:
    content = bytearray(picture(form="JPEG"))
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def bmp(width: int, height: int) -> bytes:
    content = bytearray(picture(form="BMP"))
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


def looping_exif() -> bytes:
    data = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x8769, 4, 1, 8) + bytes(4)
    return png(16, 12, chunk(b"eXIf", data), PIXELS)


def with_thumbnail() -> bytes:
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\x0e\0\0\0\x02\0" + struct.pack("<HHII", 0x201, 4, 1, 44)
    exif += struct.pack("<HHII", 0x202, 4, 1, len(POSTSCRIPT)) + bytes(4) + POSTSCRIPT
    return picture(form="JPEG", exif=exif)


CASES = {
    "PostScript": Case(scored(POSTSCRIPT), r"0001\.png must be an image .*Its content is none of them", 3),
    "PDF": Case(scored(b"%PDF-1.7\n" + POSTSCRIPT), "none of them", 3),
    "SVG": Case(scored(b"<svg><script>x</script></svg>"), "none of them", 3),
    "script": Case(scored(f"#!/bin/sh\n{TOUCH}\n".encode()), "none of them", 3),
    "GIF": Case(scored(picture(form="GIF")), "Got GIF", 3),
    "empty": Case(scored(b""), "it is empty", 3),
    "pipe": Case(scored(os.mkfifo), r"0001\.png must be a regular file\. Got a pipe", 3),
    "socket": Case(scored(bound_socket), "must be a regular file. Got a socket", 3),
    "device": Case(scored(linked_to("/dev/zero")), "must be a regular file. Got a device", 3),
    "link to itself": Case(scored(linked_to("0001.png")), r"0001\.png cannot be read as an image: Too many levels", 3),
    "link to nothing": Case(scored(linked_to("nothing")), "cannot be read as an image: No such file", 3),
    "folder": Case(scored(os.mkdir), "0001"),
    "PNG of 100000 pixels": Case(scored(png(100_000, 100_000, PIXELS)), "far more than its .*--max-pixels", 3),
    "PNG over --max-pixels": Case(
        scored(png(9000, 9000, PIXELS), "0001.png", "--max-pixels", "1000"), r"at most 1000 pixels \(--max-pixels\)", 3
    ),
    "PNG of the largest size": Case(scored(png(2**31 - 1, 2**31 - 1, PIXELS)), "far more than its", 3),
    "PNG that needs a terabyte": Case(
        scored(png(600_000, 600_000, PIXELS), "0001.png", "--max-pixels", "999999999999"), "needs .* GB of memory"
    ),
    "PNG without width": Case(scored(png(0, 12, PIXELS)), "header is invalid", 3),
    "PNG without pixels": Case(scored(png(16, 12)), "pixels are", 3),
    "PNG with a bomb": Case(scored(png(16, 12, chunk(b"IDAT", zlib.compress(bytes(2**26))))), "", 0),
    "PNG with a text bomb": Case(
        scored(png(16, 12, chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(2**26))), PIXELS)), "", 0
    ),
    "PNG with a profile bomb": Case(
        scored(png(16, 12, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**26))), PIXELS)), "", 0
    ),
    "PNG with many chunks": Case(scored(png(16, 12, chunk(b"tEXt", b"a\0b") * 50_000, PIXELS)), "", 0),
    "PNG with EXIF data that refers to itself": Case(scored(looping_exif()), "", 0),
    "PNG of 2 TB": Case(scored(sparse(2**41, png(16, 12)[:33])), "0001", 3),
    "JPEG with many scans": Case(scored(scans(), "0001.jpg"), "more than 100 scans", 3),
    "JPEG of 65500 pixels": Case(scored(jpeg_header(65500, 65500), "0001.jpg"), "far more than its", 3),
    "JPEG with a thumbnail of PostScript": Case(scored(with_thumbnail(), "0001.jpg"), "", 0),
    "JPEG of four inks": Case(scored(picture(form="JPEG", mode="CMYK"), "0001.jpg"), "must be RGB", 3),
    "TIFF whose directory repeats": Case(scored(tiff(tiff_of(16, 12), 8), "0001.tif"), "0001", 3),
    "TIFF with many directories": Case(scored(long_tiff(), "0001.tif"), "0001", 3),
    "TIFF of a billion rows": Case(scored(tiff(tiff_of(10**6, 10**9)), "0001.tif"), "0001", 3),
    "TIFF with a billion strips": Case(scored(tiff(tiff_of(16, 12, count=2**30)), "0001.tif"), "0001", 3),
    "TIFF that inflates": Case(scored(expanding_tiff(), "0001.tif", "--grey-to-rgb"), "0001", 3),
    "WebP of 16 million pixels": Case(scored(webp(b"VP8X", bytes(4) + b"\xff" * 6), "0001.webp"), "needs .* of memory"),
    "WebP without content": Case(scored(webp(b"VP8 ", b""), "0001.webp"), "0001", 3),
    "AVIF without content": Case(scored(b"\0\0\0\x1cftypavif" + bytes(12) + b"\xff" * 100, "0001.avif"), "0001", 3),
    "BMP of 2 billion pixels": Case(scored(bmp(2**31 - 1, 2**31 - 1), "0001.bmp"), "0001", 3),
    "BMP of negative size": Case(scored(bmp(-16, -(2**31)), "0001.bmp"), "0001", 3),
    "NPY of pickles": Case(scored(array([[Payload()]], allow_pickle=True), "0001.npy"), "0001", 3),
    "NPY of 10^12 values": Case(
        scored(array_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000, 3)}"), "0001.npy"),
        "0001",
        3,
    ),
    "NPY of 10^40 values": Case(
        scored(
            array_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({10**20}, {10**20}, 3)}}"), "0001.npy"
        ),
        "0001",
        3,
    ),
    "NPY of negative size": Case(
        scored(array_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1, 3)}"), "0001.npy"), "0001", 3
    ),
    "NPY with a power": Case(
        scored(array_header("{'descr': '<f4', 'fortran_order': False, 'shape': (9**9, 1, 3)}"), "0001.npy"),
        r"it is damaged or truncated \(its header is invalid\)",
        3,
    ),
    "TIFF with a profile beyond its end": Case(
        scored(profile_beyond(), "0001.tif", "--grey-to-rgb"), "0001.tif has a damaged ICC profile", 0
    ),
    "NPY with a deep header": Case(scored(array_header("(" * 9000), "0001.npy"), "0001", 3),
    "NPY of a long type": Case(scored(array_of_long_type(), "0001.npy"), r"Got \[\('A{57}\.\.\.", 3),
    "NPY with code": Case(scored(array_header(f"__import__('os').system('{TOUCH}')"), "0001.npy"), "0001", 3),
    "NPY of NaN": Case(scored(array(np.full((12, 16, 3), np.nan, np.float32)), "0001.npy"), "must be finite", 3),
    "EXR without content": Case(scored(b"v/1\x01" + bytes(100), "0001.exr", "--exr", "srgb"), "0001", 3),
    "HDR with a long header": Case(
        scored(b"#?RADIANCE\n" + b"\n" * 16000, "0001.hdr", "--exr", "srgb"), "header is invalid", 3
    ),
    "HDR with words for numbers": Case(
        scored(b"#?RADIANCE\nEXPOSURE=" + b"x" * 9000 + b"\n\n-Y 12 +X 16\n", "0001.hdr", "--exr", "srgb"), "0001", 3
    ),
    "PPM of 10^18 pixels": Case(scored(b"P6 999999999 999999999 255 a", "0001.ppm"), "end is missing", 3),
    "PGM of 10^18 numbers": Case(scored(b"P2 999999999 999999999 255 1", "0001.pgm", "--grey-to-rgb"), "far more", 3),
    "PPM of comments": Case(scored(b"P6 " + b"#\n" * 10**6, "0001.ppm"), "header is invalid", 3),
    "PFM without scale": Case(
        scored(b"PF 16 12 nan\n" + bytes(2304), "0001.pfm", "--exr", "srgb"), "header is invalid", 3
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_hostile_render(case: Case, meets: Callable[[Case], Said]) -> None:
    meets(case)


def reference(content: bytes | Callable[[Path], object]) -> Callable[[], list[str]]:
    def make() -> list[str]:
        arguments = scored(picture())()
        Path("garden/gt/0001.png").unlink()
        put(Path("garden/gt/0001.png"), content)
        return arguments

    return make


def mask(content: bytes | Callable[[Path], object], name: str = "0001.png") -> Callable[[], list[str]]:
    def make() -> list[str]:
        scene()
        Path("masks").mkdir()
        put(Path("masks", name), content)
        put(Path("masks/0002.png"), picture(255, mode="L"))
        return ["score", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml", "--masks", "masks"]

    return make


OTHERS = {
    "reference of PostScript": Case(reference(POSTSCRIPT), "none of them", 3),
    "reference that is a pipe": Case(reference(os.mkfifo), "Got a pipe", 3),
    "mask of PostScript": Case(mask(POSTSCRIPT), "none of them", 3),
    "mask that is a pipe": Case(mask(os.mkfifo), "Got a pipe", 3),
    "array mask that is a pipe": Case(mask(os.mkfifo, "0001.npy"), "Got a pipe", 3),
    "mask of pickles": Case(mask(array([[Payload()]], allow_pickle=True), "0001.npy"), r"0001\.npy", 3),
    "mask with an open bracket": Case(mask(array_header("("), "0001.npy"), r"0001\.npy cannot be read as a mask", 3),
    "mask with a long header": Case(mask(array_header(f"{LONG[:9000]}"), "0001.npy"), r"0001\.npy cannot be read", 3),
    "mask of a long type": Case(mask(array_of_long_type(), "0001.npy"), r"Got \[\('A{57}\.\.\. of shape"),
    "mask of a terabyte": Case(
        mask(
            sparse(
                2**40 + 128,
                array_header(f"{{'descr': '|b1', 'fortran_order': False, 'shape': ({2**20}, {2**20})}}")[:128],
            ),
            "0001.npy",
        ),
        "0001",
        3,
    ),
    "mask without pixels": Case(mask(array(np.zeros((0, 4), bool)), "0001.npy"), r"0001\.npy"),
    "mask of NaN": Case(mask(array(np.full((12, 16), np.nan, np.float32)), "0001.npy"), r"values outside \[0, 1\]", 3),
}


@pytest.mark.parametrize("case", OTHERS.values(), ids=OTHERS)
def test_a_hostile_reference_or_mask(case: Case, meets: Callable[[Case], Said]) -> None:
    meets(case)
    assert not Path(CANARY).exists()
