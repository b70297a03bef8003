"""OpenEXR: half or float channels."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from nvs_eval.errors import InputError
from nvs_eval.images.stored import Stored


def read(_: BinaryIO, path: Path) -> Stored:
    """Read an EXR file, always completely, because the header does not tell whether alpha is 1 everywhere."""
    try:
        import OpenEXR
    except ImportError as error:
        raise InputError(f"{path}: reading EXR requires OpenEXR ({error}). Run pip install 'nvs-eval[exr]'.") from error

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
        values: np.ndarray = stored[..., :3] if name == "RGBA" else stored
        return Stored(values.shape, lambda: values, linear="EXR")
