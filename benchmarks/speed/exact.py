"""Exact values of each pair, in float64, by implementations independent of nvs-eval and of the timed code.

They take minutes to compute and are stored in the repository by the SHA-256 of the images. If the file is deleted, they
are computed again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.speed.images import Array
from benchmarks.speed.places import ROOT
from nvs_eval.metrics.weights.backbones import load_backbone
from nvs_eval.metrics.weights.formats import load_dists_weights
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.system.files import write_whole

_FILE = ROOT / "benchmarks" / "speed" / "exact.json"
_UNFOLDED = 3_000_000
"""Maximum number of values that a float64 convolution unfolds at once, so that they fit into the cache."""


def exact(definition: str, stack: Array) -> list[float]:
    """Return the values of all renders of a stack `[1 + K, H, W, 3]` uint8, in order.

    Args:
        definition: name in `DEFINITIONS`.
        stack: the reference and its renders.
    """
    key = f"{definition} {hashlib.sha256(stack.tobytes()).hexdigest()[:16]}"
    stored = json.loads(_FILE.read_text()) if _FILE.is_file() else {}
    if key not in stored:
        with _all_threads():
            stored[key] = DEFINITIONS[definition](stack)
        text = json.dumps(stored, indent=1, sort_keys=True) + "\n"
        write_whole(_FILE, lambda out: out.write(text.encode()))
    return stored[key]


@contextmanager
def _all_threads() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(before)


def _psnr(stack: Array) -> list[float]:
    reference = stack[0] / 255
    return [-10 * math.log10(np.mean((reference - render / 255) ** 2)) for render in stack[1:]]


def _ssim_valid(stack: Array) -> list[float]:
    return _scikit_image(stack, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)


def _dssim_range2(stack: Array) -> list[float]:
    return [(1 - value) / 2 for value in _scikit_image(stack, data_range=2)]


def _scikit_image(stack: Array, **options: Any) -> list[float]:
    from skimage.metrics import structural_similarity

    score: Any = structural_similarity
    return [float(score(stack[0] / 255, render / 255, channel_axis=-1, **options)) for render in stack[1:]]


def _ssim_reflect(stack: Array) -> list[float]:
    """Return SSIM as torchmetrics defines it: images are mirrored at the borders, and variances clamped at 0."""
    return [float(np.mean(_reflected_map(stack[0] / 255, render / 255))) for render in stack[1:]]


def _reflected_map(x: Array, y: Array) -> Array:
    from scipy.ndimage import gaussian_filter

    def blur(image: Array) -> Array:
        return gaussian_filter(image, (1.5, 1.5, 0), mode="mirror", radius=(5, 5, 0))

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = (np.maximum(blur(z * z) - mean * mean, 0) for z, mean in ((x, mean_x), (y, mean_y)))
    similar = (2 * mean_x * mean_y + 0.01**2) * (2 * (blur(x * y) - mean_x * mean_y) + 0.03**2)
    return similar / ((mean_x**2 + mean_y**2 + 0.01**2) * (var_x + var_y + 0.03**2))


def _lpips(net: Net) -> Callable[[Array], list[float]]:
    """Return a function that computes LPIPS with torchvision's layers, one after the other."""

    def value(stack: Array) -> list[float]:
        import torch

        totals = [0.0] * (len(stack) - 1)
        with torch.inference_mode():
            features = [_network_input(image) for image in stack]
            heads = iter(_heads(net))
            for layers in _slices(net):
                for layer in layers:
                    features = [_applied(layer, image) for image in features]
                head = next(heads)
                reference = features[0] / (features[0].square().sum(1, keepdim=True).sqrt() + 1e-10)
                for index, image in enumerate(features[1:]):
                    render = image / (image.square().sum(1, keepdim=True).sqrt() + 1e-10)
                    totals[index] += torch.einsum("nchw,c->", (reference - render).square_(), head).item() / (
                        reference.shape[-2] * reference.shape[-1]
                    )
        return totals

    return value


def _ms_ssim(stack: Array) -> list[float]:
    """Return pytorch-msssim's values with float64 images and a float64 window."""
    import pytorch_msssim
    import torch

    place = torch.arange(11, dtype=torch.float64) - 5
    taps = torch.exp(-(place**2) / (2 * 1.5**2))
    window = (taps / taps.sum())[None, None].repeat(3, 1, 1, 1)
    images = [_tensor(image) for image in stack]
    return [float(pytorch_msssim.ms_ssim(images[0], image, data_range=1, win=window)) for image in images[1:]]


def _flip(stack: Array) -> list[float]:
    """Return the means of flip-evaluator's maps, which are float32, in float64."""
    import flip_evaluator  # pyright: ignore[reportMissingImports]

    images = [np.ascontiguousarray(image / 255, dtype=np.float32) for image in stack]
    maps = (flip_evaluator.evaluate(images[0], image, "LDR", applyMagma=False)[0] for image in images[1:])
    return [float(np.mean(errors, dtype=np.float64)) for errors in maps]


