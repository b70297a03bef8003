"""Check of arguments of the Python API: a tensor, not a NumPy array, a list or another library's image."""

from __future__ import annotations

import torch
from torch import Tensor

from nvs_eval.errors import InputError


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
