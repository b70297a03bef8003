"""Reading and writing image files, exactly: each format through a library that keeps its values."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal

import imageio.v3 as iio
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
# What decoders raise where a file ends too soon, or holds what it cannot.
_DAMAGED = (struct.error, zlib.error, EOFError, SyntaxError)
_READING_16BIT = Lock()
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


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
    return _opaque_colours(path, colours, alpha, reading)


def load_layers(path: Path, reading: Reading) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w 1"] | None]:
    """Likewise, with the alpha channel beside the colours if the file has one: what it means is not decided here.

    Raises:
        InputError: the file cannot be read, or needs an instruction that `reading` does not give; `alpha` and
            `background` are not looked at.
    """
    pixels = decode(path)
    if path.suffix.lower() == ".exr":
        pixels = _decode_light(path, pixels, reading)
    return _layers(path, pixels, reading)


def probe_image(path: Path, reading: Reading | None = None) -> tuple[int, int]:
    """Width and height of an image file, from its header alone where the format has one.

    What `load_image` would refuse for its channels is refused here, before any long work.

    Raises:
        InputError: as `load_image`, damage in the pixels excepted.
    """
    reading = reading or Reading()
    width, height, channels = probe_pixels(path)
    blank = torch.zeros(1, 1, channels)
    if path.suffix.lower() == ".exr":
        blank = _decode_light(path, blank, reading)
    _opaque_colours(path, *_layers(path, blank, reading), reading)
    return width, height


def probe_pixels(path: Path) -> tuple[int, int, int]:
    """Width, height and channels of an image file, as `decode` would give them.

    Raises:
        InputError: it cannot be read, damage in the pixels excepted.
    """
    with _reading(path):
        height, width, channels = _SHAPES.get(path.suffix.lower(), _shape_integers)(path)
    return width, height, channels


def decode(path: Path) -> Float[Tensor, "h w c"]:
    """A file's values as float32, integers divided by their largest value, with as many channels as it has.

    Raises:
        InputError: it cannot be read.
    """
    with _reading(path):
        array = _READERS[path.suffix.lower()](path)
    return torch.from_numpy(np.ascontiguousarray(_planes(array))).permute(1, 2, 0)


def _planes(array: np.ndarray) -> np.ndarray:
    """The channels of an image, which are in front where it is scored: so they lie in memory from the beginning."""
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever a decoder raises, the user reads which file it was."""
    if path.suffix.lower() not in EXTENSIONS:
        raise InputError(f"{path} is not an image format that is read here: {', '.join(EXTENSIONS)}.")
    try:
        yield
    except InputError:
        raise
    except ImportError as error:
        raise InputError(f"{path}: reading EXR needs OpenEXR: pip install 'nvs-eval[exr]' ({error}).") from error
    except Exception as error:  # A decoder raises what it likes: whatever it is, the file is unreadable.
        raise InputError(f"{path} cannot be read as an image: {_reason(error)}.") from error


