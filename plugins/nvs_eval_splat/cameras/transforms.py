"""Photographs in `transforms*.json` of Blender scenes and nerfstudio, and in the `cameras.json` of INRIA's models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nvs_eval.errors import FileError, InputError, quoted
from nvs_eval_splat.cameras.camera import GL_TO_CV, Matrix, Photograph
from nvs_eval_splat.cameras.json_files import matrix_of, number_of, read_json

_DISTORTION = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
_PINHOLES = (None, "PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "SIMPLE_RADIAL", "RADIAL")
_UNDISTORT = (
    "Undistort the images and write their cameras without distortion (with COLMAP: `colmap image_undistorter`), and "
    "pass the new data with `--data`. The model must have been trained on undistorted images, too."
)


def read_transforms(path: Path, *, images: str | None = None) -> list[Photograph]:
    """Return the photographs of a transforms.json, in the order of the file.

    Args:
        path: the file.
        images: folder of images to read in place of `images`, such as `images_4`.

    Raises:
        InputError: the file cannot be read, has no frames, or a camera has lens distortion.
    """
    content = read_json(path, dict)
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames:
        raise InputError(f"{path} must have a list of frames. Pass other data with `--data`.")
    return [_photograph(path, content, frame, images) for frame in frames]


def _photograph(path: Path, content: Mapping[str, Any], frame: Any, images: str | None) -> Photograph:
    if not isinstance(frame, dict) or not isinstance(name := frame.get("file_path"), str) or "\0" in name or not name:
        raise FileError(f"{path}: each frame must have a file_path. Got {quoted(frame)}.")
    values = {**content, **frame}
    model = values.get("camera_model")
    numbers = {key: number_of(path, values, key) for key in ("fl_x", "fl_y", "cx", "cy", "w", "h", *_DISTORTION)}
    lens = {key: value for key in _DISTORTION if (value := numbers[key])}
    if lens or model not in _PINHOLES:
        shown = ", ".join(f"{key} {value:.4g}" for key, value in lens.items()) or quoted(model)
        raise InputError(f"{path}: the camera of {name} must be an undistorted pinhole. It has {shown}. {_UNDISTORT}")
    pose = matrix_of(path, f"transform_matrix of {name}", frame.get("transform_matrix")) @ GL_TO_CV
    file = _image(path.parent, name, images)
    if (fx := numbers["fl_x"]) is None:
        angle = number_of(path, values, "camera_angle_x")
        if angle is None or not 0 < angle < math.pi:
            raise FileError(f"{path} must have fl_x, or camera_angle_x between 0 and pi. Got {quoted(angle)}.")
        return Photograph(name, file, pose, None, angle=angle)
    width, height, cx, cy = (numbers[key] for key in ("w", "h", "cx", "cy"))
    if width is None or height is None or not (1 <= width < 2**31 and 1 <= height < 2**31):
        raise FileError(f"{path}: {name} must have its size w and h. Got {quoted(width)} and {quoted(height)}.")
    focal = (fx, fx if numbers["fl_y"] is None else numbers["fl_y"])
    centre = None if cx is None or cy is None else (cx, cy)
    return Photograph(name, file, pose, (int(width), int(height)), focal, centre)


def _image(folder: Path, name: str, images: str | None) -> Path:
    """Return the file of a frame. Blender's names have no suffix."""
    path = folder / name
    if images is not None:
        path = path.parent.parent / images / path.name
    return path if path.suffix else path.with_name(f"{path.name}.png")


def applied_transform(path: Path, content: Mapping[str, Any]) -> Matrix:
    """Return the transformation by which nerfstudio moved the poses when it wrote a transforms.json, [4, 4].

    Raises:
        InputError: it is no matrix.
    """
    if "applied_transform" in content:
        return matrix_of(path, "applied_transform", content["applied_transform"])
    if (path.parent / "colmap/sparse/0").exists():
        # nerfstudio assumes this for files that were written before the field existed.
        return np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1]], np.float64)
    return np.eye(4)


def read_cameras_json(path: Path, images: Path) -> list[Photograph]:
    """Return the photographs of the cameras.json of a model, in the order of their names.

    Args:
        path: the file.
        images: folder of the images, whose suffixes the file may lack.

    Raises:
        InputError: the file cannot be read, has no cameras, or one of them is damaged.
    """
    content = read_json(path, list)
    files = {file.stem: file for file in sorted(images.iterdir())} if images.is_dir() else {}
    photographs = {}
    for entry in content:
        if not isinstance(entry, dict) or not isinstance(name := entry.get("img_name"), str) or not name.isprintable():
            raise FileError(f"{path}: each camera must have an img_name. Got {quoted(entry)}.")
        numbers = [number_of(path, entry, key) for key in ("fx", "fy", "width", "height")]
        fx, fy, width, height = (value or 0 for value in numbers)
        if not (1 <= width < 2**31 and 1 <= height < 2**31 and fx > 0 and fy > 0):
            raise FileError(f"{path}: {name} must have positive fx, fy, width and height.")
        pose = np.eye(4)
        pose[:3, :3] = matrix_of(path, f"rotation of {name}", entry.get("rotation"), ((3, 3),))
        pose[:3, 3] = matrix_of(path, f"position of {name}", [entry.get("position")], ((1, 3),))
        file = files.get(Path(name).stem, files.get(name, images / Path(name).name))
        photographs[name] = Photograph(name, file, pose, (int(width), int(height)), (fx, fy))
    if not photographs:
        raise InputError(f"{path} has no cameras. Pass the data of the model with `--data`.")
    if len(photographs) < len(content):
        raise FileError(f"{path} has an image twice.")
    return [photographs[name] for name in sorted(photographs)]
