"""Masks in files: weights of the pixels of each view."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import FileError, InputError, quoted, shortened, some
from nvs_eval.images.arrays import open_array
from nvs_eval.images.files import Header, decode, stored_header
from nvs_eval.images.pixels import sha256_of_mask
from nvs_eval.images.stored import check_size, explained, memory_for, warn
from nvs_eval.images.tags import check_orientation
from nvs_eval.sources.archives import Unpacked, naming
from nvs_eval.sources.pictures import list_images, named_like
from nvs_eval.sources.views import FailedView, View

_LABEL = 1.5 / 255
"""Above the weight of the level 1 of 255, and of 255 of 65535."""
_FAINT = 8 / 255
"""Largest weight of a mask that is almost black, such as one of labels among masks with white pixels."""
_BRIGHT = 0.5
"""Masks of which none has a larger weight are labels, or have no white pixel by mistake."""


@dataclass(frozen=True)
class Masks:
    """Files of the masks of views.

    Attributes:
        files: mask of each view, by view name.
        binary: whether every weight above 0 counts as 1, as in nerfstudio's data.
        archive: archive that the files were unpacked from; a record cannot refer to them.
    """

    files: Mapping[str, Path]
    binary: bool = False
    archive: Unpacked | None = None

    def load(self, name: str) -> Float[Tensor, "h w"]:
        """Read the mask of a view. A mask that all views share is read once.

        Raises:
            InputError: the mask cannot be read, or has no white pixel but grey ones that are almost black.
        """
        return self._read(self.files[name]) if self._shared is None else self._shared

    @cached_property
    def _shared(self) -> Float[Tensor, "h w"] | None:
        paths = set(self.files.values())
        return self._read(paths.pop()) if len(paths) == 1 else None

    @cached_property
    def _shared_sha256(self) -> str | None:
        return None if self._shared is None else sha256_of_mask(self._shared)

    def _read(self, path: Path) -> Float[Tensor, "h w"]:
        with naming(self.archive):
            return self._weights(path)

    def _weights(self, path: Path) -> Float[Tensor, "h w"]:
        mask = load_mask(path).numpy()
        # NumPy, as in `load_mask`, because torch would start its own threads in each prefetching thread.
        if self.binary:
            return torch.from_numpy((mask > 0).astype(np.float32))
        if 0 < (largest := mask.max()) < _FAINT and not _has_floats(path):
            raise _no_white(f"The mask {path}", largest)
        return torch.from_numpy(mask)

    def lasting_file(self, name: str) -> Path | None:
        """Return the file of a view's mask if a record can refer to it, or None."""
        return self.files[name] if self.archive is None else None

    def attach(self, view: View | FailedView) -> View | FailedView:
        """Return a view with its mask, or a failed view if the mask cannot be read or has another size."""
        if isinstance(view, FailedView):
            return view
        try:
            return view.with_mask(self.load(view.name), self.lasting_file(view.name))
        except InputError as error:
            return FailedView(view.name, dict.fromkeys(range(len(view.renders) + len(view.failed)), error))

    def sha256(self, name: str) -> str:
        """Return the hash of a view's mask, as stored in the view's row of a record.

        Raises:
            InputError: the mask cannot be read.
        """
        return self._shared_sha256 or sha256_of_mask(self.load(name))

    def check(
        self, sizes: Mapping[str, tuple[int, int]], orientations: Mapping[str, int] | None = None
    ) -> dict[Path, FileError]:
        """Check that each view has a mask of its width and height. Return the errors of damaged masks.

        Args:
            sizes: width and height of each view, by name.
            orientations: EXIF orientation of each view, which its mask must have (default: not checked).

        Raises:
            InputError: a mask is missing or has another size or orientation, or all are damaged; the message names it.
        """
        with naming(self.archive):
            return self._check(sizes, orientations)

    def _check(
        self, sizes: Mapping[str, tuple[int, int]], orientations: Mapping[str, int] | None
    ) -> dict[Path, FileError]:
        missing = [name for name in sizes if name not in self.files]
        if missing:
            raise InputError(
                f"Every view must have a mask with the view's name (white counts, black does not). {len(missing)} of "
                f"{len(sizes)} views have none: {some(missing)}. The masks are {some(self.files)}."
            )
        probe = cache(probe_mask)
        damaged: dict[Path, FileError] = {}
        for name, size in sizes.items():
            try:
                header = probe(self.files[name])
            except FileError as error:
                damaged[self.files[name]] = error
                continue
            if orientations is not None:
                files = {"image": orientations[name], f"mask {self.files[name]}": header.orientation}
                check_orientation(name, files)
            mask_size = header.size
            if mask_size != size:
                raise InputError(
                    f"View {quoted(name)}: the mask {self.files[name]} is {mask_size[0]}x{mask_size[1]}, but the "
                    f"image is {size[0]}x{size[1]}. Masks are never resized. Provide one of the image's size."
                )
        if damaged and damaged.keys() >= {self.files[name] for name in sizes}:
            raise next(iter(damaged.values()))
        return damaged


