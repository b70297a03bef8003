"""Facts of the mean absolute error."""

from __future__ import annotations

from nvs_eval.metrics.about import About

ABOUT = {"mae": About(title="MAE", words="the mean absolute error", higher_is_better=False, latex="MAE")}
