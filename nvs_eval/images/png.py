"""PNG: colours of 1 to 16 bits per channel. Chunks that determine the pixels must be complete and undamaged.

Only these chunks are given to the decoder, so that damaged texts, profiles and thumbnails cannot make it fail.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np

from nvs_eval.errors import InputError
from nvs_eval.images.stored import DamagedError, Stored, Tags, bytes_left, warn

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # Number of channels by the colour type in the header.
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_TAIL = 2**13  # Bytes at the end of a file that are searched for EXIF data.
_COLOURS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"iCCP")

# The decoder logs remarks on valid files, such as interlaced ones. Without a handler they would be printed.
logging.getLogger("imagecodecs").addHandler(logging.NullHandler())


def read(file: BinaryIO, path: Path) -> Stored:
    """Read the header of a PNG."""
    chunks: dict[bytes, bytes] = {}
    for kind, chunk, intact in _chunks(file, end=b"IDAT"):
        if kind == b"acTL":
            raise InputError(f"{path} must contain one image. Got an animated PNG. Save one frame of it.")
        if intact and kind in (*_PIXELS, *_COLOURS, b"eXIf"):
            chunks[kind] = chunk[8:-4]
    header = chunks.get(b"IHDR", b"")
    if len(header) != 13:
        raise DamagedError("its header is missing")
    width, height, depth, colours = struct.unpack(">IIBB", header[:10])
    if depth not in _DEPTHS.get(colours, ()) or not width or not height:
        raise DamagedError("its header is invalid")
    channels = _CHANNELS[colours] + (b"tRNS" in chunks and colours in (0, 2, 3))
    tags = Tags(
        exif=chunks.get(b"eXIf") or _late_exif(file), png={kind: chunks[kind] for kind in _COLOURS if kind in chunks}
    )
    return Stored((height, width, channels), lambda: _decode(file, path), tags=tags)


def _late_exif(file: BinaryIO) -> bytes:
    """Return EXIF data that follows the pixels, as metadata editors may append it; empty if there is none."""
    file.seek(max(file.seek(0, os.SEEK_END) - _TAIL, 0))
    tail = file.read()
    start = tail.rfind(b"eXIf") - 4
    if start < 0:
        return b""
    (length,) = struct.unpack_from(">I", tail, start)
    chunk, checksum = tail[start + 4 : start + 8 + length], tail[start + 8 + length : start + 12 + length]
    # Pixels can contain the same letters, but not before a matching checksum.
    return chunk[4:] if zlib.crc32(chunk).to_bytes(4, "big") == checksum else b""


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
    if damaged:
        warn(path, "is damaged outside of its pixels", f"It was read without the chunks {', '.join(damaged)}.")
    return values


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
        rest = file.read(length + 4)
        intact = zlib.crc32(memoryview(rest)[:-4], zlib.crc32(kind)) == int.from_bytes(rest[-4:], "big")
        required = kind in _PIXELS or not kind[0] & 0x20  # A capital first letter.
        if required and not (intact and kind in _PIXELS):
            raise DamagedError(f"its chunk {kind.decode('latin-1')} is {'unknown' if intact else 'corrupt'}")
        yield kind, head + rest, intact
