"""Contenders: the functions of nvs-eval with default settings. The peers are in `peers`.

A contender is built once per case, before timing, and then called with a reference `[3, H, W]` and its renders
`[K, 3, H, W]`, float32 in [0, 1] on the device. It returns its values, render by render. Peers score single pairs: each
round uses one of the renders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

    from nvs_eval.metrics.lpips.precision import Precision
    from nvs_eval.metrics.weights.pins import Net

Score = Callable[["torch.Tensor", "torch.Tensor"], Sequence[float]]


class Missing(Exception):
    """Raised if a contender is not available, with the reason."""


@dataclass(frozen=True)
class Target:
    """Target of a contender of nvs-eval. It is met by any of `ratio`, `limit` and `below`.

    Attributes:
        ratio: minimum speed, as a multiple of the best peer's.
        limit: minimum speed, as a fraction of the measured float32 limit.
        below: upper bound of the value, in the unit of the case.
        needs: CPU flag without which the target does not apply.
        device: kind of device that the target applies to.
        size: image size that the target applies to (default: any).
        peer: peer that the ratio refers to (default: the best).
        error: maximum error of the values, defined like the contender's tolerance.
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
    """Return the target for a kind of device and an image size, or None if there is none."""
    return next((target for target in targets if target.device == device and target.size in (None, size)), None)


@dataclass(frozen=True)
class Contender:
    """One way to compute a work.

    Attributes:
        name: name in tables.
        owner: nvs-eval (`ours`) or a peer.
        make: builds the function to time, for a device; raises `Missing` if the contender is not available.
        exact: definitions (`exact.DEFINITIONS`) of the values that it returns for each render.
        tolerance: tolerance of its values, relative to max(1, exact).
        relative: whether the tolerance is relative to the exact value plus 0.04 (0.5 % of the value plus 2e-4).
        renders: number of renders that it scores together.
        targets: its targets; `promised` selects the one that applies.
        only: kind of device that it runs on (default: any).
        fast: whether its precision is below float32. It is then not compared with exact contenders.
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


# --- nvs-eval -------------------------------------------------------------------------------------------------------


def our_lpips(net: Net, precision: Precision = "exact") -> Callable[[torch.device], Score]:
    """Return a contender that calls `load_lpips` on K renders at once."""

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
    """Return `ssim` with the kernel `valid`, on K renders at once."""
    from nvs_eval.metrics.ssim.metric import ssim

    return _without_gradients(ssim)


def our_ms_ssim(device: torch.device) -> Score:
    """Return `ms_ssim`, on K renders at once."""
    from nvs_eval.metrics.ms_ssim.metric import ms_ssim

    return _without_gradients(ms_ssim)


def our_dssim(device: torch.device) -> Score:
    """Return the D-SSIM `dssim_range2` with the kernel `uniform7-rgb`, on K renders at once."""
    from nvs_eval.metrics.describe import describe

    return _without_gradients(describe("dssim_range2", {"kernel": "uniform7-rgb"}).build().function)


def our_flip(device: torch.device) -> Score:
    """Return `flip`, on K renders at once."""
    from nvs_eval.metrics.flip.metric import flip

    return _without_gradients(flip)


def our_dists(device: torch.device) -> Score:
    """Return `load_dists`, on K renders at once."""
    from nvs_eval.errors import InputError
    from nvs_eval.metrics.dists.metric import load_dists

    try:
        return _without_gradients(load_dists())
    except InputError as error:
        raise Missing(str(error)) from error


def our_scorer(*groups: tuple[str, ...]) -> Callable[[torch.device], Score]:
    """Return a contender that runs one scorer per group of metrics, one after the other."""

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

    options = {"psnr": {"data_range": 1}, "ssim": {"kernel": "valid", "data_range": 1}}
    for net in ("alex", "vgg", "squeeze"):
        options[f"lpips_{net}"] = {"net": net, "version": "0.1", "input": "scaled", "normaliser": "lpips"}
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
            "metrics": {name: options[name] for name in metrics},
            "round_means": None,
        }
    )
