"""The formats of image files. A file's content decides its format, never its suffix alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from nvs_eval.errors import InputError, listed
from nvs_eval.images import arrays, exr, jpeg, netpbm, pillow_formats, png, radiance, tiff
from nvs_eval.images.stored import Layers, Reader, Stored


@dataclass(frozen=True)
class Format:
    """An image format.

    Attributes:
        name: name in messages.
        suffixes: suffixes of its files, the usual one first.
        start: pattern of the first bytes of its files.
        read: function that reads it; None if no reader is exact.
        remedy: how to use images of a format that is not read.
    """

    name: str
    suffixes: tuple[str, ...]
    start: bytes
    read: Reader | None = None
    remedy: str = "Save it as PNG."


_RAW = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw")
FORMATS = (
    Format("PNG", (".png",), re.escape(png.SIGNATURE), png.read),
    Format("JPEG", (".jpg", ".jpeg"), rb"\xff\xd8\xff", jpeg.read),
    Format("NPY", (".npy",), rb"\x93NUMPY", arrays.read),
    Format("EXR", (".exr",), rb"v/1\x01", exr.read),
    Format("TIFF", (".tif", ".tiff"), rb"II[*+]\0|MM\0[*+]", tiff.read),
    Format("WebP", (".webp",), rb"RIFF....WEBP", pillow_formats.read_webp),
    Format("AVIF", (".avif",), rb"....ftyp(?:....)*?avi[fs]", pillow_formats.read_avif),
    Format("BMP", (".bmp",), rb"BM", pillow_formats.read_bmp),
    Format("PPM or PFM", (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"), rb"P[1-6Ff]\s", netpbm.read),
    Format("HDR", (".hdr",), rb"#\?(?:RADIANCE|RGBE)\n", radiance.read),
)
OTHER_FORMATS = (
    Format(
        "HEIC", (".heic", ".heif", ".hif"), rb"....ftyp(?:hei|hev|mif1|msf1)", None, "Save it as PNG (`heif-convert`)."
    ),
    Format("JPEG XL", (".jxl",), rb"\xff\x0a|\0\0\0\x0cJXL ", None, "Save it as PNG (`djxl`)."),
    Format("JPEG 2000", (".jp2", ".j2k", ".jpx", ".jpf"), rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    Format("Photoshop", (".psd", ".psb"), rb"8BPS", None, "Export it as PNG or 16-bit TIFF."),
    Format("camera raw", _RAW, rb"FUJIFILMCCD-RAW|IIRO|IIU\0", None, "Develop it to PNG or 16-bit TIFF."),
    Format("GIF", (), rb"GIF8", None, "Save its frames as PNG."),
    Format("JPEG XR", (".jxr", ".wdp"), rb"II\xbc"),
    Format("QOI", (".qoi",), rb"qoif"),
    Format("TGA", (".tga",), rb"(?!)"),
    Format("DDS", (".dds",), rb"DDS "),
    Format("video", (), rb"....ftyp|\x1a\x45\xdf\xa3|RIFF....AVI ", None, "Save its frames as PNG."),
)
"""Formats that are named in errors. Folders may contain videos and GIFs beside their images."""
EXTENSIONS = tuple(suffix for format in FORMATS for suffix in format.suffixes)
"""Suffixes of the image files in a folder."""
OTHER_EXTENSIONS = {suffix: format for format in OTHER_FORMATS for suffix in format.suffixes}
"""Suffixes of image files that cannot be read, with their format."""
ALL_EXTENSIONS = {*EXTENSIONS, *OTHER_EXTENSIONS}
"""Suffixes of image files, whether they can be read or not."""
NAMES = listed([format.name for format in FORMATS])
_LONGEST_START = 64


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
    for format in FORMATS + OTHER_FORMATS:
        if re.match(format.start, start, re.DOTALL):
            if format.read is None:
                raise InputError(f"{path} must be an image: {NAMES}. Got {format.name}. {format.remedy}")
            header = format.read(file, path)
            return header.choose(layer, path) if isinstance(header, Layers) else header
    raise InputError(f"{path} must be an image: {NAMES}. Its content is none of them, or it is damaged.")
