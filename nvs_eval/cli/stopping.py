"""Signals that stop a command: it cleans up, says so once and exits. A second signal ends it at once.

The second may end a cleanup that hangs, for example on a disk that does not answer. Files are written atomically, so
that it damages none.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

_WORDS = {"SIGINT": "Interrupted", "SIGTERM": "Terminated", "SIGHUP": "The terminal was closed"}


@dataclass
class _State:
    """The signal that stops this process, if any, and whether the user was told."""

    number: int | None = None
    is_said: bool = False


_state = _State()


def begin(*, listen: bool) -> None:
    """Begin a command. With `listen`, Ctrl-C, a termination and a closed terminal stop it, unless they are ignored."""
    _state.number, _state.is_said = None, False
    for name in _WORDS if listen else ():
        number = getattr(signal, name, None)  # Windows has no SIGHUP.
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            with suppress(ValueError):  # Only the main thread can.
                signal.signal(number, _stop)


def _stop(number: int, _: FrameType | None) -> None:
    if _state.number is not None:
        announce()
        os._exit(exit_code())
    _state.number = number
    raise KeyboardInterrupt


def is_stopped() -> bool:
    """Return whether a signal stops this process. Libraries may turn the exception into another one, or catch it."""
    return _state.number is not None


def exit_code() -> int:
    """Return the exit code by the convention of shells: 130 after Ctrl-C, 143 after a termination."""
    return 128 + (_state.number or signal.SIGINT)


def announce() -> None:
    """Say once on stderr that the command was stopped."""
    if _state.is_said:
        return
    _state.is_said = True
    words = _WORDS[signal.Signals(_state.number or signal.SIGINT).name]
    text = f"{words}. Finished work is kept. Repeat the command to continue.\n"
    with suppress(OSError, ValueError):  # The terminal may be closed.
        try:
            # The second signal can arrive within a write to sys.stderr, which cannot be entered twice.
            os.write(sys.stderr.fileno(), text.encode())
        except io.UnsupportedOperation:  # A replaced stream has no file descriptor.
            sys.stderr.write(text)
