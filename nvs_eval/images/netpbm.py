"""PBM, PGM, PPM and PFM: plain arrays of up to 16 bits, or of floats, after a short header of text."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nvs_eval.errors import InputError
from nvs_eval.images.stored import DamagedError, Stored, whole

_LONGEST_HEADER = 2**12
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_SIZE = rb"P(.)" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})"
_BITS = re.compile(_SIZE + rb"\s")
_INTEGERS = re.compile(_SIZE + _GAP + rb"(\d{1,5})\s")
_FLOATS = re.compile(_SIZE + _GAP + rb"([-+]?[\d.]{1,20}(?:[eE][-+]?\d{1,3})?)\s")


def read(file: BinaryIO, path: Path) -> Stored:
    """Read the header of a PBM, PGM, PPM or PFM image."""
    start = file.read(_LONGEST_HEADER)
    kind = start[1:2]
    form = _FLOATS if kind in b"Ff" else _BITS if kind in b"14" else _INTEGERS
    header = form.match(start)
    if header is None:
        raise DamagedError("its header is invalid")
    width, height = int(header[2]), int(header[3])
    shape = (height, width, 3 if kind in b"36F" else 1)
    if form is _FLOATS:
        scale = float(header[4])
        if abs(scale) != 1:
            raise InputError(f"{path} must have a scale of 1 or -1 in its header. Got {scale:g}. Write it with -1.0.")
        dtype = np.dtype("<f4" if scale < 0 else ">f4")
        return Stored(shape, lambda: _raster(file, header.end(), shape, dtype, path)[::-1], linear="PFM")
    if form is _BITS:
        return Stored(shape, partial(_bits, file, header.end(), shape, path, plain=kind == b"1"))
    largest = int(header[4])
    if not 0 < largest < 65536:
        raise DamagedError("its header is invalid")
    load = partial(_integers, file, header.end(), shape, largest, path, plain=kind in b"23")
    return Stored(shape, load, largest=largest)


def _raster(file: BinaryIO, start: int, shape: tuple[int, ...], dtype: np.dtype, path: Path) -> np.ndarray:
    data = memoryview(whole(file))[start:]
    size = shape[0] * shape[1] * shape[2] * dtype.itemsize
    if len(data) < size:
        raise DamagedError("its end is missing")
    if bytes(data[size:]).strip():
        raise InputError(f"{path} must contain one image. Got more data after it. Save the images in separate files.")
    return np.frombuffer(data[:size], dtype).reshape(shape)


def _integers(
    file: BinaryIO, start: int, shape: tuple[int, ...], largest: int, path: Path, *, plain: bool
) -> np.ndarray:
    if plain:
        values = _numbers(file, start, shape)
    else:
        values = _raster(file, start, shape, np.dtype(">u1" if largest < 256 else ">u2"), path)
    if values.max() > largest:
        raise DamagedError(f"it has values above its largest, {largest}")
    return values


def _bits(file: BinaryIO, start: int, shape: tuple[int, ...], path: Path, *, plain: bool) -> np.ndarray:
    height, width, _ = shape
    if plain:
        values = np.frombuffer(b"".join(whole(file)[start:].split()), np.uint8) - ord("0")
        if len(values) != height * width or values.max() > 1:
            raise DamagedError("its pixels are incomplete or invalid")
    else:
        packed = _raster(file, start, (height, -(-width // 8), 1), np.dtype("u1"), path)[..., 0]
        values = np.unpackbits(packed, axis=1)[:, :width]
    return values.reshape(shape) == 0  # 1 is black.


def _numbers(file: BinaryIO, start: int, shape: tuple[int, ...]) -> np.ndarray:
    words = whole(file)[start:].split()
    if len(words) != shape[0] * shape[1] * shape[2] or not all(word.isdigit() and len(word) < 6 for word in words):
        raise DamagedError("its pixels are incomplete or invalid")
    return np.array([int(word) for word in words], dtype=np.int64).reshape(shape)
