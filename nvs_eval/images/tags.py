"""Judgement of the tags of image files: their orientation, and colours other than sRGB.

Readers return tags as stored. No pixels are changed here.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from nvs_eval.errors import InputError, quoted
from nvs_eval.images.stored import Tags

ORIENTATIONS = {
    1: "upright",
    2: "mirrored",
    3: "rotated by 180 degrees",
    4: "mirrored and rotated by 180 degrees",
    5: "mirrored and rotated by 90 degrees counterclockwise",
    6: "rotated by 90 degrees clockwise",
    7: "mirrored and rotated by 90 degrees clockwise",
    8: "rotated by 90 degrees counterclockwise",
}
"""Display of the stored pixels by viewers, by the value of the EXIF tag Orientation."""

_ORIENTATION, _EXIF_IFD, _COLOUR_SPACE, _INTEROPERABILITY_IFD, _INDEX = 0x112, 0x8769, 0xA001, 0xA005, 1
_EXIF_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I"}
"""Types of integers in EXIF data, in the notation of `struct`."""
_PRIMARIES: Mapping[str, tuple[float, ...]] = {  # White, red, green and blue, each x and y.
    "sRGB": (0.3127, 0.3290, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060),
    "Display P3": (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    "DCI-P3": (0.3140, 0.3510, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    "Adobe RGB": (0.3127, 0.3290, 0.640, 0.330, 0.210, 0.710, 0.150, 0.060),
    "Rec. 2020": (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    "SMPTE-C": (0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    "ProPhoto RGB": (0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001),
    "ACES2065-1 (AP0)": (0.32168, 0.33767, 0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077),
    "ACEScg (AP1)": (0.32168, 0.33767, 0.713, 0.293, 0.165, 0.830, 0.128, 0.044),
}
_SAME_PRIMARIES = 0.005
"""Distance of chromaticities up to which they count as equal; SMPTE-C and sRGB are 0.01 apart."""
_GAMMA, _SAME_GAMMA = 45455, 0.015
"""Value of gAMA that counts as sRGB (1/2.2), and the relative distance up to which others do; 0.45 is one of them."""
_CICP_PRIMARIES = {1: "sRGB", 4: "NTSC", 5: "PAL", 6: "SMPTE-C", 7: "SMPTE-C", 9: "Rec. 2020", 11: "DCI-P3"}
_CICP_PRIMARIES |= {12: "Display P3", 22: "EBU 3213"}
_CICP_TRANSFERS = {1: "BT.709", 4: "gamma 2.2", 5: "gamma 2.8", 6: "BT.601", 8: "linear", 13: "sRGB"}
_CICP_TRANSFERS |= {14: "BT.2020", 15: "BT.2020", 16: "PQ (HDR)", 18: "HLG (HDR)"}
_LARGEST_PROFILE = 2**24
_LEVELS_OFF = 4
"""Largest difference, in levels of 8 bits, of sRGB and colours under a profile that counts as sRGB.

