"""Facts of the three D-SSIMs."""

from __future__ import annotations

from dataclasses import replace

from nvs_eval.metrics.about import About

_DSSIM = About(
    title="D-SSIM",
    words="structural dissimilarity",
    higher_is_better=False,
    bounds=(0.0, 1.0),
    phrases={"half:ssim": "is half of 1 - SSIM", "half:ms_ssim": "is half of 1 - MS-SSIM"},
)
ABOUT = {
    "dssim_ms": replace(_DSSIM, title="D-SSIM (MS)", latex=r"D-SSIM\textsubscript{MS}"),
    "dssim_range1": replace(_DSSIM, title="D-SSIM (range 1)", latex=r"D-SSIM\textsubscript{1}"),
    "dssim_range2": replace(_DSSIM, title="D-SSIM (range 2)", latex=r"D-SSIM\textsubscript{2}"),
}
