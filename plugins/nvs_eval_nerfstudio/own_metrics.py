"""Metric modules of nerfstudio's models: building them without downloads, and removing them for rendering."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

from nvs_eval.errors import InputError, listed
from nvs_eval.metrics.weights.backbones import load_backbone
from nvs_eval.metrics.weights.pins import Net
from nvs_eval_nerfstudio.quiet import quiet

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
# Their metric methods extend those of their parents and do not change the results.
_ADDING = ("nerfstudio.models.depth_nerfacto.DepthNerfactoModel", "nerfstudio.models.neus_facto.NeuSFactoModel")


_PIPELINE_METHODS = (
    "get_eval_image_metrics_and_images",
    "get_average_eval_image_metrics",
    "get_average_image_metrics",
)


def own_protocol(model: type, pipeline: type | None = None) -> str | None:
    """Return the protocol that reproduces the metrics of a model's own code; None for a model that defines its own.

    It depends on the class that defines the model's metric method, which may be inherited. A pipeline of a third party
    that evaluates in its own way may change the images, so that no protocol is known (nerfgs blackens the sky).
    """
    for kind in () if pipeline is None else pipeline.__mro__:
        if not kind.__module__.startswith("nerfstudio.") and any(name in vars(kind) for name in _PIPELINE_METHODS):
            return None
    for kind in model.__mro__:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in _OWN_PROTOCOL:
            return _OWN_PROTOCOL[name]
        if _METHOD in vars(kind) and name not in _ADDING:
            return None
    return None


@contextmanager
def no_downloads() -> Iterator[None]:
    """Build torchmetrics' LPIPS with an empty backbone instead of a downloaded one.

    Every nerfstudio model builds this LPIPS in its constructor. It is then loaded from the checkpoint or replaced by
    `without_own_metrics`, and never used while empty.

    Raises:
        InputError: if this version of torchmetrics has no such backbones.
    """
    with _backbones_filled(lambda net, backbone: None):
        yield


@contextmanager
def verified_backbones() -> Iterator[None]:
    """Build torchmetrics' LPIPS with nvs-eval's verified weights.

    They equal torchvision's bit for bit, so scores do not change, and they can be installed without internet access.

    Raises:
        InputError: if this version of torchmetrics has no such backbones, or, when LPIPS is built, if the weights
            cannot be loaded.
    """

    def fill(net: Net, backbone: nn.Module) -> None:
        weights = load_backbone(net)
        # torchmetrics splits torchvision's `features` into slices and keeps the layer numbers.
        names = {name: re.sub(r"^slices?\.?\d+\.", "features.", name) for name in backbone.state_dict()}
        backbone.load_state_dict({name: weights[published] for name, published in names.items()})

    with _backbones_filled(fill):
        yield


@contextmanager
def _backbones_filled(fill: Callable[[Net, nn.Module], None]) -> Iterator[None]:
    """Replace the backbone classes that torchmetrics' LPIPS looks up in its constructor by builders."""
    with quiet():
        import torchmetrics.functional.image.lpips as torchmetrics_lpips

    if missing := [name for name in _BACKBONES if not hasattr(torchmetrics_lpips, name)]:
        raise InputError(
            f"torchmetrics {version('torchmetrics')} lacks {' and '.join(missing)} in {torchmetrics_lpips.__name__}, "
            "which nerfstudio's models use. Install another version of torchmetrics."
        )
    originals = {name: getattr(torchmetrics_lpips, name) for name in _BACKBONES}

    def build(name: str, *, requires_grad: bool = False, pretrained: bool = True) -> nn.Module:
        if not pretrained:
            return originals[name](requires_grad=requires_grad, pretrained=False)
        # The meta device skips the initialisation, including that of torchvision's unused classifier.
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


class _NoMetric(nn.Module):
    """Placeholder for a metric. Values that depend on it are not numbers, so that they are recognised and dropped."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return NaN for any arguments."""
        return torch.full((), torch.nan)


class _Guarded(nn.Module):
    """A metric of a model that may fail on some images, such as SSIM on small ones."""

    def __init__(self, metric: Callable[..., Any]) -> None:
        super().__init__()
        self.metric = metric

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the value of the metric, or NaN if it fails."""
        try:
            return self.metric(*args, **kwargs)
        except (RuntimeError, ValueError, AssertionError):
            return torch.full((), torch.nan)


def without_own_metrics(model: nn.Module) -> None:
    """Replace a model's metrics by placeholders, so that its metric method only prepares the images.

    If the model defines its own metrics, its PSNR and SSIM stay, because they may be of a part of the image. Its LPIPS
    is always replaced: its network takes longer than everything else.
    """
    kept = own_protocol(type(model)) is None
    children = {name for name, module in model.named_children() if _package(module) in _PACKAGES}
    for name in sorted({name for name in _NAMES if hasattr(model, name)} | children):
        metric = getattr(model, name)
        learned = name == "lpips" or _package(metric) == "lpips" or "Perceptual" in type(metric).__name__
        delattr(model, name)
        setattr(model, name, _Guarded(metric) if kept and not learned else _NoMetric())


def _package(module: object) -> str:
    return type(module).__module__.partition(".")[0]


def finite_values(metrics: Mapping[str, Any], *, model: str, warn: Callable[[str], None]) -> dict[str, float]:
    """Return the values of a model's own metrics as floats, without those of placeholders.

    Args:
        metrics: numbers, numpy scalars or tensors of one element, by name.
        model: name of the model, for warnings.
        warn: called with a sentence on metrics that are not finite numbers.
    """
    values = {name: _number(value) for name, value in metrics.items()}
    odd = [name for name, value in values.items() if not math.isfinite(value) and not _is_replaced(name)]
    if odd:
        warn(f"{model} also returns {listed(odd)}, not recorded where {'they are' if odd[1:] else 'it is'} not finite.")
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _is_replaced(name: str) -> bool:
    return any(metric in name for metric in _NAMES)


def _number(value: Any) -> float:
    """Return a value as a float; NaN if it is not a single number."""
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        return math.nan
