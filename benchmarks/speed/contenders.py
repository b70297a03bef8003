"""Everybody who computes a work, each through its own public entry point, as it comes.

A contender is made once a case, outside all timing, and then called with a reference `[3, H, W]` and its renders
`[K, 3, H, W]`, float32 in [0, 1] on the device; it gives its values, render by render. Peers score pair by pair: in
each round they get one of the renders.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import torch

    from nvs_eval.metrics.lpips.precision import Precision
    from nvs_eval.metrics.weights.pins import Net

Score = Callable[["torch.Tensor", "torch.Tensor"], Sequence[float]]


class Missing(Exception):
    """A contender is not to be had here, with the reason."""


@dataclass(frozen=True)
class Target:
    """What was promised of a contender of ours. `ratio`, `limit` and `below` are alternatives.

    Attributes:
        ratio: how many times as fast as the best peer.
        limit: or the fraction of the measured float32 limit.
        below: what its value must be below, in the case's unit.
        needs: a flag of the processor without which nothing was promised.
        device: the kind for which it was promised.
        size: the only one for which it was promised, None for any.
        peer: the one that the ratio is to, None for the best.
        error: beyond which its values do not meet it, however fast; as its tolerance counts it.
    """

    ratio: float | None = None
    limit: float | None = None
    below: float | None = None
    needs: str | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    size: str | None = None
    peer: str | None = None
    error: float | None = None


def promised(targets: Sequence[Target], device: str, size: str) -> Target | None:
    """The target that holds on a kind of device at a size, None where nothing was promised."""
    return next((each for each in targets if each.device == device and each.size in (None, size)), None)


@dataclass(frozen=True)
class Contender:
    """One way to compute a work.

    Attributes:
        name: in tables.
        owner: whose it is.
        make: gives what is timed, for a device; raises `Missing` where it cannot be had.
        exact: the definitions (`exact.DEFINITIONS`) of the values that it gives for each render.
        tolerance: of its values, relative to max(1, exact).
        relative: the tolerance is relative to the exact value plus 0.04: 0.5 % of it plus 2e-4.
        renders: how many it scores together.
        targets: what was promised; `promised` finds the one that holds.
        only: the kind of device that it runs on.
        fast: its precision is less than float32: it is no peer of who is exact.
    """

    name: str
    owner: Literal["ours", "peer"]
    make: Callable[[torch.device], Score]
    exact: tuple[str, ...]
    tolerance: float
    relative: bool = False
    renders: int = 1
    targets: tuple[Target, ...] = ()
    only: Literal["cpu", "cuda"] | None = None
    fast: bool = False


# --- Ours -----------------------------------------------------------------------------------------------------------


def our_lpips(net: Net, precision: Precision = "exact") -> Callable[[torch.device], Score]:
    """`load_lpips`, of K renders at once."""

    def make(device: torch.device) -> Score:
        from nvs_eval.metrics.lpips.metric import load_lpips

        return _without_gradients(load_lpips(net, precision=precision))

    return make


def _without_gradients(metric: Callable[..., torch.Tensor]) -> Score:
    import torch

    def score(reference: torch.Tensor, renders: torch.Tensor) -> Sequence[float]:
        with torch.inference_mode():
            return metric(reference, renders).tolist()

    return score


def our_ssim(device: torch.device) -> Score:
    """`ssim` with its kernel `valid`, of K renders at once."""
    from nvs_eval.metrics.ssim.metric import ssim

    return _without_gradients(ssim)


def our_scorer(*groups: tuple[str, ...]) -> Callable[[torch.device], Score]:
    """Scorers, one a group of metrics, one after the other."""

    def make(device: torch.device) -> Score:
        from nvs_eval import Render, Scorer, View

        scorers = [Scorer([_protocol(group)], device) for group in groups]

        def score(reference: torch.Tensor, renders: torch.Tensor) -> Sequence[float]:
            made = tuple(Render(render.permute(1, 2, 0)) for render in renders)
            view = View("view", reference.permute(1, 2, 0), made)
            return [values[0] for scorer in scorers for values in scorer.score(view)[0].values()]

        return score

    return make


def _protocol(metrics: Sequence[str]) -> Any:
    from nvs_eval.protocols import parse_protocol

    of = {"psnr": {"data_range": 1}, "ssim": {"kernel": "valid", "data_range": 1}}
    for net in ("alex", "vgg", "squeeze"):
        of[f"lpips_{net}"] = {"net": net, "version": "0.1", "input": "scaled", "normaliser": "lpips"}
    return parse_protocol(
        {
            "name": "made",
            "alpha": "error",
            "colour_correction": "none",
            "out_of_range": "error",
            "quantise": {"render": "none", "reference": "none", "mask": "none"},
            "region": "full",
            "crop": 0,
            "mask": "none",
            "metrics": {name: of[name] for name in metrics},
            "round_means": None,
        }
    )


# --- Peers ----------------------------------------------------------------------------------------------------------


def _quietly(make: Callable[..., Any], **choices: Any) -> Any:
    with warnings.catch_warnings():
        # Both build torchvision's models with arguments that it has renamed since.
        warnings.simplefilter("ignore", UserWarning)
        return make(**choices)


def lpips_package(net: str) -> Callable[[torch.device], Score]:
    """`lpips.LPIPS(net=...)`, under `no_grad`."""

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
    """`LearnedPerceptualImagePatchSimilarity`, under `no_grad`; with `tf32` convolutions as on CUDA they come."""

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
    """The switch of cuDNN's convolutions, which the benchmark keeps off."""
    import torch

    backends: Any = torch.backends
    convolutions = backends.cudnn.conv
    convolutions.fp32_precision = "tf32"
    try:
        yield
    finally:
        convolutions.fp32_precision = "ieee"


def torchmetrics_ssim(device: torch.device) -> Score:
    """Its functional SSIM with `data_range=1`; it mirrors the borders, so that its values are its own."""
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


def fused_ssim(device: torch.device) -> Score:
    """`fused_ssim` with the padding `valid`, which runs on CUDA."""
    try:
        from fused_ssim import fused_ssim as measure  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise Missing("fused-ssim is not installed") from error

    def score(reference: torch.Tensor, renders: torch.Tensor) -> Sequence[float]:
        return [measure(render[None], reference[None], padding="valid", train=False).item() for render in renders]

    return score


def scikit_image(device: torch.device) -> Score:
    """`structural_similarity` of float32 arrays, with the Gaussian window."""
    from skimage.metrics import structural_similarity

    how: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    measure: Any = structural_similarity

    def score(reference: torch.Tensor, renders: torch.Tensor) -> Sequence[float]:
        a = _channels_last(reference)
        pairs = [(a, _channels_last(render)) for render in renders]
        return [float(measure(*pair, data_range=1, channel_axis=-1, **how)) for pair in pairs]

    return score


def _channels_last(image: torch.Tensor) -> np.ndarray[Any, Any]:
    """As files are decoded."""
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())
