"""Whether a file of a model is the model that its tool rendered, from the distances that a run recorded."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from nvs_eval.errors import counted

EXPORT = "export"
"""Name among a model's own metrics: PSNR of a render against the tool's own render of the view, in dB."""
CAUSE = "export_cause"
"""Entry of a record's provenance: likely cause of a difference, in words."""
REPRODUCES = 40.0
"""Mean PSNR in dB from which a file is the model that was rendered."""


def verdict(values: Sequence[float], cause: str = "") -> str:
    """Return in words whether a file is the model that its tool rendered.

    Args:
        values: PSNR of each view against the tool's render, in dB; at least one.
        cause: likely cause of a difference, or "".
    """
    mean, views = fmean(values), counted(len(values), "view")
    if mean >= REPRODUCES:
        return f"the file reproduces the tool's renders to {mean:.0f} dB ({views}, each at least {min(values):.0f} dB)"
    return f"the file is not the model: {mean:.0f} dB from the tool's renders ({views}){f'; {cause}' if cause else ''}"
