"""What dm_pix says of the pairs: as they are, and with the render rounded to 8 bits in float64, as in multinerf."""

# pyright: reportMissingImports=false
from __future__ import annotations

from typing import Any

import dm_pix
import jax
import numpy as np
import say

METRICS = {"psnr": dm_pix.psnr, "ssim": dm_pix.ssim, "mae": dm_pix.mae}


def main() -> None:
    values: say.Values = {}
    for name, (reference, render, _) in say.pairs().items():
        rounded = np.round(render.astype(np.float64) * 255) / 255
        for prepared, image in (("", render), (", render rounded", rounded)):
            for metric in METRICS:
                said = say.both(lambda kind, m=metric, i=image, r=reference: score(m, r, i, kind))
                values.setdefault(metric + prepared, {})[name] = said
    say.answer(values, ["dm-pix", "jax", "numpy"])


def score(metric: str, reference: say.Array, render: say.Array, kind: Any) -> Any:
    # float32 is computed without x64, under which jax would widen what it is given.
    jax.config.update("jax_enable_x64", kind is np.float64)
    return METRICS[metric](reference.astype(kind), render.astype(kind))


main()
