"""Lossless reading and writing of image files: each format uses a library that preserves its values."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.images.pixels import AlphaRule, linear_to_srgb, quantise, without_alpha
from nvs_eval.system.files import write_whole

EXTENSIONS = (".png", ".jpg", ".jpeg", ".npy", ".exr")
_CHANNELS = 3
_LARGEST = {"bool": 1, "uint8": 255, "uint16": 65535}
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # Number of channels by the colour type in the header.
# Exceptions of decoders for truncated files and invalid content.
_DAMAGED = (struct.error, zlib.error, EOFError, SyntaxError)
_READING_16BIT = Lock()


@dataclass(frozen=True)
class Reading:
    """Instructions for files that do not determine an RGB image by themselves.

    Attributes:
        alpha: rule for an alpha channel: `composite` over `background`, `drop` it, or `error`.
        background: background colour for `composite`; None makes an alpha channel an error.
        grey_to_rgb: repeat the channel of a grey image three times; False makes a grey image an error.
        exr: `linear` if EXR files contain linear light, which is encoded as sRGB; `srgb` if they contain display
            values; None makes an EXR file an error.

    Raises:
        InputError: the background is not a colour.
    """

    alpha: AlphaRule = "composite"
    background: tuple[float, float, float] | None = None
    grey_to_rgb: bool = False
    exr: Literal["linear", "srgb"] | None = None

    def __post_init__(self) -> None:
        """Check the background, because one in [0, 255] would give wrong but plausible scores."""
        colour = self.background
        if colour is not None and (len(colour) != _CHANNELS or not all(0 <= value <= 1 for value in colour)):
            raise InputError(f"The background must be red, green and blue, each in [0, 1]. Got {colour}.")


def load_image(path: Path, reading: Reading | None = None) -> Float[Tensor, "h w 3"]:
    """Read one image file as float32 RGB.

    8-bit PNG and JPEG are divided by 255 (EXIF rotation is not applied), 16-bit PNG by 65535. NPY files contain floats
    of shape `[H, W, 3 or 4]`, EXR files half or float channels R, G, B and optionally A.

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
    return _layers(path, decode(path), reading)


def probe_image(
    path: Path, reading: Reading | None = None, *, alpha: Collection[AlphaRule] | None = None
) -> tuple[int, int]:
    """Return the width and height of an image file, from its header alone if the format has one.

    Files whose channels `load_image` would refuse are refused here too, before any long work.

    Args:
        path: path of the file.
        reading: instructions, as for `load_image`.
        alpha: alpha rules to check instead of the one in `reading`.

    Raises:
        InputError: `load_image` would raise it, except for damaged pixels, which are not read.
    """
    reading = reading or Reading()
    shape = _read(path, header_only=True).shape
    pixel = torch.zeros(1, 1, *shape[2:] or (1,))
    colours, opacity = _layers(path, pixel, reading)
    for rule in (reading.alpha,) if alpha is None else alpha:
        without_alpha(colours, opacity, rule=rule, background=reading.background, what=str(path))
    return shape[1], shape[0]


def stored_size(path: Path) -> tuple[int, int]:
    """Return the width and height of an image file, regardless of its channels.

    Raises:
        InputError: the file cannot be read. Damaged pixels are not noticed.
    """
    height, width = _read(path, header_only=True).shape[:2]
    return width, height


def decode(path: Path) -> Float[Tensor, "h w c"]:
    """Decode a file to float32 with all its channels; integers are divided by their largest value.

    Each channel is contiguous in memory, as the metrics read it.

    Raises:
        InputError: the file cannot be read.
    """
    stored = _read(path)
    planes = stored[None] if stored.ndim == 2 else stored.transpose(2, 0, 1)
    if largest := _LARGEST.get(stored.dtype.name):
        planes = np.divide(planes, np.float32(largest), dtype=np.float32, order="C")
    return torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32)).permute(1, 2, 0)


def _read(path: Path, *, header_only: bool = False) -> np.ndarray:
    """Return the stored values, `[H, W]` or `[H, W, C]`; with `header_only`, only the shape is meaningful."""
    suffix = path.suffix.lower()
    if suffix not in EXTENSIONS:
        raise InputError(f"{path} must be an image in a supported format: {', '.join(EXTENSIONS)}.")
    try:
        return _READERS.get(suffix, _read_integers)(path, header_only)
    except InputError:
        raise
    except ImportError as error:
        raise InputError(f"{path}: reading EXR requires OpenEXR ({error}). Run pip install 'nvs-eval[exr]'.") from error
    except Exception as error:  # Decoders have no common exception.
        reason = (isinstance(error, OSError) and error.strerror) or str(error).rstrip(".")
        if isinstance(error, UnidentifiedImageError):
            reason = "it is empty, damaged or of another format"
        elif isinstance(error, _DAMAGED):
            reason = f"it is damaged or truncated ({error})"
        raise InputError(f"{path} cannot be read as an image: {reason}.") from error


