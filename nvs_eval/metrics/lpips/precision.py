"""Arithmetic of LPIPS networks: exact in float32 or fast in reduced precision, and a scope that enforces float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from operator import attrgetter
from threading import Lock
from typing import Any, Literal

import torch

Precision = Literal["exact", "fast"]
Products = Literal["float32", "bfloat16", "float16"]


def products(precision: Precision, device: torch.device, net: str) -> Products:
    """Return the type in which a network's products are computed, which records store.

    Products up to the first tap are always float32, because an image rounded to bfloat16 is another image. A CPU that
    is not faster with bfloat16 does not use it. SqueezeNet would hardly be faster, and its error is larger than the
    others'.
    """
    if precision == "exact" or net == "squeeze":
        return "float32"
    if device.type == "cuda":
        return "float16"
    return "bfloat16" if _multiplies_bfloat16(net) else "float32"


def _multiplies_bfloat16(net: str) -> bool:
    """Return whether the CPU has instructions that make a network faster; False if this torch cannot tell.

    Vector instructions suffice for AlexNet. VGG consists of 3x3 convolutions, which Winograd convolution computes in
    float32 with a quarter of the products, so it needs matrix instructions to be faster.
    """
    features = ("amx_tile",) if net == "vgg" else ("avx512_bf16", "amx_tile")
    checks = (getattr(torch.cpu, f"_is_{feature}_supported", None) for feature in features)
    return any(check is not None and check() for check in checks)


# The switches that allow float32 products to be computed with fewer bits. The newer ones (torch 2.9) and the older ones
# must not be mixed, so each is read and restored under the name that the installed torch uses.
_NEW_SWITCHES = ("cuda.matmul", "cudnn.conv", "cudnn.rnn", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")
_OLD_SWITCHES = ("cuda.matmul", "cudnn")


class _Exact:
    """Set the switches of the process to exact, from the first thread that enters to the last that leaves."""

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
    """Enforce float32 within this scope: no TF32, no bfloat16 products, no autocast. The user's settings are restored.

    All settings but autocast are global to the process, so other threads compute exactly too meanwhile.
    """
    with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False), _exact:
        yield


def _set_all() -> ExitStack:
    """Set every switch to exact; closing the returned stack restores them."""
    with ExitStack() as stack:
        name, exact = ("fp32_precision", "ieee") if _has_new_switches() else ("allow_tf32", False)
        for switch in _NEW_SWITCHES if _has_new_switches() else _OLD_SWITCHES:
            backend = _backend(switch)
            stack.callback(setattr, backend, name, getattr(backend, name))
            setattr(backend, name, exact)
        return stack.pop_all()


def _has_new_switches() -> bool:
    return hasattr(_backend("cudnn"), "conv")


def _backend(path: str) -> Any:
    return attrgetter(path)(torch.backends)
