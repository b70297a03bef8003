"""Workers on a SLURM cluster: a job a cell, in arrays, submitted by submitit. SLURM queues and requeues them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError, quoted
from nvs_eval.evaluation.executors.claims import FOLDER
from nvs_eval.evaluation.executors.options import ExecutorOptions
from nvs_eval.evaluation.executors.worker import Outcome, Task, evaluate_cell

_COMMANDS = ("sbatch", "squeue", "scancel", "scontrol")
_MINUTES = 240
_TIME = re.compile(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)|(\d+)")
_SECONDS_BETWEEN_LOOKS = 3.0
_LONGEST_DELAY = 30.0
"""Seconds until the result of a job that is no longer in the queue must be visible on the shared disk."""
_OFFLINE = ("HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1", "WANDB_MODE=offline")
"""Nodes have no internet: libraries fail at once instead of waiting for it."""
_NO_GPU = "cannot be used here"


class _Evaluation:
    """Evaluates a cell in a job. submitit calls `checkpoint` before a preemption or a time limit ends the job."""

    def __call__(self, task: Task) -> Outcome:
        return evaluate_cell(task)

    def checkpoint(self, task: Task) -> Any:
        """Return the submission that goes on later, by what is finished on the disk."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, task)


class SlurmPool:
    """Jobs of a SLURM cluster.

    Args:
        options: what each job gets, and how many run at a time.
        output_dir: output folder, on a disk that all nodes share. It has the logs of failed jobs.
        count: number of cells.

    Raises:
        InputError: submitit or SLURM is not installed, or an option is wrong.
    """

    probes = True

    def __init__(self, options: ExecutorOptions, output_dir: Path, count: int) -> None:
        self._executor_class = _submitit_executor()
        self.slots = min(options.jobs or count, count)
        self._options = options
        started = f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
        self._folder = output_dir.absolute() / FOLDER / ".slurm" / started
        self._has_logs = False
        self._parameters = _parameters(options, self.slots)
        self._jobs: dict[str, tuple[Any, Task]] = {}
        self._gone: dict[str, float] = {}
        self._next_look = 0.0

    def start(self, tasks: Sequence[Task]) -> None:
        """Submit tasks: one job, or an array.

        Raises:
            InputError: SLURM refuses them.
        """
        try:
            executor = self._executor_class(folder=self._folder)
            executor.update_parameters(**self._parameters)
            jobs = executor.map_array(_Evaluation(), list(tasks))
        except (RuntimeError, OSError, subprocess.CalledProcessError, ValueError) as error:
            raise _refusal(error, self._options) from error
        self._jobs |= {job.job_id: (job, task) for job, task in zip(jobs, tasks, strict=True)}

    def ended(self) -> list[tuple[Task, Outcome | str]]:
        """Wait a second; return the tasks whose results are on the disk, or whose jobs are gone without one."""
        time.sleep(1)
        ended: list[tuple[Task, Outcome | str]] = []
        queued = self._queued()
        for job_id, (job, task) in [*self._jobs.items()]:
            if job.paths.result_pickle.exists():
                ended.append((task, self._result(job, task)))
            elif queued is not None and self._is_lost(job_id, queued):
                self._has_logs = True
                state = _state(job_id)
                ended.append((task, f"its job {job_id} ended without a result{state}. Its log is {job.paths.stderr}."))
            else:
                continue
            del self._jobs[job_id]
            self._gone.pop(job_id, None)
        return ended

    def close(self) -> None:
        """Cancel all jobs, and remove the folder of their files unless it has logs of failed ones."""
        if self._jobs:
            subprocess.run(["scancel", *self._jobs], check=False, capture_output=True)
        elif not self._has_logs:
            shutil.rmtree(self._folder, ignore_errors=True)
        with suppress(OSError):
            self._folder.parent.rmdir()
            self._folder.parent.parent.rmdir()

    def _result(self, job: Any, task: Task) -> Outcome:
        if (error := job.exception()) is not None:
            self._has_logs = True
            lines = [line for line in str(error).splitlines() if re.match(r"[\w.]*(Error|Exception)\b", line)]
            reason = f"the job {job.job_id} failed: {(lines or ['an error'])[-1]}. Its log is {job.paths.stderr}."
            return Outcome(task.cell, (reason,), version=task.version)
        outcome: Outcome = job.result()
        self._has_logs |= bool(outcome.reasons)
        if self._options.gres is None and any(_NO_GPU in reason for reason in outcome.reasons):
            advice = "The job was given no GPU. Ask for one with `--gres gpu:1`."
            outcome = replace(outcome, reasons=(*outcome.reasons, advice))
        return outcome

    def _queued(self) -> set[str] | None:
        """Return the jobs that wait or run; None if it is not the time to look, or SLURM does not answer."""
        if not self._jobs or time.monotonic() < self._next_look:
            return None
        self._next_look = time.monotonic() + _SECONDS_BETWEEN_LOOKS
        ids = sorted({job_id.partition("_")[0] for job_id in self._jobs})
        command = ["squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(ids)}"]
        try:
            answer = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        except subprocess.TimeoutExpired:
            return None
        if answer.returncode and "Invalid job id" not in answer.stderr:
            return None
        return set(answer.stdout.split())

    def _is_lost(self, job_id: str, queued: set[str]) -> bool:
        if job_id in queued:
            self._gone.pop(job_id, None)
            return False
        return time.monotonic() - self._gone.setdefault(job_id, time.monotonic()) >= _LONGEST_DELAY


