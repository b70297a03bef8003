"""Reading of the files that `torch.save` writes: no code from them runs, and nothing in them inflates.

`weights_only=True` admits no classes beyond tensors and plain values, but not everything that it admits is small or
comes from the file: a compressed entry, tuples that contain each other twice as the key of a dictionary, codecs and
tensors of a given size take memory or time without end. So the structure is followed before it is loaded.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from nvs_eval.system.devices import out_of_memory
from nvs_eval.system.torch_zip import UnreadableError, check_checksums, check_entries, check_storages

_MOST_OPCODES = 500_000
_LARGEST_TUPLE = 10_000
_PICKLES_OF_THE_OLD_FORMAT = 5
_MOST_ARGUMENTS = 2**22
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_TO_THE_MARK = {"SETITEMS", "APPENDS"}
_DROPPED = {"SETITEM": 2, "APPEND": 1, "BUILD": 1}
_TEXT = (str, bytes)
_PUT = {"BINPUT", "LONG_BINPUT"}
_GET = {"BINGET", "LONG_BINGET"}
_PLAIN = {"NONE", "NEWFALSE", "NEWTRUE", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET", "BININT", "BININT1", "BININT2"}
_PLAIN |= {"BINFLOAT", "BINUNICODE", "SHORT_BINSTRING", "LONG1"}
_ADMITTED = {
    "collections OrderedDict",
    "collections Counter",  # Milestones of the schedulers of torch.
    "torch Size",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_tensor_v3",
    "torch._utils _rebuild_meta_tensor_no_storage",
    "torch._utils _rebuild_parameter",
    "_codecs encode",  # Bytes, as latin1.
    "numpy dtype",
    "numpy.core.multiarray scalar",
    "numpy._core.multiarray scalar",
}
"""Functions and classes of a saved state, beside kinds of storages and numbers. torch has to admit them too."""


def load_torch(path: Path, *, checksums: bool = False) -> Any:
    """Read a file of `torch.save` onto the CPU. Tensors may be memory-mapped from the file.

    Args:
        path: file.
        checksums: whether to read all of a zip archive and compare its checksums. Not needed if the values are compared
            with known ones.

    Raises:
        ValueError: the file is damaged, contains more than tensors and plain values, or would inflate. The message is
            the reason.
        MemoryError, RuntimeError: there is not enough memory (`nvs_eval.system.devices.out_of_memory`).
    """
    try:
        is_zip = zipfile.is_zipfile(path)
        _check_zip(path, checksums=checksums) if is_zip else _check_old(path)
        # Memory mapping avoids reading what is not used, such as the classifier of VGG16, 0.5 GB.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        # The rest of torch's message explains how to disable the protection.
        pattern = r"(GLOBAL \S+)|WeightsUnpickler error:\s+(?:Unsupported global: )?(.+)"
        match = re.search(pattern, str(error))
        raise _unknown((match and (match[1] or match[2])) or _reason(error)) from error
    except UnreadableError:
        raise
    except Exception as error:  # Damaged bytes can raise any error.
        if out_of_memory(error):
            raise
        raise UnreadableError(f"it is damaged or not a file of torch: {_reason(error)}") from error
    _check_attributes(content)
    return content


def _reason(error: Exception) -> str:
    """Return the first sentence of torch's own errors. Those of Python are on objects that the user does not know."""
    text = str(error).strip()
    if not isinstance(error, RuntimeError | pickle.UnpicklingError) or re.search("INTERNAL ASSERT|enforce fail", text):
        return "its structure is broken"
    return re.split(r"\.\s|\n", text, maxsplit=1)[0].rstrip(".")[:200]


def _unknown(what: str) -> UnreadableError:
    return UnreadableError(f"it contains more than weights or is damaged: {what[:200]}")


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


def _check_attributes(content: object) -> None:
    """Refuse dictionaries with attributes of the file, which may replace their methods."""
    parts = dict.values(content) if isinstance(content, dict) else ()
    for part in (content, *parts):
        if isinstance(part, OrderedDict) and (names := set(vars(part)) - {"_metadata"}):
            raise _unknown(f"the attribute {str(min(names, key=str))[:60]!r}")


def _check_zip(path: Path, *, checksums: bool) -> None:
    sizes = check_entries(path)
    reader = torch._C.PyTorchFileReader(str(path))
    check_storages(reader, sizes, _check_pickle(io.BytesIO(reader.get_record("data.pkl"))))
    if checksums:
        check_checksums(path)


def _check_old(path: Path) -> None:
    with path.open("rb") as file:
        storages = [_check_pickle(file) for _ in range(_PICKLES_OF_THE_OLD_FORMAT)]
    # torch takes the memory of all storages before it reads the first.
    if sum(sum(sizes.values()) for sizes in storages) > path.stat().st_size:
        raise UnreadableError("its tensors must not be larger than the file")


