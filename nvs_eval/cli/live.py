"""State of a suite whose parts workers evaluate: a table that stays in place on a terminal, else a line an event."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nvs_eval.cli.console import say
from nvs_eval.errors import duration, printable

if TYPE_CHECKING:
    from rich.table import Table

    from nvs_eval.evaluation.executors.spread import Show, Tally

_MOST_ROWS = 16


@contextmanager
def live_table() -> Iterator[Show]:
    """Show the state on stderr; yield a callback that takes it, and a sentence on what happened."""
    if not sys.stderr.isatty():
        yield _log
        return
    from rich.live import Live

    from nvs_eval.system.terminal import SafeConsole

    with Live(console=SafeConsole(sys.stderr), transient=True, refresh_per_second=2) as live:

        def show(tally: Tally, sentence: str) -> None:
            if sentence:
                live.console.print(printable(sentence), soft_wrap=True)
            live.update(_table(tally))

        yield show


def _log(tally: Tally, sentence: str) -> None:
    if sentence:
        ended = tally.done + len(tally.failed)
        left = f" (about {tally.time_left} left)" if tally.time_left and tally.seconds > 60 else ""
        say(*f"[{ended}/{tally.total}] {sentence}{left}".splitlines())


def _table(tally: Tally) -> Table:
    """Return the counts, and the parts that are evaluated now with the time that each has taken."""
    from rich.table import Table

    counts = {"done": tally.done, "running": len(tally.running), "failed": len(tally.failed), "left": tally.left}
    table = Table(*counts, "time", "time left")
    table.add_row(*map(str, counts.values()), duration(tally.seconds), tally.time_left or "unknown")
    parts = Table.grid(padding=(0, 2))
    parts.add_row(table)
    for cell, seconds in [*tally.running.items()][:_MOST_ROWS]:
        parts.add_row(f"{cell}: {duration(seconds)}")
    if len(tally.running) > _MOST_ROWS:
        parts.add_row(f"and {len(tally.running) - _MOST_ROWS} more")
    return parts
