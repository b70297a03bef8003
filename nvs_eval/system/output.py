"""Writing of text to streams, with escapes for characters that act on a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from nvs_eval.errors import InputError, printable

_FORM: Any = {"allow_nan": False, "ensure_ascii": False}
# json.dumps would create an encoder for each value.
_ENCODER = json.JSONEncoder(**_FORM)


def printable_lines(text: str) -> str:
    """Return a text of several lines that is safe to print."""
    return "\n".join(map(printable, text.split("\n")))


def json_text(value: object, indent: int | None = None) -> str:
    """Return a value as JSON, with escapes for all characters without a glyph; names are read back unchanged."""
    text = _ENCODER.encode(value) if indent is None else json.dumps(value, indent=indent, **_FORM)
    return "\n".join(line if line.isprintable() else _escaped(line) for line in text.split("\n"))


def _escaped(line: str) -> str:
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in line)


def write_text(stream: IO[str], text: str) -> None:
    """Write a text for programs unchanged to a file or pipe, and with escapes to a terminal."""
    try:
        with writing(stream):
            stream.write(printable_lines(text) if stream.isatty() else text)
            stream.flush()
    except BrokenPipeError:
        drop_output(stream)


@contextmanager
def writing(stream: IO[str]) -> Iterator[None]:
    """Turn the error of a full or broken stdout into one that names it. A pipe without a reader is no error.

    Raises:
        InputError: stdout cannot be written.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if stream is not sys.stdout:
            raise
        raise InputError(
            f"Standard output could not be written: {error.strerror}. Direct it elsewhere and run the command again; "
            "finished work is kept."
        ) from error


def drop_output(stream: IO[str]) -> None:
    """Redirect a stream that cannot be written to, so that later output and the exit of the process do not fail."""
    with suppress(OSError, ValueError):  # A replaced stream may have no file descriptor.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        stream.flush()
