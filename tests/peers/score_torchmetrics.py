"""Score the pairs with an older torchmetrics: PSNR, LPIPS, and SSIM with a data range of 1 and that of the pair."""

# pyright: reportMissingImports=false
from __future__ import annotations

import re
from functools import cache
from typing import Any

import common
import numpy as np
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.functional.image.lpips import _LPIPS, _lpips_update

LPIPS = [(net, scaled) for net in ("alex", "vgg") for scaled in (True, False)]
FLAT = "flat and flat"


def main() -> None:
    values: common.Values = {}
    for name, (reference, render, _) in common.pairs().items():
        metrics = {"psnr": psnr, "ssim": ssim_over(1.0)}
        if name != FLAT:  # Flat images have no data range.
            metrics["ssim, range of the pair"] = ssim_over(None)
        if common.takes_lpips(render):
            metrics |= {f"lpips_{net}, {'' if scaled else 'un'}scaled": lpips(net, scaled) for net, scaled in LPIPS}
        for metric, score in metrics.items():
            scores = common.both(lambda kind, s=score, x=reference, y=render: s(tensor(x, kind), tensor(y, kind)))
            values.setdefault(metric, {})[name] = scores
    common.answer(values, ["torchmetrics", "torch", "torchvision"])


def tensor(image: common.Array, kind: Any) -> torch.Tensor:
    return torch.from_numpy(image.astype(kind)).permute(2, 0, 1)[None]


def psnr(reference: torch.Tensor, render: torch.Tensor) -> torch.Tensor:
    return peak_signal_noise_ratio(render, reference, data_range=1.0)


def ssim_over(data_range: float | None) -> Any:
    return lambda reference, render: structural_similarity_index_measure(render, reference, data_range=data_range)


def lpips(net: str, scaled: bool) -> Any:
    def score(reference: torch.Tensor, render: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return _lpips_update(render, reference, net=network(net, reference.dtype), normalize=scaled)[0]

    return score


@cache
def network(net: Any, kind: torch.dtype) -> Any:
    """Return torchmetrics' LPIPS with the verified backbone. Its names are "slice2.3.weight" or "slices.1.3.weight"."""
    module = _LPIPS(net=net, pnet_rand=True).eval().to(kind)
    weights = common.backbone(net)
    names = {name: re.sub(r"^slice(s\.\d|\d)\.", "features.", name) for name in module.net.state_dict()}
    module.net.load_state_dict({name: torch.from_numpy(weights[published]) for name, published in names.items()})
    if kind == torch.float64:
        # Set ImageNet's mean and standard deviation exactly. In float32 they change LPIPS by up to 1e-7.
        module.scaling_layer.shift = exact(-0.030, -0.088, -0.188)
        module.scaling_layer.scale = exact(0.458, 0.448, 0.450)
    return module


def exact(*values: float) -> torch.Tensor:
    return torch.from_numpy(np.array(values)[None, :, None, None])


main()
