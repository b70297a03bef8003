"""The definition of LPIPS on images and activations, independent of how images pass through the network."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.metrics.lpips.layers import SMALLEST, Backbone
from nvs_eval.metrics.lpips.precision import Precision
from nvs_eval.metrics.lpips.streaming import Layer
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
class Comparison:
    """Options of an LPIPS, which `load_lpips` documents, and its weights."""

    net: Net
    version: Literal["0.1", "0.0"]
    heads: Heads
    input: Scaling
    normaliser: Normaliser
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

    def layers_for(self, *images: Tensor, lean: bool = False) -> tuple[Layer, ...]:
        """Return the network's layers for images; lean layers use less memory and more time."""
        device, dtype = images[0].device, images[0].dtype
        # Reduced precision must give identical bits regardless of the free memory, so it has no lean layers.
        lean = lean and self.precision == "exact"
        return self.backbone.layers(device, dtype, self.precision, plain=lean or needs_gradient(*images))

    def heads_for(self, images: Tensor) -> Sequence[Tensor]:
        """Return the channel weights of each tap on the images' device and in their dtype; they are moved only once."""
        place = (images.device, images.dtype)
        if place not in self._placed:
            with torch.inference_mode(False):  # The same mode as when loading, so that gradients work later.
                self._placed[place] = [head.to(*place) for head in self.head_weights]
        return self._placed[place]

    def check_size(self, image: Tensor) -> None:
        """Check that an image is large enough for the network.

        Raises:
            InputError: the image is too small; the message has the required size.
        """
        smallest = SMALLEST[self.net]
        if min(image.shape[-2:]) < smallest:
            raise InputError(
                f"LPIPS with {self.net} requires images of at least {smallest}x{smallest} pixels. "
                f"Got {image.shape[-1]}x{image.shape[-2]}."
            )


def upsampled(distances: Sequence[Tensor], size: torch.Size) -> Tensor:
    """Upsample the maps of the taps, `[..., 1, h, w]`, to the size of the images and sum them, `[..., H, W]`."""
    total = distances[0].new_zeros(())
    for distance in distances:
        flat = distance.reshape(-1, 1, *distance.shape[-2:])
        full = torch.nn.functional.interpolate(flat, size=size, mode="bilinear", align_corners=False)
        total = total + full.reshape(*distance.shape[:-3], *size)
    return total


def _clamped(images: Tensor) -> Tensor:
    """Clamp images to [0, 1]; images within this range are returned without a copy."""
    if needs_gradient(images) or not images.numel():
        return images.clamp(0, 1)
    least, most = images.aminmax()
    return images if least >= 0 and most <= 1 else images.clamp(0, 1)
