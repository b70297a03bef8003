"""Masks from files: which pixels of a view count."""

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
from nvs_eval.images.files import decode, stored_size
from nvs_eval.images.pixels import sha256_of_mask
from nvs_eval.sources.views import View


@dataclass(frozen=True)
class Masks:
    """The masks of views, in files.

    Attributes:
        files: file of each view's mask, by view name.
        binary: whether every weight above 0 counts as 1, as in nerfstudio's data.
        lasting: whether the files stay where they are, so that a record can name them.
    """

    files: Mapping[str, Path]
    binary: bool = False
    lasting: bool = True

    def load(self, name: str) -> Float[Tensor, "h w"]:
        """Read the mask of a view.

        Raises:
            InputError: it cannot be read.
        """
        mask = load_mask(self.files[name])
        # By NumPy, as in `load_mask`: torch would start threads of its own in each that reads ahead.
        return torch.from_numpy((mask.numpy() > 0).astype(np.float32)) if self.binary else mask

    def lasting_file(self, name: str) -> Path | None:
        """File of a view's mask that a record can name; None where there is none."""
        return self.files[name] if self.lasting else None

    def attach(self, view: View) -> View:
        """The view with its mask.

        Raises:
            InputError: the mask cannot be read, or is not of the view's size.
        """
        return view.with_mask(self.load(view.name), self.lasting_file(view.name))

    def sha256(self, name: str) -> str:
        """Hash of a view's mask, as in its row of a record.

        Raises:
            InputError: the mask cannot be read.
        """
        return sha256_of_mask(self.load(name))

    def check(self, sizes: Mapping[str, tuple[int, int]]) -> None:
        """Check that each view has a mask of its width and height.

        Raises:
            InputError: naming what is missing, or the file.
        """
        missing = [name for name in sizes if name not in self.files]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(sizes)} views have no mask: {some(missing)}. There are {some(self.files)}. "
                "Give one for each view, with the view's name; white counts, black does not."
            )
        for name, size in sizes.items():
            other = probe_mask(self.files[name])
            if other != size:
                raise InputError(
                    f"View {name!r}: the mask {self.files[name]} is {other[0]}x{other[1]} and the image {size[0]}x"
                    f"{size[1]}. Nothing is resized here: give masks of the images' size."
                )


def load_mask(path: Path) -> Float[Tensor, "h w"]:
    """Read a mask as float32 weights in [0, 1]: white (1) counts, black (0) does not.

    A grey PNG or JPEG, or a colour one whose channels are equal, is divided by its largest possible value; NPY holds
    booleans or floats of shape `[H, W]` or `[H, W, 1]`. An alpha channel is no mask, and an error.

    Raises:
        InputError: the file cannot be read, or is no mask.
    """
    is_array = path.suffix.lower() == ".npy"
    values = np.atleast_3d(_load_array(path).astype(np.float32)) if is_array else decode(path).numpy()
    channels = values.shape[-1]
    if channels != 1 and (channels != 3 or not (values == values[..., :1]).all()):
        raise InputError(f"The mask {path} has {channels} channels that differ, and one grey channel is needed.")
    return torch.from_numpy(np.ascontiguousarray(values[..., 0]))


def probe_mask(path: Path) -> tuple[int, int]:
    """Width and height of a mask, from its header alone where the format has one.

    Raises:
        InputError: the file cannot be read.
    """
    if path.suffix.lower() != ".npy":
        return stored_size(path)
    height, width = _load_array(path, mmap_mode="r").shape[:2]
    return width, height


def _load_array(path: Path, mmap_mode: Literal["r"] | None = None) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"The mask {path} cannot be read: {error}.") from error
    if array.dtype.kind not in "bf" or array.ndim not in (2, 3):
        raise InputError(
            f"The mask {path} holds {array.dtype} of shape {list(array.shape)}, and booleans or floats in [0, 1] of "
            "shape [height, width] are needed."
        )
    return array
