"""Callbacks of the commands that score: progress, messages and refusals. Imports no torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nvs_eval.errors import InputError, InputWarning

if TYPE_CHECKING:
    from nvs_eval.protocols import Protocol

Progress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]
"""Context manager that shows progress: takes a title and the number of steps, yields a function to call per step."""
Refusal = Callable[["Protocol", InputError], None]
"""Called with a protocol that cannot score the views, and the error."""


def warn_of_lost(error: InputError) -> None:
    """Issue a Python warning of a result that has no record."""
    warnings.warn(InputWarning(str(error), str(error)), stacklevel=2)


@contextmanager
def _no_progress(title: str, total: int) -> Iterator[Callable[[], None]]:
    yield lambda: None


@dataclass(frozen=True, kw_only=True)
class Callbacks:
    """Callbacks for progress and messages; no-ops by default.

    Attributes:
        command: command line or name of the function, for the records.
        progress: shows progress.
        say: called with each message.
        wait: context manager that tells what is done if it takes more than a second.
        warn: called with each warning.
        doubt: called with each sentence that makes scores doubtful, to be shown beside them.
        on_refusal: called with a protocol that cannot score the views (default: the error is one of the results).
        on_lost: called with the error of each result without a record, if others have one (default: an `InputWarning`).
    """

    command: tuple[str, ...] = ()
    progress: Progress = _no_progress
    say: Callable[[str], None] = lambda message: None
    wait: Callable[[str], AbstractContextManager[object]] = nullcontext
    warn: Callable[[str], None] = lambda message: None
    doubt: Callable[[str], None] = lambda message: None
    on_refusal: Refusal | None = None
    on_lost: Callable[[InputError], None] = warn_of_lost