def _check_pickle(stream: IO[bytes]) -> dict[str, int]:
    """Check the number of operations, the sizes of tuples and the calls of a pickle, without building anything.

    Returns:
        The size of each storage that it refers to, in bytes.
    """
    parts = _Parts()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if count >= _MOST_OPCODES:
            raise UnreadableError(f"the structure of its tensors must have at most {_MOST_OPCODES} parts")
        parts.follow(opcode.name, argument)
    return parts.storages


@dataclass(slots=True)
class _Part:
    """An object on the stack of an unpickler.

    A tuple has the size of everything in it, counted as often as it occurs, because hashing visits it as often. Other
    objects have size 1.
    """

    size: int = 1
    length: int = 0
    content: object = None  # Name of a global, text, number, or the parts of a tuple.


class _Parts:
    """The stack of an unpickler, what its calls are given, and the bytes of each storage by its key."""

    def __init__(self) -> None:
        self.storages: dict[str, int] = {}
        self._stack: list[_Part] = []
        self._marks: list[int] = []
        self._memo: dict[object, _Part] = {}
        self._arguments = 0

    def follow(self, opcode: str, argument: object) -> None:
        """Follow an operation, or raise an error if it makes a large tuple or calls more than a saved state needs."""
        stack = self._stack
        if opcode == "MARK":
            self._marks.append(len(stack))
        elif opcode == "TUPLE" or opcode in _TUPLES:
            self._make_tuple(self._marks.pop() if opcode == "TUPLE" else len(stack) - _TUPLES[opcode])
        elif opcode in _TO_THE_MARK:
            self._drop(len(stack) - self._marks.pop())
        elif opcode in _DROPPED:
            self._drop(_DROPPED[opcode])
        elif opcode in _PUT:
            self._memo[argument] = stack[-1]
        elif opcode == "PROTO":
            if argument != 2:
                raise _unknown(f"the pickle protocol {argument}")
        elif opcode != "STOP":
            part = self._made(opcode, argument)  # It may take from the stack.
            stack.append(part)

    def _made(self, opcode: str, argument: object) -> _Part:
        """Return the object that an operation puts on the stack, after taking what it needs."""
        if opcode in _PLAIN:
            return _Part(1, len(argument) if isinstance(argument, _TEXT) else 0, argument)
        if opcode in _GET:
            return self._memo[argument]
        if opcode == "GLOBAL":
            return _Part(content=_admitted(str(argument)))
        if opcode == "EMPTY_TUPLE":
            return _Part(content=())
        if opcode == "REDUCE":
            arguments, function = self._stack.pop().content, self._stack.pop().content
            self._call(function, arguments)
        elif opcode == "BINPERSID":
            self._refer(self._stack.pop().content)
        else:  # torch writes no other operation.
            raise _unknown(f"the operation {opcode}")
        return _Part()

    def _refer(self, arguments: object) -> None:
        """Follow a reference to a storage: ("storage", kind, key, device, number of values, ...)."""
        match [part.content for part in arguments] if isinstance(arguments, tuple) else None:
            case ["storage", str(kind), str(key), str(), int(count), *_] if count >= 0:
                storage = getattr(torch, kind.partition(" ")[2])
                size = count * getattr(storage, "_dtype", torch.uint8).itemsize  # `dtype` would warn.
                if self.storages.setdefault(key, size) != size:
                    raise UnreadableError("it is damaged: its tensors disagree on the size of their values")
            case _:
                raise UnreadableError("it is damaged: it refers to what is no storage")

    def _drop(self, count: int) -> None:
        if count:
            del self._stack[-count:]
            self._stack[-1].length += count

    def _make_tuple(self, start: int) -> None:
        parts = tuple(self._stack[start:])
        self._stack[start:] = [_Part(1 + sum(part.size for part in parts), len(parts), parts)]
        if self._stack[-1].size > _LARGEST_TUPLE:
            raise UnreadableError(f"it contains a tuple of more than {_LARGEST_TUPLE} values")

    def _call(self, function: object, arguments: object) -> None:
        if not isinstance(function, str) or not isinstance(arguments, tuple):
            raise UnreadableError("it is damaged: it calls what is no function")
        self._arguments += 1 + sum(part.length for part in arguments)
        if self._arguments > _MOST_ARGUMENTS:
            raise UnreadableError(f"the structure of its tensors must have at most {_MOST_ARGUMENTS} arguments")
        if function == "_codecs encode" and [part.content for part in arguments[1:]] != ["latin1"]:
            raise _unknown("_codecs.encode to another code than latin1")


def _admitted(name: str) -> str:
    """Return the name of a global ("module name") that a saved state needs, or raise an error."""
    module, _, attribute = name.partition(" ")
    is_storage = re.fullmatch(r"[A-Z][A-Za-z0-9]*Storage", attribute)
    if name in _ADMITTED or (
        module == "torch" and (is_storage or isinstance(getattr(torch, attribute, None), torch.dtype))
    ):
        return name
    raise _unknown(f"GLOBAL {module}.{attribute}")
