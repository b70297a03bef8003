"""PSNR of the luminance."""

from functools import partial

import torch

from nvs_eval import InputError, Metric

LUMA = {"bt601": (0.299, 0.587, 0.114), "bt709": (0.2126, 0.7152, 0.0722)}


def psnr_y(reference, render, *, mask=None, luma):
    """PSNR of the luminance in dB, one value per image."""
    weights = torch.tensor(LUMA[luma], dtype=torch.float64, device=reference.device)
    error = torch.einsum("c,...chw->...hw", weights, reference.double() - render.double()).square()
    mask = torch.ones_like(error) if mask is None else mask[..., 0, :, :].double()
    return -10 * torch.log10((error * mask).sum((-2, -1)) / mask.sum((-2, -1)))


def make(*, luma: str) -> Metric:
    """Make the metric with the parameters of a protocol file."""
    if luma not in LUMA:
        raise InputError(f"luma of psnr_y must be one of {', '.join(LUMA)}. Got {luma!r}.")
    return Metric(
        name="psnr_y",
        unit="dB",
        higher_is_better=True,
        signature=f"psnr_y|luma:{luma}|range:1|v1",
        function=partial(psnr_y, luma=luma),
        title="PSNR (Y)",
        decimals=2,
    )
