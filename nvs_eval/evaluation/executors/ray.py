"""Workers on a Ray cluster, or of Ray on this machine: a task a cell."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from nvs_eval.errors import InputError, quoted
from nvs_eval.evaluation.executors.options import ExecutorOptions
from nvs_eval.evaluation.executors.worker import Outcome, Task, evaluate_cell

_GPUS = re.compile(r"gpu(?::(\d+(?:\.\d+)?))?")


class RayPool:
    """Tasks of Ray. Its processes stay alive over many of them, so that networks stay warm.

    Args:
        options: GPUs of each task, and how many are evaluated at a time.
        count: number of cells.

    Raises:
        InputError: Ray is not installed, its cluster does not answer, or it has no such GPUs.
    """

    probes = True

    def __init__(self, options: ExecutorOptions, count: int) -> None:
        self._ray = _ray()
        self._is_ours = _connect(self._ray)
        self.slots = min(options.jobs or count, count)
        gpus = _gpus(options.gres, self._ray.cluster_resources().get("GPU", 0.0))
        # Another try is the command's, which tells the user.
        self._evaluate = self._ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(evaluate_cell)
        self._tasks: dict[Any, Task] = {}

    def start(self, tasks: Sequence[Task]) -> None:
        """Start tasks, which wait until a node has room."""
        self._tasks |= {self._evaluate.remote(task): task for task in tasks}

    def ended(self) -> list[tuple[Task, Outcome | str]]:
        """Wait up to a second; return the tasks that ended."""
        done, _ = self._ray.wait([*self._tasks], num_returns=1, timeout=1.0) if self._tasks else ([], [])
        return [(self._tasks[reference], self._end_of(reference, self._tasks.pop(reference))) for reference in done]

    def _end_of(self, reference: Any, task: Task) -> Outcome | str:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            reason = f"the task of Ray failed: {str(error).strip().splitlines()[-1]}"
            return Outcome(task.cell, (reason,), version=task.version)
        except self._ray.exceptions.RayError as error:
            first = next(iter(str(error).strip().splitlines()), "")
            return f"its worker of Ray died ({type(error).__name__}{f': {first}' if first else ''})."

    def close(self) -> None:
        """Cancel all tasks; stop Ray if it was started here."""
        for reference in self._tasks:
            with suppress(Exception):  # The cluster may be gone.
                self._ray.cancel(reference, force=True)
        self._tasks.clear()
        if self._is_ours:
            self._ray.shutdown()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise InputError("--executor ray requires Ray. Install it with `pip install 'nvs-eval[ray]'`.") from error
    return ray


def _connect(ray: Any) -> bool:
    """Connect to the cluster of RAY_ADDRESS or of this machine, or start Ray here; return whether we are connected now.

    Raises:
        InputError: the cluster of RAY_ADDRESS does not answer.
    """
    if ray.is_initialized():
        return False
    quiet = {"logging_level": "error", "log_to_driver": False}
    try:
        ray.init(address="auto", **quiet)
    except ConnectionError as error:
        if address := os.environ.get("RAY_ADDRESS"):
            raise InputError(
                f"The Ray cluster of RAY_ADDRESS does not answer. Got {quoted(address)}. Start it with `ray start`, or "
                "unset the variable to use this machine alone."
            ) from error
        ray.init(include_dashboard=False, **quiet)
    return True


def _gpus(gres: str | None, available: float) -> float:
    """Return the number of GPUs of each task: as asked for, or one if there are any.

    Raises:
        InputError: the cluster has fewer, or the option is wrong.
    """
    if gres is None:
        return min(1.0, available)
    match = _GPUS.fullmatch(gres)
    if match is None:
        raise InputError(f"--gres must be gpu:N with --executor ray, such as gpu:1 or gpu:0.5. Got {quoted(gres)}.")
    count = float(match[1] or 1)
    if count > available:
        raise InputError(f"--gres {gres} needs GPUs of the Ray cluster. It has {available:g}. Omit it to use CPUs.")
    return count
