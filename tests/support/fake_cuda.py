"""CUDA tensors without a card: torch's fake tensors have a shape, a dtype and a device, but no values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda", 0)
_MODE = FakeTensorMode(allow_non_fake_inputs=True)
"""One mode for all tests, because what the project keeps on a device is a tensor of the mode that made it."""


class Copies(TorchDispatchMode):
    """Counts the copies of tensors from the device to the CPU. Reading a number in another way is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call an operation."""
        given = dict(kwargs or {})
        made = func(*args, **given)
        sources = [leaf for leaf in tree_leaves((args, given)) if isinstance(leaf, Tensor)]
        if isinstance(made, Tensor) and made.device.type == "cpu" and any(s.device.type == "cuda" for s in sources):
            self.count += 1
        return made


@contextmanager
def fake_cuda() -> Iterator[Copies]:
    """Make new tensors on CUDA devices fake, and count copies to the CPU."""
    with _MODE, torch.inference_mode(), Copies() as copies:
        yield copies


def on_card(image: Tensor) -> Tensor:
    """Return a fake CUDA tensor with the shape, the layout and the dtype of an image."""
    return torch.empty_strided(image.shape, image.stride(), dtype=image.dtype, device=CUDA)


class Reads:
    """Stand-in for `read_back`: returns halves, and counts calls that read from the device."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, tensors: list[Tensor]) -> list[list[float]]:
        """Return made-up values."""
        assert all(tensor.device == CUDA for tensor in tensors), [tensor.device for tensor in tensors]
        self.count += 1
        return [[0.5] * len(tensor) for tensor in tensors]
