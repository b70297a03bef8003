"""Facts of MS-SSIM."""

from __future__ import annotations

from nvs_eval.metrics.about import About

PHRASES = {"scales:*": "combines {} scales", "pool:avg2": "halves the images by means of 2x2 pixels"}
ABOUT = {
    "ms_ssim": About(
        title="MS-SSIM",
        words="multi-scale structural similarity",
        higher_is_better=True,
        decimals=3,
        latex="MS-SSIM",
        bounds=(0.0, 1.0),
        phrases=PHRASES,
    )
}
