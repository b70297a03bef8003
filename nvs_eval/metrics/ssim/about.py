"""SSIM in words."""

from nvs_eval.metrics.about import About

ABOUT = {
    "ssim": About(
        title="SSIM",
        words="structural similarity",
        higher_is_better=True,
        decimals=3,
        latex="SSIM",
        bounds=(0.0, 1.0),
        phrases={
            "win:gauss11s1.5": "uses Gaussian windows of 11 pixels (sigma 1.5)",
            "win:uniform7": "uses uniform windows of 7 pixels",
            "win:ngp5": "uses instant-ngp's windows of 5 pixels",
            "pad:valid": "takes only windows wholly inside the image",
            "pad:symmetric": "repeats the image's edge at its borders",
            "pad:reflect": "mirrors the image at its borders",
            "pad:zero": "pads with zeros",
            "grey:bt709": "is of the luminance",
            "grey:bt601-8bit": "is of OpenCV's 8-bit grey",
            "cov:population": "takes population variances",
            "cov:sample": "takes sample variances",
            "covclamp": "clamps the covariance",
            "floor:*": "clamps variances at {}",
            "range:pair": "uses the pair's data range",
            "range:*": "has a data range of {}",
        },
        absences={
            "covclamp": "does not clamp the covariance",
            "floor": "does not clamp variances",
            "grey": "is of each colour channel",
        },
    )
}