def _read_integers(path: Path, header_only: bool) -> np.ndarray:
    """Read a PNG or JPEG, whichever of the two the content is."""
    with path.open("rb") as file:
        header = file.read(26)  # The depth is byte 24, the colour type byte 25.
        is_16bit = header[:8] == _PNG_SIGNATURE and len(header) == 26 and header[24] == 16
        with Image.open(file) as image:
            _check_mode(path, image, is_16bit=is_16bit)
            if header_only:
                channels = _PNG_CHANNELS[header[25]] if is_16bit else 3 if image.mode == "P" else len(image.getbands())
                return np.broadcast_to(np.uint8(0), (image.height, image.width, channels))
            if not is_16bit:  # Pillow would silently convert 16 bits to 8.
                return np.asarray(image.convert("RGB") if image.mode == "P" else image)
        file.seek(0)
        return _decode_png_16bit(path, file.read())


def _check_mode(path: Path, image: Image.Image, *, is_16bit: bool) -> None:
    """Refuse images that would be misread: CMYK as RGBA, a transparent colour as opaque."""
    if image.mode not in ("RGB", "RGBA", "L", "LA", "P", "1") and not is_16bit:
        raise InputError(f"{path} must be RGB with 8 bits per channel. Got {image.mode}. Convert it first.")
    if "transparency" in image.info and image.mode not in ("RGBA", "LA"):
        raise InputError(f"{path} marks one colour as transparent. Save it as RGB, or as RGBA with an alpha channel.")


def _decode_png_16bit(path: Path, data: bytes) -> np.ndarray:
    # One thread at a time, because warning filters are global to the process.
    with _READING_16BIT, warnings.catch_warnings():
        # torchvision 0.29 announces that a later release will not decode images.
        warnings.filterwarnings("ignore", message="The image decoding", category=DeprecationWarning)
        try:
            from torchvision.io import ImageReadMode, decode_png
        except ImportError as error:
            raise InputError(f"{path}: 16-bit PNG requires a torchvision that reads images, such as 0.29.") from error
        pixels = decode_png(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.UNCHANGED)
    return pixels.permute(1, 2, 0).to(torch.int32).numpy().astype(np.uint16)


def _read_npy(path: Path, header_only: bool) -> np.ndarray:
    array = np.load(path, mmap_mode="r" if header_only else None, allow_pickle=False)
    if array.dtype.kind != "f":
        raise InputError(
            f"{path} must contain floats in [0, 1]. Got {array.dtype}. Divide the values by their range first."
        )
    if array.ndim != 3 or array.shape[-1] not in (3, 4):
        raise InputError(f"{path} must have shape [height, width, 3]. Got {list(array.shape)}.")
    return array


def _read_exr(path: Path, header_only: bool) -> np.ndarray:
    """Read an EXR file, always completely, because the header does not tell whether alpha is 1 everywhere."""
    import OpenEXR

    with OpenEXR.File(str(path)) as file:
        channels = file.channels()
        name = next((name for name in ("RGBA", "RGB", "Y") if name in channels), None)
        if name is None:
            raise InputError(f"{path} must have the channels R, G and B. Got {', '.join(channels)}.")
        stored = channels[name].pixels
        if name == "RGBA" and not (stored[..., 3] == 1).all():
            raise InputError(
                f"{path} has an alpha channel that is not 1 everywhere. EXR colours are premultiplied by alpha. "
                "Composite the image over your background when you write it, and save it as RGB."
            )
        return stored[..., :3] if name == "RGBA" else stored


_READERS: dict[str, Callable[[Path, bool], np.ndarray]] = {".npy": _read_npy, ".exr": _read_exr}


def _layers(path: Path, pixels: Tensor, reading: Reading) -> tuple[Tensor, Tensor | None]:
    """Return the display-referred colours and the alpha of a file's channels."""
    if path.suffix.lower() == ".exr":
        if reading.exr is None:
            raise InputError(
                f"{path} is EXR, which contains linear light by convention, but scores use display values. "
                "Use `--exr linear` to encode it as sRGB, or `--exr srgb` if it already contains display values."
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
    levels = (quantise(image.detach().clamp(0, 1), "round") * 255).round().to(torch.uint8).cpu().numpy()
    # The lowest compression, because writing many renders should not slow the command down.
    write_whole(path, lambda file: Image.fromarray(levels).save(file, format="PNG", compress_level=1))


def save_npy(path: Path, image: Float[Tensor, "h w 3"]) -> None:
    """Write an image's float32 values unchanged, `[H, W, 3]`."""
    write_whole(path, lambda file: np.save(file, image.detach().cpu().contiguous().numpy()))
