"""WebP, BMP and AVIF: Pillow reads their headers, and the pixels of 8 bits per channel."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np
from PIL import AvifImagePlugin, BmpImagePlugin, ImageFile, WebPImagePlugin

from nvs_eval.errors import InputError, counted
from nvs_eval.images.stored import DamagedError, Stored, Tags, check_memory, image_bytes, whole

_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
_BMP_SPACE, _BMP_V5 = 70, 124  # Position of the type of the colour space; size of headers that have profiles.
_AVIF_DEPTHS = {0: 8, 0x40: 10, 0x60: 12}  # Bits per channel by the flags in the configuration of AV1.


def read_webp(file: BinaryIO, path: Path) -> Stored:
    """Read the header of a WebP image."""
    content = whole(file)
    file.seek(0)
    width, height = size = _webp_size(content)  # Pillow allocates the image before its size can be asked.
    check_memory(f"{path} is {width}x{height} and", image_bytes(size))
    image = WebPImagePlugin.WebPImageFile(file)
    _check_single(path, image)
    return replace(_stored(path, image), lossy=b"VP8L" not in content)


def _webp_size(content: bytes) -> tuple[int, int]:
    """Return the width and height of a WebP image."""
    kind, data = content[12:16], content[20:30].ljust(10, b"\0")
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[start : start + 3], "little") + 1 for start in (4, 7))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (int.from_bytes(data[start : start + 2], "little") & 0x3FFF for start in (6, 8))
    return width, height


def read_bmp(file: BinaryIO, path: Path) -> Stored:
    """Read the header of a BMP image."""
    content, profile = whole(file), b""
    file.seek(0)
    if len(content) < 54:
        raise DamagedError("its end is missing")
    start, size, depth, compression = struct.unpack_from("<II10xHI", content, 10)
    unused = np.frombuffer(content, np.uint8)[start + 3 :: 4]
    if (depth, compression) == (32, 0) and len(unused) and unused.min() != unused.max():
        raise InputError(f"{path} has a fourth channel, whose meaning BMP does not define. Save it as PNG.")
    if size >= _BMP_V5:
        space, profile_start, length = struct.unpack_from("<4s52xII", content + bytes(64), _BMP_SPACE)
        if space == b"KNIL":
            raise InputError(f"{path} must contain its colour profile. Got a link to another file. Save it as PNG.")
        profile = content[14 + profile_start :][:length] if space == b"DEBM" else b""
    return _stored(path, BmpImagePlugin.BmpImageFile(file), profile)


def read_avif(file: BinaryIO, path: Path) -> Stored:
    """Read the header of an AVIF image. Pillow would reduce 10 and 12 bits to 8."""
    content = whole(file)
    file.seek(0)
    image = AvifImagePlugin.AvifImageFile(file)
    _check_single(path, image)
    header = _stored(path, image)
    configuration = re.search(rb"av1C\x81.(.)", content, re.DOTALL)
    if configuration is None:
        raise DamagedError("its header has no AV1 configuration")
    depth = _AVIF_DEPTHS[configuration[1][0] & 0x60]

    def load() -> np.ndarray:
        try:
            return imagecodecs.avif_decode(content, numthreads=1)
        except imagecodecs.AvifError as error:
            raise DamagedError("its pixels are incomplete or invalid") from error

    tags, colours = header.tags, re.search(rb"colrnclx\0(.)\0(.)", content, re.DOTALL)
    if colours and not tags.icc:  # The chunk of a PNG with these codes, for RGB of full range.
        tags = Tags(exif=tags.exif, png={b"cICP": colours[1] + colours[2] + b"\0\1"})
    return Stored(header.shape, load, largest=2**depth - 1, tags=tags, lossy=True)


def _check_single(path: Path, image: WebPImagePlugin.WebPImageFile | AvifImagePlugin.AvifImageFile) -> None:
    if image.n_frames != 1:
        raise InputError(
            f"{path} must contain one image. Got an animation of {counted(image.n_frames, 'frame')}. Save one frame of "
            "it."
        )


def _stored(path: Path, image: ImageFile.ImageFile, profile: bytes = b"") -> Stored:
    if image.mode not in _MODES:
        raise InputError(f"{path} must be grey or RGB with 8 bits per channel. Got {image.mode}. Convert it first.")
    channels = 3 if image.mode == "P" else len(image.getbands())
    exif = image.info.get("exif", b"").removeprefix(b"Exif\0\0")
    tags = Tags(exif=exif, icc=profile or image.info.get("icc_profile") or b"")

    def load() -> np.ndarray:
        try:
            return np.asarray(image.convert("RGB") if image.mode == "P" else image)
        except (OSError, SyntaxError, ValueError) as error:
            raise DamagedError(str(error)) from error

    return Stored((image.height, image.width, channels), load, tags=tags)
