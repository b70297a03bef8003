"""The Triton kernels of SSIM, run by Triton's interpreter, agree with torch."""

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


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is only part of torch for CUDA")
@pytest.mark.parametrize("kernel", KERNELS)
def test_triton_agrees_with_torch(kernel: str) -> None:
    variables = {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.run(
        [sys.executable, str(PROGRAM), kernel], capture_output=True, text=True, check=False, env=os.environ | variables
    )
    assert process.returncode == 0, process.stderr
    triton, works = json.loads(process.stdout)
    assert works
    # dm_pix's variance floor has an effect of 3e-11, which torch skips because C2 is so large.
    assert_agree(triton, scores(kernel), "float64", times=40 if kernel == "dmpix" else 1)


def test_triton_requires_cuda() -> None:
    assert not has_triton(torch.device("cpu"))


def test_triton_is_not_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NVS_EVAL_SSIM", raising=False)
    # The check itself must not run, because it would compile kernels.
    monkeypatch.setattr(shares, "has_triton", None)
    assert isinstance(share_of_a_block(), Plain)
    monkeypatch.setenv("NVS_EVAL_SSIM", "torch")
    assert isinstance(share_of_a_block(), Plain)


def test_the_environment_selects_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[torch.device] = []
    monkeypatch.setattr(shares, "has_triton", checked.append)
    monkeypatch.setenv("NVS_EVAL_SSIM", "triton")
    assert isinstance(share_of_a_block(), Plain)
    assert checked == [torch.device("cpu")]


def test_unknown_implementation_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_kernels_that_do_not_work_give_a_warning() -> None:
    with pytest.warns(UserWarning, match="SSIM on cpu uses torch operations, .* Triton kernels do not work"):
        assert not agrees(torch.device("cpu"))
