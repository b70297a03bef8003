"""SSIM of a block of a pair: the kernels as data, and the formula in torch operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from nvs_eval.metrics.describe import all_digits

_FLOAT32_EPSILON = 2.0**-23


@dataclass(frozen=True)
class Kernel:
    """Definition of the windowed statistics of a pair.

    Attributes:
        taps: one-dimensional window, applied along both axes; sums to 1.
        window: name of the window in a signature.
        padding: `valid` uses only windows inside the image. The others keep the full size: `reflect` mirrors the images
            at their border pixels, `symmetric` at their edges, so that border pixels repeat, `zero` pads with zeros.
        sample_covariance: whether variances and covariance are multiplied by n / (n - 1), with n pixels per window.
        variance_floor: lower bound of a variance; None for no clamp.
        clamp_covariance: whether |cov| is clamped to sqrt(var_x var_y).
        grey: None to score each channel; `bt709` for the luminance of sRGB values; `bt601-8bit` for OpenCV's integer
            grey of 8-bit levels, from 0 to 255.
    """

    taps: tuple[float, ...]
    window: str
    padding: Literal["valid", "reflect", "symmetric", "zero"] = "valid"
    sample_covariance: bool = False
    variance_floor: float | None = None
    clamp_covariance: bool = False
    grey: Literal["bt709", "bt601-8bit"] | None = None

    def signature(self, data_range: str) -> str:
        """Return everything that distinguishes the SSIM of this kernel from others, as part of a signature."""
        parts = [f"win:{self.window}", f"pad:{self.padding}", f"range:{data_range}"]
        parts.append(f"cov:{'sample' if self.sample_covariance else 'population'}")
        if self.variance_floor is not None:
            # dm_pix's floor is written as a power of two.
            is_dm_pix = self.variance_floor == _FLOAT32_EPSILON**2
            parts.append(f"floor:{'2^-46' if is_dm_pix else all_digits(self.variance_floor)}")
        if self.clamp_covariance:
            parts.append("covclamp")
        if self.grey:
            parts.append(f"grey:{self.grey}")
        return "|".join(parts)

    @property
    def border(self) -> int:
        """Number of pixels from the centre of a window to its edge."""
        return len(self.taps) // 2

    @property
    def smallest(self) -> int:
        """Smallest height and width of an image, in pixels."""
        return {"valid": len(self.taps), "reflect": self.border + 1, "symmetric": self.border, "zero": 1}[self.padding]


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
    # skimage(gaussian_weights=True): pixelSplat and its successors
    "valid-sample": Kernel(_GAUSS, "gauss11s1.5", sample_covariance=True),
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
"""The named kernels, each with the tools that use it."""


Maps = Literal["ssim", "contrast"]
"""SSIM, and its factor of contrast and structure, `(2 cov + C2) / (var_x + var_y + C2)`."""
Blur = Callable[[Tensor], Tensor]
"""Maps `[c, h, w]` to one value per window."""
# A variance floor of this share of C2 changes an SSIM by at most twice this share.
_IMMATERIAL = 1e-10


@dataclass(frozen=True)
class Constants:
    """Constants of the formula: C1 and C2, as scalars, and the clamps of the kernel."""

    c1: Tensor
    c2: Tensor
    variance_floor: float | None
    clamp_covariance: bool

    @classmethod
    def of(cls, extent: Tensor, how: Kernel) -> Constants:
        """Return the constants of a data range.

        The factor of sample variances and covariance is not applied to them: it cancels in the ratio when C2 and the
        floor are divided by it instead.
        """
        n = len(how.taps) ** 2
        factor = n / (n - 1) if how.sample_covariance else 1.0
        floor = None if how.variance_floor is None else how.variance_floor / factor
        return cls((0.01 * extent) ** 2, (0.03 * extent) ** 2 / factor, floor, how.clamp_covariance)

    @property
    def clamped(self) -> bool:
        """Whether clamping has an effect.

        With window weights that sum to 1, variances are never negative and the covariance never exceeds the square root
        of the product of the variances, except for rounding errors. Reading C2 would make another device wait.
        """
        floor = self.variance_floor
        return bool(floor) and (self.c2.device.type != "cpu" or floor > _IMMATERIAL * self.c2.item())


class Planes(NamedTuple):
    """Planes `[c, h, w]`, from which their levels `[c, 1, 1]` are subtracted unless `level` is None."""

    values: Tensor
    level: Tensor | None

    @classmethod
    def centred(cls, values: Tensor, border: int) -> Planes:
        """Subtract a constant from each plane: the value of a pixel that is not padding.

        A variance computed as E[x^2] - E[x]^2 loses digits if the mean is much larger, as in a low-contrast pair.
        Subtracting a constant changes neither variances nor covariance.
        """
        level = values[:, border, border, None, None]
        return cls(values - level, level)

    def lift(self, mean: Tensor) -> Tensor:
        """Return the mean of the planes before the subtraction."""
        return mean if self.level is None else mean + self.level


class Plain:
    """SSIM without clamps, which needs only the sum of the variances: three blurs per render and one per reference."""

    def __init__(self, x: Planes, constants: Constants, means: Blur) -> None:
        self._blur, self._c1 = means, constants.c1
        # C1 and C2 are added where it is free, before the blur: the weights of a window sum to 1.
        self._both = constants.c1 + constants.c2
        self._double, self._square = 2 * x.values, torch.addcmul(self._both, x.values, x.values)
        mean = means(x.values)
        self._means = self._of_mean(mean)
        self._lifted = self._means if x.level is None else self._of_mean(x.lift(mean))

    def scores(self, y: Planes) -> Tensor:
        """Return the map of one render."""
        return self.maps(y, ("ssim",))["ssim"]

    def maps(self, y: Planes, names: Sequence[Maps]) -> dict[Maps, Tensor]:
        """Return some maps of one render."""
        mean = self._blur(y.values)
        similar = self._blur(torch.addcmul(self._both, self._double, y.values))
        total = self._blur(torch.addcmul(self._square, y.values, y.values))
        product, squares = self._with(self._means, mean)
        similar -= product  # 2 cov + C2
        total -= squares  # var_x + var_y + C2
        maps: dict[Maps, Tensor] = {"contrast": similar / total} if "contrast" in names else {}
        if "ssim" not in names:
            return maps
        if y.level is not None:
            product, squares = self._with(self._lifted, y.lift(mean))
        product *= similar
        squares *= total
        product /= squares
        return {"ssim": product, **maps}

    def _of_mean(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        return 2 * mean, torch.addcmul(self._c1, mean, mean)

    def _with(self, means: tuple[Tensor, Tensor], mean: Tensor) -> tuple[Tensor, Tensor]:
        """Return 2 mu_x mu_y + C1 and mu_x^2 + mu_y^2 + C1."""
        return torch.addcmul(self._c1, means[0], mean), torch.addcmul(means[1], mean, mean)


class Clamped:
    """SSIM with clamps, which need each variance separately; the blur may be any weighting of pixels."""

    def __init__(self, x: Planes, constants: Constants, means: Blur) -> None:
        self._constants, self._blur, self._x = constants, means, x
        self._mean, self._variance = self._moments(x.values)

    def scores(self, y: Planes) -> Tensor:
        """Return the map of one render."""
        constants, var_x = self._constants, self._variance
        mean, var_y = self._moments(y.values)
        cov = self._blur(self._x.values * y.values) - self._mean * mean
        if constants.clamp_covariance:
            limit = (var_x * var_y).sqrt()
            cov = cov.clamp(min=-limit, max=limit)
        mean_x, mean_y = self._x.lift(self._mean), y.lift(mean)
        similar = (2 * mean_x * mean_y + constants.c1) * (2 * cov + constants.c2)
        return similar / ((mean_x * mean_x + mean_y * mean_y + constants.c1) * (var_x + var_y + constants.c2))

    def _moments(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean = self._blur(values)
        variance = self._blur(values * values) - mean * mean
        floor = self._constants.variance_floor
        return mean, variance if floor is None else variance.clamp(min=floor)
