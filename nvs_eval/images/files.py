"""Lossless reading and writing of image files: each format uses a library that preserves its values."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from nvs_eval.errors import FileError, InputError, ResourceError
from nvs_eval.images.formats import read_header
from nvs_eval.images.pixels import AlphaRule, is_quantised, linear_to_srgb, to_8_bits, without_alpha
from nvs_eval.images.stored import DamagedError, Stored, check_size, explained, memory_for, warn
from nvs_eval.images.tags import Judgement, judge
from nvs_eval.system.files import open_file, write_whole

_CHANNELS = 3
_LARGEST = {"bool": 1, "uint8": 255, "uint16": 65535}
_VALUES = {"linear": "linear light", "srgb": "display values"}


@dataclass(frozen=True)
class Reading:
    """Instructions for files that do not determine an RGB image by themselves.

    Attributes:
        alpha: rule for an alpha channel: `composite` over `background`, `drop` it, or `error`.
        background: background colour for `composite`; None makes an alpha channel an error.
        grey_to_rgb: repeat the channel of a grey image three times; False makes a grey image an error.
        exr: `linear` if EXR files contain linear light, which is encoded as sRGB; `srgb` if they contain display
            values; None makes an EXR file an error. HDR, PFM and TIFF files of floats are treated alike.
        exr_layer: name of the layer, part or view to read from EXR files that have several.
        ignore_colour_tags: read the stored values of files whose tags declare colours other than sRGB; False makes such
            a file an error.
        ignore_orientation: accept renders and masks whose EXIF orientation differs from their reference's.
        max_pixels: largest number of pixels of a file; None for what fits into the free memory.

    Raises:
        InputError: the background is not a colour, or `max_pixels` is not positive.
    """

    alpha: AlphaRule = "composite"
    background: tuple[float, float, float] | None = None
    grey_to_rgb: bool = False
    exr: Literal["linear", "srgb"] | None = None
    exr_layer: str | None = None
    ignore_colour_tags: bool = False
    ignore_orientation: bool = False
    max_pixels: int | None = None

    def __post_init__(self) -> None:
        """Check the background, because one in [0, 255] would give wrong but plausible scores."""
        colour = self.background
        if colour is not None and (len(colour) != _CHANNELS or not all(0 <= value <= 1 for value in colour)):
            raise InputError(f"The background must be red, green and blue, each in [0, 1]. Got {colour}.")
        if self.max_pixels is not None and self.max_pixels < 1:
            raise InputError(f"The largest number of pixels must be at least 1. Got {self.max_pixels}.")


@dataclass(frozen=True)
class Header:
    """Facts of an image file that are read without its pixels.

    Attributes:
        size: width and height of the stored pixels.
        orientation: value of the EXIF tag Orientation, 1 to 8, which is not applied to the pixels.
        colours: colours other than sRGB, such as "the ICC profile 'Display P3'"; empty for sRGB and without tags.
        lossy: whether the pixels may differ from those that were saved, as in a JPEG.
        linear: whether the values are floats that are linear light by convention, as in an EXR file.
    """

    size: tuple[int, int]
    orientation: int = 1
    colours: str = ""
    lossy: bool = False
    linear: bool = False


def load_image(path: Path, reading: Reading | None = None) -> Float[Tensor, "h w 3"]:
    """Read one image file as float32 RGB.

    Integers are divided by the largest value of their depth (255 for 8 bits); floats are read unchanged. EXIF rotation
    is not applied. The formats are listed in docs/images.md.

    Raises:
        InputError: the file cannot be read, or `reading` lacks an instruction for it.
    """
    reading = reading or Reading()
    colours, alpha = load_layers(path, reading)
    return without_alpha(colours, alpha, rule=reading.alpha, background=reading.background, what=str(path))


def load_layers(path: Path, reading: Reading) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w 1"] | None]:
    """Read the colours of an image file, and its alpha channel if it has one.

    `alpha` and `background` of `reading` are ignored.

    Raises:
        InputError: the file cannot be read, or `reading` lacks an instruction for it.
    """
    with _opened(path, reading) as stored:
        _check_tags(path, stored, reading)
        return _layers(path, _decode(path, stored), stored, reading)


def load_levels(path: Path, reading: Reading) -> tuple[np.ndarray, Float[Tensor, "h w 3"] | None]:
    """Read one image file to look at it: as 8-bit levels, and as floats if these are no such levels.

    Returns:
        Levels, uint8 of shape `[H, W, 3]`, clamped and rounded, and the image that `load_image` returns, or None.

    Raises:
        InputError: `load_image` would raise it.
    """
    with _opened(path, reading) as stored:
        _check_tags(path, stored, reading)
        with memory_for(path, stored.shape):
            values = _values(stored)
            if values.dtype == np.uint8 and values.ndim == 3 and values.shape[2] == 3 and not stored.linear:
                return values, None
            colours, alpha = _layers(path, _floats(values, stored), stored, reading)
    image = without_alpha(colours, alpha, rule=reading.alpha, background=reading.background, what=str(path))
    return np.ascontiguousarray(to_8_bits(image)), None if is_quantised(image) else image


def probe_image(path: Path, reading: Reading | None = None, *, alpha: Collection[AlphaRule] | None = None) -> Header:
    """Read the header of an image file.

    Files whose channels `load_image` would refuse are refused here too, before any long work.

    Args:
        path: path of the file.
        reading: instructions, as for `load_image`.
        alpha: alpha rules to check instead of the one in `reading`.

    Raises:
        FileError: the file itself is at fault.
        InputError: `load_image` would raise it, except for damaged pixels, which are not read.
    """
    reading = reading or Reading()
    with _opened(path, reading) as stored:
        judgement = _check_tags(path, stored, reading)
        pixel = torch.zeros(1, 1, *stored.shape[2:] or (1,))
        colours, opacity = _layers(path, pixel, stored, reading)
    for rule in (reading.alpha,) if alpha is None else alpha:
        without_alpha(colours, opacity, rule=rule, background=reading.background, what=str(path))
    return _header(stored, judgement)


def stored_header(path: Path) -> Header:
    """Read the header of an image file, regardless of its channels and colours.

    Raises:
        InputError: the file cannot be read. Damaged pixels are not noticed.
    """
    with _opened(path) as stored:
        return _header(stored, judge(stored.tags))


def _header(stored: Stored, judgement: Judgement) -> Header:
    height, width = stored.shape[:2]
    return Header((width, height), judgement.orientation, judgement.colours, stored.lossy, bool(stored.linear))


def decode(path: Path) -> Float[Tensor, "h w c"]:
    """Decode a file to float32 with all its channels; integers are divided by their largest value.

    Each channel is contiguous in memory, as the metrics read it.

    Raises:
        InputError: the file cannot be read.
    """
    with _opened(path) as stored:
        return _decode(path, stored)


def _decode(path: Path, stored: Stored) -> Float[Tensor, "h w c"]:
    with memory_for(path, stored.shape):
        return _floats(_values(stored), stored)


def _values(stored: Stored) -> np.ndarray:
    values = stored.load()
    if values.shape[:2] != stored.shape[:2]:
        raise DamagedError("its header gives another size")
    return values


def _floats(values: np.ndarray, stored: Stored) -> Float[Tensor, "h w c"]:
    planes = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    if largest := stored.largest or _LARGEST.get(values.dtype.name):
        planes = np.divide(planes, np.float32(largest), dtype=np.float32, order="C")
    return torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32)).permute(1, 2, 0)


@contextmanager
def _opened(path: Path, reading: Reading | None = None) -> Iterator[Stored]:
    """Open an image file and read its header; errors of the readers become errors that name the file."""
    reading = reading or Reading()
    with explained(path, "an image"), open_file(path) as file:
        try:
            stored = read_header(file, path, reading.exr_layer)
            check_size(path, stored.shape, reading.max_pixels)
        except ResourceError:
            raise
        except InputError as error:
            raise FileError(str(error)) from error
        yield stored


def _check_tags(path: Path, stored: Stored, reading: Reading) -> Judgement:
    """Judge the tags of a file. Refuse colours other than sRGB."""
    judgement = judge(stored.tags)
    if judgement.unreadable:
        warn(path, f"has a damaged {judgement.unreadable}", "It was read as if it had none.")
    if judgement.colours and not reading.ignore_colour_tags:
        raise InputError(
            f"{path} must have sRGB colours. Got {judgement.colours}. Convert it to sRGB (see docs/images.md), or use "
            "`--ignore-colour-tags` to score the stored values, as 3DGS, gsplat and nerfstudio read them."
        )
    return judgement


def _layers(path: Path, pixels: Tensor, stored: Stored, reading: Reading) -> tuple[Tensor, Tensor | None]:
    """Return the display-referred colours and the alpha of a file's channels."""
    if stored.linear:
        if reading.exr is None:
            raise InputError(
                f"{path} is {stored.linear}, which contains linear light by convention, but scores use display values. "
                "Use `--exr linear` to encode it as sRGB, or `--exr srgb` if it already contains display values."
            )
        if stored.encoding not in ("", reading.exr) and not reading.ignore_colour_tags:
            raise InputError(
                f"{path} must contain {_VALUES[reading.exr]} (`--exr {reading.exr}`). Its colorInteropID declares "
                f"{_VALUES[stored.encoding]}. Use `--exr {stored.encoding}`, or `--ignore-colour-tags` if it is wrong."
            )
        if reading.exr == "linear":
            # In the file's memory order, because the last digit of a power depends on how values are vectorised.
            pixels = linear_to_srgb(pixels.contiguous())
    channels = pixels.shape[-1]
    if channels in (1, 2):
        if not reading.grey_to_rgb:
            raise InputError(
                f"{path} must be RGB. Got a grey image. Use `--grey-to-rgb` to repeat its channel three times."
            )
        pixels = torch.cat([pixels[..., :1].expand(-1, -1, 3), pixels[..., 1:]], dim=-1)
    elif channels not in (3, 4):
        raise InputError(f"{path} must have 3 (RGB) or 4 (RGBA) channels. Got {channels}.")
    return pixels[..., :3], pixels[..., 3:] if pixels.shape[-1] == 4 else None


def save_png(path: Path, image: Float[Tensor, "h w 3"]) -> None:
    """Write an image as an 8-bit PNG, clamped to [0, 1] and rounded to the nearest level."""
    levels = to_8_bits(image)
    # The lowest compression, because writing many renders should not slow the command down.
    write_whole(path, lambda file: Image.fromarray(levels).save(file, format="PNG", compress_level=1))


def save_npy(path: Path, image: Float[Tensor, "h w 3"]) -> None:
    """Write an image's float32 values unchanged, `[H, W, 3]`."""
    content = io.BytesIO()  # numpy writes to a file by itself, and does not say why it could not.
    np.save(content, image.detach().cpu().contiguous().numpy())
    write_whole(path, lambda file: file.write(content.getbuffer()))
