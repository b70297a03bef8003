"""The scope in which float32 is float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

# The switches that let float32 products be computed with fewer bits. The newer ones (torch 2.9) and the older ones must
# not be mixed, so that each is read and restored by the name this torch knows it by.
_NEW_SWITCHES = ("cuda.matmul", "cudnn.conv", "cudnn.rnn", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")
_OLD_SWITCHES = ("cuda.matmul", "cudnn")


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Within this scope float32 is float32: no TF32, no bfloat16 products, no autocast. The user's settings return."""
    with ExitStack() as stack:
        for device in ("cuda", "cpu"):
            stack.enter_context(torch.autocast(device, enabled=False))
        name, exact = ("fp32_precision", "ieee") if _has_new_switches() else ("allow_tf32", False)
        for switch in _NEW_SWITCHES if _has_new_switches() else _OLD_SWITCHES:
            stack.enter_context(_set(_backend(switch), name, exact))
        yield


def _has_new_switches() -> bool:
    return hasattr(_backend("cudnn"), "conv")


def _backend(path: str) -> Any:
    backend: Any = torch.backends
    for part in path.split("."):
        backend = getattr(backend, part)
    return backend


@contextmanager
def _set(owner: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
