"""Print the scores of the Triton kernels of SSIM in Triton's interpreter, and whether their self-test passes.

This is a separate program, because Triton reads `TRITON_INTERPRET` once, when a kernel is defined.
"""

from __future__ import annotations

import json
import os
import sys
from unittest.mock import patch

import torch
from support.agreement import generator
from torch import Tensor

import nvs_eval.metrics.ssim.shares as module
from nvs_eval.metrics.ssim.metric import ssim


def images(size: tuple[int, int], renders: int = 2) -> tuple[Tensor, Tensor]:
    """Return a reference and similar renders, one of them with a flat bright part."""
    noise = torch.rand(renders + 1, 3, *size, generator=generator(size[0] * size[1]))
    noise[1, :, :, : size[1] // 2] = 1
    return noise[0], 0.7 * noise[0] + 0.3 * noise[1:]


def scores(kernel: str) -> list[list[float]]:
    """Return scores of images that take several programs, with the data range of the pair, and with floor and mask."""
    mask = torch.rand(1, 12, 13, generator=generator(1))
    cases = {(11, 150): {}, (14, 11): {"data_range": "pair"}, (12, 13): {"variance_floor": 1e-3, "mask": mask}}
    return [ssim(*images(size), kernel=kernel, **options).tolist() for size, options in cases.items()]


if __name__ == "__main__":
    torch.set_num_threads(1)  # The interpreter runs one program at a time.
    environment = patch.dict(os.environ, {module.ENVIRONMENT: "triton"})
    with environment, patch.object(module, "has_triton", lambda device: True):
        json.dump((scores(sys.argv[1]), module.agrees(torch.device("cpu"))), sys.stdout)
