"""One view rendered, and paired with its reference as the model itself pairs them for its own metrics.

Every model with metrics returns `images_dict["img"]`, its reference and its renders side by side. So background
compositing, undistortion and whatever a third-party model does are its own, and nothing is done twice.
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
        InputError: its image cannot be read, or is not of the size that its camera has.
    """
    try:
        camera, batch = next(pairs)
    except (OSError, ValueError, AssertionError, SyntaxError) as error:  # pillow says SyntaxError of broken PNGs.
        raise InputError(
            f"The image of view {name!r} cannot be read: {error}. Put a whole one in its place."
        ) from error
    height, width = batch["image"].shape[:2]
    expected = int(camera.width.flatten()[0]), int(camera.height.flatten()[0])
    if (width, height) != expected:
        raise InputError(
            f"The image of view {name!r} is {width}x{height} and its camera {expected[0]}x{expected[1]}. Nothing is "
            "resized here: is this the data that the run was trained on?"
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
        device: device to wait for, so that the time is that of the render.
        timed: whether the time counts; a first render warms up.

    Raises:
        InputError: the model prepares no pair.
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
    """Split what a model puts side by side: its reference and its renders (the last is the finest), `[H, W, 3]`.

    Raises:
        InputError: the model returns no such image, or one of another width.
    """
    image = images.get("img")
    if image is None or image.shape[1] % width or image.shape[1] < 2 * width:
        content = "no image 'img'" if image is None else f"an image of {image.shape[1]} columns for a camera of {width}"
        raise InputError(
            f"{model} gives {content}, and its reference and render side by side are needed: this method has no "
            "held-out views to be scored by."
        )
    return [part.detach().float().contiguous() for part in image.split(width, dim=1)]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
