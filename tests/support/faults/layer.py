"""A fault layer: it counts the operations of a command on files and memory, and fails or stops it at a chosen one.

It serves forked processes only, because an audit hook cannot be removed. Operations are named rather than numbered, so
that threads which run side by side do not change which one is chosen.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import thread as pools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

KILLED = 99
"""Exit code of a process that is killed."""
_RANDOM = re.compile(r"(\.nvs-eval-|\.rendering-|nvs-eval-)[\w-]+")
_EVENTS = {
    "os.rename": "rename",
    "os.link": "link",
    "os.mkdir": "mkdir",
    "os.remove": "unlink",
    "os.rmdir": "rmdir",
    "os.listdir": "list",
    "os.scandir": "list",
}
# Functions of torch that allocate nothing, in addition to those in place.
_WITHOUT_MEMORY = {
    *("device", "dim", "size", "numel", "is_floating_point", "is_contiguous", "item", "tolist", "numpy", "equal"),
    "untyped_storage",
    *("reshape", "view", "permute", "expand", "unsqueeze", "squeeze", "detach", "transpose", "unbind", "select"),
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Point(NamedTuple):
    """An operation of a command.

    Attributes:
        kind: read, write, close, fsync, open, create, rename, link, mkdir, unlink, rmdir, list, thread or allocate.
        name: path, relative to the folder and without random parts; of an allocation, the function.
        time: 1 for the first such operation of the process.
    """

    kind: str
    name: str
    time: int

    def __str__(self) -> str:
        return f"{self.kind} {self.name} #{self.time}"


class Fault(NamedTuple):
    """Effect of a point: `error` raises an OSError, `memory` an error of memory, others end the process.

    Attributes:
        kind: error, memory, kill, interrupt (Ctrl-C) or terminate.
        errno: number of the OSError; for `memory`, index of the kind of error.
    """

    kind: str
    errno: int = 0


class Layer:
    """Counter of points below a folder, and the fault at one of them.

    Attributes:
        folder: folder whose files are watched.
        at: point of the fault, or None to count only.
        fault: the fault.
        on_hit: called before the fault happens.
        points: points so far.
    """

    def __init__(self, folder: Path, at: Point | None, fault: Fault | None, on_hit: Callable[[], None]) -> None:
        self.folder, self.at, self.fault, self.on_hit = os.path.realpath(folder), at, fault, on_hit
        self.points: list[Point] = []
        self._times: Counter[tuple[str, str]] = Counter()
        self._lock = threading.RLock()

    def install(self) -> None:
        """Watch this process from now on."""
        import sys

        real_open, real_fsync, real_start, real_run = io.open, os.fsync, threading.Thread.start, pools._WorkItem.run
        layer = self

        def watched_open(file: Any, mode: str = "r", *more: Any, **options: Any) -> Any:
            path = _path_of(file) if isinstance(file, int) else file
            if path is None or layer.below(path) is None:
                return real_open(file, mode, *more, **options)
            return _opened(layer, file, mode, *more, **options)

        def watched_fsync(descriptor: Any) -> None:
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            layer.meet("fsync", os.readlink(f"/proc/self/fd/{number}"))
            real_fsync(descriptor)

        def watched_start(thread: threading.Thread) -> None:
            layer.meet_named("thread", "start", RuntimeError("can't start new thread"))
            real_start(thread)

        def watched_run(item: Any) -> None:
            with _Allocations(layer):
                real_run(item)

        builtins.open = io.open = watched_open  # type: ignore[assignment]
        os.fsync = watched_fsync  # type: ignore[assignment]
        threading.Thread.start = watched_start  # type: ignore[method-assign]
        pools._WorkItem.run = watched_run  # type: ignore[method-assign]
        for name in ("empty", "zeros", "ascontiguousarray", "divide", "frombuffer"):
            setattr(np, name, _allocating(self, f"numpy.{name}", getattr(np, name)))
        _Allocations(self).__enter__()
        sys.addaudithook(self._on_event)

    def below(self, path: Any, folder: int = -1) -> str | None:
        """Return a path relative to the watched folder, without random parts; None if it is elsewhere."""
        if isinstance(path, int) or path is None:
            return None
        text = os.fsdecode(path)
        if folder != -1 and not os.path.isabs(text):
            text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)
        text = os.path.abspath(text)
        if not f"{text}{os.sep}".startswith(self.folder + os.sep):
            return None
        return _RANDOM.sub(r"\1*", text[len(self.folder) + 1 :]) or "."

    def meet(self, kind: str, path: Any, folder: int = -1, *, before: Callable[[], object] = lambda: None) -> None:
        """Count an operation on a file; if it is the chosen one, do a part of it with `before` and fail."""
        if (name := self.below(path, folder)) is not None and self._is_chosen(kind, name):
            before()
            shown = (str(path),) if kind not in ("read", "write", "close", "fsync") else ()
            self._fail(OSError(self.fault.errno, os.strerror(self.fault.errno), *shown) if self.fault else None)

    def meet_named(self, kind: str, name: str, error: BaseException) -> None:
        """Count an operation without a file; if it is the chosen one, fail with the error."""
        if self._is_chosen(kind, name):
            self._fail(error)

    def _is_chosen(self, kind: str, name: str) -> bool:
        with self._lock:
            self._times[kind, name] += 1
            point = Point(kind, name, self._times[kind, name])
            self.points.append(point)
            return point == self.at

    def _fail(self, error: BaseException | None) -> None:
        assert self.fault is not None
        self.on_hit()
        match self.fault.kind:
            case "kill":
                os._exit(KILLED)
            case "interrupt":
                os.kill(os.getpid(), signal.SIGINT)
            case "terminate":
                os.kill(os.getpid(), signal.SIGTERM)
            case _:
                assert error is not None
                raise error

    def _on_event(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            self.meet("create" if flags & _WRITING else "open", path)
        elif event in ("os.rename", "os.link"):
            self.meet(_EVENTS[event], args[1], args[3])
        elif event in ("os.remove", "os.rmdir", "os.mkdir"):
            self.meet(_EVENTS[event], args[0], args[-1])
        elif event in _EVENTS:
            path = args[0]
            self.meet(_EVENTS[event], os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else path)


def memory_errors() -> list[BaseException]:
    """Return the errors that a lack of memory raises: Python's, torch's on a CPU, and torch's on a graphics card."""
    on_cpu = "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"
    return [MemoryError(), RuntimeError(on_cpu), torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate")]


def _memory_error(layer: Layer) -> BaseException:
    errors = memory_errors()
    return errors[layer.fault.errno % len(errors) if layer.fault else 0]


class _Allocations(TorchFunctionMode):
    """Points at every call of torch in one thread."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if not (name.startswith("__") or name.endswith("_") or name in _WITHOUT_MEMORY):
            self.layer.meet_named("allocate", f"torch.{name}", _memory_error(self.layer))
        return func(*args, **(kwargs or {}))


def _allocating(layer: Layer, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        layer.meet_named("allocate", name, MemoryError())
        return function(*args, **options)

    return call


def _path_of(descriptor: int) -> str | None:
    """Return the path of an open file; None for a file without a name."""
    path = os.readlink(f"/proc/self/fd/{descriptor}")
    return None if path.endswith(" (deleted)") else path


class _Raw(io.FileIO):
    """A file whose reads, writes and close are points. A write that fails has written its first half."""

    def __init__(self, layer: Layer, file: Any, mode: str, **options: Any) -> None:
        self.layer, self.path = layer, _path_of(file) if isinstance(file, int) else file
        super().__init__(file, mode, **options)

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        write = super().write
        self.layer.meet("write", self.path, before=lambda: write(view[: len(view) // 2]))
        return write(view) or 0

    def readinto(self, buffer: Any, /) -> int:
        self.layer.meet("read", self.path)
        return super().readinto(buffer) or 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.layer.meet("read", self.path)
        return super().read(-1 if size is None else size) or b""

    def readall(self) -> bytes:
        self.layer.meet("read", self.path)
        return super().readall() or b""

    def close(self) -> None:
        if not self.closed and self.writable():
            close = super().close
            self.layer.meet("close", self.path, before=close)
        super().close()


def _opened(layer: Layer, file: Any, mode: str = "r", buffering: int = -1, *text: Any, **options: Any) -> Any:
    """Open a file as `open` does, on a raw file with points."""
    raw_options = {name: options.pop(name) for name in ("closefd", "opener") if name in options}
    raw = _Raw(layer, file, mode.replace("t", "").replace("b", ""), **raw_options)
    if buffering == 0:
        return raw
    kind = io.BufferedRandom if "+" in mode else io.BufferedReader if raw.readable() else io.BufferedWriter
    buffered = kind(raw)
    return buffered if "b" in mode else io.TextIOWrapper(buffered, *text, **options)


ERRNOS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EDQUOT)
"""Errors of files: a full disk, a broken one, no permission, and a user's full share of the disk."""
