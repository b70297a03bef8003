"""Reading of the files that `torch.save` writes: no code from them runs, and nothing in them inflates.

`weights_only=True` admits no classes beyond tensors and plain values, but not everything that it admits is small: a
compressed entry, or tuples that contain each other twice as the key of a dictionary, take memory or time without end.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import zipfile
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

_LARGEST_PICKLE = 2**25
_MOST_OPCODES = 2_000_000
_LARGEST_TUPLE = 10_000
_PICKLES_OF_THE_OLD_FORMAT = 5
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_TO_THE_MARK = {"SETITEMS", "APPENDS", "ADDITEMS"}
_DROPPED = {"SETITEM": 2, "APPEND": 1, "BUILD": 1, "POP": 1}
_REPLACING = {"REDUCE": 2, "NEWOBJ": 2, "BINPERSID": 1}
_NEUTRAL = {"PROTO", "FRAME", "STOP"}


def load_torch(path: Path) -> Any:
    """Read a file of `torch.save` onto the CPU. Tensors may be memory-mapped from the file.

    Raises:
        ValueError: the file is damaged, contains more than tensors and plain values, or would inflate. The message is
            the reason.
    """
    try:
        is_zip = zipfile.is_zipfile(path)
        _check_zip(path) if is_zip else _check_old(path)
        # Memory mapping avoids reading what is not used, such as the classifier of VGG16, 0.5 GB.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        # The rest of torch's message explains how to disable the protection.
        pattern = r"(GLOBAL \S+)|WeightsUnpickler error: (?:Unsupported global: )?(.*)"
        match = re.search(pattern, str(error), re.MULTILINE)
        reason = (match[1] or match[2]) if match else str(error).split(". ", 1)[0]
        raise ValueError(f"it contains more than weights or is damaged: {reason[:200]}") from error
    except ValueError:
        raise
    except Exception as error:  # Damaged bytes can raise any error.
        reason = (str(error) or repr(error)).split("\n", 1)[0]
        raise ValueError(f"it is damaged or not a file of torch: {reason[:200]}") from error


def fault_of(tensor: Tensor) -> str | None:
    """Return why the values of a tensor from a file cannot be used as they are, or None."""
    plain = type(tensor) in (Tensor, torch.nn.Parameter) and not (tensor.is_nested or tensor.is_quantized)
    if not plain or tensor.layout is not torch.strided:
        return "is nested, sparse, quantised or of another class"
    if tensor.device.type != "cpu":
        return f"has no values (device {tensor.device.type})"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "repeats its values beyond those in the file"
    return None


def _check_zip(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
            raise ValueError("its entries must not be compressed or encrypted")
        for entry in entries:
            if entry.filename.endswith(".pkl"):
                if entry.file_size > _LARGEST_PICKLE:
                    raise ValueError(f"the structure of its tensors must have at most {_LARGEST_PICKLE // 2**20} MiB")
                _check_pickle(io.BytesIO(archive.read(entry)))


def _check_old(path: Path) -> None:
    with path.open("rb") as file:
        for _ in range(_PICKLES_OF_THE_OLD_FORMAT):
            _check_pickle(file)


def _check_pickle(stream: IO[bytes]) -> None:
    """Check the number of operations of a pickle, and the sizes of its tuples, without building anything."""
    sizes = _Sizes()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if count >= _MOST_OPCODES:
            raise ValueError(f"the structure of its tensors must have at most {_MOST_OPCODES} parts")
        sizes.follow(opcode.name, argument)


class _Sizes:
    """Sizes of the objects on the stack of an unpickler.

    A tuple has the size of everything in it, counted as often as it occurs, because hashing visits it as often. Other
    objects have size 1.
    """

    def __init__(self) -> None:
        self._stack: list[int] = []
        self._marks: list[int] = []
        self._memo: dict[object, int] = {}

    def follow(self, opcode: str, argument: object) -> None:
        """Follow an operation, or raise ValueError if it makes a large tuple."""
        if opcode == "MARK":
            self._marks.append(len(self._stack))
        elif opcode == "TUPLE" or opcode in _TUPLES:
            self._make_tuple(self._marks.pop() if opcode == "TUPLE" else len(self._stack) - _TUPLES[opcode])
        elif opcode in _TO_THE_MARK:
            del self._stack[self._marks.pop() :]
        elif opcode in _DROPPED:
            del self._stack[-_DROPPED[opcode] :]
        elif opcode in _REPLACING:
            self._stack[-_REPLACING[opcode] :] = [1]
        elif opcode.endswith("PUT"):
            self._memo[argument] = self._stack[-1]
        elif opcode not in _NEUTRAL:
            self._stack.append(self._memo[argument] if opcode.endswith("GET") else 1)

    def _make_tuple(self, start: int) -> None:
        self._stack[start:] = [1 + sum(self._stack[start:])]
        if self._stack[-1] > _LARGEST_TUPLE:
            raise ValueError(f"it contains a tuple of more than {_LARGEST_TUPLE} values")
