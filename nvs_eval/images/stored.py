"""Values that the readers of image files return, and the checks and warnings that all readers share.

A reader takes an open file and its path, reads the header, and returns a `Stored`, whose `load` decodes the pixels. It
raises any exception for a file that it cannot read; `explained` turns it into an error that names the file.
"""

from __future__ import annotations

import math
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nvs_eval.errors import FileError, InputError, InputWarning, ResourceError, quoted, shortened, some
from nvs_eval.system.devices import free_memory
from nvs_eval.system.folders import shown
from nvs_eval.system.reservations import Reservations, ShortageError
from nvs_eval.system.space import in_units, too_little

_BYTES_PER_VALUE = 8  # The stored value and its float32, at most.
_LARGE = 2**28
_RESERVATIONS = Reservations()
_MOST_PER_BYTE = 10**4  # Ten times the values per byte of a black PNG.


class DamagedError(Exception):
    """The content of an image file is damaged or incomplete. The message is a clause for the user."""


# Exceptions of decoders for truncated files and invalid content.
_DAMAGED = (DamagedError, struct.error, zlib.error, EOFError, SyntaxError)
_LONGEST_REASON = 150


@dataclass(frozen=True)
class Tags:
    """Orientation and colours that a file declares, as stored in it. None of it has been applied to the pixels.

    Attributes:
        exif: EXIF data, starting with its TIFF header; empty without.
        icc: ICC profile; empty without.
        png: data of the chunks of a PNG that describe colours (gAMA, cHRM, sRGB, cICP, iCCP), by name.
        colours: colours other than sRGB, such as "the primaries of ACEScg", in formats that name them elsewhere.
        orientation: value of the EXIF tag Orientation, in formats that store it elsewhere.
    """

    exif: bytes = b""
    icc: bytes = b""
    png: Mapping[bytes, bytes] = field(default_factory=dict)
    colours: str = ""
    orientation: int = 1


@dataclass(frozen=True)
class Stored:
    """An image file whose header has been read.

    Attributes:
        shape: height, width and number of channels of its values; without channels if there is only one.
        load: decodes the stored values, of this shape: uint8, uint16, bool or floats. Call it while the file is open.
        largest: value of an integer that stands for 1 (default: the largest of its type).
        linear: format whose files contain linear light by convention, such as "an EXR file"; empty for display values.
        tags: orientation and colours that the file declares.
        encoding: `linear` or `srgb` if the file itself says so, in formats that contain linear light by convention.
        lossy: whether the values may differ from those that were saved, as in a JPEG.
    """

    shape: tuple[int, ...]
    load: Callable[[], np.ndarray]
    largest: int | None = None
    linear: str = ""
    tags: Tags = Tags()
    encoding: str = ""
    lossy: bool = False


@dataclass(frozen=True)
class Layers:
    """Images of a file that can have several, by the name of their layer. An unnamed layer is the default.

    Attributes:
        images: functions that read the header of each.
    """

    images: Mapping[str, Callable[[], Stored]]

    def choose(self, name: str | None, path: Path) -> Stored:
        """Read the header of a layer (default: the unnamed one, or the only one).

        Raises:
            InputError: there is no such layer, or there are several and none is the default.
        """
        names = list(self.images)
        default = "" if "" in names else names[0] if len(names) == 1 else None
        if name is None or names == [""]:  # Files with other layers do not make a name necessary for plain ones.
            name = default
        if name is not None and name in self.images:
            return self.images[name]()
        layers = some([layer or "the unnamed one" for layer in names], 12)
        if name is None:
            raise InputError(f"{path} has several layers with colours: {layers}. Use `--exr-layer NAME` to choose one.")
        raise InputError(f"{path} has no layer {quoted(name)} with colours. Its layers are {layers}.")


Reader = Callable[[BinaryIO, Path], Stored | Layers]
"""Function that reads the header of an open file."""


