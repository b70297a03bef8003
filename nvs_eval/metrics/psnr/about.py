"""Facts of PSNR."""

from __future__ import annotations

from nvs_eval.metrics.about import About

ABOUT = {
    "psnr": About(
        title="PSNR",
        words="the peak signal-to-noise ratio",
        higher_is_better=True,
        unit="dB",
        decimals=2,
        latex="PSNR",
        bounds=(10.0, 60.0),
        phrases={"range:*": "has data range {}", "clamp": "clamps the images to [0, 1] first"},
        absences={"clamp": "does not clamp the images first"},
    )
}
