"""The definition of DISTS on the activations of a network: similarity of their means and of their structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nvs_eval.metrics.lpips.network import Comparing, Network, Pair, Rows
from nvs_eval.metrics.pair import widest_float

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet, for images in [0, 1]."""
CHANNELS = (3, 64, 128, 256, 512, 512)
"""Channels of the image and of each tap."""
_CONSTANT = 1e-6


class Weights(NamedTuple):
    """Weights of means (`alpha`) and of structure (`beta`) per tap, each `[c]`; together they sum to 1."""

    alpha: Sequence[Tensor]
    beta: Sequence[Tensor]

    def to(self, device: torch.device, dtype: torch.dtype) -> Weights:
        """Return the weights on a device, in a dtype."""
        return Weights(*([weight.to(device, dtype) for weight in weights] for weights in self))


class Statistics(Comparing):
    """Sums over the plane of the channels of some pairs, and of their squares and products, in float64.

    A mask weighs each position. It is pooled with the activations, by the same windows.
    """

    def __init__(
        self, network: Network, weights: Weights, pairs: Sequence[Pair], like: Tensor, masks: Tensor | None
    ) -> None:
        self.pairs = pairs
        self._network, self._weights = network, weights
        self._planes = None if masks is None else _pooled(masks.to(widest_float(like.device)))
        self._sums: dict[tuple[object, ...], Tensor] = {}

    def add(self, features: Rows) -> None:
        """Add the sums of some rows of all images that pass together."""
        images, tap, fresh = features.images, features.tap, {}
        for pair in self.pairs:
            which = self._mask_of(pair)
            x, y = images[pair.reference].of(self._network), images[pair.render].of(self._network)
            weights = None
            if self._planes is not None:
                rows = slice(features.top, features.top + x.shape[2])
                weights = self._planes[tap][which : which + 1, :, rows]
            for name, values in ((pair.reference, x), (pair.render, y)):
                if (tap, name, which) not in fresh:
                    fresh[tap, name, which] = _sums(values, values, weights)
            if (tap, pair.reference, pair.render, which) not in fresh:
                weighed = y if weights is None else y * weights
                fresh[tap, pair.reference, pair.render, which] = (x * weighed).sum(dim=(0, 2, 3))
            if (tap, which) not in fresh:
                count = x.new_full((), x.shape[2] * x.shape[3]) if weights is None else weights.sum()
                fresh[tap, which] = count
        for key, value in fresh.items():
            self._sums[key] = self._sums[key] + value if key in self._sums else value

    def value(self, place: int) -> Tensor:
        """Return the DISTS of a pair."""
        pair = self.pairs[place]
        which = self._mask_of(pair)
        similarity = []
        for tap in range(len(CHANNELS)):
            count = self._sums[tap, which]
            mean_x, square_x = self._sums[tap, pair.reference, which] / count
            mean_y, square_y = self._sums[tap, pair.render, which] / count
            variances = square_x - mean_x.square() + square_y - mean_y.square()
            covariance = self._sums[tap, pair.reference, pair.render, which] / count - mean_x * mean_y
            if tap == 0:  # The network gets normalised images; those in [0, 1] are compared.
                mean, deviation = (mean_x.new_tensor(numbers) for numbers in (MEAN, DEVIATION))
                mean_x, mean_y = mean_x * deviation + mean, mean_y * deviation + mean
                variances, covariance = variances * deviation.square(), covariance * deviation.square()
            means = (2 * mean_x * mean_y + _CONSTANT) / (mean_x.square() + mean_y.square() + _CONSTANT)
            structure = (2 * covariance + _CONSTANT) / (variances + _CONSTANT)
            similarity.append((self._weights.alpha[tap] * means + self._weights.beta[tap] * structure).sum())
        return 1 - torch.stack(similarity).sum()

    def _mask_of(self, pair: Pair) -> int:
        return pair.which if self._planes is not None and len(self._planes[0]) > 1 else 0


def _sums(x: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
    """Return the sums of a channel and of its squares over the plane, `[2, c]`."""
    weighed = y if weights is None else y * weights
    return torch.stack([weighed.sum(dim=(0, 2, 3)), (x * weighed).sum(dim=(0, 2, 3))])


def _pooled(masks: Tensor) -> Sequence[Tensor]:
    """Return masks `[n, 1, H, W]` at the size of each tap; positions outside the image have no weight."""
    taps = masks.new_tensor([1.0, 2.0, 1.0])
    window = (taps[:, None] * taps / 16)[None, None]
    planes = [masks, masks]
    while len(planes) < len(CHANNELS):
        sums, inside = (
            torch.nn.functional.conv2d(plane, window, stride=2, padding=1)
            for plane in (planes[-1], torch.ones_like(planes[-1][:1]))
        )
        planes.append(sums / inside)
    return planes
