"""Output of the commands: results on stdout, everything else on stderr."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

    from nvs_eval.report.tables.table import Table

# Wide enough for any table where there is no terminal whose width would count.
_UNBOUNDED = 100_000
_SECONDS_BETWEEN_LINES = 20.0


def results() -> Console:
    """stdout: in a terminal as wide as it is, elsewhere without colour, wrapping or truncation."""
    return _console(sys.stdout)


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    # A path such as `a:100:b` is a path, and no picture. FORCE_COLOR, which many set, makes no terminal of a file.
    if stream.isatty():
        return Console(file=stream, highlight=False, emoji=False)
    return Console(file=stream, highlight=False, emoji=False, width=_UNBOUNDED, force_terminal=False)


def put(text: str) -> None:
    """Write a finished text to stdout as it is: output for programs never passes through rich."""
    sys.stdout.write(text)
    sys.stdout.flush()


def put_sentences(sentences: Iterable[str]) -> None:
    """Sentences on stdout, a paragraph each: wrapped in a terminal, elsewhere a line."""
    from nvs_eval.errors import printable

    out = results()
    for sentence in sentences:
        out.print(printable(sentence), markup=False, soft_wrap=not out.is_terminal)


def say(message: str, *, style: str = "") -> None:
    """Print a line for the user on stderr."""
    _console(sys.stderr).print(message, style=style, markup=False, soft_wrap=True)


def put_tables(tables: Iterable[Table], *, ranks: bool = True) -> None:
    """Print tables on stdout; without `ranks` nothing is marked."""
    from nvs_eval.report.writers.text import print_text

    out = results()
    for table in tables:
        print_text(table, out, ranks=ranks)


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show the progress of some work, as a bar or in a log as lines; yield a callback for each finished step."""
    steps = itertools.count(1)
    with progress_to(what) as show:
        yield lambda: show(next(steps), total)


@contextmanager
def progress_to(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show the progress of some work as `progress` does; yield a callback, given the current and the last step."""
    if not sys.stderr.isatty():
        yield _log_lines(what)
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
        task = bar.add_task(what, total=None)
        yield lambda step, total: bar.update(task, completed=step, total=total)


def _log_lines(what: str) -> Callable[[int, int], None]:
    last_line = time.monotonic()

    def show(step: int, total: int) -> None:
        nonlocal last_line
        if step == total or time.monotonic() - last_line > _SECONDS_BETWEEN_LINES:
            last_line = time.monotonic()
            say(f"{what}: {step} of {total}")

    return show
