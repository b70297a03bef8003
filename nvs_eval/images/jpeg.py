"""JPEG: grey or RGB of 8 bits per channel. Anything that the decoder warns of is damage."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

import numpy as np
import simplejpeg
from PIL import JpegImagePlugin

from nvs_eval.errors import InputError
from nvs_eval.images.stored import DamagedError, Stored, Tags, whole

_SCAN, _MOST_SCANS = b"\xff\xda", 100
_COLOURS = {"L": ("GRAY", 1), "RGB": ("RGB", 3)}


def read(file: BinaryIO, path: Path) -> Stored:
    """Read the header of a JPEG."""
    try:
        image = JpegImagePlugin.JpegImageFile(file)
    except SyntaxError as error:
        if depth := re.search(r"\d+(?=-bit layers)", str(error)):
            raise InputError(f"{path} must have 8 bits per channel. Got {depth[0]}. Convert it to PNG.") from error
        raise
    if image.mode not in _COLOURS:
        raise InputError(f"{path} must be RGB with 8 bits per channel. Got {image.mode}. Convert it first.")
    colours, channels = _COLOURS[image.mode]
    tags = Tags(exif=image.info.get("exif", b"").removeprefix(b"Exif\0\0"), icc=image.info.get("icc_profile") or b"")
    return Stored((image.height, image.width, channels), lambda: _decode(file, colours), tags=tags, lossy=True)


def _decode(file: BinaryIO, colours: str) -> np.ndarray:
    content = whole(file)
    if content.count(_SCAN) > _MOST_SCANS:  # Each passes over the whole image.
        raise DamagedError(f"it has more than {_MOST_SCANS} scans")
    try:
        return simplejpeg.decode_jpeg(content, colours)
    except ValueError as error:
        raise DamagedError(str(error)) from error
