"""Opening the loggers, and logging runs to all of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence

from nvs_eval.errors import InputError
from nvs_eval.report.loggers.runs import LoggedRun

Sink = Callable[[Sequence[LoggedRun]], list[str]]
"""Logs runs; gives a line for each thing that a user should know of where."""


def open_sinks(names: Sequence[str]) -> dict[str, Sink]:
    """The sinks of these names, each once. To be opened before any long work.

    Raises:
        InputError: what one needs is not installed, or cannot be used; the message says what to do.
    """
    return {
        name: importlib.import_module(f"nvs_eval.report.loggers.{name}").open_sink() for name in dict.fromkeys(names)
    }


def log_runs(sinks: Mapping[str, Sink], runs: Sequence[LoggedRun], *, say: Callable[[str], None]) -> None:
    """Log runs to all sinks, whatever becomes of one of them.

    Args:
        sinks: by name.
        runs: of `runs_of`.
        say: is given a line at a time.

    Raises:
        InputError: after all of them, naming those that failed and why.
    """
    failed = []
    for name, sink in sinks.items():
        try:
            lines = sink(runs)
        except Exception as error:  # Whatever another tool raises: the records are written, and it must not hide them.
            failed.append(f"{name}: {str(error).strip() or type(error).__name__}")
        else:
            for line in lines:
                say(line)
    if failed:
        raise InputError(
            f"The records are there, but could not be logged to {'; '.join(failed)}\n"
            f"To log them again: nvs-eval table RECORDS --log {' '.join(sinks)}"
        )


def missing_package(name: str, error: ImportError) -> InputError:
    """The error that a tool is not installed, or is broken."""
    return InputError(
        f"Logging to {name} needs its package, which cannot be imported ({error}): "
        f"pip install 'nvs-eval[{name}]', or leave `--log {name}` out."
    )
