"""Rendering of one view, paired with its reference by the model's own code.

Every model with metrics returns `images_dict["img"]`, which shows its reference and renders side by side. Background
compositing, undistortion and any other preparation are therefore the model's own. The order of the images is not
trusted: the reference must equal the image of the view, and the render the model's output.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nvs_eval.errors import InputError, listed
from nvs_eval.sources.views import FailedView, Render, View, checked_view
from nvs_eval_nerfstudio.own_metrics import finite_values
from nvs_eval_nerfstudio.quiet import failing

if TYPE_CHECKING:
    from nerfstudio.models.base_model import Model

_TOLERANCE = 1 / 255 + 1e-6
"""Largest difference of images that count as equal. A model may truncate to 8 bits after compositing."""


def read_pair(pairs: Iterator[tuple[Any, dict[str, Any]]], name: str) -> tuple[Any, dict[str, Any]]:
    """Return the camera and batch of the next view.

    Raises:
        InputError: if its image cannot be read, or differs from its camera in size.
    """
    try:
        camera, batch = next(pairs)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # A dataset may raise anything for a file that it does not expect.
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
    model: Model,
    camera: Any,
    batch: dict[str, Any],
    *,
    name: str,
    device: torch.device,
    timed: bool,
    warn: Callable[[str], None] = lambda message: None,
) -> View | FailedView:
    """Render one view and pair it as the model does for its own metrics, which are kept beside the render.

    Args:
        model: model in evaluation mode.
        camera: camera of the view.
        batch: data of the view.
        name: name of the view.
        device: device to synchronise, so that the time covers the whole render.
        timed: whether to record the time. The first render is a warm-up.
        warn: called with warnings about the model's own metrics.

    Raises:
        InputError: if the model's own evaluation fails or returns no pair.
    """
    _wait(device)
    start = time.perf_counter()
    kind = type(model).__name__
    with failing(f"{kind}: rendering view {name!r}"):
        outputs = model.get_outputs_for_camera(camera)
    _wait(device)
    seconds = time.perf_counter() - start
    expected = Expected.of(outputs, batch)
    metrics, images = _evaluated(model, outputs, batch, name)
    reference, render = expected.find_pair(images, model=kind)
    if reference.shape != expected.darkest.shape:
        warn(f"{kind} crops its references to the size of its renders. The scores are of the upper left part.")
    if not expected.is_reference(reference):
        warn(f"{kind} paints its images over outside their masks. The scores count these pixels.")
    own = finite_values(metrics, model=kind, warn=warn)
    return checked_view(name, reference, [Render(render, seconds=seconds if timed else None, own=own)])


def _evaluated(
    model: Model, outputs: dict[str, Any], batch: dict[str, Any], name: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what the model's own evaluation returns.

    Raises:
        InputError: if it fails, which a model of a third party may do on data that it does not expect.
    """
    try:
        return model.get_image_metrics_and_images(outputs, batch)
    except torch.cuda.OutOfMemoryError:
        raise
    except KeyError as error:
        raise InputError(
            f"The evaluation of {type(model).__name__} requires {error} for view {name!r}. Got {', '.join(batch)} from "
            f"the data and {', '.join(outputs)} from the model. Score folders of its renders with `nvs-eval score`."
        ) from error
    except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError, IndexError) as error:
        reason = (str(error) or repr(error)).split("\n", 1)[0].rstrip(".")
        raise InputError(
            f"The evaluation of {type(model).__name__} fails on view {name!r}: {reason}. Score folders of its renders "
            "with `nvs-eval score`."
        ) from error


