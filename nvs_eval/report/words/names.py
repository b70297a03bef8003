"""What metrics are called in sentences."""

from __future__ import annotations

_CALLED = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "lpips_alex": "LPIPS (alex)",
    "lpips_vgg": "LPIPS (vgg)",
    "lpips_squeeze": "LPIPS (squeeze)",
    "mae": "MAE",
    "mipnerf_average": "the average of mip-NeRF",
}


def called(metric: str) -> str:
    """A metric's name in a sentence, its key where it has no other."""
    plain = metric.removeprefix("cc_")
    return f"{'colour-corrected ' if metric != plain else ''}{_CALLED.get(plain, plain)}"
