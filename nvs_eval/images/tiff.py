"""TIFF: 8 or 16 bits or floats per channel, in any compression that imagecodecs reads."""

from __future__ import annotations

import logging
import math
import re
import struct
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import tifffile
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC

from nvs_eval.errors import InputError, counted
from nvs_eval.images.stored import DamagedError, Stored, Tags
from nvs_eval.images.tags import colours_of_primaries

_MOST_PAGES, _MOST_TAGS = 100, 4096
_DTYPES = ("uint8", "uint16", "float16", "float32", "float64")
_COLOURS: dict[int, int] = {PHOTOMETRIC.MINISBLACK: 1, PHOTOMETRIC.RGB: 3, PHOTOMETRIC.YCBCR: 3}
_ORIENTATION, _WHITE, _PRIMARIES, _ICC, _DNG = 274, 318, 319, 34675, 50706

_LOSSY = {kind for kind in COMPRESSION if re.search("JP|WEBP|LERC", kind.name)}

# The library logs details of damaged files. Without a handler they would be printed.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def read(file: BinaryIO, path: Path) -> Stored:
    """Read the header of a TIFF, which must contain one image, and can contain reduced versions of it."""
    tiff = tifffile.TiffFile(file)
    # A page takes six bytes, and a while to read.
    pages = [page for page in islice(tiff.pages, _MOST_PAGES) if not getattr(page, "is_reduced", False)]
    if not pages:
        raise DamagedError("it has no image")
    if _DNG in tiff.pages.first.tags:
        raise InputError(f"{path} must be an image. Got the raw data of a camera. Develop it to PNG or 16-bit TIFF.")
    page, images = pages[0].aspage(), len(pages)
    if tiff.is_imagej:  # Its stacks can have one page.
        images = max(images, (tiff.imagej_metadata or {}).get("images", 1))
    if images > 1 or page.imagedepth != 1:
        raise InputError(f"{path} must contain one image. Got a stack of them. Save one of them.")
    channels = _channels(path, page)
    _check_complete(page, tiff.filehandle.size)
    floats = page.dtype is not None and page.dtype.kind == "f"
    icc, orientation = _profile(page), int(page.tags.valueof(_ORIENTATION) or 1)
    tags = Tags(icc=icc, orientation=orientation, colours="" if icc else _primaries(page))
    shape = (page.imagelength, page.imagewidth, channels)
    return Stored(
        shape,
        lambda: _decode(page),
        linear="a TIFF file of floats" if floats else "",
        tags=tags,
        lossy=page.compression in _LOSSY,
    )


def _profile(page: tifffile.TiffPage) -> bytes:
    """Return the ICC profile of a page; a byte that is no profile if its tag is damaged, which the library drops."""
    if _ICC in page.tags:
        return page.tags.valueof(_ICC) or b""
    file, form = page.parent.filehandle, page.parent.tiff
    file.seek(page.offset)
    count = int.from_bytes(file.read(form.tagnosize), "little" if form.byteorder == "<" else "big")
    code = struct.pack(f"{form.byteorder}H", _ICC)
    entries = file.read(min(count, _MOST_TAGS) * form.tagsize)
    return b"?" if code in {entries[at : at + 2] for at in range(0, len(entries), form.tagsize)} else b""


def _primaries(page: tifffile.TiffPage) -> str:
    """Return the primaries of a page, if it names them and they are not those of sRGB."""
    stored = [value for tag in (_WHITE, _PRIMARIES) for value in page.tags.valueof(tag) or ()]
    if len(stored) != 16:
        return ""
    xy = [numerator / (denominator or 1) for numerator, denominator in zip(stored[::2], stored[1::2], strict=True)]
    return colours_of_primaries(xy, "PrimaryChromaticities")


def _channels(path: Path, page: tifffile.TiffPage) -> int:
    """Return the number of channels, or refuse values and channels whose meaning is not certain."""
    colours = _COLOURS.get(page.photometric)
    if colours is None or (page.photometric == PHOTOMETRIC.YCBCR and page.compression != COMPRESSION.JPEG):
        raise InputError(
            f"{path} must be grey or RGB. Got {getattr(page.photometric, 'name', page.photometric)}. Convert it first."
        )
    if page.dtype is None or page.dtype.name not in _DTYPES or page.bitspersample not in (8, 16, 32, 64):
        raise InputError(
            f"{path} must have 8 or 16 bits or floats per channel. Got {counted(page.bitspersample, 'bit')} "
            f"({page.dtype or 'of an unknown type'}). Convert it first."
        )
    match page.samplesperpixel - colours, page.extrasamples:
        case 0, _:
            return colours
        case 1, () | (EXTRASAMPLE.UNASSALPHA,):
            return colours + 1
        case 1, (EXTRASAMPLE.ASSOCALPHA,):
            raise InputError(
                f"{path} has colours premultiplied by alpha. Composite it over your background when you write it, and "
                "save it as RGB, or save it with straight (unassociated) alpha."
            )
    raise InputError(
        f"{path} must have {colours} channels, or one more for alpha. Got {page.samplesperpixel}, of which the last "
        "have no meaning given. Save it as RGB."
    )


def _check_complete(page: tifffile.TiffPage, size: int) -> None:
    """Check that the file contains all parts of the image; the library would fill missing ones with zeros."""
    parts = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if len(parts) != math.prod(page.chunked) or any(not length or start + length > size for start, length in parts):
        raise DamagedError("parts of its pixels are missing")


def _decode(page: tifffile.TiffPage) -> np.ndarray:
    values = page.asarray(maxworkers=1)
    return np.moveaxis(values, 0, -1) if page.axes.startswith("S") else values
