"""Checks of what a dataparser returns: cameras, files and kinds of images that no one else would refuse.

nerfstudio renders with any camera, also with one of NaN, and copies any image into 8 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import PIL.Image
import torch
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.images.formats import check_format
from nvs_eval.system.files import open_file
from nvs_eval_nerfstudio.admitted import parts

if TYPE_CHECKING:
    from nerfstudio.cameras.cameras import Cameras
    from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs

_LARGEST_SIDE = 65535
"""Largest side of an image in most formats, in pixels."""
_FARTHEST = 1e9
_SMALLEST_VOLUME = 1e-12
"""Smallest and, inverted, largest determinant of the rotation of a camera, whose scale is of no effect."""
_MODES = ("L", "RGB", "RGBA")
"""Modes of Pillow whose values nerfstudio copies as they are."""
_OTHER_MODES = {
    "P": "a palette",
    "PA": "a palette",
    "1": "1 bit",
    "CMYK": "CMYK",
    "F": "floats",
    "LA": "grey and alpha",
}


def check_parsed(outputs: DataparserOutputs, data: Path) -> None:
    """Check the cameras of views, and the kinds of their further files.

    Raises:
        InputError: a camera is impossible, or a file is a pipe, a device or a socket.
    """
    count = len(outputs.image_filenames)
    for requirement, remedy, fits, values in _requirements(outputs.cameras) if count else ():
        wrong = (~fits.reshape(-1)[:count]).nonzero()
        if wrong.numel():
            index = int(wrong[0])
            shown = "x".join(f"{value:.8g}" for value in values[index].reshape(-1).tolist()[:2])
            name = Path(outputs.image_filenames[index]).name
            raise InputError(f"Cameras in {data} must have {requirement}. Got {shown} for {name}. {remedy}.")
    scale = outputs.dataparser_scale
    if not 0 < scale < float("inf") or not outputs.scene_box.aabb.isfinite().all():
        raise InputError(
            f"The scene in {data} must have a finite scale above 0 and a finite box. Got scale {scale:g}. "
            "Correct the scales of the dataparser in config.yml (`scale_factor`, `scene_scale`)."
        )
    for path in filter(Path.exists, _files_in(outputs.metadata)):
        open_file(path).close()


def _requirements(cameras: Cameras) -> Iterator[tuple[str, str, Tensor, Tensor]]:
    """Yield each requirement, its remedy, whether each camera fulfils it, and the values to show."""
    sizes = torch.cat([cameras.width, cameras.height], -1).reshape(-1, 2)
    fits = ((sizes >= 1) & (sizes <= _LARGEST_SIDE)).all(-1)
    yield f"1 to {_LARGEST_SIDE} pixels per side", "Correct the size (`w` and `h` in a transforms.json)", fits, sizes
    lengths = torch.cat([cameras.fx, cameras.fy], -1).reshape(-1, 2)
    remedy = "Correct the focal length or the angle of view (`fl_x`, `camera_angle_x`)"
    yield "finite focal lengths above 0", remedy, (lengths.isfinite() & (lengths > 0)).all(-1), lengths
    centres = torch.cat([cameras.cx, cameras.cy], -1).reshape(-1, 2)
    yield "finite centres", "Correct them (`cx`, `cy`)", centres.isfinite().all(-1), centres
    if cameras.distortion_params is not None:
        lens = cameras.distortion_params.reshape(len(sizes), -1)
        yield "finite distortion", "Correct its parameters (`k1`)", lens.isfinite().all(-1), lens
    poses = cameras.camera_to_worlds.reshape(len(sizes), -1, 4)[:, :3].double()
    finite = poses.isfinite().all(-1).all(-1)
    remedy = "Correct the pose (`transform_matrix`) or the scale of the dataparser"
    yield "finite poses", remedy, finite, poses.sum((-2, -1))[:, None]
    yield f"positions within {_FARTHEST:g}", remedy, (poses[..., 3].abs() <= _FARTHEST).all(-1), poses[..., 3]
    volumes = torch.linalg.det(poses[..., :3]).abs()
    fits = (volumes >= _SMALLEST_VOLUME) & (volumes <= 1 / _SMALLEST_VOLUME)
    yield "poses with a rotation", f"{remedy}. The number is the determinant", fits, volumes[:, None]


def check_references(manager: Any, outputs: DataparserOutputs) -> None:
    """Check that nerfstudio reads the images of views as they are.

    Its own datasets copy any image into 8 bits: indices of a palette, and 16 bits and floats modulo 256.

    Raises:
        InputError: an image is of a kind that they change. Datasets of plugins may read it.
    """
    ours = all(part.__module__.startswith("nerfstudio.") for part in parts(manager._target))
    for path in map(Path, outputs.image_filenames):
        if ours and (mode := _mode(path)) not in (*_MODES, None):
            raise InputError(
                f"{path} must be a grey, RGB or RGBA image of 8 bits, because nerfstudio copies other values into 8 "
                f"bits. Got {_OTHER_MODES.get(str(mode), f'{mode} (more than 8 bits)')}. Convert the images, and train "
                "again if the run was trained on them."
            )


def _mode(path: Path) -> str | None:
    """Return Pillow's mode of an image; None if it cannot be read, which others report."""
    try:
        check_format(path)
        with PIL.Image.open(path) as image:
            return image.mode
    except (OSError, ValueError, SyntaxError):
        return None


def _files_in(value: object) -> Iterator[Path]:
    """Yield the paths in the metadata of views, such as those of depths and semantics."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Mapping | Sequence) and not isinstance(value, str | bytes):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _files_in(part)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _files_in(vars(value))
