"""The size at which a tool renders and reads its references, and the references at this size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.images.files import Reading, decode, load_image, probe_image
from nvs_eval.images.pixels import composite, to_8_bits

_WIDEST = 1600
_DIVISORS = (1, 2, 4, 8)
_OTHER_SHAPE = 0.02
_READING = Reading(ignore_colour_tags=True)
"""All trainers read stored values, whatever colours the tags declare."""
Size = tuple[int, int]


def inria_size(size: Size, resolution: int) -> Size:
    """Return the size at which train.py and render.py of INRIA read and render an image.

    Args:
        size: width and height of the image in pixels.
        resolution: value of `-r`: 1, 2, 4 or 8 divides and rounds, another number is the new width, and -1 reduces
            images that are wider than 1600 pixels to that width. Both of these truncate.

    Raises:
        InputError: the resolution is no such value.
    """
    width, height = size
    if resolution in _DIVISORS:
        return max(1, round(width / resolution)), max(1, round(height / resolution))
    if resolution < 1 and resolution != -1:
        raise InputError(f"The resolution (-r) of a model must be 1, 2, 4, 8, a width, or -1. Got {resolution}.")
    scale = max(1.0, width / _WIDEST) if resolution == -1 else width / resolution
    return max(1, int(width / scale)), max(1, int(height / scale))


@dataclass(frozen=True)
class Reference:
    """A reference: an image file, and how the tool prepares it.

    Attributes:
        file: the image.
        stored: width and height of the file.
        size: width and height of the reference.
        background: colour behind transparent pixels.
        truncate: whether composited values are truncated to 8 bits, as INRIA's reader of Blender scenes does.
    """

    file: Path
    stored: Size
    size: Size
    background: tuple[float, float, float]
    truncate: bool = False

    def load(self) -> Float[Tensor, "h w 3"]:
        """Read the image, and resize it if the tool does, as it does: with Pillow's bicubic filter, in 8 bits.

        Raises:
            InputError: the image cannot be read, or its size has changed.
        """
        pixels = decode(self.file)
        if tuple(pixels.shape[1::-1]) != self.stored:
            raise InputError(f"{self.file} changed while it was used. Run the command again.")
        if pixels.shape[-1] == 4:
            image = _truncated(pixels, self.background) if self.truncate else _composited(pixels, self.background)
        else:
            image = load_image(self.file, _READING)
        if self.size == self.stored:
            return image
        return resized(image, self.size)


def _composited(pixels: Float[Tensor, "h w 4"], background: tuple[float, float, float]) -> Float[Tensor, "h w 3"]:
    return composite(pixels[..., :3], pixels[..., 3:], background)


def _truncated(pixels: Float[Tensor, "h w 4"], background: tuple[float, float, float]) -> Float[Tensor, "h w 3"]:
    """Composite 8-bit pixels in float64 and truncate them to 8 bits, as INRIA's reader of Blender scenes does."""
    exact = (pixels.double() * 255).round() / 255
    return (_composited(exact, background) * 255).floor().float() / 255


def resized(image: Float[Tensor, "h w 3"], size: Size) -> Float[Tensor, "h w 3"]:
    """Resize an image with Pillow's bicubic filter, in 8 bits."""
    levels = np.array(Image.fromarray(to_8_bits(image)).resize(size, Image.Resampling.BICUBIC))
    return torch.from_numpy(levels).float() / 255


def stored_size(file: Path) -> Size:
    """Return the width and height of an image file.

    Raises:
        InputError: the file cannot be read, or is no RGB image.
    """
    return probe_image(file, _READING, alpha=("drop",)).size


def check_shape(file: Path, image: Size, camera: Size) -> None:
    """Check that an image has about the aspect ratio of its camera.

    Raises:
        InputError: it has another.
    """
    x, y = image[0] / camera[0], image[1] / camera[1]
    if abs(x / y - 1) > _OTHER_SHAPE + 1 / min(image):
        raise InputError(
            f"{file} is {image[0]}x{image[1]}, but its camera is {camera[0]}x{camera[1]}: another aspect ratio. The "
            "image was cropped or turned. Pass the images of these cameras with `--data`."
        )


Sizing = Callable[[Size], Size]
"""From the size of an image file to that of its reference and render."""
