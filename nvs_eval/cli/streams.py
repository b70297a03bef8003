"""stdout and stderr: every letter can be written to them, and what goes wrong with one of them ends in a message."""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress


def prepare() -> None:
    """Make stdout and stderr take every letter, whatever the environment says of its encoding.

    A file or pipe gets UTF-8. A terminal keeps the encoding that it has, and shows what that lacks as an escape.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def reader_is_gone() -> bool:
    """Whether nobody reads stdout or stderr any more; True where the system cannot tell."""
    if not hasattr(select, "poll"):
        return True
    poller = select.poll()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # A stand-in for a stream has no file.
            poller.register(stream.fileno(), 0)  # Without events to wait for, it tells of errors alone.
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poller.poll(0))


def silence_broken() -> None:
    """Let nothing more be written to a stream that cannot be written to, when the interpreter ends neither."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
            stream.flush()
