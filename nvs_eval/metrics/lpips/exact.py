"""The scope in which float32 is float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any

import torch

# The switches that let float32 products be computed with fewer bits. The newer ones (torch 2.9) and the older ones must
# not be mixed, so that each is read and restored by the name this torch knows it by.
_NEW_SWITCHES = ("cuda.matmul", "cudnn.conv", "cudnn.rnn", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")
_OLD_SWITCHES = ("cuda.matmul", "cudnn")


class _Exact:
    """The switches of the process at exact, from the first thread that enters to the last that leaves."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._restore = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._restore = _set_all()
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._restore.close()


_exact = _Exact()


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Within this scope float32 is float32: no TF32, no bfloat16 products, no autocast. The user's settings return.

    All but autocast are settings of the process: what other threads compute meanwhile is exact too.
    """
    with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False), _exact:
        yield


def _set_all() -> ExitStack:
    """Set every switch to exact; what to close for them to be as they were."""
    with ExitStack() as stack:
        name, exact = ("fp32_precision", "ieee") if _has_new_switches() else ("allow_tf32", False)
        for switch in _NEW_SWITCHES if _has_new_switches() else _OLD_SWITCHES:
            stack.enter_context(_set(_backend(switch), name, exact))
        return stack.pop_all()


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
