"""A scope in which files of other people are read: what their contents must not cause is refused, and named.

Libraries that read such files may unpickle objects, start programs, use the network or run code that lies beside the
data. Python reports these actions to an audit hook, which refuses them inside the scope. It is a second line of
defence, behind loaders that admit plain values only, and no sandbox: it does not see what native code does.
"""

from __future__ import annotations

import _thread
import functools
import importlib
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from types import CodeType, FrameType, MappingProxyType
from typing import Any

from nvs_eval.errors import InputError


class Refused(InputError):
    """An action that a file of someone else must not cause."""


@dataclass(frozen=True)
class _Scope:
    """An open scope: the file, the packages that read it, and the refusals so far."""

    file: str
    owners: frozenset[str]
    refusals: list[Refused] = field(default_factory=list)

    def refusal(self, action: str) -> Refused:
        """Record a refusal, so that it ends the command even if a library swallows its exception."""
        self.refusals.append(
            Refused(
                f"{self.file}: {_actor(self.owners)} tried to {action}. This is refused, because a file of someone "
                "else can make it do so. Use `--trust` if you trust the author of the file."
            )
        )
        return self.refusals[-1]


_current: ContextVar[_Scope | None] = ContextVar("nvs_eval_untrusted", default=None)


@contextmanager
def refusing(file: object, *, owners: frozenset[str] = frozenset()) -> Iterator[None]:
    """Refuse actions that reading a file must not cause, in this thread and in threads that start meanwhile.

    Refused are unpickling of classes and functions, programs and processes, connections, pipes, devices and sockets in
    the place of files, and Python code and native libraries that do not belong to installed packages. Compilers of
    kernels are not restricted.

    Args:
        file: file that is read, named in messages.
        owners: packages that read it. Messages name their function that attempted an action.

    Raises:
        Refused: an action was attempted, even if a library swallowed the exception.
    """
    _install()
    scope = _Scope(str(file), owners)
    token = _current.set(scope)
    try:
        yield
    except (Exception, SystemExit) as error:
        if scope.refusals and error is not scope.refusals[0]:
            raise scope.refusals[0] from error
        raise
    finally:
        _current.reset(token)
    if scope.refusals:
        raise scope.refusals[0]


# --- The hook ---------------------------------------------------------------------------------------------------------

_COMPILERS = ("torch.utils.cpp_extension", "torch._inductor", "torch._dynamo.convert_frame", "triton")


@functools.cache
def _install() -> None:
    """Install the hook, which cannot be removed. Outside of scopes it costs a look-up of the event's name.

    New threads, and the processes of multiprocessing, are made visible to it.
    """
    sys.addaudithook(_refuse)
    start, start_raw = threading.Thread.start, _thread.start_new_thread

    def start_thread(self: threading.Thread) -> None:
        if _current.get() is not None:  # A context variable is not inherited by itself.
            self.run = functools.partial(copy_context().run, functools.partial(_without_report, self.run))
        start(self)

    def start_raw_thread(function: Any, arguments: Any, keywords: Any = MappingProxyType({}), /) -> int:
        if _current.get() is None:
            return start_raw(function, arguments, dict(keywords))
        return start_raw(copy_context().run, (_without_report, function, *arguments), dict(keywords))

    threading.Thread.start, _thread.start_new_thread = start_thread, start_raw_thread
    try:
        processes: Any = importlib.import_module("_posixsubprocess")
    except ImportError:  # Windows does not have this module.
        return
    start_process = processes.fork_exec

    def fork_exec(*arguments: Any) -> Any:
        sys.audit("nvs_eval.fork_exec", arguments[0])  # Python has no event for the processes of multiprocessing.
        return start_process(*arguments)

    processes.fork_exec = fork_exec


