"""Masks from files: which pixels of a view count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.image_files import decode, probe_pixels


def load_mask(path: Path) -> Float[Tensor, "h w"]:
    """Read a mask as float32 weights in [0, 1]: white (1) counts, black (0) does not.

    A grey PNG or JPEG, or a colour one whose channels are equal, is divided by its largest possible value; NPY holds
    booleans or floats of shape `[H, W]` or `[H, W, 1]`. An alpha channel is no mask, and an error.

    Raises:
        InputError: the file cannot be read, or is no mask.
    """
    values = _load_array(path) if path.suffix.lower() == ".npy" else decode(path)
    channels = values.shape[-1]
    if channels not in (1, 3) or not (values == values[..., :1]).all():
        raise InputError(f"The mask {path} has {channels} channels that differ, and one grey channel is needed.")
    return values[..., 0].contiguous()


def probe_mask(path: Path) -> tuple[int, int]:
    """Width and height of a mask, from its header alone where the format has one.

    Raises:
        InputError: the file cannot be read.
    """
    if path.suffix.lower() == ".npy":
        height, width = _load_array(path).shape[:2]
        return width, height
    width, height, _ = probe_pixels(path)
    return width, height


def _load_array(path: Path) -> Tensor:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"The mask {path} cannot be read: {error}.") from error
    if array.dtype.kind not in "bf" or array.ndim not in (2, 3):
        raise InputError(
            f"The mask {path} holds {array.dtype} of shape {list(array.shape)}, and booleans or floats in [0, 1] of "
            "shape [height, width] are needed."
        )
    values = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    return values[..., None] if values.ndim == 2 else values
