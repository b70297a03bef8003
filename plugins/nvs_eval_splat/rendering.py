"""Renders of a model: its Gaussians, activated once, and the rasteriser of the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import torch
from jaxtyping import Float
from torch import Tensor

from nvs_eval_splat.choice import rasteriser_for
from nvs_eval_splat.gaussians import Gaussians
from nvs_eval_splat.pinhole import Pinhole
from nvs_eval_splat.settings import Settings


@dataclass(frozen=True)
class Rendered:
    """A render.

    Attributes:
        rgb: `[H, W, 3]` float32 in [0, 1]: the tools limit their colours before they save or score them.
        alpha: `[H, W]` float32 in [0, 1].
        seconds: time of the rasteriser.
    """

    rgb: Float[Tensor, "h w 3"]
    alpha: Float[Tensor, "h w"]
    seconds: float


def render(
    gaussians: Gaussians, camera: Pinhole, settings: Settings, background: Sequence[float] | None = None
) -> Rendered:
    """Render a view.

    Args:
        gaussians: the model.
        camera: camera of the view.
        settings: convention, background and device.
        background: another background (default: that of the settings).

    Raises:
        ResourceError: the rasteriser is not installed.
    """
    draw = rasteriser_for(settings.device, settings.convention).draw
    start = perf_counter()
    rgb, alpha = draw(gaussians, camera, background=settings.background if background is None else background)
    seconds = perf_counter() - start
    return Rendered(torch.from_numpy(rgb).clamp_(0, 1), torch.from_numpy(alpha), seconds)
