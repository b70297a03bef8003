"""The rasteriser of a device: gsplat's kernels on CUDA for the convention that they follow, ours otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from nvs_eval_splat import gsplat_rasteriser
from nvs_eval_splat.conventions import VERSION, Convention
from nvs_eval_splat.gaussians import Gaussians
from nvs_eval_splat.pinhole import Pinhole
from nvs_eval_splat.rasterise import rasterise

OURS = f"nvs-eval on the CPU (v{VERSION})"


class Draw(Protocol):
    """A function that renders a view; see `rasterise`."""

    def __call__(
        self, gaussians: Gaussians, camera: Pinhole, *, background: Sequence[float]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return rgb [height, width, 3] and alpha [height, width]."""
        ...


@dataclass(frozen=True)
class Rasteriser:
    """An implementation of a convention."""

    name: str
    """Name and version of the implementation, for provenance."""
    draw: Draw
    """The function that renders a view."""


def rasteriser_for(
    device: torch.device, convention: Convention, *, notify: Callable[[str], None] = lambda message: None
) -> Rasteriser:
    """Return the rasteriser that renders a convention on a device.

    Args:
        device: device of the run.
        convention: convention to follow.
        notify: called with each message for the user, such as that code will be compiled.

    Raises:
        ResourceError: gsplat is installed and follows the convention, but cannot be imported.
    """
    installed = gsplat_rasteriser.installed_version()
    if device.type == "cuda" and gsplat_rasteriser.convention_of(installed) == convention.name:
        if gsplat_rasteriser.is_compiled_at_first_use():
            notify("gsplat compiles its CUDA code when it is first used on a machine, which takes minutes.")
        rasterization = gsplat_rasteriser.load_rasterization()
        return Rasteriser(
            f"gsplat {installed} (CUDA)", gsplat_rasteriser.GsplatRasteriser(rasterization, device, convention)
        )
    return Rasteriser(OURS, partial(_ours, convention))


def _ours(
    convention: Convention, gaussians: Gaussians, camera: Pinhole, *, background: Sequence[float]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return rasterise(gaussians, camera, convention, background=background)
