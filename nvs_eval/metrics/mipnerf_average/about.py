"""The average error of mip-NeRF in words."""

from nvs_eval.metrics.about import About

ABOUT = {
    "mipnerf_average": About(title="the average of mip-NeRF", higher_is_better=False, latex="Average error"),
}