def _without_report(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> None:
    """Call what a thread runs. Python would print the error of a thread, also a refusal, which ends the command."""
    try:
        function(*arguments, **keywords)
    except Exception:
        scope = _current.get()
        if scope is None or not scope.refusals:
            raise


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    describe = _EVENTS.get(event)
    if describe is None or (scope := _current.get()) is None:
        return
    if action := describe(arguments):
        raise scope.refusal(action)


def _program(arguments: tuple[Any, ...]) -> str | None:
    return None if _by_compiler() else f"start a program ({_shown(arguments[1:2] or arguments)})"


def _process(arguments: tuple[Any, ...]) -> str | None:
    return None if _by_compiler() else "start a process"


def _connection(arguments: tuple[Any, ...]) -> str:
    return f"use the network ({_shown(arguments[-1:] if hasattr(arguments[0], 'fileno') else arguments[:2])})"


def _global(arguments: tuple[Any, ...]) -> str:
    return f"unpickle {_shown(arguments[:1])}.{_shown(arguments[1:2])}"


def _code(arguments: tuple[Any, ...]) -> str | None:
    """Describe the execution of a Python file that is not part of an installed package."""
    code = arguments[0]
    if not isinstance(code, CodeType) or code.co_filename.startswith("<") or _is_installed(code.co_filename):
        return None
    return f"run the Python file {_shown_path(code.co_filename)}"


def _library(arguments: tuple[Any, ...]) -> str | None:
    """Describe the loading of a native library that is not part of the system or of an installed package."""
    name = arguments[-1] if len(arguments) == 1 else arguments[1]
    if not isinstance(name, str) or os.sep not in name or _is_installed(name):
        return None
    return f"load the native library {_shown_path(name)}"


def _special(arguments: tuple[Any, ...]) -> str | None:
    """Describe the opening of a pipe, a device or a socket, which may never end."""
    path = arguments[0]
    if not isinstance(path, str | bytes | os.PathLike) or (name := os.fsdecode(path)) in _DEVICES:
        return None
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # Opening it fails, too.
        return None
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    return f"open {_shown_path(name)}, which is a pipe, a device or a socket"


_DEVICES = ("/dev/null", "/dev/urandom", "/dev/random")
_EVENTS: dict[str, Callable[[tuple[Any, ...]], str | None]] = {
    "pickle.find_class": _global,
    **dict.fromkeys(("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile"), _program),
    "os.system": lambda arguments: f"start a program ({_shown(arguments)})",
    **dict.fromkeys(("os.fork", "os.forkpty", "pty.spawn", "nvs_eval.fork_exec"), _process),
    **dict.fromkeys(("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"), _connection),
    "urllib.Request": lambda arguments: f"use the network ({_shown(arguments[:1])})",
    "open": _special,
    "exec": _code,
    "ctypes.dlopen": _library,
    "import": _library,
}
"""Descriptions of actions by audit event. None admits the action."""


def _shown(values: Any) -> str:
    """Return at most 60 characters of values."""
    words = (word for value in values for word in (value if isinstance(value, list | tuple) else [value]))
    text = " ".join(os.fsdecode(word) if isinstance(word, bytes) else str(word)[:100] for word in words)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _shown_path(path: str) -> str:
    return path if len(path) <= 60 else f"...{path[-57:]}"


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _by_compiler() -> bool:
    return any(frame.f_globals.get("__name__", "").startswith(_COMPILERS) for frame in _frames())


def _actor(owners: frozenset[str]) -> str:
    """Return the class or function that attempted an action: the innermost one of the owners."""
    for frame in _frames():
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] in owners:
            instance = frame.f_locals.get("self")
            return f"{module}.{frame.f_code.co_name if instance is None else type(instance).__name__}"
    return "a library"


def _is_installed(file: str) -> bool:
    """Return whether a file of code belongs to Python, the system or an installed package, or does not exist."""
    path = os.path.abspath(file)
    if path.startswith(_prefixes()) or not os.path.exists(path):
        return True
    packages = [module for name, module in list(sys.modules.items()) if "." not in name]
    folders = [f"{folder}{os.sep}" for package in packages for folder in getattr(package, "__path__", None) or ()]
    return path.startswith(tuple(folders)) or any(getattr(package, "__file__", None) == path for package in packages)


def _prefixes() -> tuple[str, ...]:
    """Return the folders of Python, of the system's libraries, and of the import path other than the current one."""
    here = os.getcwd()
    path = (folder for folder in sys.path if os.path.isabs(folder) and folder != here and os.path.isdir(folder))
    return tuple(f"{folder}{os.sep}" for folder in (sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", *path))
