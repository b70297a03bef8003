"""The peers' LPIPS networks, filled with the verified weights instead of a download."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from nvs_eval.metrics.lpips.metric import Lpips


def lpips_package(ours: Lpips) -> Any:
    """The `lpips` package's own module in float64, of the same net, version and heads, with the same backbone."""
    module = _lpips_package(ours.net, ours.version)
    _fill(module.net, ours.backbone.weights)
    module.lpips = ours.heads == "learned"
    module.spatial = False
    return module


@cache  # Its random initialisation takes seconds, and is thrown away.
def _lpips_package(net: str, version: str) -> Any:
    import lpips

    with torch.inference_mode(False):  # It is kept, for tests that want its gradient too.
        return _exact(_quietly(lpips.LPIPS, net=net, version=version, pnet_rand=True, verbose=False))


def random_lpips_package(net: str) -> Any:
    """The package's module with a randomly initialised backbone and the learned heads."""
    import lpips

    torch.manual_seed(0)
    return _quietly(lpips.LPIPS, net=net, pnet_rand=True, verbose=False)


def torchmetrics_network(ours: Lpips) -> Any:
    """The module that torchmetrics' functional LPIPS builds, in float64, with the same backbone."""
    from torchmetrics.functional.image.lpips import _LPIPS

    module = _exact(_quietly(_LPIPS, net=ours.net, pnet_rand=True))
    _fill(module.net, ours.backbone.weights)
    return module


def _exact(module: Any) -> Any:
    """Both hold ImageNet's mean and deviation in float32, which is worth up to 1e-7.

    With the exact ones they agree as float64 does, so that nothing else can hide behind a wider tolerance.
    """
    module = module.double()
    module.scaling_layer.shift[:] = torch.tensor([-0.030, -0.088, -0.188], dtype=torch.float64)[:, None, None]
    module.scaling_layer.scale[:] = torch.tensor([0.458, 0.448, 0.450], dtype=torch.float64)[:, None, None]
    return module


def _quietly(make: Any, **choices: Any) -> Any:
    with warnings.catch_warnings():
        # Both build torchvision's models with arguments that it has renamed since.
        warnings.filterwarnings("ignore", message=r"The parameter 'pretrained' is deprecated", category=UserWarning)
        warnings.filterwarnings("ignore", message=r"Arguments other than a weight enum", category=UserWarning)
        return make(**choices).eval()


def _fill(network: torch.nn.Module, backbone: Mapping[str, Tensor]) -> None:
    """Their names say the slice, then the layer: "slice2.3.weight" or "slices.1.3.weight" is "features.3.weight"."""
    names = {name: re.sub(r"^slice(s\.\d|\d)\.", "features.", name) for name in network.state_dict()}
    assert sorted(names.values()) == sorted(backbone)
    network.load_state_dict({name: backbone[own] for name, own in names.items()})
