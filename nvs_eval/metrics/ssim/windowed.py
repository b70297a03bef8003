"""SSIM, MS-SSIM and D-SSIM as functions of one form, which share the windowed means of a pair."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.metrics.describe import Described, all_digits
from nvs_eval.metrics.pair import Mask, checked_pair
from nvs_eval.metrics.ssim.averages import Windows, averages
from nvs_eval.metrics.ssim.formula import Maps
from nvs_eval.metrics.ssim.scales import SMALLEST, WEIGHTS, over_scales
from nvs_eval.metrics.together import Request, Together, Values

_FLAT = (
    "SSIM over the data range of the pair has no value if both images have a single colour. Skip the view, or use "
    "another protocol."
)


def score_together(requests: Sequence[Request], _: int | None = None) -> Values:
    """Compute the values of requests; equal pairs with equal windows are compared once at full size."""
    groups: dict[Hashable, list[int]] = {}
    for index, request in enumerate(requests):
        images = tuple(map(id, (request.reference, request.renders, request.mask)))
        groups.setdefault((images, request.function.windows), []).append(index)
    values: dict[int, Tensor | InputError] = {}
    for group in groups.values():
        functions: list[Windowed] = [requests[index].function for index in group]
        request = requests[group[0]]
        values |= zip(group, _scored(functions, request.reference, request.renders, request.mask), strict=True)
    return [values[index] for index in range(len(requests))]


@dataclass(frozen=True)
class Windowed(Together):
    """A metric of windowed means, called like all metrics.

    Attributes:
        name: name in errors.
        windows: windowed means. Metrics with equal ones share them.
        scales: whether five scales are combined.
        dissimilar: whether the value is half of 1 - SSIM.
    """

    name: str
    windows: Windows
    scales: bool = False
    dissimilar: bool = False

    together = staticmethod(score_together)

    def __call__(
        self,
        reference: Float[Tensor, "*#batch 3 h w"],
        render: Float[Tensor, "*#batch 3 h w"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "*batch_out"]:
        """Return one value per image, `[...]` float64.

        Raises:
            InputError: the shapes or dtypes do not fit, or the images are too small.
        """
        value = _scored([self], *checked_pair(reference, render, mask), mask)[0]
        if isinstance(value, InputError):
            raise value
        return value

    @property
    def smallest(self) -> int:
        """Smallest height and width of an image, in pixels."""
        return SMALLEST if self.scales else self.windows.how.smallest

    def too_small(self, image: Tensor) -> InputError | None:
        """Return the error for an image that is too small; None if it is large enough."""
        height, width = image.shape[-2:]
        if min(height, width) >= self.smallest:
            return None
        size = f"{self.smallest}x{self.smallest}"
        return InputError(f"{self.name} requires images of at least {size} pixels. Got {width}x{height}.")

    def described(self, signature: str) -> Described:
        """Return the description of the metric, with the part of its signature before the parameters."""
        how, extent, _ = self.windows
        shown = "pair" if extent == "pair" else all_digits(extent)
        scales = f"|scales:{len(WEIGHTS)}|pool:avg2" if self.scales else ""
        return Described(
            signature=f"{signature}{scales}|{how.signature(shown)}|v1",
            load=lambda _: self,
            smallest=self.smallest,
            undefined=_FLAT if extent == "pair" else "",
        )


def _scored(functions: Sequence[Windowed], reference: Tensor, render: Tensor, mask: Tensor | None) -> Values:
    """Return the value of each function, or its error; they have the same windows."""
    fitting = [function for function in functions if not function.too_small(reference)]
    scales = [function for function in fitting if function.scales]
    maps: list[Maps] = ["ssim"] if len(fitting) > len(scales) else []
    if scales:
        maps.append("contrast")
    windows = functions[0].windows
    ssim = ms_ssim = reference
    if maps:
        first = averages(reference, render, mask, windows, maps=maps)
        ssim = first.whole
        if scales:
            ms_ssim = over_scales(first, reference, render, mask, windows)
    values: list[Tensor | InputError] = []
    for function in functions:
        if error := function.too_small(reference):
            values.append(error)
            continue
        value = ms_ssim if function.scales else ssim
        values.append((1 - value) / 2 if function.dissimilar else value)
    return values
