"""Rendering of one view, paired with its reference by the model's own code.

Every model with metrics returns `images_dict["img"]`, which shows its reference and renders side by side. Background
compositing, undistortion and any other preparation are therefore the model's own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.sources.views import Render, View

if TYPE_CHECKING:
    from nerfstudio.models.base_model import Model


def read_pair(pairs: Iterator[tuple[Any, dict[str, Any]]], name: str) -> tuple[Any, dict[str, Any]]:
    """Return the camera and batch of the next view.

    Raises:
        InputError: if its image cannot be read, or differs from its camera in size.
    """
    try:
        camera, batch = next(pairs)
    except (OSError, ValueError, AssertionError, SyntaxError) as error:  # Pillow raises SyntaxError for broken PNGs.
        raise InputError(f"The image of view {name!r} cannot be read: {error}. Replace the file.") from error
    height, width = batch["image"].shape[:2]
    expected = int(camera.width.flatten()[0]), int(camera.height.flatten()[0])
    if (width, height) != expected:
        raise InputError(
            f"The image of view {name!r} must have the size of its camera, {expected[0]}x{expected[1]}. Got "
            f"{width}x{height}. Check that this is the data that the run was trained on."
        )
    return camera, batch


def render_view(
    model: Model, camera: Any, batch: dict[str, Any], *, name: str, device: torch.device, timed: bool
) -> View:
    """Render one view and pair it as the model does for its own metrics.

    Args:
        model: model in evaluation mode.
        camera: camera of the view.
        batch: data of the view.
        name: name of the view.
        device: device to synchronise, so that the time covers the whole render.
        timed: whether to record the time. The first render is a warm-up.

    Raises:
        InputError: if the model returns no pair.
    """
    _wait(device)
    start = time.perf_counter()
    outputs = model.get_outputs_for_camera(camera)
    _wait(device)
    seconds = time.perf_counter() - start
    _, images = model.get_image_metrics_and_images(outputs, batch)
    reference, *renders = split_pair(images, width=int(camera.width.flatten()[0]), model=type(model).__name__)
    return View(name, reference, (Render(renders[-1], seconds=seconds if timed else None),))


def split_pair(images: dict[str, Tensor], *, width: int, model: str) -> list[Tensor]:
    """Split a model's image into its reference and renders, each `[H, W, 3]`. The last render is the finest.

    Raises:
        InputError: if the model returns no such image, or if its width does not fit.
    """
    image = images.get("img")
    if image is None or image.shape[1] % width or image.shape[1] < 2 * width:
        content = "no image 'img'" if image is None else f"{image.shape[1]} columns for a camera of {width}"
        raise InputError(
            f"{model} must return its reference and render side by side. Got {content}. This method has no held-out "
            "views that could be scored."
        )
    return [part.detach().float().contiguous() for part in image.split(width, dim=1)]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
