"""How LPIPS networks multiply: exactly in float32, or fast in fewer bits."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["exact", "fast"]
Products = Literal["float32", "bfloat16", "float16"]


def products(precision: Precision, device: torch.device, net: str) -> Products:
    """What a network's products are computed in; a record says so.

    Those up to its first tap are float32 in any case: an image rounded to bfloat16 is another image.

    Args:
        precision: as of an LPIPS.
        device: where it is computed. A CPU that would be no faster with bfloat16 does not use it.
        net: its network. SqueezeNet would hardly be faster, and is off by more than the others.
    """
    if precision == "exact" or net == "squeeze":
        return "float32"
    if device.type == "cuda":
        return "float16"
    return "bfloat16" if _multiplies_bfloat16(net) else "float32"


def _multiplies_bfloat16(net: str) -> bool:
    """Whether the CPU has instructions with which a network is faster; not where this torch does not know.

    Those for vectors suffice for AlexNet. VGG is all 3x3 convolutions, which in float32 have a quarter of the products:
    it takes those for matrices.
    """
    wanted = ("amx_tile",) if net == "vgg" else ("avx512_bf16", "amx_tile")
    asked = (getattr(torch.cpu, f"_is_{feature}_supported", None) for feature in wanted)
    return any(ask is not None and ask() for ask in asked)
