"""Devices to compute on, their free memory, and what to do when none is left."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import torch

from nvs_eval.errors import InputError
from nvs_eval.system.memory import memory_left


def find_device(name: str) -> torch.device:
    """Return the device of a name; `auto` is the graphics card where there is one.

    Raises:
        InputError: this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"The device {name!r} cannot be used here: {reason} Say `--device cpu`, or auto.") from error
    return device


def free_memory(device: torch.device) -> int | None:
    """Bytes that can be allocated on a device, within the limits of control groups; None where that is unknown."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type != "cpu":
        return None
    free, left = psutil.virtual_memory().available, memory_left()
    return free if left is None else min(free, left)


def give_back_memory(device: torch.device) -> None:
    """Return memory that is free within this process to the system, which counts it as free (on a CPU only)."""
    if device.type == "cpu" and sys.platform == "linux":
        with suppress(OSError, AttributeError):  # Other C libraries have no such function.
            ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def memory_advice() -> Iterator[None]:
    """Turn an out-of-memory error into an InputError that says what to lower."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:  # Its name in every torch; torch.OutOfMemoryError came with 2.5.
        raise InputError(_advice("the graphics card", error)) from error
    except MemoryError as error:
        raise InputError(_advice("this machine", error)) from error
    except RuntimeError as error:
        if "not enough memory" in str(error) or "can't allocate memory" in str(error):
            raise InputError(_advice("this machine", error)) from error
        raise


def _advice(where: str, error: BaseException) -> str:
    reason = (str(error).splitlines() or [""])[0]
    return (
        f"Out of memory on {where}: {reason} Lower `--eval-num-rays-per-chunk` where it happened in rendering; score "
        "fewer folders, steps or configs at once where it happened in scoring; or say `--device cpu`."
    )
