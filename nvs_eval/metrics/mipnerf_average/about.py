"""Facts of the average error of mip-NeRF."""

from __future__ import annotations

from nvs_eval.metrics.about import About

ABOUT = {"mipnerf_average": About(title="average error", higher_is_better=False, latex="Average error")}
