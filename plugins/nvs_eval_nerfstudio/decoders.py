"""Decoders that nerfstudio gives the images of a run to, before anyone has looked at their content."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import PIL.Image

from nvs_eval.images.formats import check_format


@contextmanager
def images_checked() -> Iterator[None]:
    """Give images of the supported formats only to imageio and OpenCV, and to Pillow what imageio would read.

    imageio tries all of its decoders on a file that is no image, such as FFmpeg, which follows addresses in it. The
    parsers of Blender, D-NeRF and instant-ngp measure the first image with it.
    """
    with ExitStack() as stack:
        for name, read in (("imageio", _with_pillow), ("imageio.v2", _with_pillow), ("cv2", _checked)):
            module: Any = importlib.import_module(name)
            stack.enter_context(patch.object(module, "imread", read(module.imread)))
        yield


def _with_pillow(_: Callable[..., Any]) -> Callable[..., Any]:
    def read(path: Any) -> np.ndarray:
        check_format(Path(path))
        with PIL.Image.open(path) as image:
            return np.asarray(image)

    return read


def _checked(original: Callable[..., Any]) -> Callable[..., Any]:
    def read(path: Any, *arguments: Any, **options: Any) -> Any:
        check_format(Path(path))
        return original(path, *arguments, **options)

    return read
