"""Distribution of cells over a pool of workers, with another try for a cell whose worker died. Starts no process."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from nvs_eval.errors import InputError, counted, duration
from nvs_eval.evaluation.executors.cells import Cell, command_of
from nvs_eval.evaluation.executors.claims import Claims
from nvs_eval.evaluation.executors.queue import PAUSE, taken
from nvs_eval.evaluation.executors.worker import Outcome, Task, wrong_version

_LONGEST_WAIT = 60.0
"""Seconds until the records of a worker must be visible here. Some shared disks show new files late."""
_TRIES_AGAIN = 2


class Pool(Protocol):
    """Workers on an engine.

    Attributes:
        slots: number of cells that are evaluated or wait for a machine at a time.
        probes: whether a first cell is evaluated alone, because machines may lack what is needed.
    """

    slots: int
    probes: bool

    def start(self, tasks: Sequence[Task]) -> None:
        """Start tasks, at most as many as there are free slots.

        Raises:
            InputError: the engine refuses them.
        """
        ...

    def ended(self) -> Iterable[tuple[Task, Outcome | str]]:
        """Wait up to about a second; return the tasks that ended, each with a sentence if its worker died."""
        ...

    def close(self) -> None:
        """Stop all workers, also those that are at work."""
        ...


@dataclass(frozen=True)
class Tally:
    """State of the cells of a command.

    Attributes:
        total: number of all cells.
        running: cells that were started, and the seconds since then.
        failed: cells that failed.
        done: number of cells that are done.
        seconds: seconds since the first cell was started.
    """

    total: int
    running: Mapping[Cell, float]
    failed: Sequence[Cell]
    done: int
    seconds: float

    @property
    def left(self) -> int:
        """Number of cells that were not started."""
        return self.total - len(self.running) - len(self.failed) - self.done

    @property
    def time_left(self) -> str:
        """About how long the rest takes, from the time of those that ended; "" if none did."""
        ended = self.done + len(self.failed)
        rest = self.total - ended
        return duration(self.seconds / ended * rest) if ended and rest else ""


Show = Callable[[Tally, str], None]
"""Called with the state, about once a second, and a sentence on what happened; "" if nothing did."""


@dataclass
class Spread:
    """Distribution of tasks.

    Attributes:
        tasks: the tasks, in order.
        pool: workers, which are stopped at the end.
        claims: claims of this command.
        show: called with the state.
    """

    tasks: Sequence[Task]
    pool: Pool
    claims: Claims
    show: Show
    outcomes: dict[Cell, Outcome] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._queue = deque(self.tasks)
        self._in_flight: dict[Cell, float] = {}
        self._unseen: list[tuple[Outcome, float]] = []
        self._deaths, self._postponed = Counter[Cell](), set[Cell]()
        self._probes, self._begin = self.pool.probes, time.monotonic()

    def run(self) -> dict[Cell, Outcome]:
        """Evaluate all tasks; return their outcomes.

        Raises:
            InputError: the engine refuses a task, or the first one failed where one is tried alone.
        """
        try:
            while self._queue or self._in_flight or self._unseen:
                self._start()
                for task, end in self.pool.ended():
                    self._end(task, end)
                for outcome, deadline in self._unseen[:]:
                    self._look(outcome, deadline)
                self._say("")
        finally:
            self.pool.close()
        return self.outcomes

    def _say(self, sentence: str) -> None:
        now = time.monotonic()
        running = {cell: now - start for cell, start in self._in_flight.items()}
        failed = [cell for cell, outcome in self.outcomes.items() if outcome.reasons]
        done = len(self.outcomes) - len(failed)
        self.show(Tally(len(self.tasks), running, failed, done, now - self._begin), sentence)

    def _start(self) -> None:
        free = (1 if self._probes else self.pool.slots) - len(self._in_flight)
        batch: list[Task] = []
        for _ in range(len(self._queue)):
            if len(batch) >= free:
                break
            task = self._queue.popleft()
            if (holder := self.claims.holder(task.cell)) is None:
                batch.append(task)
            else:
                self._postpone(task, taken(task.cell, holder))
        if batch:
            self.pool.start(batch)
            self._in_flight |= dict.fromkeys((task.cell for task in batch), time.monotonic())
        elif not self._in_flight and self._queue:
            time.sleep(PAUSE)

    def _postpone(self, task: Task, sentence: str) -> None:
        self._queue.append(task)
        if task.cell not in self._postponed:
            self._postponed.add(task.cell)
            self._say(sentence)

    def _end(self, task: Task, end: Outcome | str) -> None:
        del self._in_flight[task.cell]
        if isinstance(end, str):
            self._deaths[task.cell] += 1
            if (deaths := self._deaths[task.cell]) <= _TRIES_AGAIN:
                self._queue.append(task)
                self._say(f"{task.cell}: {end} Trying again ({deaths} of {_TRIES_AGAIN}).")
                return
            end = Outcome(task.cell, (f"{end} It was tried {deaths} times.",))
            self.claims.settle(task.cell, end.reasons, command_of(task.options, task.cell))
            self._finish(end)
        elif end.holder is not None:
            self._postpone(task, taken(task.cell, end.holder))
        elif end.version != task.version:
            self._finish(replace(end, reasons=(wrong_version(end, task),), records=()))
        else:
            self._unseen.append((end, time.monotonic() + _LONGEST_WAIT))
            self._look(*self._unseen[-1])

    def _look(self, outcome: Outcome, deadline: float) -> None:
        """Finish a cell whose records are visible here, or that has run out of time."""
        missing = [path for path in outcome.records if not _is_visible(path)]
        if missing and time.monotonic() < deadline:
            return
        self._unseen.remove((outcome, deadline))
        if missing:
            reason = (
                f"{missing[0]}, a record from {outcome.host}, is not visible here after {duration(_LONGEST_WAIT)}. The "
                "output folder must be on a disk that all machines share."
            )
            outcome = replace(outcome, reasons=(*outcome.reasons, reason), records=())
        self._finish(outcome)

    def _finish(self, outcome: Outcome) -> None:
        self.outcomes[outcome.cell] = outcome
        for message in outcome.messages:
            self._say(f"{outcome.cell}: {message}")
        reasons = " ".join(outcome.reasons)
        on_host = f" on {outcome.host}" if outcome.host else ""
        if outcome.reasons and self._probes and self._queue:
            others = counted(len(self._queue), "other was", "others were")
            raise InputError(
                f"{outcome.cell} was evaluated first, alone, and failed{on_host}: {reasons} The {others} not started. "
                "Fix it, or choose others with `--only`, and repeat the command."
            )
        self._probes = False
        took = f"done in {duration(outcome.seconds)}{on_host}"
        self._say(f"{outcome.cell}: {f'failed{on_host}: {reasons}' if reasons else took}")


def _is_visible(path: str) -> bool:
    """Return whether a file is visible. A listing of its folder renews what the system remembers of a shared disk."""
    if os.path.exists(path):
        return True
    try:
        return os.path.basename(path) in os.listdir(os.path.dirname(path))
    except OSError:
        return False
