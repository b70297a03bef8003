"""PNG: colours of 1 to 16 bits per channel. Chunks that determine the pixels must be complete and undamaged.

Only these chunks are given to the decoder, so that damaged texts, profiles and thumbnails cannot make it fail.
"""

from __future__ import annotations

import logging
import mmap
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np

from nvs_eval.errors import InputError
from nvs_eval.images.stored import DamagedError, Stored, Tags, bytes_left, warn, whole

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # Number of channels by the colour type in the header.
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_EXIF = {b"eXIf", *_TEXTS}
_HEAD = struct.Struct(">I4s")
_LARGEST_TEXT, _LARGEST_CHUNK = 2**20, 2**28
_COLOURS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"iCCP")

# The decoder logs remarks on valid files, such as interlaced ones. Without a handler they would be printed.
logging.getLogger("imagecodecs").addHandler(logging.NullHandler())


def read(file: BinaryIO, path: Path) -> Stored:
    """Read the header of a PNG."""
    chunks: dict[bytes, bytes] = {}
    exif = b""
    for kind, chunk, intact in _chunks(file, end=b"IDAT"):
        if kind == b"acTL":
            raise InputError(f"{path} must contain one image. Got an animated PNG. Save one frame of it.")
        if intact and kind in (*_PIXELS, *_COLOURS):
            chunks[kind] = chunk[8:-4]
        elif intact:
            exif = exif or _exif(kind, chunk[8:-4])
    header = chunks.get(b"IHDR", b"")
    if len(header) != 13:
        raise DamagedError("its header is missing")
    width, height, depth, colours = struct.unpack(">IIBB", header[:10])
    if depth not in _DEPTHS.get(colours, ()) or not width or not height:
        raise DamagedError("its header is invalid")
    channels = _CHANNELS[colours] + (b"tRNS" in chunks and colours in (0, 2, 3))
    tags = Tags(
        exif=exif or _late_exif(file, file.tell() - 8), png={kind: chunks[kind] for kind in _COLOURS if kind in chunks}
    )
    return Stored((height, width, channels), lambda: _decode(file, path), tags=tags)


def plain_file(file: BinaryIO) -> bytes | None:
    """Return an 8-bit RGB PNG without the chunks that do not determine its pixels; None for any other file.

    Raises:
        DamagedError: a chunk is incomplete, or one that determines the pixels has a wrong checksum.
    """
    file.seek(0)
    if file.read(len(SIGNATURE)) != SIGNATURE:
        return None
    chunks = [chunk for kind, chunk, _ in _chunks(file) if kind in _PIXELS and kind != b"PLTE"]
    is_plain = chunks[0][4:8] == b"IHDR" and chunks[0][16:18] == b"\x08\x02" and chunks[1][4:8] == b"IDAT"
    return b"".join([SIGNATURE, *chunks]) if is_plain else None


def _late_exif(file: BinaryIO, start: int) -> bytes:
    """Return EXIF data that follows the pixels, as metadata editors may append it; empty if there is none.

    Args:
        file: open file.
        start: position of the first chunk of pixels. Chunks of pixels are skipped, not read.
    """
    exif = kind = b""
    with _mapped(file) as content:
        while not exif and kind != b"IEND" and start + 12 <= len(content):
            length, kind = _HEAD.unpack_from(content, start)
            end = start + 8 + length
            if kind in _EXIF:
                intact = zlib.crc32(content[start + 4 : end]).to_bytes(4, "big") == content[end : end + 4]
                exif = _exif(kind, content[start + 8 : end]) if intact else b""
            start = end + 4
    return exif


@contextmanager
def _mapped(file: BinaryIO) -> Iterator[mmap.mmap | bytes]:
    """Map a file into memory, because seeking takes several times as long. Where that is impossible, read it."""
    try:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        yield whole(file)
        return
    with mapped:
        yield mapped