def _reason(error: BaseException) -> str:
    """What happened first: imageio wraps it in sentences about its plugins."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    if isinstance(error, UnidentifiedImageError):
        return "it is empty, damaged or of another format"
    if isinstance(error, _DAMAGED):
        return f"it is damaged, or was not written to its end ({error})"
    return (isinstance(error, OSError) and error.strerror) or str(error).rstrip(".")


def _read_integers(path: Path) -> np.ndarray:
    """PNG and JPEG, whichever of them the name promises."""
    with iio.imopen(path, "r", plugin="pillow") as file:
        _check_mode(path)
        if not _is_16bit_png(path):
            array = file.read(index=0)  # As stored: EXIF rotation is not applied.
            # One bit a pixel, as masks often have, is read as booleans.
            largest = np.float32(1 if array.dtype == bool else 255)
            planes = _planes(array).astype(np.float32, order="C")
            return np.divide(planes, largest, out=planes).transpose(1, 2, 0)
    return _read_png_16bit(path)


def _check_mode(path: Path) -> None:
    """Refuse what would be read as something else than it is: CMYK as RGBA, a transparent colour as an opaque one."""
    # imageio would decode a whole PNG to say its mode, in search of EXIF.
    with Image.open(path) as header:
        mode, transparent = header.mode, "transparency" in header.info
    if mode not in ("RGB", "RGBA", "L", "LA", "P", "1") and not _is_16bit_png(path):
        raise InputError(f"{path} is a {mode} image, and RGB with 8 bits a channel is needed: convert it first.")
    if transparent and mode not in ("RGBA", "LA"):
        raise InputError(f"{path} marks one colour as transparent: save it as RGB, or as RGBA with an alpha channel.")


def _is_16bit_png(path: Path) -> bool:
    """Whether the header says 16 bits a channel, which imageio would turn into 8 in silence."""
    header = _png_header(path)
    return header[:8] == _PNG_SIGNATURE and len(header) == 26 and header[24] == 16


def _png_header(path: Path) -> bytes:
    """The signature and the first chunk up to the depth (byte 24) and the colour type (byte 25)."""
    with path.open("rb") as file:
        return file.read(26)


def _read_png_16bit(path: Path) -> np.ndarray:
    # One at a time: which warnings are shown is known to the whole process, and files are read in threads.
    with _READING_16BIT, warnings.catch_warnings():
        # torchvision 0.29 announces that a later release will not decode images.
        warnings.filterwarnings("ignore", message="The image decoding", category=DeprecationWarning)
        try:
            from torchvision.io import ImageReadMode, decode_png, read_file
        except ImportError as error:
            raise InputError(f"{path}: 16-bit PNG needs a torchvision that reads images, such as 0.29.") from error
        pixels = decode_png(read_file(str(path)), mode=ImageReadMode.UNCHANGED)
    return (pixels.permute(1, 2, 0).to(torch.float64) / 65535).to(torch.float32).numpy()


def _read_npy(path: Path) -> np.ndarray:
    array = np.load(path, allow_pickle=False)
    _check_floats(path, array)
    return array.astype(np.float32)


def _check_floats(path: Path, array: np.ndarray) -> None:
    if array.dtype.kind != "f":
        raise InputError(
            f"{path} holds {array.dtype}, and float values in [0, 1] are needed: divide by the range first."
        )
    if array.ndim != 3 or array.shape[-1] not in (3, 4):
        raise InputError(f"{path} has shape {list(array.shape)}, and [height, width, 3] is needed.")


def _read_exr(path: Path) -> np.ndarray:
    import OpenEXR

    with OpenEXR.File(str(path)) as file:
        channels = file.channels()
        if "RGBA" in channels:
            return _opaque(path, channels["RGBA"].pixels.astype(np.float32))
        if "RGB" in channels:
            return channels["RGB"].pixels.astype(np.float32)
        if "Y" in channels:
            return channels["Y"].pixels.astype(np.float32)
        raise InputError(f"{path} has the channels {', '.join(channels)}, and R, G, B are needed.")


def _opaque(path: Path, pixels: np.ndarray) -> np.ndarray:
    """The colours of an EXR with alpha, whose colours are premultiplied by it, in linear light: all of it must be 1."""
    if not (pixels[..., 3] == 1).all():
        raise InputError(
            f"{path} has an alpha channel that is not 1 everywhere. The colours of an EXR are premultiplied by it: lay "
            "the image over your background where it is made, and save it as RGB."
        )
    return pixels[..., :3]


_READERS: dict[str, Callable[[Path], np.ndarray]] = {
    ".png": _read_integers,
    ".jpg": _read_integers,
    ".jpeg": _read_integers,
    ".npy": _read_npy,
    ".exr": _read_exr,
}


def _shape_integers(path: Path) -> tuple[int, int, int]:
    with iio.imopen(path, "r", plugin="pillow") as file:
        _check_mode(path)
        shape = file.properties(index=0).shape
    channels = shape[2] if len(shape) == 3 else 1
    # The colour type of a 16-bit PNG, for some of which imageio has no mode of its own.
    return shape[0], shape[1], {0: 1, 2: 3, 4: 2, 6: 4}[_png_header(path)[25]] if _is_16bit_png(path) else channels


def _shape_npy(path: Path) -> tuple[int, int, int]:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    _check_floats(path, array)
    return array.shape


def _shape_exr(path: Path) -> tuple[int, int, int]:
    image = _read_exr(path)
    return image.shape[0], image.shape[1], image.shape[2] if image.ndim == 3 else 1


# PNG and JPEG go the same way.
_SHAPES: dict[str, Callable[[Path], tuple[int, int, int]]] = {".npy": _shape_npy, ".exr": _shape_exr}


def _decode_light(path: Path, pixels: Tensor, reading: Reading) -> Tensor:
    if reading.exr is None:
        raise InputError(
            f"{path} is EXR, which holds linear light by convention, and scores are of display values: say "
            "`--exr linear` to have it encoded as sRGB, or `--exr srgb` where it holds display values already."
        )
    # Row by row, as the file has it: the last digit of a power depends on how many values lie side by side.
    return linear_to_srgb(pixels.contiguous()) if reading.exr == "linear" else pixels


def _layers(path: Path, pixels: Tensor, reading: Reading) -> tuple[Tensor, Tensor | None]:
    """Colours and alpha of the file's channels."""
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


def _opaque_colours(path: Path, colours: Tensor, alpha: Tensor | None, reading: Reading) -> Tensor:
    return without_alpha(colours, alpha, rule=reading.alpha, background=reading.background, what=str(path))


def save_png(path: Path, image: Float[Tensor, "h w 3"]) -> None:
    """Write an 8-bit PNG of an image: clamped to [0, 1], rounded to the nearest level."""
    levels = (quantise(image.detach().clamp(0, 1), "round") * 255).round().to(torch.uint8).cpu().numpy()
    # The lowest compression: renders are many, and their writing should not be what a user waits for.
    write_whole(path, lambda file: iio.imwrite(file, levels, plugin="pillow", extension=".png", compress_level=1))


def save_npy(path: Path, image: Float[Tensor, "h w 3"]) -> None:
    """Write an image's float32 values as they are, `[H, W, 3]`."""
    write_whole(path, lambda file: np.save(file, image.detach().cpu().contiguous().numpy()))
