"""Images for a page: small and lossy copies for looking, and the exact 8-bit pixels as a PNG."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from nvs_eval.images.files import Reading, load_levels
from nvs_eval.images.pixels import sha256_of_image
from nvs_eval.images.png import plain_file
from nvs_eval.images.stored import explained
from nvs_eval.system.files import open_file

_THUMB = (288, 192)
"""Largest width and height of a thumbnail, in pixels; twice that of the page's rows, for fine screens."""
_LEAST_PIXELS = 300_000
"""Number of pixels below which an image has no lossy copy, because its PNG is as fast to load."""
_LARGEST_WEBP = 16383
_QUALITY = 80


@dataclass(frozen=True)
class Preview:
    """One image as the files of a page.

    Attributes:
        width: width in pixels.
        height: height in pixels.
        thumb: small WebP.
        look: lossy WebP of full size; None for a small or very large image.
        pixels: PNG of the 8-bit pixels. That of a plain 8-bit RGB PNG has the same compressed data.
        floats: values of an image whose values are not 8-bit levels, in the form of `packed_floats`; None otherwise.
        sha256: hash of the float32 pixels, as in records.
        is_plain: whether the pixels do not depend on how the file is read.
    """

    width: int
    height: int
    thumb: bytes
    look: bytes | None
    pixels: bytes
    floats: bytes | None
    sha256: str
    is_plain: bool


def preview(path: Path, reading: Reading, *, look: bool = True) -> Preview:
    """Read an image file and make its copies.

    Args:
        path: path of the file.
        reading: how to read it.
        look: whether to make the lossy copy of full size.

    Raises:
        InputError: the file cannot be read.
    """
    levels, image = load_levels(path, reading)
    with explained(path, "an image"), open_file(path) as file:
        plain = plain_file(file) if image is None else None
    height, width = levels.shape[:2]
    picture = Image.fromarray(levels)
    looks = look and width * height >= _LEAST_PIXELS and max(width, height) <= _LARGEST_WEBP
    return Preview(
        width,
        height,
        _webp(_thumbnail(picture)),
        _webp(picture) if looks else None,
        encoded_png(levels) if plain is None else plain,
        None if image is None else packed_floats(image),
        sha256_of_image(_as_image(levels) if image is None else image),
        plain is not None,
    )


def _thumbnail(picture: Image.Image) -> Image.Image:
    scale = min(_THUMB[0] / picture.width, _THUMB[1] / picture.height, 1)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture if scale == 1 else picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _webp(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "WEBP", quality=_QUALITY, method=0)  # The fastest method.
    return content.getvalue()


def encoded_png(levels: np.ndarray) -> bytes:
    """Encode 8-bit levels, `[H, W]` or `[H, W, 3]`, as a PNG, fast."""
    content = io.BytesIO()
    Image.fromarray(levels).save(content, "PNG", compress_level=1)
    return content.getvalue()


def _as_image(levels: np.ndarray) -> Float[Tensor, "h w 3"]:
    return torch.from_numpy(np.divide(levels, np.float32(255), dtype=np.float32))


def packed_floats(image: Float[Tensor, "h w 3"]) -> bytes:
    """Compress float32 values: first bytes of all values, then second bytes and so on, deflated.

    Little-endian, in the order of rows, columns and channels. Equal bytes of neighbours stand together.
    """
    values = np.ascontiguousarray(image.numpy(), dtype="<f4").view(np.uint8).reshape(-1, 4)
    return zlib.compress(np.ascontiguousarray(values.T).tobytes(), 1)
