"""PBM, PGM, PPM and PFM: plain arrays of up to 16 bits, or of floats, after a short header of text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nvs_eval.errors import InputError
from nvs_eval.images.stored import DamagedError, Stored, bytes_left, whole

_LONGEST_HEADER = 2**12
_COMMENT = re.compile(rb"#[^\r\n]*")
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_SIZE = rb"P(.)" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})"
_BITS = re.compile(_SIZE + rb"\s")
_INTEGERS = re.compile(_SIZE + _GAP + rb"(\d{1,5})\s")
_FLOATS = re.compile(_SIZE + _GAP + rb"([-+]?[\d.]{1,20}(?:[eE][-+]?\d{1,3})?)\s")


def read(file: BinaryIO, path: Path) -> Stored:
    """Read the header of a PBM, PGM, PPM or PFM image."""
    start = file.read(_LONGEST_HEADER)
    kind = start[1:2]
    header = (_FLOATS if kind in b"Ff" else _BITS if kind in b"14" else _INTEGERS).match(start)
    if header is None:
        raise DamagedError("its header is invalid")
    shape = (int(header[3]), int(header[2]), 3 if kind in b"36F" else 1)
    file.seek(header.end())
    if kind in b"Ff":
        return _floats(file, path, shape, float(header[4]))
    if kind in b"14":
        return _bits(file, path, shape, plain=kind == b"1")
    return _integers(file, path, shape, int(header[4]), plain=kind in b"23")


def _floats(file: BinaryIO, path: Path, shape: tuple[int, ...], scale: float) -> Stored:
    if abs(scale) != 1:
        raise InputError(f"{path} must have a scale of 1 or -1 in its header. Got {scale:g}. Write it with -1.0.")
    read = _raster(file, path, shape, np.dtype("<f4" if scale < 0 else ">f4"))
    return Stored(shape, lambda: read()[::-1], linear="a PFM file")  # The first row is the lowest.


def _bits(file: BinaryIO, path: Path, shape: tuple[int, ...], *, plain: bool) -> Stored:
    height, width, _ = shape
    if plain:
        digits = _text(file, shape, re.compile(rb"\S"))
        return Stored(shape, lambda: digits() == 0)  # 1 is black.
    packed = _raster(file, path, (height, -(-width // 8)), np.dtype("u1"))
    return Stored(shape, lambda: np.unpackbits(packed(), axis=1)[:, :width].reshape(shape) == 0)


def _integers(file: BinaryIO, path: Path, shape: tuple[int, ...], largest: int, *, plain: bool) -> Stored:
    if not 0 < largest < 65536:
        raise DamagedError("its header is invalid")
    dtype = np.dtype(">u1" if largest < 256 else ">u2")
    read = _text(file, shape, re.compile(rb"\S+")) if plain else _raster(file, path, shape, dtype)

    def load() -> np.ndarray:
        values = read()
        if values.max() > largest:
            raise DamagedError(f"it has values above {largest}, its largest")
        return values

    return Stored(shape, load, largest=largest)


def _raster(file: BinaryIO, path: Path, shape: tuple[int, ...], dtype: np.dtype) -> Callable[[], np.ndarray]:
    """Return the function that reads a binary array from the file's position; its length is checked now."""
    start, size = file.tell(), math.prod(shape) * dtype.itemsize
    file.seek(start - 1)
    if file.read(2) == b"\r\n" and bytes_left(file) == size:  # A line end of Windows, where one byte is expected.
        start += 1
    file.seek(start)
    if bytes_left(file) < size:
        raise DamagedError("its end is missing")
    file.seek(start + size)
    if file.read(_LONGEST_HEADER).strip():
        raise InputError(f"{path} must contain one image. Got more data after it. Save the images in separate files.")
    return lambda: np.frombuffer(whole(file), dtype, math.prod(shape), start).reshape(shape)


def _text(file: BinaryIO, shape: tuple[int, ...], pattern: re.Pattern[bytes]) -> Callable[[], np.ndarray]:
    """Return the function that reads the numbers of a text from the file's position."""
    start = file.tell()

    def read() -> np.ndarray:
        words = pattern.findall(_COMMENT.sub(b"", whole(file)[start:]))
        if len(words) != math.prod(shape) or not all(word.isdigit() and len(word) < 6 for word in words):
            raise DamagedError("its pixels are incomplete or invalid")
        return np.array([int(word) for word in words]).reshape(shape)

    return read