@dataclass(frozen=True)
class MaskFiles:
    """Files of masks that are not yet assigned to views.

    Attributes:
        files: files of a folder by their own names, or one mask for all views.
        binary: whether every weight above 0 counts as 1.
        archive: archive that the files were unpacked from.
    """

    files: Mapping[str, Path] | Path
    binary: bool
    archive: Unpacked | None

    def of(self, views: Iterable[str]) -> Masks:
        """Return the masks of views, which have the names of the views, also with the extension of the images.

        Raises:
            InputError: two files belong to the same view.
        """
        if isinstance(self.files, Path):
            files = dict.fromkeys(views, self.files)
        else:
            files = named_like(self.files, views)
        return Masks(files, self.binary, self.archive)


def find_masks(path: Path, *, archive: Unpacked | None = None) -> MaskFiles:
    """Find the masks in a folder, or a file that is the mask of all views.

    Masks of 0 and 1 in a lossless file count as black and white; other masks of integers without a white pixel, such as
    labels of several classes, are an error. Floats are weights. The masks of a folder decide together, because one of
    them can be all black. Usually the first one has a white pixel, and no other is read.

    Args:
        path: folder or file.
        archive: archive that the files were unpacked from.

    Raises:
        InputError: the folder or file does not exist, has no masks, or no white pixel but grey ones.
    """
    with naming(archive):
        files = path if path.is_file() else list_images(path)
        what = f"The mask{'' if isinstance(files, Path) else 's in'} {path}"
        binary = _are_labels(what, [path] if isinstance(files, Path) else files.values())
        if binary:
            warn(path, "has no white pixel", "Every value above 0 counts as white.")
    return MaskFiles(files, binary, archive)


def _are_labels(what: str, paths: Iterable[Path]) -> bool:
    """Return whether masks are labels of 0 and 1, not weights.

    Files that cannot be read are skipped here; if they belong to a view, they are an error where they are used.

    Raises:
        InputError: the masks have no white pixel but grey ones, which are not labels of 0 and 1.
    """
    levels, labels = {0.0}, True
    for path in paths:
        try:
            mask = load_mask(path).numpy()
        except InputError:
            continue
        largest = float(mask.max())
        if largest >= _BRIGHT or (largest and _has_floats(path)):
            return False
        levels.add(largest)
        if largest:
            labels &= largest < _LABEL and bool(np.isin(mask, (0, largest)).all()) and not probe_mask(path).lossy
    if not labels or len(levels) > 2:
        raise _no_white(what, max(levels))
    return len(levels) > 1


def _has_floats(path: Path) -> bool:
    """Return whether a mask contains floats, which are weights, however small. Integers can be labels."""
    return path.suffix.lower() == ".npy" or probe_mask(path).linear


def _no_white(what: str, largest: float) -> InputError:
    return InputError(
        f"{what} must have white pixels (255, or 65535 in 16 bits), which count fully. The largest weight is "
        f"{largest * 255:.3g}/255, as in images of labels. Save a PNG in which the pixels that count are white: "
        "`(labels == 1) * 255`, or save small weights as floats (NPY)."
    )


def load_mask(path: Path) -> Float[Tensor, "h w"]:
    """Read a mask as float32 weights in [0, 1]: white (1) counts, black (0) does not.

    An image must be grey, or colour with equal channels; integers are divided by their largest possible value. An NPY
    file contains booleans or floats of shape `[H, W]` or `[H, W, 1]`. An alpha channel is an error.

    Raises:
        InputError: the file cannot be read, or is not a mask.
    """
    values = _decode_array(path) if path.suffix.lower() == ".npy" else decode(path).numpy()
    channels = values.shape[-1]
    if channels != 1 and (channels != 3 or not (values == values[..., :1]).all()):
        raise InputError(f"The mask {path} must have one grey channel. Got {channels} channels that differ.")
    return torch.from_numpy(np.ascontiguousarray(values[..., 0]))


def _decode_array(path: Path) -> np.ndarray:
    array = _load_array(path)
    with memory_for(path, array.shape):
        return np.atleast_3d(array.astype(np.float32))


def probe_mask(path: Path) -> Header:
    """Read the header of a mask.

    Raises:
        InputError: the file cannot be read.
    """
    if path.suffix.lower() != ".npy":
        return stored_header(path)
    height, width = _load_array(path).shape[:2]
    return Header((width, height))


def _load_array(path: Path) -> np.ndarray:
    with explained(path, "a mask"):
        array = open_array(path)
    if array.dtype.kind not in "bf" or array.ndim not in (2, 3):
        raise InputError(
            f"The mask {path} must contain booleans or floats in [0, 1] of shape [height, width]. Got "
            f"{shortened(str(array.dtype))} of shape {shortened(str(list(array.shape)))}."
        )
    if 0 in array.shape:
        raise InputError(f"The mask {path} must not be empty. Got shape {list(array.shape)}.")
    check_size(path, array.shape)
    return array
