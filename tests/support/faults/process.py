"""Run a command in a forked process, with or without a fault. Forking saves the imports, which take seconds."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

from support.faults.layer import Fault, Layer, Point

T = TypeVar("T")

LONGEST_SECONDS = 60.0
"""Time after which a process counts as hanging, and is killed."""


class Done(NamedTuple):
    """Result of a command in a process of its own.

    Attributes:
        code: exit code; negative for a signal; None for a process that hung.
        out: text on stdout.
        err: text on stderr.
        hit: whether the point of the fault was reached.
        points: points of the command, if they were counted.
    """

    code: int | None
    out: str
    err: str
    hit: bool
    points: list[Point]


def run_forked(
    call: Callable[[], int],
    folder: Path,
    *,
    at: Point | None = None,
    fault: Fault | None = None,
    count: bool = False,
) -> Done:
    """Run a call in a forked process whose current folder is `folder`, and return its exit code and output.

    Args:
        call: command; returns the exit code.
        folder: current folder, whose files are watched.
        at: point of the fault.
        fault: fault at the point.
        count: count the points, without a fault.
    """
    with tempfile.TemporaryDirectory(prefix="forked-") as name:
        notes = Path(name)
        layer = Layer(folder, at, fault, on_hit=lambda: _note(notes / "hit", "1"))
        child = os.fork()
        if child == 0:
            _child(call, layer if count or at is not None else None, folder, notes)
        code = _wait(child)
        texts = {part: (notes / part).read_text(errors="replace") if (notes / part).exists() else "" for part in _PARTS}
    points = [Point(*point) for point in json.loads(texts["points"] or "[]")]
    return Done(code, texts["out"], texts["err"], bool(texts["hit"]), points)


_PARTS = ("out", "err", "hit", "points")


def _child(call: Callable[[], int], layer: Layer | None, folder: Path, notes: Path) -> None:
    """Run the call and exit. Never returns."""
    code = 70
    try:
        os.chdir(folder)
        for number, part in ((1, "out"), (2, "err")):
            os.dup2(os.open(notes / part, os.O_WRONLY | os.O_CREAT), number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if layer is not None:
            layer.install()
        try:
            code = call()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        if layer is not None:
            _note(notes / "points", json.dumps(layer.points))
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)


def _note(file: Path, text: str) -> None:
    """Write a file outside of the watched folder."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, text.encode())
    os.close(descriptor)


def _wait(child: int) -> int | None:
    """Return the exit code of a child; None if it hung and was killed."""
    end = time.monotonic() + LONGEST_SECONDS
    pause = 0.001
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def apart(function: Callable[[], T]) -> T:
    """Return the result of a function that runs in a forked process, whose changes to modules do not last."""
    with tempfile.TemporaryDirectory(prefix="apart-") as name:
        file = Path(name, "result")
        child = os.fork()
        if child == 0:
            try:
                file.write_bytes(pickle.dumps((function(), "")))
            except BaseException:
                file.write_bytes(pickle.dumps((None, traceback.format_exc())))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        result, error = pickle.loads(file.read_bytes())
    assert not error, error
    return result


@cache
def _parsed(args: tuple[str, ...]) -> Any:
    return import_module("nvs_eval.cli.main").parse(args)


def command(args: Sequence[str]) -> Callable[[], int]:
    """Return a call that runs a command line as a process of its own would, with arguments that are parsed once."""

    def call() -> int:
        return as_command(_parsed(tuple(args)).run, args)()

    return call


def as_command(function: Callable[[], int | None], args: Sequence[str] = ("demo",)) -> Callable[[], int]:
    """Return a call that runs a function in place of a command, with the exit codes and messages of a command."""

    def call() -> int:
        module = import_module("nvs_eval.cli.main")
        module.parse = lambda _: SimpleNamespace(run=lambda: function() or 0)  # type: ignore[attr-defined]
        sys.argv = ["nvs-eval", *args]
        return module.main()

    return call
