"""NPY: arrays of floats."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from nvs_eval.errors import InputError, shortened
from nvs_eval.images.stored import DamagedError, Stored
from nvs_eval.system.files import open_file


def open_array(path: Path) -> np.ndarray:
    """Map the array of an NPY file into memory.

    Raises:
        InputError: the file contains more than one array.
        Exception: NumPy cannot read it.
    """
    open_file(path).close()  # The library would wait for a pipe.
    try:
        with np.errstate(over="ignore"):  # The library multiplies the numbers of the shape.
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, SyntaxError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        if any(clue in str(error) for clue in ("object at 0x", "too big")) or not isinstance(
            error, ValueError | MemoryError
        ):
            raise DamagedError("its header is invalid") from error
        raise
    if not isinstance(array, np.memmap):
        raise ValueError("it is no NPY file")
    if array.offset + array.nbytes < path.stat().st_size:
        raise InputError(f"{path} must contain one array. Got more data after it. Save the arrays in separate files.")
    return array


def read(_: BinaryIO, path: Path) -> Stored:
    """Read the header of an NPY file, which must contain floats of shape `[H, W, 3 or 4]`."""
    array = open_array(path)
    if array.dtype.kind != "f":
        raise InputError(
            f"{path} must contain floats in [0, 1]. Got {shortened(str(array.dtype))}. Divide the values by their "
            "range first."
        )
    if array.ndim != 3 or array.shape[-1] not in (3, 4):
        raise InputError(f"{path} must have shape [height, width, 3]. Got {shortened(str(list(array.shape)))}.")
    return Stored(array.shape, lambda: np.array(array))