def check_size(path: Path, shape: tuple[int, ...], max_pixels: int | None = None) -> None:
    """Check the size of an image before it is decoded, because a small file can contain a very large image.

    Raises:
        InputError: it has more than `max_pixels` pixels, or, without `max_pixels`, far more than its bytes can contain.
        ResourceError: it needs more memory than is free.
        DamagedError: it is empty.
    """
    height, width = shape[:2]
    if not height or not width:
        raise DamagedError("its header gives an empty image")
    if max_pixels is not None and height * width > max_pixels:
        raise InputError(f"{path} must have at most {max_pixels} pixels (--max-pixels). Got {width}x{height}.")
    needed = _BYTES_PER_VALUE * math.prod(shape)
    if needed < _LARGE:
        return
    if max_pixels is None and math.prod(shape) > _MOST_PER_BYTE * path.stat().st_size:
        raise InputError(
            f"{path} is {width}x{height}, far more than its {path.stat().st_size} bytes can show. It is damaged or has "
            "a single colour. `--max-pixels` reads it nevertheless."
        )
    check_memory(f"{path} is {width}x{height} and", needed)


def image_bytes(size: tuple[int, int]) -> int:
    """Return the bytes that an RGB image needs while it is decoded, by its width and height."""
    return _BYTES_PER_VALUE * 3 * size[0] * size[1]


def check_memory(what: str, needed: int) -> None:
    """Check that memory is free to read images.

    Args:
        what: beginning of the message, such as "a.png is 4x3 and".
        needed: number of bytes.

    Raises:
        ResourceError: it is not.
    """
    if needed >= _LARGE and (free := _free()) is not None and needed > free:
        raise _shortage(what, needed, free)


@contextmanager
def memory_for(path: Path, shape: tuple[int, ...]) -> Iterator[None]:
    """Reserve the memory of an image while it is decoded, because several threads decode images.

    Raises:
        ResourceError: it is not free.
    """
    needed = _BYTES_PER_VALUE * math.prod(shape)
    try:
        with _RESERVATIONS.hold(needed, _free):
            yield
    except ShortageError as error:
        raise _shortage(f"{path} is {shape[1]}x{shape[0]} and", needed, error.free) from error


def _free() -> int | None:
    import torch

    return free_memory(torch.device("cpu"))


def _shortage(what: str, needed: int, free: int) -> ResourceError:
    size, left = too_little(needed, free)
    return ResourceError(
        f"{what} needs {size} of memory to read, but only {left} are free. If this is not the "
        "real size, a file is damaged. Otherwise free some memory, or score fewer folders at once."
    )


def bytes_left(file: BinaryIO) -> int:
    """Return the number of bytes from the current position to the end of a file."""
    return os.fstat(file.fileno()).st_size - file.tell()


def whole(file: BinaryIO) -> bytes:
    """Return all bytes of a file.

    Raises:
        ResourceError: it is larger than the free memory.
    """
    file.seek(0)
    check_memory(f"{file.name} has {in_units(bytes_left(file))} and", bytes_left(file))
    return file.read()


def warn(path: Path, kind: str, remedy: str) -> None:
    """Warn that a file is read although something in it is wrong.

    Args:
        path: path of the file.
        kind: what is wrong, the predicate of a sentence about the file. A command prints the first warning of each
            kind, and the number of the others.
        remedy: what was done or can be done, a sentence.
    """
    warnings.warn(InputWarning(f"{NAMED.get()(str(path))} {kind}. {remedy}", kind), stacklevel=2)


NAMED: ContextVar[Callable[[str], str]] = ContextVar("NAMED", default=str)
"""Replaces the temporary folder of an archive in the path of a warning; set by `nvs_eval.sources.archives.naming`."""


@contextmanager
def explained(path: Path, what: str) -> Iterator[None]:
    """Turn the errors of decoders, which have no common exception, into errors that name the file.

    Args:
        path: path of the file.
        what: noun for its content, such as "an image".

    Raises:
        FileError: a decoder failed.
    """
    try:
        yield
    except (InputError, InputWarning):
        raise
    except MemoryError as error:
        raise ResourceError(
            f"{shown(path)} needs more memory than this process can have. Free some, or raise its limit."
        ) from error
    except Exception as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error).rstrip(".") or type(error).__name__
        if isinstance(error, _DAMAGED):
            # Pillow wraps errors of Python, whose words are about its code.
            is_plain = not isinstance(error.__cause__ or error, struct.error | LookupError | TypeError)
            reason = "it is damaged or truncated" + (f" ({reason})" if is_plain else "")
        raise FileError(f"{shown(path)} cannot be read as {what}: {shortened(reason, _LONGEST_REASON)}.") from error
