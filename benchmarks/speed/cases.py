"""Cases of the benchmark: works with their contenders and targets, image sizes and numbers of threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.speed.contenders import (
    Contender,
    Score,
    Target,
    our_dists,
    our_dssim,
    our_flip,
    our_lpips,
    our_ms_ssim,
    our_scorer,
    our_ssim,
)
from benchmarks.speed.images import MADE, RENDERS, Kind
from benchmarks.speed.peers import (
    dists_pytorch,
    flip_evaluator,
    fused_ssim,
    lpips_package,
    pytorch_msssim,
    pytorch_msssim_scales,
    scikit_image,
    scikit_image_dssim,
    torchmetrics_lpips,
    torchmetrics_ssim,
)
from nvs_eval.metrics.weights.pins import Net

if TYPE_CHECKING:
    import torch

FIVE = {
    "lpips_alex": "lpips alex",
    "lpips_vgg": "lpips vgg",
    "lpips_squeeze": "lpips squeeze",
    "ssim": "ssim valid",
    "psnr": "psnr",
}
"""Metrics that are computed together, with their exact definitions."""

# Tolerance of float32 peers, which differ from float64 by up to 1e-5, and by more on flat pairs.
_PEER = 2e-4


def _lpips(net: Net, single: Sequence[Target], several: Sequence[Target]) -> tuple[Contender, ...]:
    exact = (f"lpips {net}",)
    return (
        Contender("nvs-eval, K=1", "ours", our_lpips(net), exact, 1e-5, targets=tuple(single)),
        Contender("nvs-eval, K=4", "ours", our_lpips(net), exact, 1e-5, renders=RENDERS, targets=tuple(several)),
        Contender("lpips", "peer", lpips_package(net), exact, _PEER),
        Contender("torchmetrics", "peer", torchmetrics_lpips(net), exact, _PEER),
    )


def _vgg() -> tuple[Contender, ...]:
    exact, ours, default = ("lpips vgg",), our_lpips("vgg", "fast"), torchmetrics_lpips("vgg", tf32=True)
    several = (Target(ratio=2.2, limit=0.9), Target(ratio=1.8, device="cuda", size="1080p"))
    fast = (
        Target(ratio=6, needs="amx_bf16"),
        Target(ratio=4, device="cuda", size="1080p", peer="torchmetrics, TF32", error=1e-3),
    )
    return (
        *_lpips("vgg", (Target(ratio=1.15),), several),
        Contender(
            "nvs-eval, K=4, fast", "ours", ours, exact, 5e-3, relative=True, renders=RENDERS, targets=fast, fast=True
        ),
        Contender("torchmetrics, TF32", "peer", default, exact, 5e-3, only="cuda", fast=True),
    )


def _against(
    name: str, ours: Callable[[torch.device], Score], peer: Contender, error: float = 1e-6
) -> tuple[Contender, ...]:
    """Return our function, for one render and for several, and its only peer."""
    exact = (name,)
    return (
        Contender("nvs-eval, K=1", "ours", ours, exact, error, targets=(Target(ratio=1),)),
        Contender("nvs-eval, K=4", "ours", ours, exact, error, renders=RENDERS, targets=(Target(ratio=1),)),
        peer,
    )


_FUSED = Target(ratio=1 / 1.3, device="cuda", peer="fused-ssim")

WORKS: dict[str, tuple[Contender, ...]] = {
    "lpips_vgg": _vgg(),
    "lpips_alex": _lpips("alex", (Target(ratio=1.2),), (Target(ratio=1.8),)),
    "lpips_squeeze": _lpips("squeeze", (), ()),
    "ssim": (
        Contender("nvs-eval, K=1", "ours", our_ssim, ("ssim valid",), 1e-6, targets=(Target(ratio=3), _FUSED)),
        Contender(
            "nvs-eval, K=4", "ours", our_ssim, ("ssim valid",), 1e-6, renders=RENDERS, targets=(Target(ratio=5), _FUSED)
        ),
        Contender("scikit-image", "peer", scikit_image, ("ssim valid",), _PEER, only="cpu"),
        Contender("pytorch-msssim", "peer", pytorch_msssim, ("ssim valid",), _PEER),
        Contender("torchmetrics", "peer", torchmetrics_ssim, ("ssim reflect",), _PEER),
        Contender("fused-ssim", "peer", fused_ssim, ("ssim valid",), _PEER, only="cuda"),
    ),
    "ms_ssim": _against(
        "ms_ssim", our_ms_ssim, Contender("pytorch-msssim", "peer", pytorch_msssim_scales, ("ms_ssim",), _PEER)
    ),
    "dssim_range2": _against(
        "dssim_range2",
        our_dssim,
        Contender("scikit-image", "peer", scikit_image_dssim, ("dssim_range2",), _PEER, only="cpu"),
    ),
    "flip": _against(
        "flip", our_flip, Contender("flip-evaluator", "peer", flip_evaluator, ("flip",), _PEER, only="cpu"), 1e-5
    ),
    "dists": _against("dists", our_dists, Contender("dists-pytorch", "peer", dists_pytorch, ("dists",), _PEER), 1e-5),
    # Compares all five metrics in one scorer with five scorers, one after the other.
    "five together": (
        Contender(
            "nvs-eval, together",
            "ours",
            our_scorer(tuple(FIVE)),
            tuple(FIVE.values()),
            1e-5,
            targets=(Target(ratio=1),),
        ),
        Contender("nvs-eval, one by one", "peer", our_scorer(*((name,) for name in FIVE)), tuple(FIVE.values()), 1e-5),
    ),
}


@dataclass(frozen=True)
class Case:
    """A work at one size with one number of threads.

    Attributes:
        work: name in `WORKS`.
        size: name in `images.SIZES`.
        images: kind of images.
        threads: number of threads.
        share: weight of the case in the distribution of the available time.
        memory: whether peak memory is measured instead of time.
    """

    work: str
    size: str
    images: Kind
    threads: int
    share: float
    memory: bool = False

    @property
    def name(self) -> str:
        """Name of the case, for `--only`."""
        name = f"{self.work}/{self.size}/{self.images}"
        return f"memory/{name}" if self.memory else f"{name}/{self.threads}"


# Seconds per round on one core at 540p. The available time is distributed in proportion.
_SHARES = {
    "lpips_vgg": 40.0,
    "lpips_alex": 3.0,
    "lpips_squeeze": 4.0,
    "ssim": 2.0,
    "ms_ssim": 3.0,
    "dssim_range2": 2.0,
    "flip": 5.0,
    "dists": 30.0,
    "five together": 13.0,
}
_PIXELS = {"540p": 1, "1080p": 4, "4K": 16}


def timed_cases(threads: Sequence[int]) -> list[Case]:
    """Return the cases that are timed in this process, the quickest first."""
    cases = [
        _timed(work, size, "photo", count)
        for work in WORKS
        for size in ("540p", "1080p")
        for count in threads
        if work != "five together" or size == "540p"
    ]
    cases += [_timed(work, "4K", "photo", threads[-1]) for work in ("ssim", "lpips_alex")]
    cases += [_timed(work, "540p", kind, threads[0]) for work in ("ssim", "lpips_alex") for kind in MADE]
    return sorted(cases, key=lambda case: case.share)


def _timed(work: str, size: str, images: Kind, threads: int) -> Case:
    return Case(work, size, images, threads, share=_SHARES[work] * _PIXELS[size] / threads)


_MEASURED = (
    ("ssim", "4K"),
    ("lpips_alex", "4K"),
    ("lpips_vgg", "1080p"),
    ("lpips_vgg", "4K"),
    ("flip", "4K"),
    ("dists", "4K"),
)
MEMORY_CASES = tuple(Case(work, size, "photo", 2, share=0, memory=True) for work, size in _MEASURED)
MEMORY_TARGETS = {"memory/lpips_vgg/4K/photo": (Target(below=1.5e9),)}
"""Targets for peak memory. They apply to contenders that score one render."""
