"""Evaluation of one cell by a worker, a process on any machine. Importing it needs no torch."""

from __future__ import annotations

import functools
import os
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from nvs_eval.errors import InputError, InputWarning
from nvs_eval.evaluation.executors.cells import Cell, command_of
from nvs_eval.evaluation.executors.claims import Claim, Claims
from nvs_eval.evaluation.options import SuiteOptions

if TYPE_CHECKING:
    from nvs_eval.evaluation.suite import SuiteRun
    from nvs_eval.evaluation.suite_entries import Entry


@dataclass(frozen=True)
class Task:
    """A cell to evaluate.

    Attributes:
        cell: the cell.
        options: options of the suite.
        owner: identifier of the command, for its claims.
        command: command line, for the records.
        folder: working folder, from which paths start.
        version: version of nvs-eval that the worker must have.
        prepare: called before torch is imported.
    """

    cell: Cell
    options: SuiteOptions
    owner: str
    command: tuple[str, ...]
    folder: str
    version: str
    prepare: Callable[[], object]


@dataclass(frozen=True)
class Outcome:
    """Result of a task.

    Attributes:
        cell: the cell.
        reasons: why it is not done, or not complete; empty if it is done.
        records: paths of its records, from the working folder.
        messages: warnings, to be shown once.
        host: name of the worker's machine.
        version: version of nvs-eval of the worker.
        seconds: time that it took.
        holder: claim of a worker of another command, which evaluates the cell.
    """

    cell: Cell
    reasons: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    host: str = ""
    version: str = ""
    seconds: float = 0.0
    holder: Claim | None = None


def evaluate_cell(task: Task) -> Outcome:
    """Evaluate a cell, and write its records. Any error of it is a reason, so that the worker stays."""
    start = time.monotonic()
    outcome = Outcome(task.cell, host=socket.gethostname(), version=version("nvs-eval"))
    if outcome.version != task.version:
        return replace(outcome, reasons=(wrong_version(outcome, task),))
    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InputWarning)
        try:
            outcome = _evaluated(task, outcome, messages)
        except InputError as error:
            outcome = replace(outcome, reasons=(str(error),))
        except Exception as error:
            messages.append(traceback.format_exc())
            reason = f"{type(error).__name__}: {error}. This is a bug of nvs-eval or of a plugin."
            outcome = replace(outcome, reasons=(reason,))
    messages += [str(one.message) for one in caught if isinstance(one.message, InputWarning)]
    return replace(outcome, messages=tuple(dict.fromkeys(messages)), seconds=time.monotonic() - start)


def wrong_version(outcome: Outcome, task: Task) -> str:
    """Return the reason why the records of a worker of another version are refused."""
    return (
        f"The worker on {outcome.host} must have nvs-eval {task.version}, as this command. Got {outcome.version}. Its "
        "records are refused. Install the same version there."
    )


def _evaluated(task: Task, outcome: Outcome, messages: list[str]) -> Outcome:
    from nvs_eval.evaluation.callbacks import Callbacks
    from nvs_eval.records.record import record_file

    try:
        os.chdir(task.folder)
    except OSError as error:
        raise InputError(
            f"The working folder {task.folder} must be on a disk that all machines share. It cannot be opened on "
            f"{outcome.host}: {error.strerror}."
        ) from error
    task.prepare()
    suite, entry = _opened(task.options), None
    entry = _entry_of(suite, task.cell)
    if entry.is_missing:
        raise InputError(f"Nothing at {', '.join(entry.missing or entry.lacking)} on {outcome.host}.")
    claims = Claims(suite.output_dir, task.owner)
    with claims.held(task.cell) as holder, redirect_stdout(sys.stderr):
        if holder is not None:
            return replace(outcome, holder=holder)
        callbacks = Callbacks(command=task.command, warn=messages.append, doubt=messages.append)
        records, reasons = entry.attempt(callbacks)
        claims.settle(task.cell, reasons, command_of(task.options, task.cell))
    paths = [str(record_file(record, suite.output_dir)) for record in records]
    return replace(outcome, reasons=tuple(reasons), records=tuple(paths))


@functools.lru_cache(maxsize=1)
def _opened(options: SuiteOptions) -> SuiteRun:
    """Open the suite once for all cells of a worker."""
    from nvs_eval.evaluation.suite import open_suite

    return open_suite(options)


def _entry_of(suite: SuiteRun, cell: Cell) -> Entry:
    (entry,) = (entry for entry in suite.entries if entry.cell == cell)
    return entry
