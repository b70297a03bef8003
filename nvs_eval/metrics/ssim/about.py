"""Facts of SSIM."""

from __future__ import annotations

from nvs_eval.metrics.about import About

PHRASES = {
    "win:gauss11s1.5": "uses Gaussian windows of 11 pixels (sigma 1.5)",
    "win:uniform7": "uses uniform windows of 7 pixels",
    "win:ngp5": "uses instant-ngp's windows of 5 pixels",
    "pad:valid": "uses only windows inside the image",
    "pad:symmetric": "repeats the image's edge at its borders",
    "pad:reflect": "mirrors the image at its borders",
    "pad:zero": "pads with zeros",
    "grey:bt709": "is computed on the luminance",
    "grey:bt601-8bit": "is computed on OpenCV's 8-bit grey",
    "cov:population": "uses population variances",
    "cov:sample": "uses sample variances",
    "covclamp": "clamps the covariance",
    "floor:*": "clamps variances at {}",
    "range:pair": "uses the pair's data range",
    "range:*": "has data range {}",
}
ABSENCES = {
    "covclamp": "does not clamp the covariance",
    "floor": "does not clamp variances",
    "grey": "is computed per colour channel",
}
ABOUT = {
    "ssim": About(
        title="SSIM",
        words="structural similarity",
        higher_is_better=True,
        decimals=3,
        latex="SSIM",
        bounds=(0.0, 1.0),
        phrases=PHRASES,
        absences=ABSENCES,
    )
}
