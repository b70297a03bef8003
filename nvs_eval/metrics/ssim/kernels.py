"""The ways in which the field forms SSIM's windowed statistics, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

_FLOAT32_EPSILON = 2.0**-23


@dataclass(frozen=True)
class Kernel:
    """How the windowed statistics of a pair are formed.

    Attributes:
        taps: the one-dimensional window, applied along both axes; sums to 1.
        window: its name in a signature.
        padding: `valid` keeps the windows wholly inside; the others keep the full size: `reflect` mirrors the images at
            their border pixels, `symmetric` at their edges, so that border pixels repeat, `zero` surrounds them with
            zeros.
        sample_covariance: whether variances and covariance are multiplied by n / (n - 1), n the pixels of a window.
        variance_floor: the least value of a variance, None for no clamp.
        clamp_covariance: whether |cov| is clamped to sqrt(var_x var_y).
        grey: None for each channel of its own; `bt709` for the luminance of sRGB values; `bt601-8bit` for OpenCV's
            integer grey of 8-bit levels, from 0 to 255.
    """

    taps: tuple[float, ...]
    window: str
    padding: Literal["valid", "reflect", "symmetric", "zero"] = "valid"
    sample_covariance: bool = False
    variance_floor: float | None = None
    clamp_covariance: bool = False
    grey: Literal["bt709", "bt601-8bit"] | None = None

    def signature(self, data_range: str) -> str:
        """Everything that tells an SSIM of this kernel from another, in a few words."""
        parts = [f"win:{self.window}", f"pad:{self.padding}", f"range:{data_range}"]
        parts.append(f"cov:{'sample' if self.sample_covariance else 'population'}")
        if self.variance_floor is not None:
            parts.append(f"floor:{_show(self.variance_floor)}")
        if self.clamp_covariance:
            parts.append("covclamp")
        if self.grey:
            parts.append(f"grey:{self.grey}")
        return "|".join(parts)

    @property
    def border(self) -> int:
        """The pixels by which half a window reaches beyond its centre."""
        return len(self.taps) // 2

    @property
    def smallest(self) -> int:
        """The least height and width in pixels."""
        return {"valid": len(self.taps), "reflect": self.border + 1, "symmetric": self.border, "zero": 1}[self.padding]


def _show(floor: float) -> str:
    """All digits of a floor, since metrics of one signature are computed once; dm_pix's own by its power of two."""
    return "2^-46" if floor == _FLOAT32_EPSILON**2 else repr(floor).removesuffix(".0")


def _gaussian(size: int, sigma: float) -> tuple[float, ...]:
    offsets = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    return tuple((weights / weights.sum()).tolist())


_GAUSS = _gaussian(11, 1.5)
_UNIFORM = (1 / 7,) * 7
_FIVE = (0.120078, 0.233881, 0.292082, 0.233881, 0.120078)

KERNELS: dict[str, Kernel] = {
    # pytorch-msssim, skimage(gaussian_weights=True, use_sample_covariance=False), torchmetrics <= 1.4.1
    "valid": Kernel(_GAUSS, "gauss11s1.5"),
    # dm_pix: multinerf, camp_zipnerf, nerfbaselines
    "dmpix": Kernel(_GAUSS, "gauss11s1.5", variance_floor=_FLOAT32_EPSILON**2, clamp_covariance=True),
    # torchmetrics >= 1.4.2
    "reflect": Kernel(_GAUSS, "gauss11s1.5", padding="reflect", variance_floor=0.0),
    # graphdeco-inria/gaussian-splatting and its forks
    "zero": Kernel(_GAUSS, "gauss11s1.5", padding="zero"),
    # skimage's default
    "uniform7-rgb": Kernel(_UNIFORM, "uniform7", sample_covariance=True),
    # zipnerf-pytorch: skimage's default on OpenCV's grey
    "uniform7-gray": Kernel(_UNIFORM, "uniform7", sample_covariance=True, grey="bt601-8bit"),
    # instant-ngp
    "luma5": Kernel(_FIVE, "ngp5", padding="symmetric", grey="bt709"),
}
"""The named kernels, each with who uses it."""
