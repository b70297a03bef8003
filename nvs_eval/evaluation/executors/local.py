"""Workers on this machine: one process a device, alive over many cells, so that networks stay warm."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from nvs_eval.evaluation.executors.worker import Outcome, Task, evaluate_cell

_THREADS = "OMP_NUM_THREADS"
_GPUS = "CUDA_VISIBLE_DEVICES"
_SECONDS = 1.0


@dataclass(eq=False)
class _Worker:
    """A process, its end of a pipe, and the task that it evaluates, if any."""

    process: BaseProcess
    pipe: Connection
    task: Task | None = None


class LocalPool:
    """Processes of this machine.

    Args:
        settings: environment variables of each process, one mapping a process.
    """

    probes = False

    def __init__(self, settings: Sequence[Mapping[str, str]]) -> None:
        self.slots = len(settings)
        self._free = [dict(one) for one in settings]
        self._workers: dict[int, _Worker] = {}
        self._settings: dict[int, dict[str, str]] = {}

    def start(self, tasks: Sequence[Task]) -> None:
        """Start tasks in idle processes, or new ones."""
        idle = [worker for worker in self._workers.values() if worker.task is None]
        for task in tasks:
            worker = idle.pop() if idle else self._new()
            worker.task = task
            try:
                worker.pipe.send(task)
            except OSError:
                continue  # It has died, as `ended` finds.

    def ended(self) -> list[tuple[Task, Outcome | str]]:
        """Wait up to a second; return the tasks that ended."""
        by_handle: dict[Any, _Worker] = {}
        for worker in self._workers.values():
            by_handle |= {worker.pipe: worker, worker.process.sentinel: worker}
        ended: list[tuple[Task, Outcome | str]] = []
        for worker in dict.fromkeys(by_handle[handle] for handle in wait([*by_handle], _SECONDS)):
            task, end = worker.task, self._end_of(worker)
            worker.task = None
            if task is not None:
                ended.append((task, end))
        return ended

    def _end_of(self, worker: _Worker) -> Outcome | str:
        try:
            if worker.pipe.poll():  # It may have answered before it died.
                return worker.pipe.recv()
        except (EOFError, OSError):
            pass
        worker.process.join()
        del self._workers[id(worker)]
        self._free.append(self._settings.pop(id(worker)))
        return f"its worker, process {worker.process.pid}, {_ending(worker.process.exitcode)}."

    def close(self) -> None:
        """Kill all processes. Their files are whole."""
        for worker in self._workers.values():
            worker.process.kill()
            worker.pipe.close()
        for worker in self._workers.values():
            worker.process.join()
        self._workers.clear()

    def _new(self) -> _Worker:
        settings = self._free.pop(0)
        context = multiprocessing.get_context("spawn")  # A forked process cannot use CUDA.
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, settings), name="nvs-eval worker")
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers[id(worker)], self._settings[id(worker)] = worker, settings
        return worker


def _ending(code: int | None) -> str:
    """Return how a process ended."""
    if code is not None and code < 0:
        return f"was killed ({signal.Signals(-code).name})"
    return f"ended with code {code}"


def _serve(pipe: Connection, settings: Mapping[str, str]) -> None:
    """Evaluate tasks until the command ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the command kills this one.
    os.environ.update(settings)
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(evaluate_cell(task))


def local_settings(jobs: int | None, devices: set[str]) -> list[dict[str, str]]:
    """Return the environment variables of each process: one GPU each, and a share of the cores.

    Args:
        jobs: number of processes (default: the number of GPUs, at least one).
        devices: devices of the suite's methods. A named GPU is left to them; `auto` and `cuda` are distributed.
    """
    gpus = _gpus() if devices & {"auto", "cuda"} and not any(":" in device for device in devices) else []
    count = jobs or max(1, len(gpus))
    shared: dict[str, str] = {}
    if count > 1 and _THREADS not in os.environ:
        shared = {_THREADS: str(max(1, _cores() // count))}
    return [{**shared, **({_GPUS: gpus[index % len(gpus)]} if gpus else {})} for index in range(count)]


def _gpus() -> list[str]:
    """Return the names of the visible GPUs, as CUDA_VISIBLE_DEVICES has them."""
    import torch

    names = [name for name in os.environ.get(_GPUS, "").split(",") if name]
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return (names or [str(index) for index in range(count)])[:count]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
