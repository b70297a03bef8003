"""Learned perceptual image patch similarity (LPIPS), in every variant that the field uses.

R. Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018. The activations of a
network at its taps are normalised over the channels. Their squared differences are weighted by a non-negative head,
averaged over the plane and summed over the taps. There is no square root.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal
from weakref import WeakValueDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from nvs_eval.errors import InputError, quoted, unknown_name
from nvs_eval.metrics.describe import Described
from nvs_eval.metrics.lpips.architectures import SMALLEST
from nvs_eval.metrics.lpips.distance import Comparison, Distances, Heads, MaskMeaning, Normaliser, Scaling, upsampled
from nvs_eval.metrics.lpips.layers import Backbone
from nvs_eval.metrics.lpips.passes import compare, score_together
from nvs_eval.metrics.lpips.plan import Allowed, Pairing
from nvs_eval.metrics.lpips.precision import Precision
from nvs_eval.metrics.pair import Mask, broadcast_shapes, checked_pair, owners_of
from nvs_eval.metrics.weights.backbones import shared_backbone
from nvs_eval.metrics.weights.formats import load_heads, load_whole
from nvs_eval.metrics.weights.pins import NETS, VERSIONS, Net, Version

_CHOICES: dict[str, tuple[str, ...]] = {
    "net": NETS,
    "version": VERSIONS,
    "heads": ("learned", "none"),
    "input": ("scaled", "unscaled"),
    "normaliser": ("lpips", "torchmetrics"),
    "precision": ("exact", "fast"),
}
_true: WeakValueDictionary[str, Backbone] = WeakValueDictionary()


@dataclass(frozen=True, eq=False)
class Lpips(Comparison):
    """LPIPS with its weights, called like all metrics: `lpips(reference, render, mask=None) -> [...]`.

    Created by `load_lpips`; the attributes are its arguments. A call returns one float64 value per image, at least 0,
    lower is better; `map` returns the value of each pixel. Both are differentiable with respect to both images, and the
    weights are constants.
    """

    together = staticmethod(score_together)

    def __call__(
        self,
        reference: Float[Tensor, "*#batch 3 h w"],
        render: Float[Tensor, "*#batch 3 h w"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "*batch_out"]:
        """Score each render against its reference; the features of a reference are computed once for all its renders.

        Args:
            reference: `[..., 3, H, W]` in [0, 1].
            render: `[..., 3, H, W]` in [0, 1]; the leading dimensions broadcast against the reference's.
            mask: `[..., 1, H, W]`, bool or weights in [0, 1]. The value is then the weighted mean of the spatial map.
                (A full mask gives the mean of the map, which differs from the value without a mask by up to about
                1e-4.) If the mask's meaning is `dycheck`, both images are multiplied by it first.

        Returns:
            `[...]` float64.

        Raises:
            InputError: the shapes or dtypes do not fit, or the images are too small for the network.
        """
        images = checked_pair(reference, render, mask)
        return self.reduce(self._distances(*images, mask), reference.shape[-2:], mask)

    def map(
        self, reference: Float[Tensor, "*#batch 3 h w"], render: Float[Tensor, "*#batch 3 h w"]
    ) -> Float[Tensor, "*batch_out h w"]:
        """Return the value of each pixel: distances of the taps, upsampled bilinearly (align_corners=False) and summed.

        Raises:
            InputError: the shapes or dtypes do not fit, or the images are too small for the network.
        """
        return upsampled(self._distances(*checked_pair(reference, render)), reference.shape[-2:])

    def _distances(self, reference: Tensor, render: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """Return the weighted squared difference at each tap, `[..., 1, h, w]`."""
        reference, render = self.fed(reference, render, mask)
        batch = broadcast_shapes(reference.shape[:-3], render.shape[:-3])
        if 0 in batch:
            return [reference.new_zeros(*batch, 1, 1, 1)]
        references = reference.reshape(-1, *reference.shape[-3:])
        renders = render.expand(*batch, *render.shape[-3:]).reshape(-1, *render.shape[-3:])
        places = range(len(references), len(references) + len(renders))
        pairing = Pairing(self, owners_of(reference, batch), places)
        compared = compare([pairing], references.unbind(), renders.unbind(), Allowed())
        parts = [part.planes for (part,) in compared if isinstance(part, Distances)]
        planes = parts[0] if len(parts) == 1 else [torch.cat(tap) for tap in zip(*parts, strict=True)]
        return [plane.reshape(*batch, *plane.shape[1:]) for plane in planes]


def load_lpips(
    net: Net,
    *,
    version: Literal["0.1", "0.0"] = "0.1",
    heads: Heads = "learned",
    input: Scaling = "scaled",
    normaliser: Normaliser = "lpips",
    clamp: bool = False,
    mask_meaning: MaskMeaning = "valid-pixels",
    precision: Precision = "exact",
    weights: str | PathLike[str] | None = None,
    weights_dir: str | PathLike[str] | None = None,
) -> Lpips:
    """Load an LPIPS with verified weights.

    Args:
        net: backbone: `alex`, `vgg` (VGG16) or `squeeze` (SqueezeNet 1.1).
        version: `0.1`, or `0.0`, the first release, which does not scale its input to ImageNet's mean and standard
            deviation and has different heads.
        heads: `learned` (the paper's `lin`), which everybody reports, or `none`, which sums the squared differences
            over the channels (`lpips=False`, "baseline").
        input: `scaled` maps images in [0, 1] to the [-1, 1] that the network expects; `unscaled` feeds them unchanged,
            like the code of 3D Gaussian splatting. The two are different metrics.
        normaliser: how an activation is divided by its norm over the channels: `lpips` by `|f| + 1e-10`,
            `torchmetrics` (1.2.1 and newer) by `sqrt(|f|^2 + 1e-8)`.
        clamp: whether the input is clamped to [0, 1] first.
        mask_meaning: `valid-pixels` averages the spatial map with the mask; `dycheck` also multiplies both images by
            the mask first.
        precision: `exact` uses float32, within 1e-5 of the value in float64. `fast` multiplies in bfloat16 (CPUs with
            instructions for it) or float16 (CUDA) behind the first tap, and normalises and sums in float32. It is
            within 0.5 % + 2e-4 of the exact value (the gradient within several %). SqueezeNet would not be faster and
            stays exact. The two are different metrics.
        weights: state dict of the whole network and its heads (the paper's `tune` and `scratch`), with the names of the
            lpips package's module. It replaces the pinned weights and is not verified.
        weights_dir: folder that is searched first for the pinned backbone.

    Raises:
        InputError: a name is unknown, or the weights are unavailable or have the wrong hash.
    """
    ways = {"version": version, "heads": heads, "input": input, "normaliser": normaliser, "precision": precision}
    for parameter, value in {"net": net, **ways}.items():
        if value not in _CHOICES[parameter]:
            raise unknown_name(f"LPIPS {parameter}", value, _CHOICES[parameter])
    if mask_meaning not in ("valid-pixels", "dycheck"):
        raise unknown_name("mask meaning of LPIPS", mask_meaning, ("valid-pixels", "dycheck"))
    # Tensors created in a caller's inference mode could never be used for gradients.
    with torch.inference_mode(False):
        if weights is not None:
            convolutions, head_weights = load_whole(Path(weights), net, heads=heads == "learned")
            backbone = Backbone(net, convolutions)
        else:
            # Shared by all users: the weights of a net are the pinned ones, wherever the file is.
            folder = None if weights_dir is None else Path(weights_dir)
            backbone = _true.setdefault(net, Backbone(net, shared_backbone(net, directory=folder)))
            head_weights = load_heads(net, version) if heads == "learned" else []
        if heads == "none":
            head_weights = [torch.ones(1, count, 1, 1) for count in backbone.channels()]
    return Lpips(net, version, heads, input, normaliser, backbone, head_weights, clamp, mask_meaning, precision)


def describe(
    name: str,
    mask: str,
    *,
    net: Net,
    version: Version,
    input: Scaling,
    normaliser: Normaliser,
    clamp: bool = False,
    precision: Precision = "exact",
) -> Described:
    """Describe the LPIPS of a protocol. The loader of its function reads the weights.

    Raises:
        InputError: the name does not match the net, or LPIPS does not support the meaning of the mask.
    """
    if not f"{name}_".startswith(f"lpips_{net}_"):
        raise InputError(
            f"The metric {quoted(name)} has the net {quoted(net)}. Call it lpips_{net}, so that tables name it right."
        )
    if mask == "windows":
        raise InputError(
            f"{name} has no windows, so it does not support `mask: windows`. Use valid-pixels, multiply, fill, bbox or "
            "dycheck, or remove LPIPS from the protocol."
        )
    clamped = "|clamp" if clamp else ""
    fast = "|precision:fast" if precision == "fast" else ""
    signature = f"lpips|net:{net}|heads:{version}|input:{input}{clamped}|norm:{normaliser}{fast}|v1"

    def load(weights_dir: Path | None) -> Lpips:
        meaning: Any = mask  # Checked above.
        ways: Any = {"version": version, "input": input, "normaliser": normaliser, "precision": precision}
        return load_lpips(net, clamp=clamp, mask_meaning=meaning, weights_dir=weights_dir, **ways)

    undefined = "An activation of its network overflows at this precision. Score without `--precision fast`."
    needs = {"nets": (net,), "is_fast": precision == "fast"}
    return Described(signature=signature, load=load, smallest=SMALLEST[net], undefined=undefined, **needs)
