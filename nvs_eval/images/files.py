"""Reading and writing image files, exactly: each format through a library that keeps its values."""

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
_PNG_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # By the colour type in the header.
# Errors of decoders where a file ends too soon, or its content is invalid.
_DAMAGED = (struct.error, zlib.error, EOFError, SyntaxError)
_READING_16BIT = Lock()


@dataclass(frozen=True)
class Reading:
    """What to do where a file alone does not say how it becomes an RGB image.

    Attributes:
        alpha: what an alpha channel means: `composite` lays the image over `background`, `drop` ignores the alpha.
        background: the colour for `composite`; without one an alpha channel is an error.
        grey_to_rgb: repeat the one channel of a grey image; without it a grey image is an error.
        exr: whether an EXR file holds linear light, to be encoded as sRGB, or display values already.

    Raises:
        InputError: the background is no colour.
    """

    alpha: AlphaRule = "composite"
    background: tuple[float, float, float] | None = None
    grey_to_rgb: bool = False
    exr: Literal["linear", "srgb"] | None = None

    def __post_init__(self) -> None:
        """Check the background: one in [0, 255] would give scores that look like any."""
        colour = self.background
        if colour is not None and (len(colour) != _CHANNELS or not all(0 <= value <= 1 for value in colour)):
            raise InputError(f"The background is {colour}, and red, green and blue, each in [0, 1], are needed.")


def load_image(path: Path, reading: Reading | None = None) -> Float[Tensor, "h w 3"]:
    """Read one image file as float32 RGB.

    8-bit PNG and JPEG are divided by 255 (EXIF rotation is not applied), 16-bit PNG by 65535; NPY holds floats of shape
    `[H, W, 3 or 4]`, EXR half or float channels R, G, B and perhaps A.

    Raises:
        InputError: the file cannot be read, or needs an instruction that `reading` does not give.
    """
    reading = reading or Reading()
    colours, alpha = load_layers(path, reading)
    return without_alpha(colours, alpha, rule=reading.alpha, background=reading.background, what=str(path))


def load_layers(path: Path, reading: Reading) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w 1"] | None]:
    """Read the colours of an image file, and its alpha channel if it has one.

    Raises:
        InputError: the file cannot be read, or needs an instruction that `reading` does not give; `alpha` and
            `background` are not looked at.
    """
    return _layers(path, decode(path), reading)


def probe_image(
    path: Path, reading: Reading | None = None, *, alpha: Collection[AlphaRule] | None = None
) -> tuple[int, int]:
    """Width and height of an image file, from its header alone where the format has one.

    Files that `load_image` would refuse for their channels are refused here, before any long work.

    Args:
        path: the file.
        reading: as for `load_image`.
        alpha: rules to check, one after the other, in place of the one in `reading`.

    Raises:
        InputError: as `load_image`, damage in the pixels excepted.
    """
    reading = reading or Reading()
    shape = _read(path, header_only=True).shape
    pixel = torch.zeros(1, 1, *shape[2:] or (1,))
    colours, opacity = _layers(path, pixel, reading)
    for rule in (reading.alpha,) if alpha is None else alpha:
        without_alpha(colours, opacity, rule=rule, background=reading.background, what=str(path))
    return shape[1], shape[0]


