"""What the tool behind each named protocol does, written here a second time, with the peers who compute its numbers.

Nothing of it is read from the protocols' files, which it is there to check; the preparation is numpy's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from support.peer_scores import (
    MAE,
    MSSSIM,
    PSNR,
    SKIMAGE_GREY,
    SKIMAGE_PSNR,
    SKIMAGE_SSIM,
    Array,
    Peer,
    golden,
    lpips,
    masked_lpips,
    reference_dycheck,
    reference_ssim,
    torchmetrics_lpips,
    torchmetrics_ssim,
)
from support.window_ssim import DMPIX_WITHOUT_FLOOR
from support.window_ssim import TOOLS as SSIMS

from nvs_eval.diagnostics.verify.pair import affine, quadratic

Rule = Literal["none", "round", "round half to even", "truncate"]
CC = "cc_"


@dataclass(frozen=True)
class Prepared:
    """The reference, the render, the render after colour correction, and the mask that the metrics weigh by."""

    reference: Array
    render: Array
    corrected: Array | None
    mask: Array | None


@dataclass(frozen=True)
class Tool:
    """What a tool does, as far as numbers depend on it.

    Attributes:
        peers: who computes each metric of it.
        masked: who does where a mask is given, if others; None for a tool that a mask is an error to.
        beyond: what happens to values outside [0, 1]: nothing, they are clipped, or they are not admitted.
        render: how it is brought to 8 bits.
        reference: likewise.
        kind: the precision in which images are brought to 8 bits.
        half: whether only the right half counts.
        mask: what it does with a mask.
        correct: the colour correction of the metrics that begin with cc_.
    """

    peers: Mapping[str, Sequence[Peer]]
    masked: Mapping[str, Sequence[Peer]] | None = None
    beyond: Literal["kept", "clipped", "error"] = "kept"
    render: Rule = "none"
    reference: Rule = "none"
    kind: Any = np.float32
    half: bool = False
    mask: Literal["none", "ignored", "weights", "multiply", "dycheck"] = "none"
    correct: Callable[..., Array] | None = None

    def prepare(self, reference: Array, render: Array, mask: Array | None) -> Prepared:
        """What its metrics take, in the precision that it works in."""
        if self.beyond == "clipped":
            reference, render = (np.clip(image, 0, 1) for image in (reference, render))
        reference, render = reference.astype(self.kind), render.astype(self.kind)
        corrected = None if self.correct is None else self.correct(render, reference)
        images = [quantise(reference, self.reference), quantise(render, self.render)]
        images += [] if corrected is None else [quantise(corrected, self.render)]
        if self.half:
            images = [image[:, image.shape[1] // 2 :] for image in images]
        weights = mask if self.mask == "weights" else None
        if self.mask == "multiply" and mask is not None:
            images = [image * mask[..., None] for image in images]
        if self.mask == "dycheck":
            weights = np.ones(reference.shape[:2], np.float32) if mask is None else quantise(mask, "truncate")
        return Prepared(images[0], images[1], images[2] if self.correct else None, weights)


def quantise(image: Array, rule: Rule) -> Array:
    """Round an image to the 256 levels of 8 bits, in its own dtype, not clamped.

    Args:
        image: values in [0, 1].
        rule: `round` is torchvision's save_image (add a half, then cut off), `round half to even` numpy's (multinerf,
            zipnerf-pytorch), `truncate` the conversion to uint8 (NeRF's to8b, nerfbaselines, dycheck).
    """
    kind = image.dtype.type
    if rule == "none":
        return image
    if rule == "round half to even":
        return np.round(image * kind(255)) / kind(255)
    return np.floor(image * kind(255) + kind(0.5 if rule == "round" else 0)) / kind(255)


def corrected(tool: Tool, correct: Callable[..., Array]) -> Tool:
    """The scores of the corrected render alone, by the peers that are run live."""
    own = {CC + metric: [peer for peer in peers if peer in LIVE] for metric, peers in tool.peers.items()}
    return replace(tool, peers=own, correct=correct)


TM = "torchmetrics-1.4.1"
PSNRS = [SKIMAGE_PSNR, golden(TM, "psnr", tolerance=1e-5)]
TM_SSIM, TM_SSIM_OF_PAIR = torchmetrics_ssim(1.0), torchmetrics_ssim(None)
TM_ALEX, TM_VGG_UNSCALED = torchmetrics_lpips("alex"), torchmetrics_lpips("vgg", scaled=False)
TM_VGG_CLAMPED = torchmetrics_lpips("vgg", clamp=True)
DMPIX, NO_FLOOR = reference_ssim(SSIMS["dmpix"]), reference_ssim(DMPIX_WITHOUT_FLOOR)
LIVE = [SKIMAGE_PSNR, SKIMAGE_SSIM, MSSSIM, TM_SSIM, TM_ALEX, TM_VGG_UNSCALED, TM_VGG_CLAMPED, DMPIX]


def nerfbaselines(protocol: str, **more: str) -> dict[str, list[Peer]]:
    """Its own evaluation protocol, and who else computes the same of what it prepares."""
    names = {"psnr": "psnr", "ssim": "ssim", "mae": "mae", "lpips_alex": "lpips", **more}
    own = {metric: golden("nerfbaselines", f"{protocol}{{mask}}: {name}") for metric, name in names.items()}
    others = {"psnr": [SKIMAGE_PSNR], "ssim": [DMPIX], "mae": [MAE]}
    return {metric: [peer, *others.get(metric, [])] for metric, peer in own.items()}


NERFSTUDIO = Tool(
    {"psnr": PSNRS, "ssim": [TM_SSIM_OF_PAIR], "lpips_alex": [TM_ALEX, golden(TM, "lpips_alex, scaled")]},
    beyond="error",
)
SPLATFACTO = replace(
    NERFSTUDIO,
    peers={**NERFSTUDIO.peers, "ssim": [SKIMAGE_SSIM, MSSSIM, golden(TM, "ssim")]},
    beyond="clipped",
)
GSPLAT = Tool({"psnr": PSNRS, "ssim": [TM_SSIM], "lpips_alex": NERFSTUDIO.peers["lpips_alex"]}, beyond="clipped")
GSPLAT_VGG = replace(
    GSPLAT,
    peers={
        "psnr": PSNRS,
        "ssim": [TM_SSIM],
        "lpips_vgg": [TM_VGG_UNSCALED, golden(TM, "lpips_vgg, unscaled")],
    },
)
NGP_PL = Tool({"psnr": PSNRS, "ssim": [TM_SSIM], "lpips_vgg": [TM_VGG_CLAMPED, golden(TM, "lpips_vgg, scaled")]})
CC_AFFINE = corrected(NGP_PL, affine)
GRUT = replace(CC_AFFINE, peers={**NGP_PL.peers, **CC_AFFINE.peers})
MULTINERF = Tool(
    {
        "psnr": [SKIMAGE_PSNR, golden("dm-pix", "psnr, render rounded")],
        "ssim": [DMPIX, golden("dm-pix", "ssim, render rounded")],
        "lpips_vgg": [lpips("vgg")],
        "cc_psnr": [SKIMAGE_PSNR],
        "cc_ssim": [DMPIX],
    },
    render="round half to even",
    kind=np.float64,
    correct=quadratic,
)
NERFBASELINES = Tool(
    nerfbaselines("default"), beyond="clipped", render="truncate", reference="truncate", mask="multiply"
)

# By the protocol's name; a colour correction on request after a space, which stands for its cc_ scores alone.
PROTOCOLS: dict[str, Tool] = {
    "standard": Tool(
        {
            "psnr": [SKIMAGE_PSNR],
            "ssim": [SKIMAGE_SSIM, MSSSIM],
            "lpips_alex": [lpips("alex")],
            "lpips_vgg": [lpips("vgg")],
        },
        masked={
            "psnr": [PSNR],
            "ssim": [reference_ssim(SSIMS["valid"])],
            "lpips_alex": [masked_lpips("alex")],
            "lpips_vgg": [masked_lpips("vgg")],
        },
        beyond="error",
        render="round",
        reference="round",
        mask="weights",
    ),
    "nerfstudio": NERFSTUDIO,
    "nerfstudio-splatfacto": SPLATFACTO,
    "nerfstudio-splatfacto quadratic": corrected(SPLATFACTO, quadratic),
    "nerfstudio-surface": Tool(
        {
            "psnr": PSNRS,
            "ssim": [TM_SSIM_OF_PAIR],
            "lpips_alex": [torchmetrics_lpips("alex", scaled=False), golden(TM, "lpips_alex, unscaled")],
        }
    ),
    "inria-3dgs": Tool(
        {
            "psnr": [SKIMAGE_PSNR],
            "ssim": [reference_ssim(SSIMS["zero"])],
            "lpips_vgg": [lpips("vgg", scaled=False)],
        },
        beyond="clipped",
        render="round",
        reference="round",
    ),
    "multinerf": MULTINERF,
    "nerfbaselines": NERFBASELINES,
    "nerfbaselines-nerf": replace(NERFBASELINES, peers=nerfbaselines("nerf", lpips_vgg="lpips_vgg")),
    "nerfbaselines-nerfw": replace(NERFBASELINES, peers=nerfbaselines("nerfw"), mask="ignored", half=True),
    "gsplat": GSPLAT,
    "gsplat affine": corrected(GSPLAT, affine),
    "gsplat-vgg": GSPLAT_VGG,
    "gsplat-vgg quadratic": corrected(GSPLAT_VGG, quadratic),
    "instant-ngp": Tool({"psnr": [SKIMAGE_PSNR], "ssim": [reference_ssim(SSIMS["luma5"])]}, beyond="clipped"),
    "mipnerf": Tool({"psnr": [SKIMAGE_PSNR], "ssim": [NO_FLOOR], "lpips_vgg": [lpips("vgg")]}),
    "nerf": Tool({"psnr": [SKIMAGE_PSNR]}),
    "ngp-pl": NGP_PL,
    "3dgrut": GRUT,
    "zipnerf-pytorch": Tool(
        {"psnr": [SKIMAGE_PSNR], "ssim": [SKIMAGE_GREY, reference_ssim(SSIMS["uniform7-gray"], 255)]},
        beyond="error",
        render="round half to even",
        reference="truncate",
        kind=np.float64,
    ),
    "dycheck": Tool(
        {
            "psnr": [reference_dycheck("psnr")],
            "ssim": [reference_dycheck("ssim")],
            "lpips_alex": [reference_dycheck("lpips")],
        },
        beyond="clipped",
        render="truncate",
        reference="truncate",
        mask="dycheck",
    ),
}
