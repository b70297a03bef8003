"""How LPIPS networks multiply: exactly in float32, or fast in fewer bits; and the scope in which float32 is float32."""

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
    """What a network's products are computed in; a record says so.

    Those up to its first tap are float32 in any case: an image rounded to bfloat16 is another image. A CPU that is no
    faster with bfloat16 does not use it. SqueezeNet would hardly be faster, and is off by more than the others.
    """
    if precision == "exact" or net == "squeeze":
        return "float32"
    if device.type == "cuda":
        return "float16"
    return "bfloat16" if _multiplies_bfloat16(net) else "float32"


def _multiplies_bfloat16(net: str) -> bool:
    """Whether the CPU has instructions with which a network is faster; not where this torch does not know.

    Those for vectors suffice for AlexNet. VGG is all 3x3 convolutions, which in float32 have a quarter of the products:
    it takes those for matrices.
    """
    wanted = ("amx_tile",) if net == "vgg" else ("avx512_bf16", "amx_tile")
    asked = (getattr(torch.cpu, f"_is_{feature}_supported", None) for feature in wanted)
    return any(ask is not None and ask() for ask in asked)


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
            backend = _backend(switch)
            stack.callback(setattr, backend, name, getattr(backend, name))
            setattr(backend, name, exact)
        return stack.pop_all()


def _has_new_switches() -> bool:
    return hasattr(_backend("cudnn"), "conv")


def _backend(path: str) -> Any:
    return attrgetter(path)(torch.backends)