def stored_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file, whatever its channels.

    Raises:
        InputError: it cannot be read, damage in the pixels excepted.
    """
    height, width = _read(path, header_only=True).shape[:2]
    return width, height


def decode(path: Path) -> Float[Tensor, "h w c"]:
    """A file's values as float32, integers divided by their largest value, with as many channels as it has.

    Each channel's pixels lie together in memory, as they are scored.

    Raises:
        InputError: it cannot be read.
    """
    stored = _read(path)
    planes = stored[None] if stored.ndim == 2 else stored.transpose(2, 0, 1)
    if largest := _LARGEST.get(stored.dtype.name):
        planes = np.divide(planes, np.float32(largest), dtype=np.float32, order="C")
    return torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32)).permute(1, 2, 0)


def _read(path: Path, *, header_only: bool = False) -> np.ndarray:
    """The values of an image file as stored, `[H, W]` or `[H, W, C]`; of only its header the shape is meaningful."""
    suffix = path.suffix.lower()
    if suffix not in EXTENSIONS:
        raise InputError(f"{path} is not an image format that is read here: {', '.join(EXTENSIONS)}.")
    try:
        return _READERS.get(suffix, _read_integers)(path, header_only)
    except InputError:
        raise
    except ImportError as error:
        raise InputError(f"{path}: reading EXR needs OpenEXR: pip install 'nvs-eval[exr]' ({error}).") from error
    except Exception as error:  # Decoders have no common error.
        reason = (isinstance(error, OSError) and error.strerror) or str(error).rstrip(".")
        if isinstance(error, UnidentifiedImageError):
            reason = "it is empty, damaged or of another format"
        elif isinstance(error, _DAMAGED):
            reason = f"it is damaged, or was not written to its end ({error})"
        raise InputError(f"{path} cannot be read as an image: {reason}.") from error


def _read_integers(path: Path, header_only: bool) -> np.ndarray:
    """PNG and JPEG, whichever of them the name promises."""
    with path.open("rb") as file:
        header = file.read(26)  # The depth is byte 24, the colour type byte 25.
        is_16bit = header[:8] == _PNG_SIGNATURE and len(header) == 26 and header[24] == 16
        with Image.open(file) as image:
            _check_mode(path, image, is_16bit=is_16bit)
            if header_only:
                channels = _PNG_CHANNELS[header[25]] if is_16bit else 3 if image.mode == "P" else len(image.getbands())
                return np.broadcast_to(np.uint8(0), (image.height, image.width, channels))
            if not is_16bit:  # Pillow would turn 16 bits into 8 in silence.
                return np.asarray(image.convert("RGB") if image.mode == "P" else image)
        file.seek(0)
        return _decode_png_16bit(path, file.read())


def _check_mode(path: Path, image: Image.Image, *, is_16bit: bool) -> None:
    """Refuse images that would be misread: CMYK as RGBA, a transparent colour as an opaque one."""
    if image.mode not in ("RGB", "RGBA", "L", "LA", "P", "1") and not is_16bit:
        raise InputError(f"{path} is a {image.mode} image, and RGB with 8 bits a channel is needed: convert it first.")
    if "transparency" in image.info and image.mode not in ("RGBA", "LA"):
        raise InputError(f"{path} marks one colour as transparent: save it as RGB, or as RGBA with an alpha channel.")


def _decode_png_16bit(path: Path, data: bytes) -> np.ndarray:
    # One at a time: warning filters belong to the whole process, and files are read in threads.
    with _READING_16BIT, warnings.catch_warnings():
        # torchvision 0.29 announces that a later release will not decode images.
        warnings.filterwarnings("ignore", message="The image decoding", category=DeprecationWarning)
        try:
            from torchvision.io import ImageReadMode, decode_png
        except ImportError as error:
            raise InputError(f"{path}: 16-bit PNG needs a torchvision that reads images, such as 0.29.") from error
        pixels = decode_png(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.UNCHANGED)
    return pixels.permute(1, 2, 0).to(torch.int32).numpy().astype(np.uint16)


def _read_npy(path: Path, header_only: bool) -> np.ndarray:
    array = np.load(path, mmap_mode="r" if header_only else None, allow_pickle=False)
    if array.dtype.kind != "f":
        raise InputError(
            f"{path} holds {array.dtype}, and float values in [0, 1] are needed: divide by the range first."
        )
    if array.ndim != 3 or array.shape[-1] not in (3, 4):
        raise InputError(f"{path} has shape {list(array.shape)}, and [height, width, 3] is needed.")
    return array


def _read_exr(path: Path, header_only: bool) -> np.ndarray:
    """EXR, read whole in either case: whether its alpha is 1 everywhere is not in the header."""
    import OpenEXR

    with OpenEXR.File(str(path)) as file:
        channels = file.channels()
        name = next((name for name in ("RGBA", "RGB", "Y") if name in channels), None)
        if name is None:
            raise InputError(f"{path} has the channels {', '.join(channels)}, and R, G, B are needed.")
        stored = channels[name].pixels
        if name == "RGBA" and not (stored[..., 3] == 1).all():
            raise InputError(
                f"{path} has an alpha channel that is not 1 everywhere. The colours of an EXR are premultiplied by it: "
                "lay the image over your background where it is made, and save it as RGB."
            )
        return stored[..., :3] if name == "RGBA" else stored


_READERS: dict[str, Callable[[Path, bool], np.ndarray]] = {".npy": _read_npy, ".exr": _read_exr}


def _layers(path: Path, pixels: Tensor, reading: Reading) -> tuple[Tensor, Tensor | None]:
    """Display-referred colours, and alpha, of the file's channels."""
    if path.suffix.lower() == ".exr":
        if reading.exr is None:
            raise InputError(
                f"{path} is EXR, which holds linear light by convention, and scores are of display values: say "
                "`--exr linear` to have it encoded as sRGB, or `--exr srgb` where it holds display values already."
            )
        if reading.exr == "linear":
            # In the file's order: the last digit of a power depends on how many values lie side by side.
            pixels = linear_to_srgb(pixels.contiguous())
    channels = pixels.shape[-1]
    if channels in (1, 2):
        if not reading.grey_to_rgb:
            raise InputError(
                f"{path} is a grey image, and RGB is needed: say `--grey-to-rgb` to repeat its one channel three times."
            )
        pixels = torch.cat([pixels[..., :1].expand(-1, -1, 3), pixels[..., 1:]], dim=-1)
    elif channels not in (3, 4):
        raise InputError(f"{path} has {channels} channels, and 3 (RGB) or 4 (RGBA) are needed.")
    return pixels[..., :3], pixels[..., 3:] if pixels.shape[-1] == 4 else None


def save_png(path: Path, image: Float[Tensor, "h w 3"]) -> None:
    """Write an 8-bit PNG of an image: clamped to [0, 1], rounded to the nearest level."""
    levels = (quantise(image.detach().clamp(0, 1), "round") * 255).round().to(torch.uint8).cpu().numpy()
    # The lowest compression: renders are many, and their writing should not be what a user waits for.
    write_whole(path, lambda file: Image.fromarray(levels).save(file, format="PNG", compress_level=1))


def save_npy(path: Path, image: Float[Tensor, "h w 3"]) -> None:
    """Write an image's float32 values as they are, `[H, W, 3]`."""
    write_whole(path, lambda file: np.save(file, image.detach().cpu().contiguous().numpy()))
