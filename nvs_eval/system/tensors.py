"""Tensors: check of those that users pass, and questions that do not make a device wait."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nvs_eval.errors import InputError


def read_back(tensors: Sequence[Tensor]) -> list[list[float]]:
    """Return the values of one-dimensional tensors. A device is waited for once, whatever their number."""
    together: dict[torch.device, list[int]] = {}
    for place, tensor in enumerate(tensors):
        together.setdefault(tensor.device, []).append(place)
    values: dict[int, list[float]] = {}
    for device, places in together.items():
        wide = torch.float32 if device.type == "mps" else torch.float64
        read = torch.cat([tensors[place].to(wide) for place in places]).tolist()
        for place in places:
            values[place], read = read[: len(tensors[place])], read[len(tensors[place]) :]
    return [values[place] for place in range(len(tensors))]


def equal(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have equal values or, where reading them would make a device wait, are the same."""
    if one.device.type == "cpu" and other.device.type == "cpu":
        return torch.equal(one, other)
    storages = [tensor.untyped_storage()._cdata for tensor in (one, other)]
    places = [(tensor.shape, tensor.stride(), tensor.storage_offset(), tensor.dtype) for tensor in (one, other)]
    return storages[0] == storages[1] and places[0] == places[1]


def check_tensor(value: object, *, what: str, shape: str) -> None:
    """Check that a value is a dense torch tensor.

    Args:
        value: value to check.
        what: its name in the error, such as "The mask of view '0001'".
        shape: the required shape, for the error.

    Raises:
        InputError: it is of another type, or sparse.
    """
    if isinstance(value, Tensor):
        if value.layout != torch.strided:
            raise InputError(f"{what} must be a dense tensor. Got the layout {value.layout}. Use `.to_dense()`.")
        return
    # `torch.float32` is also what the dtype of a NumPy array is called, so the error must name the type.
    given = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}".removeprefix("builtins.")
    raise InputError(f"{what} must be a torch tensor of shape {shape}. Got {given}. Convert it with `torch.as_tensor`.")
