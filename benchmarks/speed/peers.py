"""The peers of nvs-eval as contenders, each called through its public entry point with default settings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.speed.contenders import Missing, Score

if TYPE_CHECKING:
    import torch


def _quietly(make: Callable[..., Any], **options: Any) -> Any:
    with warnings.catch_warnings():
        # Both peers build torchvision's models with arguments that have been renamed.
        warnings.simplefilter("ignore", UserWarning)
        return make(**options)


def lpips_package(net: str) -> Callable[[torch.device], Score]:
    """Return a contender that calls `lpips.LPIPS(net=...)` under `no_grad`."""

    def make(device: torch.device) -> Score:
        import lpips
        import torch

        module = _quietly(lpips.LPIPS, net=net, verbose=False).to(device)

        def score(reference: torch.Tensor, renders: torch.Tensor) -> Sequence[float]:
            with torch.no_grad():
                return [module(reference[None], render[None], normalize=True).item() for render in renders]

        return score

    return make


def torchmetrics_lpips(net: str, *, tf32: bool = False) -> Callable[[torch.device], Score]:
    """Return a contender that calls `LearnedPerceptualImagePatchSimilarity` under `no_grad`.

    With `tf32`, convolutions use TF32, which is torch's default on CUDA.
    """

    def make(device: torch.device) -> Score:
        import torch
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        made = _quietly(LearnedPerceptualImagePatchSimilarity, net_type=net, normalize=True).to(device)

        def score(reference: torch.Tensor, renders: torch.Tensor) -> Sequence[float]:
            with torch.no_grad(), _tf32() if tf32 else nullcontext():
                values = [made(render[None], reference[None]).item() for render in renders]
            made.reset()
            return values

        return score

    return make


@contextmanager
def _tf32() -> Iterator[None]:
    """Enable TF32 in cuDNN's convolutions, which the benchmark disables otherwise."""
    import torch

    backends: Any = torch.backends
    convolutions = backends.cudnn.conv
    convolutions.fp32_precision = "tf32"
    try:
        yield
    finally:
        convolutions.fp32_precision = "ieee"


def torchmetrics_ssim(device: torch.device) -> Score:
    """Return torchmetrics' functional SSIM with `data_range=1`. It mirrors the borders, so its values differ."""
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    measure: Any = structural_similarity_index_measure

    def score(reference: torch.Tensor, renders: torch.Tensor) -> Sequence[float]:
        with torch.no_grad():
            return [measure(render[None], reference[None], data_range=1.0).item() for render in renders]

    return score


def pytorch_msssim(device: torch.device) -> Score:
    """`pytorch_msssim.ssim` with `data_range=1`."""
    import pytorch_msssim
    import torch

    def score(reference: torch.Tensor, renders: torch.Tensor) -> Sequence[float]:
        with torch.no_grad():
            return [pytorch_msssim.ssim(render[None], reference[None], data_range=1.0).item() for render in renders]

    return score


def pytorch_msssim_scales(device: torch.device) -> Score:
    """`pytorch_msssim.ms_ssim` with `data_range=1`."""
    import pytorch_msssim
    import torch

    def score(reference: torch.Tensor, renders: torch.Tensor) -> Sequence[float]:
        with torch.no_grad():
            return [pytorch_msssim.ms_ssim(render[None], reference[None], data_range=1.0).item() for render in renders]

    return score


def flip_evaluator(device: torch.device) -> Score:
    """Return NVIDIA's `flip_evaluator`, on float32 arrays, without a colour map."""
    try:
        import flip_evaluator as package  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise Missing("flip-evaluator is not installed") from error

    def score(reference: torch.Tensor, renders: torch.Tensor) -> Sequence[float]:
        a = _channels_last(reference)
        pairs = [(a, _channels_last(render)) for render in renders]
        return [float(package.evaluate(*pair, "LDR", applyMagma=False)[1]) for pair in pairs]

    return score


def dists_pytorch(device: torch.device) -> Score:
    """Return the module of dists-pytorch, with its own weights and VGG16."""
    try:
        from DISTS_pytorch import DISTS_pt  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise Missing("dists-pytorch is not installed") from error
    import torch

    module = _quietly(DISTS_pt.DISTS, load_weights=False).to(device)
    weights = torch.load(Path(DISTS_pt.__file__).with_name("weights.pt"), map_location=device, weights_only=True)
    module.alpha.data, module.beta.data = weights["alpha"], weights["beta"]

    def score(reference: torch.Tensor, renders: torch.Tensor) -> Sequence[float]:
        with torch.no_grad():
            return [module(render[None], reference[None]).item() for render in renders]

    return score


def fused_ssim(device: torch.device) -> Score:
    """Return `fused_ssim` with the padding `valid`. It runs on CUDA only."""
    try:
        from fused_ssim import fused_ssim as measure  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise Missing("fused-ssim is not installed") from error

    def score(reference: torch.Tensor, renders: torch.Tensor) -> Sequence[float]:
        return [measure(render[None], reference[None], padding="valid", train=False).item() for render in renders]

    return score


def scikit_image(device: torch.device) -> Score:
    """Return `structural_similarity` with the Gaussian window, on float32 arrays."""
    return _scikit_image({"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1})


def scikit_image_dssim(device: torch.device) -> Score:
    """Return half of 1 - `structural_similarity` with its default window and a data range of 2, on float32 arrays."""
    similar = _scikit_image({"data_range": 2})
    return lambda reference, renders: [(1 - value) / 2 for value in similar(reference, renders)]


def _scikit_image(options: dict[str, Any]) -> Score:
    from skimage.metrics import structural_similarity

    measure: Any = structural_similarity

    def score(reference: torch.Tensor, renders: torch.Tensor) -> Sequence[float]:
        a = _channels_last(reference)
        pairs = [(a, _channels_last(render)) for render in renders]
        return [float(measure(*pair, channel_axis=-1, **options)) for pair in pairs]

    return score


def _channels_last(image: torch.Tensor) -> np.ndarray[Any, Any]:
    """Return an image as `[H, W, 3]`, the layout of a decoded file."""
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())
