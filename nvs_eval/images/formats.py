"""The formats of image files. A file's content decides its format, never its suffix alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from nvs_eval.errors import InputError
from nvs_eval.images import arrays, exr, jpeg, netpbm, pillow_formats, png, radiance, tiff
from nvs_eval.images.stored import Layers, Reader, Stored
from nvs_eval.system.files import open_file


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


_RAW = (".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".raf", ".orf", ".rw2", ".pef", ".srw", ".iiq")
_RAW += (".3fr", ".fff", ".mrw", ".x3f", ".erf", ".kdc", ".dcr", ".mef", ".mos", ".rwl", ".gpr")
FORMATS = (
    Format("PNG", (".png", ".apng"), re.escape(png.SIGNATURE), png.read),
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg"), rb"\xff\xd8\xff(?!\xf7|\xe8..SPIFF)", jpeg.read),
    Format("NPY", (".npy",), rb"\x93NUMPY", arrays.read),
    Format("EXR", (".exr",), rb"v/1\x01", exr.read),
    Format("TIFF", (".tif", ".tiff"), rb"II[*+]\0|MM\0[*+]", tiff.read),
    Format("WebP", (".webp",), rb"RIFF....WEBP", pillow_formats.read_webp),
    Format("AVIF", (".avif", ".avifs"), rb"....ftyp(?:....)*?avi[fs]", pillow_formats.read_avif),
    Format("BMP", (".bmp", ".dib"), rb"BM", pillow_formats.read_bmp),
    Format("PPM", (".ppm", ".pgm", ".pbm", ".pnm"), rb"P[1-6]\s", netpbm.read),
    Format("PFM", (".pfm",), rb"P[Ff]\s", netpbm.read),
    Format("HDR", (".hdr", ".rgbe"), rb"#\?(?:RADIANCE|RGBE)\n", radiance.read),
)
OTHER_FORMATS = (
    Format(
        "HEIC",
        (".heic", ".heif", ".hif", ".heics"),
        rb"....ftyp(?:hei|hev|mif1|msf1)",
        None,
        "Save it as PNG (`heif-convert`).",
    ),
    Format("JPEG XL", (".jxl",), rb"\xff\x0a|\0\0\0\x0cJXL ", None, "Save it as PNG (`djxl`)."),
    Format("JPEG 2000", (".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf"), rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    Format("Photoshop", (".psd", ".psb"), rb"8BPS", None, "Export it as PNG or 16-bit TIFF."),
    Format("camera raw", _RAW, rb"FUJIFILMCCD-RAW|IIRO|IIU\0", None, "Develop it to PNG or 16-bit TIFF."),
    Format("GIF", (), rb"GIF8", None, "Save its frames as PNG."),
    Format("JPEG XR", (".jxr", ".wdp", ".hdp"), rb"II\xbc"),
    Format("JPEG-LS", (".jls",), rb"\xff\xd8\xff(?:\xf7|\xe8..SPIFF)"),
    Format("PAM", (".pam",), rb"P7\s"),
    Format("PHM", (".phm",), rb"P[Hh]\s", None, "Save it as PFM."),
    Format("SGI", (".sgi",), rb"\x01\xda[\x00\x01][\x01\x02]"),
    Format("DPX", (".dpx",), rb"SDPX|XPDS", None, "Save it as 16-bit PNG or TIFF."),
    Format("Cineon", (".cin",), rb"\x80\x2a\x5f\xd7|\xd7\x5f\x2a\x80", None, "Save it as 16-bit PNG or TIFF."),
    Format("PCX", (".pcx",), rb"\x0a[\x00-\x05]\x01"),
    Format("Sun raster", (".ras",), rb"\x59\xa6\x6a\x95"),
    Format("KTX", (".ktx", ".ktx2"), rb"\xabKTX "),
    Format("stereo JPEG", (".mpo", ".jps"), rb"(?!)", None, "Save each picture as PNG."),
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
NAMES = ", ".join(format.name for format in FORMATS)
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
    read = _reader(file, path)
    file.seek(0)
    header = read(file, path)
    return header.choose(layer, path) if isinstance(header, Layers) else header


def check_format(path: Path) -> None:
    """Check that a file is an image of a supported format, for images that another program decodes.

    Pillow would pass other formats to programs that run code, such as Ghostscript.

    Raises:
        InputError: it is not, or it cannot be read.
    """
    try:
        with open_file(path) as file:
            _reader(file, path)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as an image: {getattr(error, 'strerror', None) or error}.") from error


def _reader(file: BinaryIO, path: Path) -> Reader:
    start = file.read(_LONGEST_START)
    if not start:
        raise ValueError("it is empty")
    for format in FORMATS + OTHER_FORMATS:
        if re.match(format.start, start, re.DOTALL):
            if format.read is None:
                raise InputError(f"{path} must be an image ({NAMES}). Got {format.name}. {format.remedy}")
            return format.read
    raise InputError(f"{path} must be an image ({NAMES}). Its content is none of them, or it is damaged.")
