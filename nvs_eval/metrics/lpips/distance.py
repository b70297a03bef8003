"""The definition of LPIPS on images and activations, independent of how images pass through the network."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from nvs_eval.metrics.lpips.architectures import SMALLEST
from nvs_eval.metrics.lpips.layers import Backbone
from nvs_eval.metrics.lpips.network import Comparing, Network, Pair, Rows
from nvs_eval.metrics.lpips.precision import Precision
from nvs_eval.metrics.pair import mean_over_plane, needs_gradient, widest_float
from nvs_eval.metrics.weights.pins import Net

Heads = Literal["learned", "none"]
Scaling = Literal["scaled", "unscaled"]
Normaliser = Literal["lpips", "torchmetrics"]
MaskMeaning = Literal["valid-pixels", "dycheck"]

# ImageNet's mean and standard deviation, for images in [-1, 1].
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


@dataclass(frozen=True, eq=False)
class Comparison(Network):
    """Options of an LPIPS, which `load_lpips` documents, and its weights."""

    kind = "LPIPS"
    advice = "; for a faster one, use `load_lpips(..., precision='fast')`"
    net: Net
    version: Literal["0.1", "0.0"]
    heads: Heads
    input: Scaling
    normaliser: Normaliser  # pyright: ignore[reportIncompatibleVariableOverride]: it is frozen.
    backbone: Backbone = field(repr=False)
    head_weights: Sequence[Tensor] = field(repr=False)
    clamp: bool = False
    mask_meaning: MaskMeaning = "valid-pixels"
    precision: Precision = "exact"
    _placed: dict[tuple[torch.device, torch.dtype], Sequence[Tensor]] = field(
        default_factory=dict, init=False, repr=False
    )

    def fed(self, reference: Tensor, render: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the images to compare, clamped and multiplied by the mask if so configured."""
        if self.clamp:
            reference, render = _clamped(reference), _clamped(render)
        if mask is None or self.mask_meaning != "dycheck":
            return reference, render
        weights = mask.to(reference.dtype)
        return reference * weights, render * weights

    def reduce(self, distances: Sequence[Tensor], size: torch.Size, mask: Tensor | None) -> Tensor:
        """Reduce the distances of the taps, `[..., 1, h, w]`, to one value per image of the given size."""
        if mask is not None:
            return mean_over_plane(upsampled(distances, size)[..., None, :, :], mask)
        zero = distances[0].new_zeros((), dtype=widest_float(distances[0].device))
        return sum((mean_over_plane(distance) for distance in distances), start=zero)

    @property
    def feed(self) -> Hashable:
        """Key of the network and its input: LPIPS with equal keys can share passes."""
        return (self.net, id(self.backbone), self.version == "0.1", self.input, self.precision)

    def scaled(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        """Scale images to the input of the network, in the memory layout that is fastest for it."""
        if self.input == "scaled":
            images = 2 * images - 1
        if self.version == "0.1":
            shift, scale = (images.new_tensor(values)[:, None, None] for values in (_SHIFT, _SCALE))
            images = (images - shift) / scale
        return images.contiguous(memory_format=torch.channels_last)

    def normalised(self, activation: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Divide an activation by its norm over the channels."""
        activation = activation.to(torch.promote_types(activation.dtype, torch.float32))
        # A vector norm has a gradient where all channels are 0; the square root of a sum of squares does not.
        norm = torch.linalg.vector_norm(activation, dim=1, keepdim=True)
        return activation / (norm + 1e-10 if self.normaliser == "lpips" else (norm.square() + 1e-8).sqrt())

    def heads_for(self, images: Tensor) -> Sequence[Tensor]:
        """Return the channel weights of each tap on the images' device and in their dtype; they are moved only once."""
        place = (images.device, images.dtype)
        if place not in self._placed:
            with torch.inference_mode(False):  # The same mode as when loading, so that gradients work later.
                self._placed[place] = [head.to(*place) for head in self.head_weights]
        return self._placed[place]

    @property
    def name(self) -> str:
        """Name in errors."""
        return f"LPIPS with {self.net}"

    @property
    def smallest(self) -> int:
        """Smallest height and width of an image, in pixels."""
        return SMALLEST[self.net]

    def comparing(
        self, pairs: Sequence[Pair], sizes: Sequence[tuple[int, int]], like: Tensor, masks: Tensor | None
    ) -> Distances:
        """Return the distances of some pairs, which `add` fills."""
        return Distances(self, pairs, sizes, like, masks)


class Distances(Comparing):
    """Weighted squared differences of some pairs of a pairing: planes `[pairs, 1, h, w]` at each tap."""

    def __init__(
        self,
        lpips: Comparison,
        pairs: Sequence[Pair],
        sizes: Sequence[tuple[int, int]],
        like: Tensor,
        masks: Tensor | None,
    ) -> None:
        self.pairs = pairs
        self.planes = [like.new_empty(len(pairs), 1, *size) for size in sizes]
        self._lpips, self._masks, self._size = lpips, masks, like.shape[-2:]

    def add(self, features: Rows) -> None:
        """Compare the features of some rows of all images that pass together."""
        compared: dict[tuple[int, int], Tensor] = {}
        images, tap = features.images, features.tap
        for place, pair in enumerate(self.pairs):
            key = (pair.reference, pair.render)
            if key not in compared:
                difference = images[pair.reference].of(self._lpips) - images[pair.render].of(self._lpips)
                head = self._lpips.heads_for(difference)[tap]
                compared[key] = torch.nn.functional.conv2d(difference.square(), head)
            rows = slice(features.top, features.top + compared[key].shape[2])
            self.planes[tap][place, :, rows] = compared[key][0]

    def value(self, place: int) -> Tensor:
        """Return the value of a pair."""
        mask = None if self._masks is None else self._masks[0]
        return self._lpips.reduce([plane[place] for plane in self.planes], self._size, mask)


def upsampled(distances: Sequence[Tensor], size: torch.Size) -> Tensor:
    """Upsample the maps of the taps, `[..., 1, h, w]`, to the size of the images and sum them, `[..., H, W]`."""
    total = distances[0].new_zeros(())
    for distance in distances:
        flat = distance.reshape(-1, 1, *distance.shape[-2:])
        full = torch.nn.functional.interpolate(flat, size=size, mode="bilinear", align_corners=False)
        total = total + full.reshape(*distance.shape[:-3], *size)
    return total


def _clamped(images: Tensor) -> Tensor:
    """Clamp images to [0, 1]; on the CPU, images within this range are returned without a copy."""
    if needs_gradient(images) or not images.numel() or images.device.type != "cpu":
        return images.clamp(0, 1)
    least, most = images.aminmax()
    return images if least >= 0 and most <= 1 else images.clamp(0, 1)