def _submitit_executor() -> Any:
    try:
        from submitit import SlurmExecutor
    except ImportError as error:
        raise InputError(
            "--executor slurm requires submitit. Install it with `pip install 'nvs-eval[slurm]'`."
        ) from error
    if missing := [command for command in (*_COMMANDS, "srun") if shutil.which(command) is None]:
        raise InputError(
            f"--executor slurm requires the commands of SLURM. This machine has no {missing[0]}. Use a machine of the "
            "cluster, such as its login node, or `--executor local`."
        )
    return SlurmExecutor


def _parameters(options: ExecutorOptions, slots: int) -> dict[str, Any]:
    """Return the parameters of submitit's executor."""
    more: dict[str, Any] = {"requeue": True}
    for text in options.sbatch:
        name, _, value = text.lstrip("-").partition("=")
        more[name] = value or True
    given = {"partition": options.partition, "gres": options.gres}
    return {
        **{name: value for name, value in given.items() if value is not None},
        "job_name": "nvs-eval",
        "time": _minutes(options.time),
        "array_parallelism": slots,
        "setup": [f"export {shlex.quote(variable)}" for variable in _OFFLINE],
        "additional_parameters": more,
    }


def _minutes(text: str | None) -> int:
    """Return a time limit in minutes, rounded up.

    Raises:
        InputError: it is none.
    """
    if text is None:
        return _MINUTES
    match = _TIME.fullmatch(text)
    if match is None or not any(int(part) for part in match.groups(default="0")):
        raise InputError(f"--time must be minutes or h:mm:ss, such as 90 or 1:30:00. Got {quoted(text)}.")
    days, hours, minutes, seconds, alone = (int(part) for part in match.groups(default="0"))
    return alone or (days * 24 + hours) * 60 + minutes + (seconds > 0)


def _refusal(error: Exception, options: ExecutorOptions) -> InputError:
    """Return the error of jobs that SLURM refuses, with the partitions if it may be that of the user."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    told = [line.partition("error:")[2].strip() for line in lines if line.startswith("sbatch: error:")]
    reason = (told or lines or [type(error).__name__])[0].rstrip(".")
    known = ""
    if "partition" in reason:
        answer = subprocess.run(["sinfo", "--noheader", "--format=%R"], check=False, capture_output=True, text=True)
        known = f" Known partitions: {', '.join(dict.fromkeys(answer.stdout.split())) or 'none'}."
    asked = [f"--{name} {value}" for name in ("partition", "gres", "time") if (value := getattr(options, name))]
    with_options = f" with {' '.join([*asked, *options.sbatch])}" if asked or options.sbatch else ""
    return InputError(f"SLURM refuses the jobs{with_options}: {reason}.{known} Nothing was started.")


def _state(job_id: str) -> str:
    """Return the state of an ended job in parentheses; "" if SLURM has forgotten it."""
    answer = subprocess.run(["scontrol", "show", "job", "-o", job_id], check=False, capture_output=True, text=True)
    match = re.search(r"JobState=(\w+)", answer.stdout)
    return f" ({match[1].lower()})" if match else ""
