"""Entries that one process evaluates one after the other, with those of other commands at the end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nvs_eval.evaluation.executors.claims import Claim, Claims
    from nvs_eval.evaluation.suite_entries import Entry

PAUSE = 2.0
"""Seconds between two looks at the work of another command."""


class Queue:
    """Entries in order. One that a worker of another command evaluates is left until that worker is done.

    Args:
        entries: the entries.
        claims: claims of all commands; None for no other commands.
        say: called with a message.
    """

    def __init__(self, entries: Sequence[Entry], claims: Claims | None, say: Callable[[str], None]) -> None:
        self._entries, self._claims, self._say = entries, claims, say

    def __iter__(self) -> Iterator[Entry]:
        waiting = deque(self._entries)
        postponed: set[Entry] = set()
        while waiting:
            entry = waiting.popleft()
            with ExitStack() as stack:
                other = None if self._claims is None else stack.enter_context(self._claims.held(entry.cell))
                if other is None:
                    yield entry
                    continue
            if entry not in postponed:
                postponed.add(entry)
                self._say(taken(entry, other))
            waiting.append(entry)
            if postponed.issuperset(waiting):
                time.sleep(PAUSE)

    def settle(self, entry: Entry, reasons: Sequence[str], command: str) -> None:
        """Record why an entry failed, or that it did not."""
        if self._claims is not None:
            self._claims.settle(entry.cell, reasons, command)


def taken(entry: object, claim: Claim) -> str:
    """Return a sentence on an entry that a worker of another command evaluates."""
    return f"{entry} is evaluated by another command ({claim}). Its records are used when that is done."
