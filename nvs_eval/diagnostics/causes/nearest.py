"""Error against the distance and angle of views to the nearest training camera."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from nvs_eval.records.causes import ViewCauses
from nvs_eval.records.schema import ViewRow

_LEAST_VIEWS = 8
_LEVEL = 0.005
"""p-value of a rank correlation that is named. Two are tested."""
_WORDS = (
    "PSNR falls with the {what} to the nearest training camera (rank correlation {rho:.2f}): from {near:.1f} dB in the "
    "nearest third of the views to {far:.1f} dB in the farthest. Add training views there, or hold out others."
)


def nearest_words(views: Mapping[str, ViewCauses], rows: Mapping[str, ViewRow]) -> Iterator[str]:
    """Yield a sentence if PSNR falls with the distance, or with the angle, to the nearest training camera."""
    known = [(view.psnr, nearest) for name, view in views.items() if (nearest := rows[name].nearest)]
    known = [(psnr, nearest) for psnr, nearest in known if not isinstance(psnr, str)]
    if len(known) < _LEAST_VIEWS:
        return
    scores = np.array([psnr for psnr, _ in known])
    for what in ("distance", "angle"):
        values = np.array([getattr(nearest, what) for _, nearest in known])
        if np.ptp(values) == 0 or np.ptp(scores) == 0:
            continue
        test: Any = spearmanr(values, scores)
        rho, p = float(test.statistic), float(test.pvalue)
        if p < _LEVEL and rho < 0:
            order, third = values.argsort(), len(values) // 3
            near, far = scores[order[:third]].mean(), scores[order[-third:]].mean()
            yield _WORDS.format(what=what, rho=rho, near=near, far=far)
