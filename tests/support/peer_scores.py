"""Scores of each peer on a prepared pair: computed live, read from golden files, or by independent implementations.

A peer answers with its value in float64, and with its value in float32 if it is used in that precision. It answers None
if it has no value.
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
from support.flip_definition import definition
from support.pairs import array_pairs
from support.peer_networks import dists_package, lpips_package, torchmetrics_network
from support.window_ssim import Tool, ssim_map

from nvs_eval.diagnostics.verify.pair import Pair, masked_mean
from nvs_eval.diagnostics.verify.scores import mae, opencv_grey, psnr, ssim
from nvs_eval.metrics.lpips.metric import Lpips

Array = np.ndarray[Any, Any]
Answer = tuple[float, float | None] | None

GOLDEN = Path(__file__).parents[1] / "golden"


@dataclass(frozen=True)
class Case:
    """A pair prepared in numpy for the metrics of a tool.

    Attributes:
        name: name of the pair in the golden files.
        reference: `[H, W, 3]` float32, or float64 for tools that prepare images in float64.
        render: `[H, W, 3]`, in the precision of the reference.
        mask: `[H, W]` weights; None if there is no mask, or if it was applied to the images.
        golden: suffix of the metric's name in the golden files (", mask" with a mask).
        lpips_of: `load_lpips`, for the weights of the peers' networks.
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
    """An implementation of a metric.

    Attributes:
        name: name in the table of deviations.
        answer: returns its values for a case.
        tolerance: largest deviation of nvs-eval from its float64 value, on float32 images.
    """

    name: str
    answer: Callable[[Case], Answer]
    tolerance: float = 1e-6


# --- Live ---------------------------------------------------------------------------------------------------------


def _skimage_psnr(case: Case) -> Answer:
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(*case.doubles, data_range=1)), None


def _clipped_psnr(case: Case) -> Answer:
    reference, render = (image.clip(0, 1) for image in case.doubles)
    with np.errstate(divide="ignore"):
        return float(-10 * np.log10(np.mean((reference - render) ** 2))), None


def _skimage_ssim(case: Case) -> Answer:
    options: dict[str, Any] = {"gaussian_weights": True, "use_sample_covariance": False, "sigma": 1.5}
    score: Any = structural_similarity  # By its type, it might also return a map.
    return float(score(*case.doubles, data_range=1, channel_axis=-1, **options)), None


def _skimage_ssim_of_channels(options: dict[str, Any], case: Case) -> Answer:
    # The tools pass channels first, in float32.
    score: Any = structural_similarity
    exact, single = (
        float(score(*(image[0].numpy() for image in case.tensors(kind)), channel_axis=0, **options))
        for kind in (np.float64, np.float32)
    )
    return exact, single


def _inria_ssim(case: Case) -> Answer:
    # Two-dimensional windows of conv2d, which pads with zeros.
    def score(kind: Any) -> float:
        x, y = case.tensors(kind)
        line = torch.exp(-((torch.arange(11, dtype=x.dtype) - 5) ** 2) / (2 * 1.5**2))
        line = line / line.sum()
        window = torch.outer(line, line).expand(3, 1, 11, 11).contiguous()
        blur = partial(torch.nn.functional.conv2d, weight=window, padding=5, groups=3)
        mean_x, mean_y = blur(x), blur(y)
        var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
        cov = blur(x * y) - mean_x * mean_y
        luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
        return (luminance * (2 * cov + 0.03**2) / (var_x + var_y + 0.03**2)).mean().item()

    return score(np.float64), score(np.float32)


def _skimage_ssim_of_grey(case: Case) -> Answer:
    reference, render = (opencv_grey(image).astype(np.uint8) for image in case.doubles)
    score: Any = structural_similarity
    return float(score(reference, render, data_range=255)), None


def _msssim(case: Case) -> Answer:
    exact = pytorch_msssim.ssim(*case.tensors(np.float64), data_range=1, win=_exact_window())
    return exact.item(), pytorch_msssim.ssim(*case.tensors(np.float32), data_range=1).item()


def _ms_ssim(case: Case) -> Answer:
    if min(case.render.shape[:2]) <= 160:
        return None  # It refuses smaller images.
    exact, single = (
        pytorch_msssim.ms_ssim(*case.tensors(kind), data_range=1, win=window)
        for kind, window in ((np.float64, _exact_window()), (np.float32, None))
    )
    return exact.item(), single.item()


def _exact_window() -> torch.Tensor:
    """Return pytorch-msssim's window in float64, since it builds its own in float32."""
    line = torch.exp(-((torch.arange(11) - 5).double() ** 2) / (2 * 1.5**2))
    return (line / line.sum()).repeat(3, 1, 1, 1)


