"""The formats of image files. A file's content decides its format, never its suffix alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from nvs_eval.errors import InputError, listed
from nvs_eval.images import arrays, exr, jpeg, png
from nvs_eval.images.stored import Layers, Reader, Stored


@dataclass(frozen=True)
class Format:
    """An image format.

    Attributes:
        name: name in messages.
        suffixes: suffixes of its files, the usual one first.
        starts: possible first bytes of its files.
        read: function that reads it.
    """

    name: str
    suffixes: tuple[str, ...]
    starts: tuple[bytes, ...]
    read: Reader


FORMATS = (
    Format("PNG", (".png",), (png.SIGNATURE,), png.read),
    Format("JPEG", (".jpg", ".jpeg"), (b"\xff\xd8\xff",), jpeg.read),
    Format("NPY", (".npy",), (b"\x93NUMPY",), arrays.read),
    Format("EXR", (".exr",), (b"v/1\x01",), exr.read),
)
EXTENSIONS = tuple(suffix for format in FORMATS for suffix in format.suffixes)
"""Suffixes of the image files in a folder."""
_LONGEST_START = max(len(start) for format in FORMATS for start in format.starts)


def read_header(file: BinaryIO, path: Path, layer: str | None = None) -> Stored:
    """Read the header of an image file of any format.

    Args:
        file: open file.
        path: its path.
        layer: name of the layer to read from files that have several.

    Raises:
        InputError: the content is no supported image.
        Exception: the file is empty, or the reader of its format raises it.
    """
    start = file.read(_LONGEST_START)
    if not start:
        raise ValueError("it is empty")
    file.seek(0)
    for format in FORMATS:
        if start.startswith(format.starts):
            header = format.read(file, path)
            return header.choose(layer, path) if isinstance(header, Layers) else header
    names = listed([format.name for format in FORMATS])
    raise InputError(f"{path} must be an image: {names}. Its content is none of them, or it is damaged.")
