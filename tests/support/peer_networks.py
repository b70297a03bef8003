"""The peers' LPIPS networks, filled with the verified weights instead of a download."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from nvs_eval.metrics.lpips.metric import Lpips


def lpips_package(ours: Lpips) -> Any:
    """Return the module of the `lpips` package in float64, with the net, version, heads and backbone of a metric."""
    module = _lpips_package(ours.net, ours.version)
    _fill(module.net, ours.backbone.weights)
    module.lpips = ours.heads == "learned"
    module.spatial = False
    return module


@cache  # The random initialisation takes seconds, and its values are replaced.
def _lpips_package(net: str, version: str) -> Any:
    import lpips

    with torch.inference_mode(False):  # Cached, also for tests of gradients.
        return _exact(_quietly(lpips.LPIPS, net=net, version=version, pnet_rand=True, verbose=False))


def random_lpips_package(net: str) -> Any:
    """Return the module of the `lpips` package with a random backbone and the learned heads."""
    import lpips

    torch.manual_seed(0)
    return _quietly(lpips.LPIPS, net=net, pnet_rand=True, verbose=False)


def torchmetrics_network(ours: Lpips) -> Any:
    """Return the module of torchmetrics' functional LPIPS in float64, with the backbone of a metric."""
    from torchmetrics.functional.image.lpips import _LPIPS

    module = _exact(_quietly(_LPIPS, net=ours.net, pnet_rand=True))
    _fill(module.net, ours.backbone.weights)
    return module


def dists_package(backbone: Mapping[str, Tensor]) -> Any:
    """Return the module of dists-pytorch in float64, with its own weights and a backbone of VGG16."""
    from DISTS_pytorch import DISTS_pt  # pyright: ignore[reportMissingImports]

    build = DISTS_pt.models.vgg16

    def vgg16(*_: Any, **__: Any) -> Any:
        model = build(weights=None, init_weights=False)
        model.load_state_dict(dict(backbone), strict=False)
        return model

    with patch.object(DISTS_pt.models, "vgg16", vgg16):
        module = DISTS_pt.DISTS(load_weights=False)
    weights = torch.load(Path(DISTS_pt.__file__).with_name("weights.pt"), weights_only=True)
    module.alpha.data, module.beta.data = weights["alpha"], weights["beta"]
    return module.double().eval()


def _exact(module: Any) -> Any:
    """Convert a module to float64, and set ImageNet's mean and standard deviation exactly.

    Both packages store these constants in float32, which changes distances by up to 1e-7. With exact constants, the
    tests can use the tolerance of float64.
    """
    module = module.double()
    module.scaling_layer.shift[:] = torch.tensor([-0.030, -0.088, -0.188], dtype=torch.float64)[:, None, None]
    module.scaling_layer.scale[:] = torch.tensor([0.458, 0.448, 0.450], dtype=torch.float64)[:, None, None]
    return module


def _quietly(make: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        # Both packages build torchvision's models with arguments that have been renamed.
        warnings.filterwarnings("ignore", message=r"The parameter 'pretrained' is deprecated", category=UserWarning)
        warnings.filterwarnings("ignore", message=r"Arguments other than a weight enum", category=UserWarning)
        return make(**options).eval()


def _fill(network: torch.nn.Module, backbone: Mapping[str, Tensor]) -> None:
    """Load a backbone into a network.

    The peers' names contain slice and layer: "slice2.3.weight" or "slices.1.3.weight" is "features.3.weight".
    """
    names = {name: re.sub(r"^slice(s\.\d|\d)\.", "features.", name) for name in network.state_dict()}
    assert sorted(names.values()) == sorted(backbone)
    network.load_state_dict({name: backbone[published] for name, published in names.items()})
