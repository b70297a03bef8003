"""Score the pairs with dm_pix: unchanged, and with the render rounded to 8 bits in float64, as in multinerf."""

# pyright: reportMissingImports=false
from __future__ import annotations

from typing import Any

import common
import dm_pix
import jax
import numpy as np

METRICS = {"psnr": dm_pix.psnr, "ssim": dm_pix.ssim, "mae": dm_pix.mae}


def main() -> None:
    values: common.Values = {}
    for name, (reference, render, _) in common.pairs().items():
        rounded = np.round(render.astype(np.float64) * 255) / 255
        for prepared, image in (("", render), (", render rounded", rounded)):
            for metric in METRICS:
                scores = common.both(lambda kind, m=metric, i=image, r=reference: score(m, r, i, kind))
                values.setdefault(metric + prepared, {})[name] = scores
    common.answer(values, ["dm-pix", "jax", "numpy"])


def score(metric: str, reference: common.Array, render: common.Array, kind: Any) -> Any:
    # With x64 enabled, jax would convert float32 to float64.
    jax.config.update("jax_enable_x64", kind is np.float64)
    return METRICS[metric](reference.astype(kind), render.astype(kind))


main()
