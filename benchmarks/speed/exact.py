"""The exact value of each pair: float64, by implementations that are neither ours nor a contender's fast path.

Computing them takes longer than all else, so that they are kept by the images' sha256.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.speed.images import Array
from benchmarks.speed.places import KEPT

_FILE = KEPT / "exact.json"
_BAND = 64  # Rows that are convolved at once: torch unfolds what it convolves in float64.


def exact(definition: str, stack: Array) -> list[float]:
    """The values of all renders of a stack `[1 + K, H, W, 3]` uint8, in the order of the renders.

    Args:
        definition: a name in `DEFINITIONS`.
        stack: the reference and its renders.
    """
    key = f"{definition} {hashlib.sha256(np.ascontiguousarray(stack)).hexdigest()[:16]}"
    known = json.loads(_FILE.read_text()) if _FILE.is_file() else {}
    if key not in known:
        known[key] = DEFINITIONS[definition](stack)
        _FILE.parent.mkdir(parents=True, exist_ok=True)
        _FILE.write_text(json.dumps(known, indent=1))
    return known[key]


def _psnr(stack: Array) -> list[float]:
    reference = stack[0] / 255
    return [-10 * math.log10(np.mean((reference - render / 255) ** 2)) for render in stack[1:]]


def _ssim_valid(stack: Array) -> list[float]:
    from skimage.metrics import structural_similarity

    how: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    score: Any = structural_similarity
    pairs = [(stack[0] / 255, render / 255) for render in stack[1:]]
    return [float(score(*pair, data_range=1, channel_axis=-1, **how)) for pair in pairs]


def _ssim_reflect(stack: Array) -> list[float]:
    """Torchmetrics' own definition, which mirrors the images at their borders, in float64."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    score: Any = structural_similarity_index_measure
    reference = _tensor(stack[0])
    return [score(_tensor(render), reference, data_range=1.0).item() for render in stack[1:]]


def _lpips(net: str) -> Callable[[Array], list[float]]:
    """By torchvision's own layers, one after the other."""

    def value(stack: Array) -> list[float]:
        import torch

        totals = [0.0] * (len(stack) - 1)
        with torch.inference_mode():
            features = [_fed(image) for image in stack]
            heads = iter(_heads(net))
            for layers in _slices(net):
                for layer in layers:
                    features = [_applied(layer, image) for image in features]
                head = next(heads)
                unit = features[0] / (features[0].square().sum(1, keepdim=True).sqrt() + 1e-10)
                for index, image in enumerate(features[1:]):
                    other = image / (image.square().sum(1, keepdim=True).sqrt() + 1e-10)
                    totals[index] += torch.einsum("nchw,c->", (unit - other).square_(), head).item() / (
                        unit.shape[-2] * unit.shape[-1]
                    )
        return totals

    return value


def _fed(image: Array) -> Any:
    import torch

    shift, scale = (
        torch.tensor(values, dtype=torch.float64)[:, None, None]
        for values in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450))
    )
    return (2 * _tensor(image) - 1 - shift) / scale


def _tensor(image: Array) -> Any:
    import torch

    return torch.from_numpy(image / 255).permute(2, 0, 1)[None]


# The layers of torchvision's `features` after which LPIPS reads.
TAPS = {"alex": (2, 5, 8, 10, 12), "vgg": (4, 9, 16, 23, 30), "squeeze": (2, 5, 8, 10, 11, 12, 13)}
MODELS = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}


def _slices(net: str) -> Sequence[Any]:
    """Torchvision's layers up to each tap, with the verified weights, in float64."""
    import torchvision

    from nvs_eval.weights import NETS, load_backbone

    (known,) = (each for each in NETS if each == net)
    model: Any = getattr(torchvision.models, MODELS[net])(weights=None)
    model.load_state_dict(load_backbone(known), strict=False)
    layers = model.features.double().eval()
    starts = (0, *TAPS[net][:-1])
    return [layers[start:end] for start, end in zip(starts, TAPS[net], strict=True)]


def _heads(net: str) -> list[Any]:
    """The lpips package's, `[C]` each."""
    import lpips
    import torch
    from importlib.resources import files

    state = torch.load(str(files(lpips) / "weights" / "v0.1" / f"{net}.pth"), map_location="cpu", weights_only=True)
    return [state[f"lin{index}.model.1.weight"].double().reshape(-1) for index in range(len(TAPS[net]))]


def _applied(layer: Any, image: Any) -> Any:
    """A layer, 3x3 convolutions in bands of rows: all at once would take ten times the memory."""
    import torch

    if not isinstance(layer, torch.nn.Conv2d) or layer.kernel_size != (3, 3) or layer.stride != (1, 1):
        return layer(image)
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1))
    rows = image.shape[-2]
    bands = [padded[..., start : min(start + _BAND, rows) + 2, :] for start in range(0, rows, _BAND)]
    return torch.cat([torch.nn.functional.conv2d(band, layer.weight, layer.bias) for band in bands], dim=-2)


DEFINITIONS: dict[str, Callable[[Array], list[float]]] = {
    "psnr": _psnr,
    "ssim valid": _ssim_valid,
    "ssim reflect": _ssim_reflect,
    "lpips alex": _lpips("alex"),
    "lpips vgg": _lpips("vgg"),
    "lpips squeeze": _lpips("squeeze"),
}
