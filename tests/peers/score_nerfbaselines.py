"""Score the pairs with nerfbaselines' evaluation protocols, on arrays instead of a dataset on disk.

The protocols are called unchanged. Their metrics convert images to float32 (`_normalize_input`), and LPIPS computes in
torch's float32. For float64, only these two conversions are replaced.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

from functools import cache, partial
from typing import Any

import common
import nerfbaselines._metrics_lpips as their_lpips
import numpy as np
import torch
import torchvision
from nerfbaselines import metrics
from nerfbaselines.datasets.phototourism import NerfWEvaluationProtocol
from nerfbaselines.evaluation import DefaultEvaluationProtocol, NerfEvaluationProtocol

PROTOCOLS = {"default": DefaultEvaluationProtocol, "nerf": NerfEvaluationProtocol, "nerfw": NerfWEvaluationProtocol}
UNREPORTED = "mse"


def main() -> None:
    for net, name in (("alex", "alexnet"), ("vgg", "vgg16")):
        setattr(their_lpips.tv, name, partial(filled, getattr(torchvision.models, name), net))
    values: common.Values = {}
    for name, (reference, render, mask) in common.pairs().items():
        for protocol, masked in [(protocol, masked) for protocol in PROTOCOLS for masked in (None, mask)]:
            doubles = scores(PROTOCOLS[protocol](), reference, render, masked, np.float64)
            singles = scores(PROTOCOLS[protocol](), reference, render, masked, np.float32)
            for metric, value in doubles.items():
                key = f"{protocol}{'' if masked is None else ', mask'}: {metric}"
                values.setdefault(key, {})[name] = [common.plain(value), common.plain(singles[metric])]
    common.answer(values, ["nerfbaselines", "numpy", "torch", "torchvision"])


def filled(make: Any, net: str, *, pretrained: bool) -> torch.nn.Module:
    """Return a torchvision model with the verified convolutions, which nerfbaselines would download."""
    assert pretrained
    model = make(weights=None)
    weights = {name: torch.from_numpy(array) for name, array in common.backbone(net).items()}
    assert not model.load_state_dict(weights, strict=False).unexpected_keys
    return model


def scores(
    protocol: Any, reference: common.Array, render: common.Array, mask: common.Array | None, kind: Any
) -> dict[str, Any]:
    metrics._normalize_input = lambda image: np.clip(image, 0, 1).astype(kind)
    metrics._lpips = lambda a, b, net: lpips(a, b, net, kind)
    dataset = {"images": [reference], "metadata": {"color_space": "srgb"}, "masks": None if mask is None else [mask]}
    values = protocol.evaluate({"color": render}, dataset)
    return {metric: value for metric, value in values.items() if metric != UNREPORTED}


OWN_LPIPS = metrics._lpips


def lpips(a: common.Array, b: common.Array, net: str, kind: Any) -> Any:
    """Return LPIPS, or NaN if the image is too small, because the protocols call it for every image."""
    *batch, height, width, _ = a.shape
    if not common.takes_lpips(np.empty((height, width))):
        return np.full(batch, np.nan)
    if kind is np.float32:
        return OWN_LPIPS(a, b, net)
    images = [torch.from_numpy(2.0 * image.astype(kind).reshape(-1, height, width, 3) - 1) for image in (a, b)]
    with torch.no_grad():
        return double(net)(*(image.permute(0, 3, 1, 2) for image in images)).numpy().reshape(batch)


@cache
def double(net: str) -> Any:
    module = their_lpips.LPIPS(net=net).double()
    # Set ImageNet's mean and standard deviation exactly. In float32 they change LPIPS by up to 1e-7.
    module.scaling_layer.shift[:] = torch.tensor([-0.030, -0.088, -0.188], dtype=torch.float64)[:, None, None]
    module.scaling_layer.scale[:] = torch.tensor([0.458, 0.448, 0.450], dtype=torch.float64)[:, None, None]
    return module


main()
