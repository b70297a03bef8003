"""The scores of one view by independent implementations, as a protocol's definition in a record asks for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from skimage.metrics import mean_squared_error

from nvs_eval.diagnostics.verify.prepare import Pair, prepare, work_in_mask

_CORRECTED = "cc_"
AVERAGE = "mipnerf_average"
FAMILIES = ("psnr", "mae", "ssim", "lpips")


def family_of(metric: str) -> str | None:
    """Which kind of metric a protocol's key stands for, or None for one that is not ours: a plugin's.

    The part of the key before the first underscore says it, after the `cc_` of colour-corrected metrics.
    """
    if metric == AVERAGE:
        return AVERAGE
    family = metric.removeprefix(_CORRECTED).partition("_")[0]
    return family if family in FAMILIES else None


@dataclass(frozen=True)
class Independent:
    """The scores of one pair under one protocol; what it takes to compute them is prepared once.

    Attributes:
        pair: float32, without alpha.
        definition: of the protocol, as its record has it.
        weights_dir: a folder to look for LPIPS backbones first.
    """

    pair: Pair
    definition: Mapping[str, Any]
    weights_dir: Path | None = None

    def score(self, metric: str) -> float:
        """One metric of the protocol, by its key; not the average error, which is made of others (`average_error`).

        Raises:
            Unknown: the definition asks for what is not known here.
            InputError: the weights cannot be had.
        """
        pair = self._corrected if metric.startswith(_CORRECTED) else self._plain
        parameters, meaning = self.definition["metrics"][metric], self.definition["mask"]
        family = family_of(metric)
        if family == "psnr":
            return psnr(pair, float(parameters["data_range"]))
        if family == "mae":
            return _weighted_mean(np.abs(pair.reference - pair.render), pair.mask)
        if family == "ssim":
            from nvs_eval.diagnostics.verify.similarity import ssim

            return ssim(pair, parameters, meaning)
        from nvs_eval.diagnostics.verify.perceptual import lpips_distance

        return lpips_distance(pair, parameters, meaning, self.weights_dir)

    @property
    def coverage(self) -> float | None:
        """The mean of the mask as it is scored with."""
        return None if self._prepared.mask is None else float(self._prepared.mask.mean())

    @cached_property
    def _prepared(self) -> Pair:
        return prepare(self.pair, self.definition, corrected=False)

    @cached_property
    def _plain(self) -> Pair:
        return work_in_mask(self._prepared, self.definition["mask"])

    @cached_property
    def _corrected(self) -> Pair:
        return work_in_mask(prepare(self.pair, self.definition, corrected=True), self.definition["mask"])


def psnr(pair: Pair, data_range: float) -> float:
    """PSNR in dB; infinity where the images are the same."""
    if pair.mask is None:
        error = float(mean_squared_error(pair.reference, pair.render))
    else:
        error = _weighted_mean((pair.reference - pair.render) ** 2, pair.mask)
    return math.inf if error == 0 else 10 * math.log10(data_range**2 / error)


def average_error(psnr: float, ssim: float, lpips: float) -> float:
    """mip-NeRF's average error: the geometric mean of three errors."""
    return float(np.cbrt(10 ** (-psnr / 10) * math.sqrt(max(0.0, 1 - ssim)) * lpips))


def _weighted_mean(values: np.ndarray, mask: np.ndarray | None) -> float:
    """Over pixels and channels."""
    if mask is None:
        return float(values.mean())
    return float((values * mask[..., None]).sum() / (mask.sum() * values.shape[-1]))
