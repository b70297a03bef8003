"""Output of the commands: results on stdout, messages and progress on stderr."""

from __future__ import annotations

import itertools
import re
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from nvs_eval.errors import InputWarning, counted, duration, printable
from nvs_eval.system.output import json_text, write_text

if TYPE_CHECKING:
    from nvs_eval.report.tables.table import Table
    from nvs_eval.system.terminal import SafeConsole

_NO_BREAK = "\xa0"
# Seconds until the first line of a log, and between later ones, which become rarer in work of hours and days.
_FIRST_LINE, _SHORTEST, _LONGEST = 10.0, 20.0, 600.0
_SOON = 1.0  # Seconds until checks of files are announced.


def results() -> SafeConsole:
    """Return a console on stdout."""
    return _console(sys.stdout)


def _console(stream: TextIO) -> SafeConsole:
    from nvs_eval.system.terminal import SafeConsole  # Imported late because rich takes a while.

    return SafeConsole(stream)


def put(text: str) -> None:
    """Write a text for programs to stdout. It never passes through rich."""
    write_text(sys.stdout, text)


def put_json(value: object) -> None:
    """Write a value to stdout as JSON."""
    put(f"{json_text(value, indent=1)}\n")


def put_sentences(sentences: Iterable[str]) -> None:
    """Print each sentence as a paragraph on stdout, wrapped only in a terminal."""
    out = results()
    for sentence in map(printable, sentences):
        out.print(_wrapped(sentence, out.width) if out.is_terminal else sentence, soft_wrap=True)


def _wrapped(text: str, width: int) -> str:
    """Wrap a sentence between words, but not between a number and its %."""
    kept = re.sub(r"(?<=\d) %", f"{_NO_BREAK}%", text)  # textwrap does not break at this space.
    return textwrap.fill(kept, width, break_long_words=False, break_on_hyphens=False).replace(_NO_BREAK, " ")


def say(*lines: str, style: str = "") -> None:
    """Print a message on stderr, in one or several lines."""
    _console(sys.stderr).print(*map(printable, lines), sep="\n", style=style, soft_wrap=True)


def put_tables(tables: Iterable[Table], *, ranks: bool = True) -> None:
    """Print tables on stdout, with or without marks for the best."""
    from nvs_eval.report.writers.text import print_text

    out = results()
    for table in tables:
        print_text(table, out, ranks=ranks)


@contextmanager
def input_warnings() -> Iterator[None]:
    """Print the first warning of each kind about the input on stderr, and at the end the number of the others.

    Other warnings are printed with their place in the code.
    """
    by_kind: dict[str, set[str]] = {}  # A file can be read several times.

    def show(message: Warning | str, *place: Any, **more: Any) -> None:
        if not isinstance(message, InputWarning):
            say(*warnings.formatwarning(message, *place[:3]).splitlines())
            return
        if message.kind not in by_kind:
            say(f"Warning: {message}", style="yellow")
        by_kind.setdefault(message.kind, set()).add(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", InputWarning)
        warnings.filterwarnings("ignore", message="Corrupt EXIF data")  # Pillow's, in addition to ours.
        warnings.showwarning = show
        try:
            yield
        finally:
            for kind, messages in by_kind.items():
                if more := len(messages) - 1:
                    files = f"{counted(more, 'more file')}: {'it' if more == 1 else 'each'} {kind}"
                    say(f"Warning: {files}.", style="yellow")


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Show progress on stderr, as a bar or as lines of a log; yield a callback to call after each step."""
    steps = itertools.count(1)
    with progress_to(title) as show, _said_after(_FIRST_LINE, f"{title}: 0 of {total}, time unknown so far") as cancel:

        def advance() -> None:
            cancel()
            show(next(steps), total)

        yield advance


@contextmanager
def wait(sentence: str) -> Iterator[None]:
    """Print what is done on stderr if it takes more than a second."""
    with _said_after(_SOON, sentence):
        yield


@contextmanager
def _said_after(seconds: float, sentence: str) -> Iterator[Callable[[], None]]:
    """Print a sentence in a log after some time, unless the callback that is yielded was called before, or at the end.

    A bar shows by itself that nothing is done yet.
    """
    timer = threading.Timer(seconds, say, [sentence])
    timer.daemon = True
    if not sys.stderr.isatty() or seconds == _SOON:
        timer.start()
    try:
        yield timer.cancel
    finally:
        timer.cancel()


@contextmanager
def progress_to(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show progress like `progress`, but yield a callback that takes the current and the last step."""
    if not sys.stderr.isatty():
        yield _log_lines(title)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=_console(sys.stderr), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda step, total: bar.update(task, completed=step, total=total)


def _log_lines(title: str) -> Callable[[int, int], None]:
    start = time.monotonic()
    next_line = start + _FIRST_LINE

    def show(step: int, total: int) -> None:
        nonlocal next_line
        now = time.monotonic()
        if step == total:
            say(f"{title}: {step} of {total}")
        elif step and now > next_line:
            next_line = now + min(max(_SHORTEST, (now - start) / 10), _LONGEST)
            say(f"{title}: {step} of {total}, about {duration((now - start) / step * (total - step))} left")

    return show