def _dists(stack: Array) -> list[float]:
    """Return DISTS with torchvision's layers, in which root mean squares replace max pooling."""
    import torch

    alpha, beta = (weights.double().flatten() for weights in load_dists_weights())
    alpha, beta = alpha / (alpha.sum() + beta.sum()), beta / (alpha.sum() + beta.sum())
    totals, start = [1.0] * (len(stack) - 1), 0
    with torch.inference_mode():
        compared, inputs = [_tensor(image) for image in stack], [_network_input(image) for image in stack]
        for layers in ((), *_slices("vgg")):
            for layer in layers:
                inputs = [
                    _root_mean_square(x) if isinstance(layer, torch.nn.MaxPool2d) else _applied(layer, x)
                    for x in inputs
                ]
                compared = inputs
            mean = [image.mean((0, 2, 3)) for image in compared]
            centred = [image - m[:, None, None] for image, m in zip(compared, mean, strict=True)]
            variance = [image.square().mean((0, 2, 3)) for image in centred]
            part = slice(start, start + len(mean[0]))
            for index in range(1, len(stack)):
                means = (2 * mean[0] * mean[index] + 1e-6) / (mean[0] ** 2 + mean[index] ** 2 + 1e-6)
                covariance = (centred[0] * centred[index]).mean((0, 2, 3))
                structure = (2 * covariance + 1e-6) / (variance[0] + variance[index] + 1e-6)
                totals[index - 1] -= float((alpha[part] * means + beta[part] * structure).sum())
            start = part.stop
    return totals


def _root_mean_square(images: Any) -> Any:
    import torch

    taps = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
    window = (taps[:, None] * taps / 16)[None, None].expand(images.shape[1], -1, -1, -1)
    squares = torch.nn.functional.conv2d(images**2, window, stride=2, padding=1, groups=len(window))
    return (squares + 1e-12).sqrt()


def _network_input(image: Array) -> Any:
    import torch

    shift, scale = (
        torch.tensor(values, dtype=torch.float64)[:, None, None]
        for values in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450))
    )
    return (2 * _tensor(image) - 1 - shift) / scale


def _tensor(image: Array) -> Any:
    import torch

    return torch.from_numpy(image / 255).permute(2, 0, 1)[None]


# Ends of the slices of torchvision's `features` whose outputs LPIPS compares.
TAPS: dict[Net, tuple[int, ...]] = {
    "alex": (2, 5, 8, 10, 12),
    "vgg": (4, 9, 16, 23, 30),
    "squeeze": (2, 5, 8, 10, 11, 12, 13),
}
MODELS: dict[Net, str] = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}


def _slices(net: Net) -> Sequence[Any]:
    """Return torchvision's layers between the taps, with the verified weights, in float64."""
    import torchvision

    model: Any = getattr(torchvision.models, MODELS[net])(weights=None)
    model.load_state_dict(load_backbone(net), strict=False)
    layers = model.features.double().eval()
    starts = (0, *TAPS[net][:-1])
    return [layers[start:end] for start, end in zip(starts, TAPS[net], strict=True)]


def _heads(net: Net) -> list[Any]:
    """Return the heads of the lpips package, each `[C]`."""
    from importlib.resources import files

    import lpips
    import torch

    state = torch.load(str(files(lpips) / "weights" / "v0.1" / f"{net}.pth"), map_location="cpu", weights_only=True)
    return [state[f"lin{index}.model.1.weight"].double().reshape(-1) for index in range(len(TAPS[net]))]


def _applied(layer: Any, image: Any) -> Any:
    """Apply a layer. 3x3 convolutions run in bands of rows, which takes a tenth of the memory."""
    import torch

    if not isinstance(layer, torch.nn.Conv2d) or layer.kernel_size != (3, 3) or layer.stride != (1, 1):
        return layer(image)
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1))
    channels, rows, width = image.shape[-3:]
    band = max(1, _UNFOLDED // (9 * channels * width))
    parts = [padded[..., start : min(start + band, rows) + 2, :] for start in range(0, rows, band)]
    return torch.cat([torch.nn.functional.conv2d(part, layer.weight, layer.bias) for part in parts], dim=-2)


DEFINITIONS: dict[str, Callable[[Array], list[float]]] = {
    "psnr": _psnr,
    "ssim valid": _ssim_valid,
    "ssim reflect": _ssim_reflect,
    "ms_ssim": _ms_ssim,
    "dssim_range2": _dssim_range2,
    "flip": _flip,
    "dists": _dists,
    "lpips alex": _lpips("alex"),
    "lpips vgg": _lpips("vgg"),
    "lpips squeeze": _lpips("squeeze"),
}
