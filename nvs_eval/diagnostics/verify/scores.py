"""Scores of one view by independent implementations, as the definition in its record asks for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from skimage.metrics import mean_squared_error

from nvs_eval.diagnostics.verify.definition import CORRECTED, family_of
from nvs_eval.diagnostics.verify.prepare import Pair, apply_mask, masked_mean, prepare


@dataclass(frozen=True)
class SecondOpinion:
    """The scores of one pair under one protocol.

    Attributes:
        pair: float32, without alpha.
        definition: of the protocol, as its record has it.
        weights_dir: a folder to look for LPIPS backbones first.
    """

    pair: Pair
    definition: Mapping[str, Any]
    weights_dir: Path | None = None

    def score(self, metric: str) -> float:
        """Score of a metric of the protocol, by its key; `average_error` makes the average of other scores.

        Raises:
            Unknown: the definition asks for what is not known here.
            InputError: the weights cannot be had.
        """
        parameters, meaning = self.definition["metrics"][metric], self.definition["mask"]
        pair = apply_mask(self._corrected if metric.startswith(CORRECTED) else self._prepared, meaning)
        family = family_of(metric)
        if family == "psnr":
            return psnr(pair, float(parameters["data_range"]))
        if family == "mae":
            return mae(pair)
        if family == "ssim":
            from nvs_eval.diagnostics.verify.ssim import ssim

            return ssim(pair, parameters, meaning)
        from nvs_eval.diagnostics.verify.lpips import lpips_distance

        return lpips_distance(pair, parameters, meaning, self.weights_dir)

    @property
    def coverage(self) -> float | None:
        """Mean of the mask, as it is scored with."""
        return None if self._prepared.mask is None else float(self._prepared.mask.mean())

    @cached_property
    def _prepared(self) -> Pair:
        return prepare(self.pair, self.definition)

    @cached_property
    def _corrected(self) -> Pair:
        return prepare(self.pair, self.definition, corrected=True)


def psnr(pair: Pair, data_range: float = 1.0) -> float:
    """PSNR in dB; infinity where the images are the same."""
    if pair.mask is None:
        error = float(mean_squared_error(pair.reference, pair.render))
    else:
        error = masked_mean((pair.reference - pair.render) ** 2, pair.mask)
    return math.inf if error == 0 else 10 * math.log10(data_range**2 / error)


def mae(pair: Pair) -> float:
    """Mean absolute difference."""
    return masked_mean(np.abs(pair.reference - pair.render), pair.mask)


def average_error(psnr: float, ssim: float, lpips: float) -> float:
    """mip-NeRF's average error: the geometric mean of three errors."""
    return float(np.cbrt(10 ** (-psnr / 10) * math.sqrt(max(0.0, 1 - ssim)) * lpips))
