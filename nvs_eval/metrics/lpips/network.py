"""Interface between the metrics that compare activations of a network and the code that passes the images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError, quoted
from nvs_eval.metrics.lpips.layers import Backbone
from nvs_eval.metrics.lpips.precision import Precision
from nvs_eval.metrics.lpips.streaming import Layer
from nvs_eval.metrics.pair import needs_gradient
from nvs_eval.metrics.together import Together


@dataclass(frozen=True)
class Pair:
    """One pair of a pairing: its index, and the indices of its images among those that pass together."""

    which: int
    reference: int
    render: int


class Features:
    """Activations of an image's rows at a tap, normalised once per normaliser."""

    def __init__(self, activations: Tensor) -> None:
        self._activations = activations
        self._normalised: dict[str, Tensor] = {}

    def of(self, network: Network) -> Tensor:
        """Return the activations as a metric compares them."""
        if network.normaliser not in self._normalised:
            self._normalised[network.normaliser] = network.normalised(self._activations)
        return self._normalised[network.normaliser]


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of several images at a tap; `top` is the index of the first row."""

    tap: int
    top: int
    images: Sequence[Features]


class Comparing(ABC):
    """Comparison of the activations of some pairs, `pairs`, which accumulates their values row by row."""

    pairs: Sequence[Pair]

    @abstractmethod
    def add(self, features: Rows) -> None:
        """Compare the features of some rows of all images that pass together."""

    @abstractmethod
    def value(self, place: int) -> Tensor:
        """Return the value of the pair with this index in `pairs`, after all rows were added."""


Own = TypeVar("Own", bound="Network")


class Network(Together, ABC):
    """A metric that compares activations of a network.

    Attributes:
        name: name in errors.
        kind: family in errors.
        advice: end of the error for a dtype.
        backbone: network and its weights.
        precision: arithmetic of the network.
        normaliser: key of `normalised`. Features are shared by metrics with equal keys and feeds.
        feature_bytes: bytes of a normalised feature.
        smallest: smallest height and width of an image, in pixels.
    """

    backbone: Backbone
    precision: Precision = "exact"
    normaliser: str
    feature_bytes: int = 4
    kind: str
    advice: str = ""

    @property
    @abstractmethod
    def name(self) -> str: ...  # noqa: D102

    @property
    @abstractmethod
    def smallest(self) -> int: ...  # noqa: D102

    @property
    @abstractmethod
    def feed(self) -> Hashable:
        """Key of the network and its input: metrics with equal keys can share passes."""

    @abstractmethod
    def scaled(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        """Scale images to the input of the network, in the memory layout that is fastest for it."""

    @abstractmethod
    def normalised(self, activation: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return an activation as it is compared."""

    @abstractmethod
    def comparing(
        self, pairs: Sequence[Pair], sizes: Sequence[tuple[int, int]], like: Tensor, masks: Tensor | None
    ) -> Comparing:
        """Return a new comparison of some pairs.

        Args:
            pairs: the pairs.
            sizes: height and width of the activations at each tap.
            like: an image, `[3, H, W]`.
            masks: `[1, 1, H, W]`, or one per pair of the pairing; None for no mask.
        """

    def to(self: Own, device: torch.device | str) -> Own:
        """Return this metric, as `module.to(device)` does; it is not needed, because the weights follow the images.

        Raises:
            InputError: the argument is not the name of a device. The dtype is the images', at least float32.
        """
        try:
            torch.device(device)
        except (RuntimeError, TypeError) as error:
            raise InputError(
                f"device must be a device such as 'cuda'. Got {quoted(device)}. {self.kind} computes in the dtype of "
                f"its images, at least float32{self.advice}."
            ) from error
        return self

    def eval(self: Own) -> Own:
        """Return this metric, as `module.eval()` does; it is not needed, because there is no training mode."""
        return self

    def fed(self, reference: Tensor, render: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the images that the network gets."""
        return reference, render

    def layers_for(self, *images: Tensor, lean: bool = False) -> tuple[Layer, ...]:
        """Return the network's layers for images; lean layers use less memory and more time."""
        device, dtype = images[0].device, images[0].dtype
        # Reduced precision must give identical bits regardless of the free memory, so it has no lean layers.
        lean = lean and self.precision == "exact"
        return self.backbone.layers(device, dtype, self.precision, plain=lean or needs_gradient(*images))
