"""What an older torchmetrics says of the pairs: SSIM over a range of 1 and over the pair's own, PSNR, LPIPS."""

# pyright: reportMissingImports=false
from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import say
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.functional.image.lpips import _LPIPS, _lpips_update

LPIPS = [(net, scaled) for net in ("alex", "vgg") for scaled in (True, False)]
FLAT = "flat and flat"


def main() -> None:
    values: say.Values = {}
    for name, (reference, render, _) in say.pairs().items():
        metrics = {"psnr": psnr, "ssim": ssim_over(1.0)}
        if name != FLAT:  # Which has no range of its own.
            metrics["ssim, range of the pair"] = ssim_over(None)
        if say.takes_lpips(render):
            metrics |= {f"lpips_{net}, {'' if scaled else 'un'}scaled": lpips(net, scaled) for net, scaled in LPIPS}
        for metric, score in metrics.items():
            said = say.both(lambda kind, s=score, x=reference, y=render: s(tensor(x, kind), tensor(y, kind)))
            values.setdefault(metric, {})[name] = said
    say.answer(values, ["torchmetrics", "torch", "torchvision"])


def tensor(image: say.Array, kind: Any) -> torch.Tensor:
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
    """Its module with the true backbone, whose parts are called "slice2.3.weight" or "slices.1.3.weight"."""
    module = _LPIPS(net=net, pnet_rand=True).eval().to(kind)
    weights = say.backbone(net)
    own = {name: re.sub(r"^slice(s\.\d|\d)\.", "features.", name) for name in module.net.state_dict()}
    module.net.load_state_dict({name: torch.from_numpy(weights[theirs]) for name, theirs in own.items()})
    if kind == torch.float64:
        # It holds ImageNet's mean and deviation in float32, which is worth up to 1e-7.
        module.scaling_layer.shift = exact(-0.030, -0.088, -0.188)
        module.scaling_layer.scale = exact(0.458, 0.448, 0.450)
    return module


def exact(*values: float) -> torch.Tensor:
    return torch.from_numpy(np.array(values)[None, :, None, None])


main()
