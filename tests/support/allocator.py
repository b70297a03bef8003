"""An allocator that runs out of memory, for tests on a machine that does not."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def _storages(values: Any) -> list[torch.UntypedStorage]:
    return [value.untyped_storage() for value in tree_leaves(values) if isinstance(value, torch.Tensor)]


class Allocator(TorchDispatchMode):
    """Counts the bytes of all tensors that torch makes in this thread, and fails above a limit as torch does.

    Attributes:
        limit: largest number of bytes.
        live: bytes of the tensors that are alive.
        peak: largest number of bytes so far.
        failures: number of failed allocations.
    """

    def __init__(self, limit: float = float("inf"), error: type[Exception] = RuntimeError) -> None:
        super().__init__()
        self.limit, self.error = limit, error
        self.live = self.peak = self.failures = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {storage._cdata for storage in _storages((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):
            if storage._cdata not in given:  # Views of tensors take no memory.
                self._add(storage)
        if self.live > self.limit:
            self.failures += 1
            raise self.error("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1234 bytes. Error 12")
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size
