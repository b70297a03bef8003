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
from support import triton_scores
from support.agreement import assert_agree
from support.triton_scores import scores

from nvs_eval.errors import InputError
from nvs_eval.metrics.ssim import shares
from nvs_eval.metrics.ssim.formula import Constants, Plain, Planes
from nvs_eval.metrics.ssim.metric import KERNELS
from nvs_eval.metrics.ssim.shares import agrees, asks_for_triton, has_triton

PROGRAM = Path(triton_scores.__file__)


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


def test_triton_is_not_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NVS_EVAL_SSIM", raising=False)
    # Nor is it looked for, as that would make kernels.
    monkeypatch.setattr(shares, "has_triton", None)
    assert isinstance(share_of_a_block(), Plain)
    monkeypatch.setenv("NVS_EVAL_SSIM", "torch")
    assert isinstance(share_of_a_block(), Plain)


def test_triton_is_asked_for_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []
    monkeypatch.setattr(shares, "has_triton", asked.append)
    monkeypatch.setenv("NVS_EVAL_SSIM", "triton")
    assert isinstance(share_of_a_block(), Plain)
    assert asked == [torch.device("cpu")]


def test_unknown_way_of_computing_ssim_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVS_EVAL_SSIM", "tritn")
    with pytest.raises(
        InputError, match=r"variable NVS_EVAL_SSIM 'tritn'\. Did you mean 'triton'\? Known: torch, triton"
    ):
        asks_for_triton()


def share_of_a_block() -> shares.Share:
    kernel = KERNELS["valid"]
    planes = Planes(torch.rand(1, 18, 18, dtype=torch.float64), None)
    return shares.share_of(
        planes, Constants.of(torch.ones((), dtype=torch.float64), kernel), kernel, mask=None, graph=False
    )


def test_where_kernels_cannot_be_made_it_is_said() -> None:
    with pytest.warns(UserWarning, match="SSIM is computed on cpu by torch's operations, .*: Triton's kernels do not"):
        assert not agrees(torch.device("cpu"))
