"""A sparse model of COLMAP, as binary or text files: cameras, images and points.

Counts in the files are only believed as far as the size of the files confirms them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from nvs_eval.errors import FileError, InputError, counted, quoted, shortened
from nvs_eval.images.stored import check_memory
from nvs_eval.system.files import read_small
from nvs_eval_splat.cameras.camera import Photograph, rotation_of

PLACES = ("sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse")
"""Folders of the model below that of the data."""
_MODELS = {
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
    7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
    10: ("THIN_PRISM_FISHEYE", 12),
}
_UNDISTORTED = {"SIMPLE_PINHOLE": 1, "PINHOLE": 2, "SIMPLE_RADIAL": 1, "RADIAL": 1, "OPENCV": 2, "FULL_OPENCV": 2}
"""Models that are pinholes if their distortion is zero, with their number of focal lengths."""
_LARGEST = 2**31
_LONGEST_NAME = 4096
UNDISTORT = (
    "Undistort the images with `colmap image_undistorter --image_path IMAGES --input_path SPARSE --output_path NEW`, "
    "and pass NEW with `--data`. The model must have been trained on undistorted images, too."
)


@dataclass(frozen=True)
class _Camera:
    size: tuple[int, int]
    focal: tuple[float, float]
    centre: tuple[float, float]


@dataclass(frozen=True)
class _Image:
    name: str
    camera: int
    quaternion: tuple[float, ...]
    translation: tuple[float, ...]


def model_folder(data: Path) -> Path | None:
    """Return the folder of a sparse model below that of the data, or None."""
    folders = [data / place for place in PLACES]
    return next((folder for folder in folders if any(_files(folder, "images"))), None)


def _files(folder: Path, stem: str) -> list[Path]:
    return [path for path in (folder / f"{stem}.bin", folder / f"{stem}.txt") if path.is_file()]


def read_photographs(folder: Path, images: Path) -> list[Photograph]:
    """Return the photographs of a sparse model, in the order of their names.

    Args:
        folder: folder of the model.
        images: folder of the images.

    Raises:
        InputError: a file is missing or damaged, has no image, or a camera has lens distortion.
    """
    file, binary = _file(folder, "cameras")
    cameras = _binary_cameras(file) if binary else _text_cameras(file)
    place, binary = _file(folder, "images")
    found = [*(_binary_images(place) if binary else _text_images(place))]
    if not found:
        raise InputError(f"{place} has no images. Run COLMAP again, or pass other data with `--data`.")
    if missing := {image.camera for image in found} - cameras.keys():
        raise FileError(f"{place}: camera {min(missing)} is not in {file.name}. The files are not of one model.")
    rotations = rotation_of(np.array([image.quaternion for image in found]))
    photographs = {}
    for image, rotation in zip(found, rotations, strict=True):
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = rotation.T, -rotation.T @ np.array(image.translation)
        camera = cameras[image.camera]
        path = images / _checked(place, image.name)
        photographs[image.name] = Photograph(image.name, path, pose, camera.size, camera.focal, camera.centre)
    if len(photographs) < len(found):
        raise FileError(f"{place} has an image twice.")
    return [photographs[name] for name in sorted(photographs)]


def _checked(file: Path, name: str) -> str:
    """Return the name of an image that is inside the folder of images.

    Raises:
        InputError: it is not.
    """
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise FileError(f"{file}: the name of an image must be a path below the folder of images. Got {quoted(name)}.")
    return name


def _file(folder: Path, stem: str) -> tuple[Path, bool]:
    """Return a file of a sparse model, and whether it is binary, which COLMAP and the trainers prefer."""
    if not (files := _files(folder, stem)):
        raise InputError(f"{folder} must have {stem}.bin or {stem}.txt of COLMAP. Pass other data with `--data`.")
    return files[0], files[0].suffix == ".bin"


# --- Binary files -----------------------------------------------------------------------------------------------------


class _Bytes:
    """Content of a binary file, read from front to back."""

    def __init__(self, path: Path) -> None:
        self.path, self.place, self.content = path, 0, _content(path)

    def take(self, form: str) -> tuple:
        size = struct.calcsize(form)
        self.skip(size)
        return struct.unpack_from(form, self.content, self.place - size)

    def skip(self, count: int) -> None:
        if count > len(self.content) - self.place:
            raise FileError(f"{self.path} is truncated, or a count in it is wrong. Copy it again.")
        self.place += count

    def name(self) -> str:
        end = self.content.find(b"\0", self.place, self.place + _LONGEST_NAME)
        if end < 0:
            raise FileError(f"{self.path} is damaged: the name of an image does not end. Copy it again.")
        start, self.place = self.place, end + 1
        return self.content[start:end].decode("utf-8", "surrogateescape")


def _content(path: Path) -> bytes:
    try:
        check_memory(f"{path}", path.stat().st_size)
        return read_small(path, _LARGEST)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from error


def _binary_cameras(path: Path) -> dict[int, _Camera]:
    data = _Bytes(path)
    cameras = {}
    for _ in range(data.take("<Q")[0]):
        number, model, width, height = data.take("<iiQQ")
        name, count = _MODELS.get(model, (f"of model {model}", 0))
        cameras[number] = _camera(path, number, name, (width, height), data.take(f"<{count}d"))
    return cameras


def _binary_images(path: Path) -> Iterator[_Image]:
    data = _Bytes(path)
    for _ in range(data.take("<Q")[0]):
        values = data.take("<i7di")
        name = data.name()
        data.skip(24 * data.take("<Q")[0])
        yield _Image(name, values[8], values[1:5], values[5:8])


def _binary_points(path: Path) -> Iterator[tuple[float, ...]]:
    data = _Bytes(path)
    for _ in range(data.take("<Q")[0]):
        values = data.take("<Q3d3BdQ")
        data.skip(8 * values[8])
        yield values[1:4]


# --- Text files -------------------------------------------------------------------------------------------------------


def _lines(path: Path) -> Iterator[str]:
    for line in _content(path).decode("utf-8", "surrogateescape").splitlines():
        if not line.startswith("#"):
            yield line.strip()


def _text_cameras(path: Path) -> dict[int, _Camera]:
    cameras = {}
    for line in filter(None, _lines(path)):
        with _parsing(path, line):
            number, model, width, height, *values = line.split()
            numbers = tuple(map(float, values))
            cameras[int(number)] = _camera(path, int(number), model, (int(width), int(height)), numbers)
    return cameras


def _text_images(path: Path) -> Iterator[_Image]:
    lines = _lines(path)
    for line in lines:
        if line:
            with _parsing(path, line):
                parts = line.split(maxsplit=9)
                numbers = tuple(map(float, parts[1:8]))
                image = _Image(parts[9], int(parts[8]), numbers[:4], numbers[4:])
            yield image
            next(lines, None)  # Its points, which may be none.


def _text_points(path: Path) -> Iterator[tuple[float, ...]]:
    for line in filter(None, _lines(path)):
        with _parsing(path, line):
            x, y, z = map(float, line.split(maxsplit=4)[1:4])
        yield x, y, z


class _parsing:
    """Turn errors of parsing a line into an error that names it."""

    def __init__(self, path: Path, line: str) -> None:
        self.path, self.line = path, line

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ValueError | IndexError | OverflowError) and not isinstance(error, InputError):
            shown = quoted(shortened(self.line))
            raise FileError(f"{self.path} must be a text file of COLMAP. It has the line {shown}.") from error


# --- Cameras and points -----------------------------------------------------------------------------------------------


def _camera(path: Path, number: int, model: str, size: tuple[int, int], values: tuple[float, ...]) -> _Camera:
    """Return a pinhole camera.

    Raises:
        InputError: it has lens distortion, or another number of values than its model.
    """
    focals = _UNDISTORTED.get(model, 0)
    distortion = values[focals + 2 :]
    if not focals or any(distortion):
        lens = ", ".join(f"{value:.4g}" for value in distortion)
        shown = f"{shortened(model)}{f' with the distortion {lens}' if focals else ''}"
        raise InputError(f"{path}: camera {number} must be an undistorted pinhole. It is {shown}. {UNDISTORT}")
    if len(values) < focals + 2 or not all(0 < side < 2**31 for side in size):
        raise FileError(f"{path}: camera {number} ({shortened(model)}) has {counted(len(values), 'value')}.")
    return _Camera(size, (values[0], values[focals - 1]), (values[focals], values[focals + 1]))


def read_points(folder: Path) -> NDArray[np.float32]:
    """Return the points of a sparse model, [N, 3].

    Raises:
        InputError: the file is missing or damaged.
    """
    file, binary = _file(folder, "points3D")
    points = _binary_points(file) if binary else _text_points(file)
    values = np.fromiter((value for point in points for value in point), np.float64)
    return values.reshape(-1, 3).astype(np.float32)


def sparse_files(folder: Path) -> Mapping[str, Path]:
    """Return the files of cameras and images of a sparse model, by stem."""
    return {stem: _file(folder, stem)[0] for stem in ("cameras", "images")}
