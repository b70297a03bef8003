"""Masks in files: weights of the pixels of each view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError, some
from nvs_eval.images.files import Header, decode, stored_header
from nvs_eval.images.pixels import sha256_of_mask
from nvs_eval.images.tags import check_orientation
from nvs_eval.sources.views import View


@dataclass(frozen=True)
class Masks:
    """Files of the masks of views.

    Attributes:
        files: mask of each view, by view name.
        binary: whether every weight above 0 counts as 1, as in nerfstudio's data.
        lasting: whether the files outlive the command, so that a record can refer to them.
    """

    files: Mapping[str, Path]
    binary: bool = False
    lasting: bool = True

    def load(self, name: str) -> Float[Tensor, "h w"]:
        """Read the mask of a view.

        Raises:
            InputError: the mask cannot be read.
        """
        mask = load_mask(self.files[name])
        # NumPy, as in `load_mask`, because torch would start its own threads in each prefetching thread.
        return torch.from_numpy((mask.numpy() > 0).astype(np.float32)) if self.binary else mask

    def lasting_file(self, name: str) -> Path | None:
        """Return the file of a view's mask if a record can refer to it, or None."""
        return self.files[name] if self.lasting else None

    def attach(self, view: View) -> View:
        """Return a view with its mask.

        Raises:
            InputError: the mask cannot be read, or its size differs from the view's.
        """
        return view.with_mask(self.load(view.name), self.lasting_file(view.name))

    def sha256(self, name: str) -> str:
        """Return the hash of a view's mask, as stored in the view's row of a record.

        Raises:
            InputError: the mask cannot be read.
        """
        return sha256_of_mask(self.load(name))

    def check(self, sizes: Mapping[str, tuple[int, int]], orientations: Mapping[str, int] | None = None) -> None:
        """Check that each view has a mask of its width and height.

        Args:
            sizes: width and height of each view, by name.
            orientations: EXIF orientation of each view, which its mask must have (default: not checked).

        Raises:
            InputError: a mask is missing or has another size or orientation; the message names it.
        """
        missing = [name for name in sizes if name not in self.files]
        if missing:
            raise InputError(
                f"Every view must have a mask with the view's name (white counts, black does not). {len(missing)} of "
                f"{len(sizes)} views have none: {some(missing)}. The masks are {some(self.files)}."
            )
        for name, size in sizes.items():
            header = probe_mask(self.files[name])
            if orientations is not None:
                files = {"image": orientations[name], f"mask {self.files[name]}": header.orientation}
                check_orientation(name, files)
            mask_size = header.size
            if mask_size != size:
                raise InputError(
                    f"View {name!r}: the mask {self.files[name]} is {mask_size[0]}x{mask_size[1]}, but the image is "
                    f"{size[0]}x{size[1]}. Masks are never resized. Provide one of the image's size."
                )


def load_mask(path: Path) -> Float[Tensor, "h w"]:
    """Read a mask as float32 weights in [0, 1]: white (1) counts, black (0) does not.

    A PNG or JPEG must be grey, or colour with equal channels; it is divided by its largest possible value. An NPY file
    contains booleans or floats of shape `[H, W]` or `[H, W, 1]`. An alpha channel is an error.

    Raises:
        InputError: the file cannot be read, or is not a mask.
    """
    is_array = path.suffix.lower() == ".npy"
    values = np.atleast_3d(_load_array(path).astype(np.float32)) if is_array else decode(path).numpy()
    channels = values.shape[-1]
    if channels != 1 and (channels != 3 or not (values == values[..., :1]).all()):
        raise InputError(f"The mask {path} must have one grey channel. Got {channels} channels that differ.")
    return torch.from_numpy(np.ascontiguousarray(values[..., 0]))


def probe_mask(path: Path) -> Header:
    """Read the header of a mask.

    Raises:
        InputError: the file cannot be read.
    """
    if path.suffix.lower() != ".npy":
        return stored_header(path)
    height, width = _load_array(path, mmap_mode="r").shape[:2]
    return Header((width, height))


def _load_array(path: Path, mmap_mode: Literal["r"] | None = None) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"The mask {path} cannot be read: {error}.") from error
    if array.dtype.kind not in "bf" or array.ndim not in (2, 3):
        raise InputError(
            f"The mask {path} must contain booleans or floats in [0, 1] of shape [height, width]. Got {array.dtype} of "
            f"shape {list(array.shape)}."
        )
    return array
