"""Damaged PNG and JPEG files, made chunk by chunk."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.pngs import chunk, png_bytes

from nvs_eval.errors import InputError, InputWarning
from nvs_eval.images.files import decode, load_image

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (20, 30, 3)).astype(np.uint8)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def rows(values: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in values)


def header(depth: int = 8) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", 30, 20, depth, 2, 0, 0, 0))


def png(*chunks: bytes) -> bytes:
    return SIGNATURE + b"".join(chunks)


def broken(part: bytes) -> bytes:
    """Return a chunk with a wrong checksum."""
    return part[:-1] + bytes([part[-1] ^ 1])


PIXELS, END = chunk(b"IDAT", zlib.compress(rows(RGB))), chunk(b"IEND", b"")
PALETTE = (
    chunk(b"IHDR", struct.pack(">IIBBBBB", 30, 20, 8, 3, 0, 0, 0)),
    chunk(b"PLTE", RANDOM.bytes(768)),
    chunk(b"tRNS", bytes(3)),
    chunk(b"IDAT", zlib.compress(rows(RGB[..., :1]))),
    END,
)


def refused(content: bytes, tmp_path: Path) -> str:
    path = tmp_path / "image.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"image\.png cannot be read as an image: it is damaged or truncated") as error:
        load_image(path)
    return str(error.value)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("count", [0, 1, 10, 19])
def test_missing_rows_are_refused(depth: int, count: int, tmp_path: Path) -> None:
    values = RGB if depth == 8 else RGB.astype(">u2")
    content = png(header(depth), chunk(b"IDAT", zlib.compress(rows(values[:count]))), END)
    assert "pixels are incomplete" in refused(content, tmp_path)


def test_an_incomplete_stream_is_refused(tmp_path: Path) -> None:
    stream = zlib.compress(rows(RGB))
    for cut in (1, 4, 5, len(stream) // 2):
        refused(png(header(), chunk(b"IDAT", stream[:-cut]), END), tmp_path)
    refused(png(header(), chunk(b"IDAT", stream[:-4] + bytes(4)), END), tmp_path)  # A wrong checksum of the stream.
    refused(png(header(), END), tmp_path)


@pytest.mark.parametrize("index", range(len(PALETTE)))
def test_a_wrong_checksum_of_a_required_chunk_is_refused(index: int, tmp_path: Path) -> None:
    path = tmp_path / "palette.png"
    path.write_bytes(png(*PALETTE))
    assert decode(path).shape == (20, 30, 4)
    kind = PALETTE[index][4:8].decode()
    parts = [broken(part) if number == index else part for number, part in enumerate(PALETTE)]
    assert f"its chunk {kind} is corrupt" in refused(png(*parts), tmp_path)


def test_a_missing_end_is_refused(tmp_path: Path) -> None:
    whole = png(header(), PIXELS, END)
    for cut in (1, 11, 12, 13, len(PIXELS)):
        assert "its end is missing" in refused(whole[:-cut], tmp_path)


def test_required_chunks_that_are_unknown_are_refused(tmp_path: Path) -> None:
    # Chunks of Apple's variant of PNG, whose pixels are stored in another order.
    assert "its chunk CgBI is unknown" in refused(png(chunk(b"CgBI", bytes(4)), header(), PIXELS, END), tmp_path)


@pytest.mark.parametrize("after_pixels", [False, True])
@pytest.mark.parametrize("kind", [b"tEXt", b"tIME", b"gAMA", b"eXIf", b"iCCP"])
def test_damage_elsewhere_is_a_warning(kind: bytes, after_pixels: bool, tmp_path: Path) -> None:
    path, other = tmp_path / "image.png", broken(chunk(kind, b"damaged"))
    parts = [header(), PIXELS, other, END] if after_pixels else [header(), other, PIXELS, END]
    path.write_bytes(png(*parts))
    with pytest.warns(InputWarning, match=rf"image\.png is damaged outside of its pixels.* chunks {kind.decode()}\."):
        image = load_image(path)
    assert torch.equal(image, torch.from_numpy(RGB / np.float32(255)))


def test_long_texts_and_unknown_optional_chunks_are_skipped(tmp_path: Path) -> None:
    # Pillow raises an error for both texts.
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**26)))
    path = tmp_path / "image.png"
    path.write_bytes(png(header(), text, chunk(b"iTXt", b"\xff" * 100), chunk(b"abcd", b"\0"), PIXELS, END, b"tail"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(load_image(path), torch.from_numpy(RGB / np.float32(255)))


def test_16_bit_png_with_any_changed_byte_is_refused(tmp_path: Path) -> None:
    content = png_bytes(RGB.astype(np.int64) * 257)
    for position in range(8, len(content), 11):
        changed = bytearray(content)
        changed[position] ^= 0x10
        refused(bytes(changed), tmp_path)


def jpeg(**options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.kron(RGB, np.ones((4, 4, 1), np.uint8))).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_with_warnings_is_refused(progressive: bool, tmp_path: Path) -> None:
    content = jpeg(progressive=progressive, quality=95)
    middle = len(content) * 3 // 4
    for damaged in (
        content[:-2],  # Without the marker of the end.
        content[:middle],
        content[:middle] + b"\xff\xd9",  # An end in the middle.
        content[:middle] + b"\xff\xc4\0\3\0" + content[middle:],  # A marker in the middle.
    ):
        refused(damaged, tmp_path)
    path = tmp_path / "image.jpg"
    path.write_bytes(content + b"data of a camera after the end")
    assert load_image(path).shape == (80, 120, 3)
