"""What each peer says of a prepared pair: run live, read from the golden files, or the independent implementations.

A peer answers with its number in float64, and with the one that it gives in float32 where that is how it is used; with
None where it has no number.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_msssim
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from support.pairs import array_pairs
from support.peer_networks import lpips_package, torchmetrics_network
from support.window_ssim import Tool, ssim_map

from nvs_eval.diagnostics.verify.pair import Pair, masked_mean
from nvs_eval.diagnostics.verify.scores import mae, opencv_grey, psnr, ssim
from nvs_eval.metrics.lpips.metric import Lpips

Array = np.ndarray[Any, Any]
Answer = tuple[float, float | None] | None

GOLDEN = Path(__file__).parents[1] / "golden"


@dataclass(frozen=True)
class Case:
    """A pair as a tool's metrics take it, prepared in numpy.

    Attributes:
        name: of the pair, as the golden files have it.
        reference: `[H, W, 3]`, values of float32 (of float64 for a tool that prepares in it).
        render: the same.
        mask: `[H, W]`, for the metrics to weigh by; None where there is none, or it was done to the images.
        golden: what the golden files call it beyond the name of the metric: ", mask" where a mask was given.
        lpips_of: `load_lpips`, whose weights the peers' networks are filled with.
    """

    name: str
    reference: Array
    render: Array
    mask: Array | None
    golden: str
    lpips_of: Callable[..., Lpips]

    @property
    def doubles(self) -> tuple[Array, Array]:
        return self.reference.astype(np.float64), self.render.astype(np.float64)

    @property
    def pair(self) -> Pair:
        return Pair(*self.doubles, None if self.mask is None else self.mask.astype(np.float64))

    def tensors(self, kind: Any) -> tuple[torch.Tensor, torch.Tensor]:
        images = (torch.from_numpy(image.astype(kind)) for image in (self.reference, self.render))
        reference, render = (image.permute(2, 0, 1)[None] for image in images)
        return reference, render


@dataclass(frozen=True)
class Peer:
    """Somebody who computes a metric.

    Attributes:
        name: as the table calls it.
        answer: its number of a case.
        tolerance: how far ours may be from its float64 number, of images that both hold in float32.
    """

    name: str
    answer: Callable[[Case], Answer]
    tolerance: float = 1e-6


# --- Live ---------------------------------------------------------------------------------------------------------


def _skimage_psnr(case: Case) -> Answer:
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(*case.doubles, data_range=1)), None


def _skimage_ssim(case: Case) -> Answer:
    how: dict[str, Any] = {"gaussian_weights": True, "use_sample_covariance": False, "sigma": 1.5}
    score: Any = structural_similarity  # Its type says that it may return a map, too.
    return float(score(*case.doubles, data_range=1, channel_axis=-1, **how)), None


def _skimage_ssim_of_grey(case: Case) -> Answer:
    reference, render = (opencv_grey(image).astype(np.uint8) for image in case.doubles)
    score: Any = structural_similarity
    return float(score(reference, render, data_range=255)), None


def _msssim(case: Case) -> Answer:
    # It builds its window in float32: the exact one makes its float64 self.
    line = torch.exp(-((torch.arange(11) - 5).double() ** 2) / (2 * 1.5**2))
    window = (line / line.sum()).repeat(3, 1, 1, 1)
    exact = pytorch_msssim.ssim(*case.tensors(np.float64), data_range=1, win=window)
    return exact.item(), pytorch_msssim.ssim(*case.tensors(np.float32), data_range=1).item()


def _torchmetrics_ssim(data_range: float | None, case: Case) -> Answer:
    from torchmetrics.functional.image import structural_similarity_index_measure

    score: Any = structural_similarity_index_measure
    exact, single = (score(*case.tensors(kind)[::-1], data_range=data_range) for kind in (np.float64, np.float32))
    return exact.item(), single.item()


@cache
def _lpips_network(load: Callable[..., Lpips], net: str) -> Any:
    return deepcopy(lpips_package(load(net)))  # Other tests change the one that they share.


@cache
def _torchmetrics_network(load: Callable[..., Lpips], net: str) -> Any:
    return torchmetrics_network(load(net, normaliser="torchmetrics"))


def _lpips_package(net: str, scaled: bool, case: Case) -> Answer:
    module = _lpips_network(case.lpips_of, net)
    module.spatial = False
    return _once(module, scaled, case.tensors(np.float64)), None


def _torchmetrics_lpips(net: str, scaled: bool, clamp: bool, case: Case) -> Answer:
    images = case.tensors(np.float64)
    if clamp:
        reference, render = images
        images = reference, render.clamp(0, 1)
    # Its update refuses what is beyond the range, and is nothing else but this.
    return _once(_torchmetrics_network(case.lpips_of, net), scaled, images), None


_known: dict[tuple[Any, ...], float] = {}


def _once(module: Any, scaled: bool, images: tuple[torch.Tensor, torch.Tensor]) -> float:
    """A network's distance: many protocols feed it the same pairs, and in float64 it takes its time."""
    key = (module, scaled, *(image.numpy().tobytes() for image in images))
    if key not in _known:
        with torch.inference_mode():
            _known[key] = module(*images, normalize=scaled).item()
    return _known[key]