def _exif(kind: bytes, chunk: bytes) -> bytes:
    """Return the EXIF data of a chunk: eXIf, or a text of ImageMagick and ExifTool; empty for other chunks."""
    if kind == b"eXIf":
        return chunk
    name, _, text = chunk.partition(b"\0")
    if kind not in _TEXTS or not re.fullmatch(rb"raw profile type (exif|app1)", name, re.IGNORECASE):
        return b""
    if kind == b"iTXt":
        text = text[:2] + text[2:].split(b"\0", 2)[-1]  # Without the language and the translated name.
    try:
        if kind == b"zTXt" or (kind == b"iTXt" and text[0]):
            text = zlib.decompressobj().decompress(text[1 if kind == b"zTXt" else 2 :], _LARGEST_TEXT)
        # A line of the kind, one of the length, and hexadecimal digits.
        profile = bytes.fromhex(text.decode("latin-1").strip("\0\1\n ").split("\n", 2)[-1])
    except (zlib.error, ValueError, IndexError):
        return chunk  # Judged as damaged EXIF data.
    return b"" if profile.startswith(b"http:") else profile  # APP1 can also be XMP.


def _decode(file: BinaryIO, path: Path) -> np.ndarray:
    pixels, damaged = [SIGNATURE], []
    for kind, chunk, intact in _chunks(file):
        if kind in _PIXELS:
            pixels.append(chunk)
        elif not intact:
            damaged.append(kind.decode("latin-1"))
    try:
        values = imagecodecs.png_decode(b"".join(pixels))
    except (imagecodecs.PngError, ValueError) as error:  # A message that is no text is a ValueError.
        raise DamagedError("its pixels are incomplete or invalid") from error
    _check_palette(pixels)
    if damaged:
        warn(path, "is damaged outside of its pixels", f"It was read without the chunks {', '.join(damaged)}.")
    return values


def _check_palette(chunks: Sequence[bytes]) -> None:
    """Check that pixels refer to colours of the palette; the decoder would make the others black.

    Args:
        chunks: signature and whole chunks that determine the pixels.
    """
    kinds = {chunk[4:8]: chunk for chunk in chunks}
    header, palette = kinds[b"IHDR"], kinds.get(b"PLTE", b"")
    depth, colours, entries = header[16], header[17], (len(palette) - 12) // 3
    if colours != 3 or entries >= 2**depth:
        return
    grey = header[4:17] + b"\0" + header[18:-4]
    header = header[:4] + grey + zlib.crc32(grey).to_bytes(4, "big")
    content = b"".join([chunks[0], header, *(chunk for chunk in chunks if chunk[4:8] in (b"IDAT", b"IEND"))])
    indices = imagecodecs.png_decode(content)  # Indices as greys, scaled to 8 bits.
    if int(indices.max()) * (2**depth - 1) // 255 >= entries:
        raise DamagedError(f"its pixels have colours beyond the {entries} of its palette")


def _chunks(file: BinaryIO, *, end: bytes = b"") -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield the chunks of a PNG up to IEND: the type, the whole chunk, and whether its checksum is right.

    Args:
        file: file to read from its start.
        end: type of the first chunk that is not read.

    Raises:
        DamagedError: a chunk is incomplete, or one that determines the pixels has a wrong checksum.
    """
    file.seek(len(SIGNATURE))
    left = bytes_left(file)
    kind = b""
    while kind != b"IEND":
        head = file.read(8)
        length, kind = struct.unpack(">I4s", head) if len(head) == 8 else (0, b"")
        left -= 8 + length + 4
        if left < 0:
            raise DamagedError("its end is missing")
        if kind == end:
            return
        if length > _LARGEST_CHUNK and kind != b"IDAT":
            raise DamagedError(f"its chunk {kind.decode('latin-1')} is too long")
        rest = file.read(length + 4)
        intact = zlib.crc32(memoryview(rest)[:-4], zlib.crc32(kind)) == int.from_bytes(rest[-4:], "big")
        required = kind in _PIXELS or not kind[0] & 0x20  # A capital first letter.
        if required and not (intact and kind in _PIXELS):
            raise DamagedError(f"its chunk {kind.decode('latin-1')} is {'unknown' if intact else 'corrupt'}")
        yield kind, head + rest, intact
