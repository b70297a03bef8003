"""A model's own metric modules: kept from downloading when it is built, taken out where it is only rendered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
import torchmetrics.functional.image.lpips as torchmetrics_lpips
from torch import Tensor, nn

from nvs_eval.metrics.weights.backbones import load_backbone
from nvs_eval.metrics.weights.pins import Net

_NAMES = ("psnr", "ssim", "lpips")
_NETS: dict[str, Net] = {"alexnet": "alex", "vgg16": "vgg", "squeezenet1_1": "squeeze"}
_PACKAGES = ("torchmetrics", "pytorch_msssim", "lpips")


_PROTOCOLS = {
    "nerfstudio": (
        "nerfacto.NerfactoModel",
        "instant_ngp.NGPModel",
        "tensorf.TensoRFModel",
        "vanilla_nerf.NeRFModel",
        "mipnerf.MipNerfModel",
        "semantic_nerfw.SemanticNerfWModel",
    ),
    "nerfstudio-splatfacto": ("splatfacto.SplatfactoModel",),
    "nerfstudio-surface": ("base_surface_model.SurfaceModel",),
}
_OWN_PROTOCOL = {f"nerfstudio.models.{name}": protocol for protocol, names in _PROTOCOLS.items() for name in names}
_METHOD = "get_image_metrics_and_images"
# They add to what their parent's says, and change nothing of it.
_ADDING = ("nerfstudio.models.depth_nerfacto.DepthNerfactoModel", "nerfstudio.models.neus_facto.NeuSFactoModel")


def own_protocol(model: type) -> str | None:
    """The named protocol that says what a model's own metrics would; None for a model with metrics of its own.

    It is that of the class whose metric method the model has, be it inherited.
    """
    for kind in model.__mro__:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in _OWN_PROTOCOL:
            return _OWN_PROTOCOL[name]
        if _METHOD in vars(kind) and name not in _ADDING:
            return None
    return None


@contextmanager
def no_downloads() -> Iterator[None]:
    """Within this scope torchmetrics' LPIPS is built with an empty backbone in place of a downloaded one.

    Every nerfstudio model builds that LPIPS in its constructor. It is either filled from the checkpoint, or replaced by
    `without_own_metrics`; it is never scored with as it is.
    """
    with _backbones(lambda net, features: None):
        yield


@contextmanager
def verified_backbones() -> Iterator[None]:
    """Within this scope torchmetrics' LPIPS takes its backbone from nvs-eval's verified weights.

    They are torchvision's to the bit, so that no number changes; they are there without internet too.

    Raises:
        InputError: where they cannot be had, when such an LPIPS is built.
    """

    def fill(net: Net, features: nn.Module) -> None:
        weights = load_backbone(net)
        features.load_state_dict({name.removeprefix("features."): tensor for name, tensor in weights.items()})

    with _backbones(fill):
        yield


@contextmanager
def _backbones(fill: Callable[[Net, nn.Module], None]) -> Iterator[None]:
    original = torchmetrics_lpips._get_tv_model_features

    def build(net: str, pretrained: bool = False) -> nn.Module:
        if not pretrained:
            return original(net, pretrained=False)
        # On the meta device the classifier, which nobody needs, is not initialised either.
        with torch.device("meta"):
            features = original(net, pretrained=False)
        features = features.to_empty(device="cpu")
        fill(_NETS[net], features)
        return features

    with mock.patch.object(torchmetrics_lpips, "_get_tv_model_features", build):
        yield


class _Nothing(nn.Module):
    """Stands where a metric stood: takes anything, says 0."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Nothing is computed; the value is thrown away."""
        return torch.zeros(())


def without_own_metrics(model: nn.Module) -> None:
    """Replace a model's metric modules, so that its metric method prepares the images and computes nothing of them."""
    for name in _NAMES:
        if hasattr(model, name):
            _replace(model, name)
    for name, module in list(model.named_children()):
        if type(module).__module__.partition(".")[0] in _PACKAGES:
            _replace(model, name)


def _replace(model: nn.Module, name: str) -> None:
    delattr(model, name)
    setattr(model, name, _Nothing())
