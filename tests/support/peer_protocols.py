"""Second description of the tool behind each named protocol, with the peers that compute its numbers.

It checks the protocol files, so nothing is read from them. Images are prepared with numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from support.peer_scores import (
    CLIPPED_PSNR,
    DISTS,
    FLIP,
    INRIA_SSIM,
    MAE,
    MS_SSIM,
    MSSSIM,
    PSNR,
    SKIMAGE_GAUSS,
    SKIMAGE_GREY,
    SKIMAGE_PSNR,
    SKIMAGE_RANGE_2,
    SKIMAGE_SSIM,
    SKIMAGE_UNIFORM,
    Array,
    Peer,
    dissimilarity,
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
    """Reference, render, render after colour correction, and mask with the weights of the metrics."""

    reference: Array
    render: Array
    corrected: Array | None
    mask: Array | None


@dataclass(frozen=True)
class Tool:
    """Everything about a tool that affects its numbers.

    Attributes:
        peers: peers that compute each metric.
        masked: peers that compute each metric with a mask (default: the same as without).
        beyond: treatment of values outside [0, 1]: kept, clipped, or an error.
        render: how renders are quantised to 8 bits.
        reference: how references are quantised to 8 bits.
        kind: precision in which images are quantised.
        half: whether only the right half is scored.
        mask: use of masks.
        correct: colour correction of the metrics whose names begin with cc_.
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
        """Prepare images and mask for the metrics, in the precision of the tool."""
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
    """Quantise an image to 8-bit levels in its own dtype, without clamping.

    Args:
        image: values in [0, 1].
        rule: `round` adds 0.5 and truncates (torchvision's save_image), `round half to even` is numpy's (multinerf,
            zipnerf-pytorch), `truncate` is the conversion to uint8 (NeRF's to8b, nerfbaselines, dycheck).
    """
    kind = image.dtype.type
    if rule == "none":
        return image
    if rule == "round half to even":
        return np.round(image * kind(255)) / kind(255)
    return np.floor(image * kind(255) + kind(0.5 if rule == "round" else 0)) / kind(255)


def corrected(tool: Tool, correct: Callable[..., Array]) -> Tool:
    """Return a tool with only the metrics of the corrected render, computed by live peers."""
    live = {CC + metric: [peer for peer in peers if peer in LIVE] for metric, peers in tool.peers.items()}
    return replace(tool, peers=live, correct=correct)


TM = "torchmetrics-1.4.1"
PSNRS = [SKIMAGE_PSNR, golden(TM, "psnr", tolerance=1e-5)]
TM_SSIM, TM_SSIM_OF_PAIR = torchmetrics_ssim(1.0), torchmetrics_ssim(None)
TM_ALEX, TM_VGG_UNSCALED = torchmetrics_lpips("alex"), torchmetrics_lpips("vgg", scaled=False)
TM_VGG_CLAMPED = torchmetrics_lpips("vgg", clamp=True)
DMPIX, NO_FLOOR = reference_ssim(SSIMS["dmpix"]), reference_ssim(DMPIX_WITHOUT_FLOOR)
ZERO = [INRIA_SSIM, reference_ssim(SSIMS["zero"])]
LIVE = [SKIMAGE_PSNR, SKIMAGE_SSIM, MSSSIM, TM_SSIM, TM_ALEX, TM_VGG_UNSCALED, TM_VGG_CLAMPED, DMPIX]


def nerfbaselines(protocol: str, **more: str) -> dict[str, list[Peer]]:
    """Return the peers for one of nerfbaselines' protocols: nerfbaselines itself, and equivalent implementations."""
    names = {"psnr": "psnr", "ssim": "ssim", "mae": "mae", "lpips_alex": "lpips", **more}
    peers = {metric: golden("nerfbaselines", f"{protocol}{{mask}}: {name}") for metric, name in names.items()}
    equivalent = {"psnr": [SKIMAGE_PSNR], "ssim": [DMPIX], "mae": [MAE]}
    return {metric: [peer, *equivalent.get(metric, [])] for metric, peer in peers.items()}


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

# Tools by protocol. A name followed by a colour correction stands for the cc_ scores of that correction.
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
            "ssim": ZERO,
            "lpips_vgg": [lpips("vgg", scaled=False)],
        },
        beyond="clipped",
        render="round",
        reference="round",
    ),
    "ever": Tool(
        {"psnr": [SKIMAGE_PSNR], "ssim": ZERO, "lpips_vgg": [lpips("vgg")]},
        beyond="clipped",
        render="round",
        reference="round",
    ),
    "4dgaussians": Tool(
        {
            "psnr": [SKIMAGE_PSNR],
            "ssim": ZERO,
            "ms_ssim": [MS_SSIM],
            "lpips_vgg": [lpips("vgg", scaled=False)],
            "lpips_alex": [lpips("alex", scaled=False)],
            "dssim_ms": [dissimilarity(MS_SSIM)],
        },
        beyond="clipped",
        render="round",
        reference="round",
    ),
    "spacetime-gaussians": Tool(
        {
            "psnr": [SKIMAGE_PSNR],
            "ssim": ZERO,
            "lpips_alex": [lpips("alex", scaled=False)],
            "lpips_vgg": [lpips("vgg", scaled=False)],
            "dssim_range1": [dissimilarity(peer) for peer in ZERO],
            "dssim_range2": [dissimilarity(SKIMAGE_RANGE_2)],
        },
        beyond="clipped",
    ),
    "nvs-bench": Tool(
        {"psnr": [SKIMAGE_PSNR], "ssim": [TM_SSIM_OF_PAIR], "lpips_vgg": [torchmetrics_lpips("vgg")]},
        beyond="clipped",
        render="round",
        reference="round",
    ),
    "pixelsplat": Tool(
        {
            "psnr": [CLIPPED_PSNR],
            "ssim": [SKIMAGE_GAUSS, reference_ssim(SSIMS["valid-sample"])],
            "lpips_vgg": [lpips("vgg")],
        }
    ),
    "long-lrm": Tool(
        {
            "psnr": [SKIMAGE_PSNR],
            "ssim": [SKIMAGE_UNIFORM, reference_ssim(SSIMS["uniform7-rgb"])],
            "lpips_vgg": [lpips("vgg")],
        },
        beyond="clipped",
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

METRICS: dict[str, Tool] = {
    "flip": Tool({"flip": [FLIP]}, mask="weights", beyond="clipped"),
    "dists": Tool({"dists": [DISTS]}, beyond="error"),
}
"""Tools of the metrics that no named protocol has, each with default parameters, by metric."""
