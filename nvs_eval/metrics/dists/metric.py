"""DISTS: similarity of structure and texture in the activations of VGG16.

K. Ding et al., "Image quality assessment: unifying structure and texture similarity", 2020. Means (texture) and
correlations (structure) of each channel are compared over the whole plane. Max pooling is replaced by the root of mean
squares, so a pass is not shared with LPIPS.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError
from nvs_eval.metrics.describe import Described
from nvs_eval.metrics.dists.statistics import CHANNELS, DEVIATION, MEAN, Statistics, Weights
from nvs_eval.metrics.lpips.architectures import SMALLEST
from nvs_eval.metrics.lpips.layers import Backbone
from nvs_eval.metrics.lpips.network import Network, Pair
from nvs_eval.metrics.lpips.passes import compare, score_together
from nvs_eval.metrics.lpips.plan import Allowed, Pairing
from nvs_eval.metrics.pair import Mask, MaskMeaning, broadcast_shapes, checked_pair, owners_of, widest_float
from nvs_eval.metrics.weights.backbones import shared_backbone
from nvs_eval.metrics.weights.formats import load_dists_weights


@dataclass(frozen=True, eq=False)
class Dists(Network):
    """DISTS with its weights, called like all metrics: `dists(reference, render, mask=None) -> [...]`.

    Created by `load_dists`. A call returns one float64 value per image, at least 0 up to rounding, lower is better. It
    is differentiable with respect to both images, and the weights are constants.
    """

    kind = "DISTS"
    normaliser = "float64"
    feature_bytes = 8
    together = staticmethod(score_together)

    backbone: Backbone = field(repr=False)
    weights: Weights = field(repr=False)
    _placed: dict[torch.device, Weights] = field(default_factory=dict, init=False, repr=False)

    def __call__(
        self,
        reference: Float[Tensor, "*#batch 3 h w"],
        render: Float[Tensor, "*#batch 3 h w"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "*batch_out"]:
        """Score each render against its reference; the activations of a reference are computed once for all renders.

        Args:
            reference: `[..., 3, H, W]` in [0, 1].
            render: `[..., 3, H, W]` in [0, 1]; the leading dimensions broadcast against the reference's.
            mask: `[..., 1, H, W]`, bool or weights in [0, 1]; weights of all means, pooled with the activations.

        Returns:
            `[...]` float64. NaN for an empty mask.

        Raises:
            InputError: the shapes or dtypes do not fit.
        """
        reference, render = checked_pair(reference, render, mask)
        batch = broadcast_shapes(*(images.shape[:-3] for images in (reference, render, mask) if images is not None))
        if 0 in batch:
            return reference.new_empty(batch, dtype=widest_float(reference.device))
        references = reference.reshape(-1, *reference.shape[-3:])
        renders = render.expand(*batch, *render.shape[-3:]).reshape(-1, *render.shape[-3:])
        masks = None if mask is None else mask.expand(*batch, *mask.shape[-3:]).reshape(-1, *mask.shape[-3:])
        places = range(len(references), len(references) + len(renders))
        pairing = Pairing(self, owners_of(reference, batch), places, masks)
        compared = compare([pairing], references.unbind(), renders.unbind(), Allowed())
        values = [part.value(place) for (part,) in compared for place in range(len(part.pairs))]
        return torch.stack(values).reshape(batch)

    @property
    def name(self) -> str:
        """Name in errors."""
        return "DISTS"

    @property
    def smallest(self) -> int:
        """Smallest height and width of an image, in pixels."""
        return SMALLEST["dists"]

    @property
    def feed(self) -> Hashable:
        """Key of the network and its input: metrics with equal keys can share passes."""
        return ("dists", id(self.backbone))

    def scaled(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        """Scale images to the input of the network."""
        mean, deviation = (images.new_tensor(numbers)[:, None, None] for numbers in (MEAN, DEVIATION))
        return ((images - mean) / deviation).contiguous(memory_format=torch.channels_last)

    def normalised(self, activation: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return an activation in float64, in which its variance has enough digits."""
        return activation.to(widest_float(activation.device))

    def comparing(
        self, pairs: Sequence[Pair], sizes: Sequence[tuple[int, int]], like: Tensor, masks: Tensor | None
    ) -> Statistics:
        """Return the sums of some pairs, which `add` fills."""
        if like.device not in self._placed:  # They are moved only once.
            with torch.inference_mode(False):  # The same mode as when loading, so that gradients work later.
                self._placed[like.device] = self.weights.to(like.device, widest_float(like.device))
        return Statistics(self, self._placed[like.device], pairs, like, masks)


def load_dists(*, weights_dir: str | PathLike[str] | None = None) -> Dists:
    """Load DISTS with verified weights: VGG16, and alpha and beta of the package dists-pytorch.

    Args:
        weights_dir: folder that is searched first for VGG16.

    Raises:
        InputError: the weights are unavailable or have the wrong hash.
    """
    # Tensors created in a caller's inference mode could never be used for gradients.
    with torch.inference_mode(False):
        alpha, beta = (tensor.flatten().double() for tensor in load_dists_weights())
        total = alpha.sum() + beta.sum()
        weights = Weights(*((tensor / total).split(CHANNELS) for tensor in (alpha, beta)))
        folder = None if weights_dir is None else Path(weights_dir)
        return Dists(Backbone("dists", shared_backbone("vgg", directory=folder)), weights)


def describe(name: str, mask: MaskMeaning) -> Described:
    """Describe the DISTS of a protocol. The loader of its function reads the weights.

    Raises:
        InputError: DISTS does not support the meaning of the mask.
    """
    if mask != "valid-pixels":
        raise InputError(
            f"{name} compares whole planes, so it does not support `mask: {mask}`. Use valid-pixels, multiply, fill or "
            "bbox, or remove it from the protocol."
        )
    return Described(
        signature="dists|net:vgg|weights:0.1|v1",
        load=lambda weights_dir: load_dists(weights_dir=weights_dir),
        smallest=SMALLEST["dists"],
        nets=("vgg",),
    )