def _spatial(net: str, case: Case, reference: Array, render: Array) -> Array:
    module = _lpips_network(case.lpips_of, net)
    module.spatial = True
    x, y = (torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[None] for image in (reference, render))
    with torch.inference_mode():
        return module(x, y, normalize=True)[0, 0].numpy()


# --- Independent implementations ----------------------------------------------------------------------------------


def _psnr(case: Case) -> Answer:
    return psnr(case.pair), None


def _mae(case: Case) -> Answer:
    return mae(case.pair), None


def _ssim(tool: Tool, data_range: float, case: Case) -> Answer:
    return masked_mean(ssim_map(tool, *case.doubles, data_range), case.pair.mask), None


def _masked_lpips(net: str, case: Case) -> Answer:
    return masked_mean(_spatial(net, case, case.reference, case.render)[..., None], case.pair.mask), None


def _dycheck(metric: str, case: Case) -> Answer:
    pair, mask = case.pair, case.pair.mask
    assert mask is not None
    if metric == "lpips":
        masked = [image * mask[..., None] for image in case.doubles]
        return masked_mean(_spatial("alex", case, *masked)[..., None], mask), None
    parameters = {"kernel": "dmpix", "data_range": 1, "variance_floor": 0}
    return psnr(pair) if metric == "psnr" else ssim(pair, parameters, "dycheck"), None


# --- Golden -------------------------------------------------------------------------------------------------------


@cache
def _values(file: str) -> dict[str, dict[str, list[Any]]]:
    return json.loads((GOLDEN / f"{file}.json").read_text())["values"]


def _golden(file: str, metric: str, case: Case) -> Answer:
    """None for a pair that the peers were not asked about; of those that they were, each must have its number."""
    if case.name not in array_pairs():
        return None
    name = metric.format(mask=case.golden)
    said = _values(file).get(name, {}).get(case.name, [None, None])
    assert None not in said, f"golden/{file}.json has no {name} of {case.name!r}: make it again."
    return float(said[0]), float(said[1])


# --- By name ------------------------------------------------------------------------------------------------------

SKIMAGE_PSNR = Peer("scikit-image", _skimage_psnr)
SKIMAGE_SSIM = Peer("scikit-image", _skimage_ssim)
SKIMAGE_GREY = Peer("scikit-image", _skimage_ssim_of_grey)
MSSSIM = Peer("pytorch-msssim", _msssim)
PSNR, MAE = Peer("reference", _psnr), Peer("reference", _mae)


def torchmetrics_ssim(data_range: float | None) -> Peer:
    return Peer("torchmetrics", partial(_torchmetrics_ssim, data_range))


def lpips(net: str, *, scaled: bool = True) -> Peer:
    return Peer("lpips", partial(_lpips_package, net, scaled))


def torchmetrics_lpips(net: str, *, scaled: bool = True, clamp: bool = False) -> Peer:
    return Peer("torchmetrics", partial(_torchmetrics_lpips, net, scaled, clamp))


def masked_lpips(net: str) -> Peer:
    return Peer("lpips, its map", partial(_masked_lpips, net))


def reference_ssim(tool: Tool, data_range: float = 1.0) -> Peer:
    return Peer("reference", partial(_ssim, tool, data_range))


def reference_dycheck(metric: str) -> Peer:
    return Peer("reference", partial(_dycheck, metric))


def golden(file: str, metric: str, *, tolerance: float = 1e-6) -> Peer:
    """The golden file's peer; "{mask}" in the metric's name stands for what is added to it where there is a mask."""
    return Peer(file, partial(_golden, file, metric), tolerance)
