"""Radiance HDR: linear light, with one exponent shared by the three channels of a pixel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np

from nvs_eval.errors import InputError
from nvs_eval.images.stored import DamagedError, Stored, Tags, whole
from nvs_eval.images.tags import colours_of_primaries

_SCALES = (b"EXPOSURE", b"COLORCORR", b"GAMMA")
_LONGEST_HEADER = 2**14
_HEADER = re.compile(
    rb"#\?(?:RADIANCE|RGBE)\n(?P<lines>.*?)\n\n?(?P<size>[-+][XY] \d{1,9} [-+][XY] \d{1,9})\n", re.DOTALL
)


def read(file: BinaryIO, path: Path) -> Stored:
    """Read the header of a Radiance HDR image."""
    header = _HEADER.match(file.read(_LONGEST_HEADER))
    if header is None:
        raise DamagedError("its header is invalid")
    lines = [map(bytes.strip, line.partition(b"=")[::2]) for line in header["lines"].split(b"\n")]
    colours = ""
    for name, value in lines:
        if name == b"FORMAT" and value != b"32-bit_rle_rgbe":
            raise InputError(f"{path} must contain RGB. Got the format {value.decode('latin-1')}.")
        if name in _SCALES and any(float(part) != 1 for part in value.split()):
            raise InputError(
                f"{path} must contain unscaled colours. Its header has {name.decode()}={value.decode('latin-1')}. "
                "Apply it (`ra_xyze -r -o`), or remove the line if the values are right without it."
            )
        if name == b"PRIMARIES":
            xy = [float(part) for part in value.split()]  # Red, green, blue and white.
            if len(xy) != 8:
                raise DamagedError("its primaries are invalid")
            if any(xy):  # Photoshop writes zeros.
                colours = colours_of_primaries([*xy[6:], *xy[:6]], "PRIMARIES")
    match header["size"].split():
        case [b"-Y", height, b"+X", width]:
            shape = (int(height), int(width), 3)
        case _:
            raise InputError(f"{path} must have rows from top to bottom. Got the order {header['size'].decode()}.")
    return Stored(shape, lambda: _decode(file), linear="an HDR file", tags=Tags(colours=colours))


def _decode(file: BinaryIO) -> np.ndarray:
    try:
        return imagecodecs.rgbe_decode(whole(file))
    except (imagecodecs.RgbeError, ValueError) as error:
        raise DamagedError("its pixels are incomplete or invalid") from error
