"""How LPIPS networks multiply: exactly in float32, or fast in fewer bits."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["exact", "fast"]
Products = Literal["float32", "bfloat16", "float16", "tf32"]


def products(precision: Precision, device: torch.device) -> Products:
    """What a network's products are computed in; a record says so.

    Args:
        precision: as of an LPIPS.
        device: where it is computed.
    """
    if precision == "exact":
        return "float32"
    return "float16" if device.type == "cuda" else "bfloat16"