Known variants of sRGB are off by 1, and gamma 2.2 is off by 1 from its formula. L* is off by 9, BT.709 by 16.
"""


@dataclass(frozen=True)
class Judgement:
    """Orientation and colours of a file by its tags.

    Attributes:
        orientation: value of the EXIF tag Orientation, 1 to 8.
        colours: colours other than sRGB, such as "the ICC profile 'Display P3'"; empty for sRGB and without tags.
        unreadable: tag that cannot be interpreted and counts as none, such as "ICC profile"; empty if there is none.
    """

    orientation: int = 1
    colours: str = ""
    unreadable: str = ""


UPRIGHT_SRGB = Judgement()


def judge(tags: Tags) -> Judgement:
    """Judge the tags of a file. Where several describe colours, the one of the highest precedence counts.

    The precedence is that of the PNG specification: cICP, ICC profile, sRGB, gAMA and cHRM; EXIF comes last.
    """
    if not (tags.exif or tags.icc or tags.png or tags.colours or tags.orientation != 1):
        return UPRIGHT_SRGB  # Most files have no tags.
    unreadable = []
    orientation, adobe_rgb = tags.orientation, False
    if tags.exif:
        try:
            stored, adobe_rgb = _read_exif(tags.exif)
            orientation = stored or orientation
        except (struct.error, ValueError):
            unreadable.append("EXIF data")
    colours = tags.colours or _colours(tags, unreadable)
    if colours is None:
        colours = "Adobe RGB (EXIF)" if adobe_rgb else ""
    return Judgement(orientation if orientation in ORIENTATIONS else 1, colours, " and ".join(unreadable))


def check_orientation(view: str, files: Mapping[str, int]) -> None:
    """Check that the files of a view have the same orientation.

    Args:
        view: name of the view.
        files: orientation of each file, by its kind and name.

    Raises:
        InputError: they differ; the message names the files and what to do.
    """
    if len(set(files.values())) > 1:
        stored = [f"the {file} has EXIF orientation {value} ({ORIENTATIONS[value]})" for file, value in files.items()]
        raise InputError(
            f"View {quoted(view)}: {', but '.join(stored)}. Pixels are compared as stored, so rotate those of one file "
            "(`mogrify -auto-orient FILE`). If both show the stored pixels, as with 3DGS, gsplat and nerfstudio, use "
            "`--ignore-orientation`."
        )


def _colours(tags: Tags, unreadable: list[str]) -> str | None:
    """Return the colours of the tags if they are not sRGB; None if no readable tag describes colours."""
    if (cicp := tags.png.get(b"cICP")) is not None:
        try:
            if (colours := colours_of_cicp(cicp)) is not None:
                return colours
        except ValueError:
            unreadable.append("chunk cICP")
    try:
        if tags.icc:
            return colours_of_profile(tags.icc)
        if b"iCCP" in tags.png:
            return _colours_of_iccp(tags.png[b"iCCP"])
    except ValueError:
        unreadable.append("ICC profile")
    return "" if b"sRGB" in tags.png else _colours_of_chunks(tags.png, unreadable)


def _colours_of_chunks(chunks: Mapping[bytes, bytes], unreadable: list[str]) -> str | None:
    """Judge the chunks gAMA and cHRM of a PNG."""
    colours = None
    if (chunk := chunks.get(b"gAMA")) is not None:
        stored = int.from_bytes(chunk, "big")
        if len(chunk) != 4 or not stored:
            unreadable.append("chunk gAMA")
        elif abs(stored / _GAMMA - 1) > _SAME_GAMMA:
            return f"gamma {100000 / stored:.3g} (gAMA {stored})"
        else:
            colours = ""
    if (chunk := chunks.get(b"cHRM")) is not None:
        if len(chunk) != 32:
            unreadable.append("chunk cHRM")
        else:
            return colours_of_primaries([value / 100000 for value in struct.unpack(">8I", chunk)], "cHRM")
    return colours


def colours_of_primaries(xy: Sequence[float], tag: str) -> str:
    """Return the name of primaries other than sRGB's, or an empty text.

    Args:
        xy: chromaticities of white, red, green and blue, each x and y.
        tag: name of the tag, for the text.
    """
    for name, known in _PRIMARIES.items():
        if max(abs(a - b) for a, b in zip(xy, known, strict=True)) < _SAME_PRIMARIES:
            return "" if name == "sRGB" else f"the primaries of {name} ({tag})"
    return f"primaries other than sRGB's ({tag} {', '.join(f'{value:.4g}' for value in xy)})"


def colours_of_cicp(codes: bytes) -> str | None:
    """Return the colours of code points of ITU-T H.273 if they are not sRGB; None if they are unspecified.

    Args:
        codes: primaries, transfer function, matrix and whether values are of full range, one byte each.

    Raises:
        ValueError: these are not code points of RGB values.
    """
    if len(codes) != 4 or codes[2] != 0 or codes[3] > 1:
        raise ValueError
    primaries, transfer, _, full_range = codes
    if primaries == transfer == 2:
        return None
    if primaries in (1, 2) and transfer in (2, 4, 13) and full_range:
        return ""
    names = (
        f"{_CICP_PRIMARIES.get(primaries, 'unknown')} primaries",
        f"{_CICP_TRANSFERS.get(transfer, 'unknown')} transfer",
        *(() if full_range else ("narrow range",)),
    )
    return f"{', '.join(names)} (cICP {'/'.join(map(str, codes))})"


@functools.lru_cache(maxsize=64)
def colours_of_profile(profile: bytes) -> str:
    """Return the name of an ICC profile if it does not describe sRGB, or an empty text.

    Colours are converted from the profile to sRGB. They must stay as they are, or change as from gamma 2.2 to sRGB.

    Raises:
        ValueError: the profile cannot be read, or is not of RGB or grey colours.
    """
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        facts: Any = opened.profile
        mode = {"RGB": "RGB", "GRAY": "L"}.get(facts.xcolor_space.strip())
        if mode is None:
            raise ValueError("not RGB or grey")
        converted = _converted(opened, mode)
    except (OSError, ImageCms.PyCMSError) as error:
        raise ValueError(str(error)) from error
    stored = np.broadcast_to(np.atleast_3d(_samples(mode)), converted.shape) / 255
    linear = stored**2.2
    from_gamma = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    if min(np.abs(converted / 255 - expected).max() for expected in (stored, from_gamma)) * 255 <= _LEVELS_OFF:
        return ""
    name = " ".join((facts.profile_description or "").split())
    return f"the ICC profile {quoted(name)}" if name else "an ICC profile without a name"


def _converted(profile: ImageCms.ImageCmsProfile, mode: str) -> np.ndarray:
    """Convert the sample colours from a profile to sRGB, relative to white and black."""
    transform = ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOOPTIMIZE,
    )
    return np.asarray(ImageCms.applyTransform(Image.fromarray(_samples(mode)), transform)).astype(float)


def _samples(mode: str) -> np.ndarray:
    """Return all greys, or a cube of colours with 18 levels per side."""
    if mode == "L":
        return np.arange(256, dtype=np.uint8)[None]
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(18, -1, 3)


@functools.lru_cache(maxsize=64)
def _colours_of_iccp(chunk: bytes) -> str:
    """Judge the profile of a PNG's chunk iCCP.

    Raises:
        ValueError: the chunk is damaged, or the profile is very large.
    """
    _, _, rest = chunk.partition(b"\0")
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(rest[1:], _LARGEST_PROFILE)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if rest[:1] != b"\0" or not unpacker.eof:
        raise ValueError("incomplete or too large")
    return colours_of_profile(profile)


def _read_exif(exif: bytes) -> tuple[int | None, bool]:
    """Return the orientation of EXIF data, if stored, and whether the colours are Adobe RGB.

    Cameras mark Adobe RGB by the interoperability index R03 (DCF 2.0), often without an ICC profile.

    Raises:
        ValueError: this is not EXIF data.
        struct.error: the data is incomplete.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        raise ValueError("not EXIF")

    def directory(offset: int) -> dict[int, tuple[int, bytes]]:
        (count,) = struct.unpack_from(f"{order}H", exif, offset)
        entries = struct.iter_unpack(f"{order}HHI4s", exif[offset + 2 : offset + 2 + 12 * count])
        return {tag: (kind, value) for tag, kind, _, value in entries}

    def number(kind: int, value: bytes) -> int:
        if kind not in _EXIF_TYPES:
            raise ValueError("no integer")
        return struct.unpack_from(f"{order}{_EXIF_TYPES[kind]}", value)[0]

    main = directory(number(4, exif[4:8]))
    orientation = number(*main[_ORIENTATION]) if _ORIENTATION in main else None
    details = directory(number(*main[_EXIF_IFD])) if _EXIF_IFD in main else {}
    index = b""
    if _INTEROPERABILITY_IFD in details:
        _, index = directory(number(*details[_INTEROPERABILITY_IFD])).get(_INDEX, (0, b""))
    space = number(*details[_COLOUR_SPACE]) if _COLOUR_SPACE in details else 1
    return orientation, index.startswith(b"R03") or space == 2
