"""A model's own metric modules: kept from downloading when it is built, taken out where it is only rendered."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import torch
import torchmetrics.functional.image.lpips as torchmetrics_lpips
from torch import Tensor, nn

from nvs_eval.errors import InputError
from nvs_eval.metrics.weights.backbones import load_backbone
from nvs_eval.metrics.weights.pins import Net

_NAMES = ("psnr", "ssim", "lpips")
_BACKBONES: dict[str, Net] = {"Alexnet": "alex", "Vgg16": "vgg", "SqueezeNet": "squeeze"}
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

    Raises:
        InputError: this torchmetrics has no such backbones.
    """
    with _backbones_filled(lambda net, backbone: None):
        yield


@contextmanager
def verified_backbones() -> Iterator[None]:
    """Within this scope torchmetrics' LPIPS takes its backbone from nvs-eval's verified weights.

    They are torchvision's to the bit, so that no number changes; they are there without internet too.

    Raises:
        InputError: this torchmetrics has no such backbones; or, when such an LPIPS is built, the weights cannot be had.
    """

    def fill(net: Net, backbone: nn.Module) -> None:
        weights = load_backbone(net)
        # torchmetrics cuts torchvision's `features` into slices, whose layers keep their numbers.
        names = {name: re.sub(r"^slices?\.?\d+\.", "features.", name) for name in backbone.state_dict()}
        backbone.load_state_dict({name: weights[published] for name, published in names.items()})

    with _backbones_filled(fill):
        yield


@contextmanager
def _backbones_filled(fill: Callable[[Net, nn.Module], None]) -> Iterator[None]:
    """Replace the public classes of the backbones, which torchmetrics' LPIPS looks up when it is built, by builders."""
    if missing := [name for name in _BACKBONES if not hasattr(torchmetrics_lpips, name)]:
        raise InputError(
            f"torchmetrics {version('torchmetrics')} has no {' and no '.join(missing)} in "
            f"{torchmetrics_lpips.__name__}, from which nerfstudio's models build their LPIPS. Install another version."
        )
    originals = {name: getattr(torchmetrics_lpips, name) for name in _BACKBONES}

    def build(name: str, *, requires_grad: bool = False, pretrained: bool = True) -> nn.Module:
        if not pretrained:
            return originals[name](requires_grad=requires_grad, pretrained=False)
        # On the meta device nothing is initialised, torchvision's classifier, which nobody needs, included.
        with torch.device("meta"):
            backbone = originals[name](requires_grad=requires_grad, pretrained=False)
        backbone = backbone.to_empty(device="cpu")
        fill(_BACKBONES[name], backbone)
        return backbone

    try:
        for name in originals:
            setattr(torchmetrics_lpips, name, functools.partial(build, name))
        yield
    finally:
        for name, original in originals.items():
            setattr(torchmetrics_lpips, name, original)


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
