"""The rasteriser for CUDA devices: `gsplat.rasterization`, and nothing else of gsplat."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nvs_eval.errors import ResourceError
from nvs_eval_splat.conventions import TILE, Convention
from nvs_eval_splat.gaussians import Gaussians
from nvs_eval_splat.pinhole import Pinhole

CONVENTION_OF = {(1, 4): "gsplat-1.4", (1, 5): "gsplat-1.5", (1, 6): "gsplat-main"}
"""Convention of each version of gsplat."""
_WORDS = "Install the CUDA toolkit of PyTorch's CUDA version, or pass `--device cpu`."


def installed_version() -> str | None:
    """Return the version of gsplat, or None if it is not installed."""
    try:
        return version("gsplat")
    except PackageNotFoundError:
        return None


def convention_of(installed: str | None) -> str | None:
    """Return the name of the convention that a version of gsplat follows, or None if it is not known."""
    try:
        major, minor = map(int, (installed or "").split(".")[:2])
    except ValueError:
        return None
    return CONVENTION_OF.get((major, minor))


def is_compiled_at_first_use() -> bool:
    """Return whether the installed gsplat comes without its CUDA code compiled."""
    return importlib.util.find_spec("gsplat") is not None and importlib.util.find_spec("gsplat.csrc") is None


def load_rasterization() -> Callable[..., Any]:
    """Return `gsplat.rasterization`.

    Raises:
        ResourceError: gsplat cannot be imported.
    """
    try:
        from gsplat import rasterization
    except Exception as error:  # Importing may load CUDA libraries, which raise anything.
        raise ResourceError(f"gsplat cannot be imported: {error}. {_WORDS}") from error
    return rasterization


class GsplatRasteriser:
    """Renders of one model after the other by gsplat's kernels. The last model stays on the device."""

    def __init__(self, rasterization: Callable[..., Any], device: torch.device, convention: Convention) -> None:
        self.rasterization, self.device, self.convention = rasterization, device, convention
        self.model: Gaussians | None = None
        self.tensors: tuple[torch.Tensor, ...] = ()

    def __call__(
        self, gaussians: Gaussians, camera: Pinhole, *, background: Sequence[float]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Render a view; arguments and values as those of `rasterise`.

        Raises:
            ResourceError: gsplat's CUDA code cannot be compiled or does not run on this device.
        """
        if self.model is not gaussians:
            arrays = (gaussians.means, gaussians.rotations, gaussians.scales, gaussians.opacities, gaussians.harmonics)
            self.tensors = tuple(torch.tensor(array, device=self.device) for array in arrays)
            self.model = gaussians
        convention = self.convention
        centred = convention.principal_point == "centre"
        cx, cy = (camera.width / 2, camera.height / 2) if centred else (camera.cx, camera.cy)
        lens = ((camera.fx, 0.0, cx), (0.0, camera.fy, cy), (0.0, 0.0, 1.0))
        try:
            rgb, alpha, _ = self.rasterization(
                *self.tensors,
                viewmats=self._tensor(camera.world_to_camera)[None],
                Ks=self._tensor(lens)[None],
                width=camera.width,
                height=camera.height,
                near_plane=convention.near,
                far_plane=convention.far,
                eps2d=convention.low_pass,
                sh_degree=gaussians.degree,
                # The conventions are those of the unpacked projection, which gsplat's trainer and nerfstudio use.
                packed=False,
                tile_size=TILE,
                backgrounds=self._tensor(tuple(background))[None],
                rasterize_mode="antialiased" if convention.antialiased else "classic",
            )
        except (ImportError, AttributeError, OSError, IndexError) as error:
            # Without a CUDA compiler gsplat's extension is None; its build raises the others.
            raise ResourceError(f"gsplat's CUDA code cannot be compiled or loaded: {error}. {_WORDS}") from error
        return rgb[0].float().cpu().numpy(), alpha[0, ..., 0].float().cpu().numpy()

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)
