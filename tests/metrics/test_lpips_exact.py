"""The scope that enforces float32."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from torch import backends

from nvs_eval.metrics.lpips import precision
from nvs_eval.metrics.lpips.precision import exact_arithmetic

SOON = 10.0
"""Timeout in seconds, which is reached only if a test fails."""
# Operations that torch 2.9 and newer can compute with fewer bits.
SWITCHES = ("cuda.matmul", "cudnn.conv", "cudnn.rnn", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")
needs_new_switches = pytest.mark.skipif(
    not precision._has_new_switches(), reason="this torch has only the older switches"
)


def switches() -> dict[str, str]:
    return {switch: precision._backend(switch).fp32_precision for switch in SWITCHES}


def matmul_precision() -> str | None:
    """Return the value of the older function, which raises if the new switches differ from one another."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


@pytest.fixture
def users_settings() -> Iterator[None]:
    """Restore torch's settings after a test."""
    before = switches() if precision._has_new_switches() else {}
    yield
    torch.set_float32_matmul_precision("highest")
    for switch, value in before.items():
        precision._backend(switch).fp32_precision = value


def by_the_old_flag() -> None:
    backends.cuda.matmul.allow_tf32 = True


def by_matmul_precision() -> None:
    torch.set_float32_matmul_precision("high")


def by_the_new_switches() -> None:
    for switch in SWITCHES:
        precision._backend(switch).fp32_precision = "bf16" if switch.startswith("mkldnn") else "tf32"


@needs_new_switches
@pytest.mark.usefixtures("users_settings")
@pytest.mark.parametrize("lower", [by_the_old_flag, by_matmul_precision, by_the_new_switches])
@pytest.mark.parametrize("fails", [False, True])
def test_the_scope_is_exact_and_restores_the_users_settings(lower: Callable[[], None], fails: bool) -> None:
    lower()
    before, precision = switches(), matmul_precision()
    assert set(before.values()) != {"ieee"}
    try:
        with exact_arithmetic():
            assert switches() == dict.fromkeys(SWITCHES, "ieee")
            if fails:
                raise KeyError("from inside")
    except KeyError:
        assert fails
    assert switches() == before
    assert matmul_precision() == precision


@needs_new_switches
@pytest.mark.usefixtures("users_settings")
def test_scopes_can_be_nested() -> None:
    by_the_new_switches()
    before = switches()
    with exact_arithmetic():
        with exact_arithmetic():
            pass
        assert set(switches().values()) == {"ieee"}
    assert switches() == before


@needs_new_switches
@pytest.mark.usefixtures("users_settings")
def test_a_thread_that_leaves_keeps_the_others_exact() -> None:
    by_the_new_switches()
    before = switches()
    entered, may_leave = threading.Event(), threading.Event()

    def other() -> None:
        with exact_arithmetic():
            entered.set()
            assert may_leave.wait(SOON)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(other)
        assert entered.wait(SOON)
        with exact_arithmetic():
            may_leave.set()
            done.result()
            assert set(switches().values()) == {"ieee"}
    assert switches() == before


@pytest.mark.parametrize("fails", [False, True])
def test_the_older_switches_are_set_and_restored(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # torch before 2.9 has only these two.
    older = SimpleNamespace(
        cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=True)), cudnn=SimpleNamespace(allow_tf32=True)
    )
    monkeypatch.setattr(torch, "backends", older)
    try:
        with exact_arithmetic():
            assert (older.cuda.matmul.allow_tf32, older.cudnn.allow_tf32) == (False, False)
            if fails:
                raise KeyError("from inside")
    except KeyError:
        assert fails
    assert (older.cuda.matmul.allow_tf32, older.cudnn.allow_tf32) == (True, True)


def test_autocast_is_off_inside_the_scope() -> None:
    x = torch.ones(2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with exact_arithmetic():
            assert (x @ x).dtype == torch.float32
        assert (x @ x).dtype == torch.bfloat16
