"""The windowed means of dycheck's masked SSIM: blurs that know which pixels count, by partial convolution.

H. Gao et al., "Monocular dynamic view synthesis: a reality check", 2022; KAIR-BAIR/dycheck, core/metrics/image.py. Each
blur is divided by the number of pixels that count, which are not weighted by the window: so its weights sum to 1 only
where all of them count, and no constant may be subtracted before squaring.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nvs_eval.metrics.ssim.windows import slide_columns, slide_rows


class PartialBlur:
    """A blur of planes `[p, h, w]` under one mask `[1, h, w]`, for the windows wholly inside the planes."""

    def __init__(self, mask: Tensor, taps: tuple[float, ...]) -> None:
        self._taps = taps
        ones = (1.0,) * len(taps)
        # The columns first; then the rows, where each pixel counts that had any that did in its row.
        self._mask, self._across = mask, slide_columns(mask, ones)
        self._any = (self._across != 0).to(mask.dtype)
        self._down = slide_rows(self._any, ones)

    def __call__(self, planes: Tensor) -> Tensor:
        """The means over the pixels that count, 0 where none does."""
        across = self._share(slide_columns(planes * self._mask, self._taps), self._across)
        return self._share(slide_rows(across * self._any, self._taps), self._down)

    def _share(self, sums: Tensor, counts: Tensor) -> Tensor:
        found = counts != 0
        return torch.where(found, sums * len(self._taps) / torch.where(found, counts, 1.0), 0.0)
