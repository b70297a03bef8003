"""The Triton kernels of SSIM, run by Triton's interpreter, give what torch gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from support.agreement import assert_agree
from support.triton_scores import scores

from nvs_eval.metrics.ssim.metric import KERNELS
from nvs_eval.metrics.ssim.shares import agrees, has_triton

PROGRAM = Path(__file__).parent / "triton_scores.py"


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton comes with torch for CUDA alone")
@pytest.mark.parametrize("kernel", KERNELS)
def test_triton_gives_what_torch_gives(kernel: str) -> None:
    here = {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ran = subprocess.run(
        [sys.executable, str(PROGRAM), kernel], capture_output=True, text=True, check=False, env=os.environ | here
    )
    assert ran.returncode == 0, ran.stderr
    found, works = json.loads(ran.stdout)
    assert works
    # dm_pix's least variance is worth 3e-11, which torch leaves out where C2 is that large.
    assert_agree(found, scores(kernel), "float64", times=40 if kernel == "dmpix" else 1)


def test_triton_is_for_cuda_alone() -> None:
    assert not has_triton(torch.device("cpu"))


def test_where_kernels_cannot_be_made_it_is_said() -> None:
    with pytest.warns(UserWarning, match="SSIM is computed on cpu by torch's operations, .*: Triton's kernels do not"):
        assert not agrees(torch.device("cpu"))