def _half_of_what_lacks(peer: Peer, case: Case) -> Answer:
    answer = peer.answer(case)
    if answer is None:
        return None
    exact, single = answer
    return (1 - exact) / 2, None if single is None else (1 - single) / 2


def _torchmetrics_ssim(data_range: float | None, case: Case) -> Answer:
    from torchmetrics.functional.image import structural_similarity_index_measure

    score: Any = structural_similarity_index_measure
    exact, single = (score(*case.tensors(kind)[::-1], data_range=data_range) for kind in (np.float64, np.float32))
    return exact.item(), single.item()


@cache
def _lpips_network(load: Callable[..., Lpips], net: str) -> Any:
    return deepcopy(lpips_package(load(net)))  # Other tests modify the shared module.


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
    # torchmetrics' update only adds a check of the range to this call.
    return _once(_torchmetrics_network(case.lpips_of, net), scaled, images), None


_distances: dict[tuple[Any, ...], float] = {}


def _once(module: Any, scaled: bool, images: tuple[torch.Tensor, torch.Tensor]) -> float:
    """Return the distance of a network, cached because many protocols use the same pairs and float64 is slow."""
    key = (module, scaled, *(image.numpy().tobytes() for image in images))
    if key not in _distances:
        with torch.inference_mode():
            _distances[key] = module(*images, normalize=scaled).item()
    return _distances[key]


def _spatial(net: str, case: Case, reference: Array, render: Array) -> Array:
    module = _lpips_network(case.lpips_of, net)
    module.spatial = True
    x, y = (torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[None] for image in (reference, render))
    with torch.inference_mode():
        return module(x, y, normalize=True)[0, 0].numpy()


def _flip_evaluator(case: Case) -> Answer:
    import flip_evaluator  # pyright: ignore[reportMissingImports]

    exact = definition(*case.doubles)
    # It computes in float32 only. The mean of its map is taken in float64, because its own sum is a float32.
    single = flip_evaluator.evaluate(case.reference, case.render, "LDR", applyMagma=False)[0]
    return masked_mean(exact[..., None], case.pair.mask), masked_mean(single.astype(np.float64), case.pair.mask)


@cache
def _dists_network(load: Callable[..., Lpips]) -> Any:
    return dists_package(load("vgg").backbone.weights)


def _dists(case: Case) -> Answer:
    with torch.inference_mode():
        return _dists_network(case.lpips_of)(*case.tensors(np.float64)).item(), None


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
    """Return the values in a golden file, which must exist, or None for a pair that golden files do not cover."""
    if case.name not in array_pairs():
        return None
    name = metric.format(mask=case.golden)
    values = _values(file).get(name, {}).get(case.name, [None, None])
    assert None not in values, f"golden/{file}.json has no {name} of {case.name!r}; run tests/peers/make.py"
    return float(values[0]), float(values[1])


# --- By name ------------------------------------------------------------------------------------------------------

SKIMAGE_PSNR = Peer("scikit-image", _skimage_psnr)
SKIMAGE_SSIM = Peer("scikit-image", _skimage_ssim)
CLIPPED_PSNR = Peer("numpy", _clipped_psnr)
GAUSS: dict[str, Any] = {"win_size": 11, "gaussian_weights": True, "data_range": 1.0}
SKIMAGE_GAUSS = Peer("scikit-image", partial(_skimage_ssim_of_channels, GAUSS))
SKIMAGE_UNIFORM, SKIMAGE_RANGE_2 = (
    Peer("scikit-image", partial(_skimage_ssim_of_channels, {"data_range": extent})) for extent in (1.0, 2.0)
)
MS_SSIM = Peer("pytorch-msssim", _ms_ssim)
INRIA_SSIM = Peer("torch", _inria_ssim)
SKIMAGE_GREY = Peer("scikit-image", _skimage_ssim_of_grey)
FLIP, DISTS = Peer("flip-evaluator", _flip_evaluator), Peer("dists-pytorch", _dists)
MSSSIM = Peer("pytorch-msssim", _msssim)
PSNR, MAE = Peer("reference", _psnr), Peer("reference", _mae)


def dissimilarity(peer: Peer) -> Peer:
    """Return the peer of half of 1 - the values of another."""
    return Peer(peer.name, partial(_half_of_what_lacks, peer), peer.tolerance)


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
    """Return the peer of a golden file. "{mask}" in the name of the metric is replaced by `Case.golden`."""
    return Peer(file, partial(_golden, file, metric), tolerance)
