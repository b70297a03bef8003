"""LPIPS by the `lpips` package's own network on the CPU, with the pinned weights instead of its downloads."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nvs_eval.diagnostics.verify.pair import Array, Pair, masked_mean
from nvs_eval.metrics.weights.backbones import load_backbone
from nvs_eval.metrics.weights.formats import load_heads
from nvs_eval.metrics.weights.pins import Net, Version

# Above this, float64 takes gigabytes and minutes, for digits that no comparison needs.
_MOST_PIXELS_IN_FLOAT64 = 2**18


def lpips_distance(pair: Pair, parameters: Mapping[str, Any], meaning: str, weights_dir: Path | None) -> float:
    """Return LPIPS of a prepared pair, with a protocol's parameters and its meaning of the mask.

    Raises:
        InputError: the weights cannot be loaded.
    """
    height, width = pair.reference.shape[:2]
    dtype = torch.float64 if height * width <= _MOST_PIXELS_IN_FLOAT64 else torch.float32
    module = _network(parameters["net"], parameters["version"], dtype, weights_dir)
    images = [_tensor(image, pair.mask, parameters, meaning).to(dtype) for image in (pair.reference, pair.render)]
    module.spatial = pair.mask is not None
    with torch.inference_mode():
        if parameters["normaliser"] == "torchmetrics":
            value = _torchmetrics_distance(module, *images)
        else:
            value = module(*images)
    return value.item() if pair.mask is None else masked_mean(value[0, 0, :, :, None].double().numpy(), pair.mask)


def _tensor(image: Array, mask: Array | None, parameters: Mapping[str, Any], meaning: str) -> Tensor:
    """Return the network's input for an image, `[1, 3, H, W]`."""
    if parameters.get("clamp"):
        image = image.clip(0, 1)
    if meaning == "dycheck" and mask is not None:
        image = image * mask[..., None]
    tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    return {"scaled": 2 * tensor - 1, "unscaled": tensor}[parameters["input"]]


def _torchmetrics_distance(module: Any, reference: Tensor, render: Tensor) -> Tensor:
    """Return LPIPS with the normaliser of torchmetrics from 1.2.1 on: the root of the sum plus 1e-8."""
    total = torch.zeros((), dtype=reference.dtype)
    for head, x, y in zip(module.lins, *(_features(module, image) for image in (reference, render)), strict=True):
        distance = head((x - y) ** 2)
        if module.spatial:
            total = total + torch.nn.functional.interpolate(distance, size=reference.shape[2:], mode="bilinear")
        else:
            total = total + distance.mean()
    return total


def _features(module: Any, image: Tensor) -> Iterator[Tensor]:
    for activation in module.net(module.scaling_layer(image) if module.version == "0.1" else image):
        yield activation / (1e-8 + (activation**2).sum(dim=1, keepdim=True)).sqrt()


@cache
def _network(net: Net, version: Version, dtype: torch.dtype, weights_dir: Path | None) -> Any:
    """Build the package's module with verified weights."""
    import lpips

    with warnings.catch_warnings(), torch.device("meta"):
        # The package passes deprecated arguments to torchvision. On "meta", no weight is initialised.
        warnings.filterwarnings("ignore", message=r"The parameter 'pretrained' is deprecated", category=UserWarning)
        warnings.filterwarnings("ignore", message=r"Arguments other than a weight enum", category=UserWarning)
        module = lpips.LPIPS(net=net, version=version, pretrained=False, pnet_rand=True, verbose=False).eval()
    backbone, heads = load_backbone(net, directory=weights_dir), load_heads(net, version)
    state: dict[str, Tensor] = {}
    # Names contain slice and layer: "net.slice2.3.weight" is "features.3.weight". Every head has two names.
    for name in module.state_dict():
        if match := re.fullmatch(r"net\.slice\d\.(.+)", name):
            state[name] = backbone[f"features.{match[1]}"]
        elif match := re.fullmatch(r"lins?\.?(\d)\.model\.1\.weight", name):
            state[name] = heads[int(match[1])]
    state["scaling_layer.shift"] = _channels(-0.030, -0.088, -0.188)
    state["scaling_layer.scale"] = _channels(0.458, 0.448, 0.450)
    module.load_state_dict({name: tensor.to(dtype) for name, tensor in state.items()}, assign=True)
    return module


def _channels(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[None, :, None, None]
