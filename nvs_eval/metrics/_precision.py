"""How LPIPS networks multiply: exactly in float32, or fast in fewer bits."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["exact", "fast"]
Products = Literal["float32", "bfloat16", "float16"]


def products(precision: Precision, device: torch.device) -> Products:
    """What a network's products are computed in; a record says so.

    Those of its first layer are float32 in any case: an image rounded to bfloat16 is another image.

    Args:
        precision: as of an LPIPS.
        device: where it is computed. A CPU that cannot multiply in bfloat16 is no faster with it, and does not.
    """
    if precision == "exact":
        return "float32"
    if device.type == "cuda":
        return "float16"
    return "bfloat16" if _cpu_has("avx512_bf16") or has_matrix_units() else "float32"


def has_matrix_units() -> bool:
    """Whether the CPU has units for products of bfloat16 matrices (AMX)."""
    return _cpu_has("amx_tile")


def _cpu_has(feature: str) -> bool:
    """Whether the CPU has a feature; none where this torch does not know it."""
    ask = getattr(torch.cpu, f"_is_{feature}_supported", None)
    return ask is not None and ask()