@dataclass(frozen=True)
class Expected:
    """Reference and renders of a view, copied before the model's own evaluation, which may change them in place.

    Attributes:
        darkest: `[H, W, 3]` image of the view over black.
        brightest: `[H, W, 3]` image of the view over white, equal to `darkest` where it is opaque. The model chooses
            the background.
        renders: `[H, W, 3]` outputs of the model that may be the final render, by name.
        mask: `[H, W, 1]` whether a pixel is inside the mask of the view; None without a mask.
    """

    darkest: Tensor
    brightest: Tensor
    renders: Mapping[str, Tensor]
    mask: Tensor | None = None

    @classmethod
    def of(cls, outputs: Mapping[str, Any], batch: Mapping[str, Any]) -> Expected:
        """Copy the image of a batch and the final render of a model, or all images of a model that names none."""
        image = _image(batch["image"])
        colours, alpha = image[..., :3], image[..., 3:]
        darkest = colours * alpha if alpha.numel() else colours
        brightest = darkest + (1 - alpha) if alpha.numel() else colours
        shown = [name for name, value in outputs.items() if _is_image(value)]
        named = [name for name in shown if name.startswith("rgb")]
        final = [name for name in ("rgb", "rgb_fine", *reversed(named)) if name in named][:1]
        mask = _image(batch["mask"]) > 0 if _is_mask(batch.get("mask"), image) else None
        return cls(darkest, brightest, {name: _image(outputs[name]) for name in final or shown}, mask)

    def find_pair(self, images: Mapping[str, Tensor], *, model: str) -> tuple[Tensor, Tensor]:
        """Return the reference and the final render that a model shows, each `[H, W, 3]`.

        Models show the reference first and the final render last. Any other order is found by comparing the images.

        Args:
            images: images that the model's evaluation returned.
            model: name of the model, for errors.

        Raises:
            InputError: if the model shows no reference or no render, or changed one of them.
        """
        parts = self._parts(images, model)
        for inside_mask in (False, True):
            references = [self.is_reference(part, inside_mask=inside_mask) for part in parts]
            renders = [self._is_render(part, inside_mask=inside_mask) for part in parts]
            places = range(len(parts))
            pairs = [(i, j) for j in reversed(places) for i in places if i != j and references[i] and renders[j]]
            if pairs:
                usual = (0, len(parts) - 1)
                first, last = usual if usual in pairs else pairs[0]
                return parts[first], parts[last]
        kinds = [
            "the image" if is_reference else "the render" if is_render else "an image that is neither"
            for is_reference, is_render in zip(references, renders, strict=True)
        ]
        raise InputError(
            f"{model} must show the image of the view and its render, {' or '.join(map(repr, self.renders))}, side by "
            f"side. Got {listed(kinds)}. Score folders of its renders with `nvs-eval score`."
        )

    def _parts(self, images: Mapping[str, Tensor], model: str) -> list[Tensor]:
        """Split the model's image into parts of the size of its render."""
        if not self.renders:
            raise InputError(f"The outputs of {model} must include an image named rgb... Got none.")
        height, width = next(iter(self.renders.values())).shape[:2]
        shown = images.get("img")
        shown = None if shown is None else _image(shown)
        if shown is None or shown.shape[0] != height or shown.shape[1] % width or shown.shape[1] < 2 * width:
            content = "no image 'img'" if shown is None else f"an image of {shown.shape[1]}x{shown.shape[0]}"
            raise InputError(
                f"{model} must return its reference and render side by side, each {width}x{height} as its output. Got "
                f"{content}. This method has no held-out views that could be scored."
            )
        return [part.contiguous() for part in shown.split(width, dim=1)]

    def is_reference(self, part: Tensor, *, inside_mask: bool = False) -> bool:
        """Return whether an image is the reference, over any background; with `inside_mask`, apart from the rest."""
        height, width = part.shape[:2]  # A model may crop its references.
        darkest, brightest = self.darkest[:height, :width], self.brightest[:height, :width]
        if darkest.shape != part.shape:
            return False
        part = part.to(darkest.device)
        return self._everywhere((part >= darkest - _TOLERANCE) & (part <= brightest + _TOLERANCE), inside_mask)

    def _is_render(self, part: Tensor, *, inside_mask: bool) -> bool:
        """Return whether an image is a final render, which the model may have clamped."""
        return any(
            self._everywhere(
                torch.isclose(
                    part.to(render.device).clamp(0, 1), render.clamp(0, 1), rtol=0, atol=_TOLERANCE, equal_nan=True
                ),
                inside_mask,
            )
            for render in self.renders.values()
            if render.shape == part.shape
        )

    def _everywhere(self, equal: Tensor, inside_mask: bool) -> bool:
        if inside_mask and self.mask is not None:
            equal = equal | ~self.mask[: equal.shape[0], : equal.shape[1]].to(equal.device)
        return bool(equal.all())


def _is_image(value: Any) -> bool:
    return isinstance(value, Tensor) and value.shape[-1:] == (3,) and value.squeeze(0).ndim == 3


def _is_mask(value: Any, image: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == (*image.shape[:2], 1)


def _image(value: Tensor) -> Tensor:
    """Return a copy of an image `[H, W, C]`, or `[1, H, W, C]`, as float32 `[H, W, C]`; 8 bits become [0, 1]."""
    image = value.detach().squeeze(0) if value.ndim == 4 else value.detach()
    return image.float() / 255 if image.dtype == torch.uint8 else image.to(torch.float32, copy=True)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
