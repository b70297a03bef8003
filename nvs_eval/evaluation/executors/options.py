"""Options of the engines that run the cells of a suite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nvs_eval.errors import InputError

_OF_SLURM = ("partition", "gres", "time", "sbatch")


@dataclass(frozen=True, kw_only=True)
class ExecutorOptions:
    """Engine, number of workers, and what SLURM gives each of them."""

    executor: Literal["local", "slurm", "ray"] | None = None
    """Evaluate methods on scenes in processes of this machine, or on a SLURM or Ray cluster (default: one by one)."""
    jobs: int | None = None
    """With `--executor`: how many at a time (default: one per GPU of this machine; on a cluster, as many as it can)."""
    partition: str | None = None
    """SLURM: partition of the jobs (default: the cluster's)."""
    gres: str | None = None
    """SLURM: generic resources of each job, such as gpu:1; Ray: gpu:1 or gpu:0.5 (default: none)."""
    time: str | None = None
    """SLURM: time limit of each job, in minutes or as h:mm:ss (default: 4 hours). A job over it continues later."""
    sbatch: tuple[str, ...] = ()
    """SLURM: more options of sbatch, such as account=lab cpus-per-task=8 mem=32G."""

    def check_executor(self) -> None:
        """Check the options.

        Raises:
            InputError: they conflict, or a number is wrong.
        """
        if self.jobs is not None and self.jobs < 1:
            raise InputError(f"--jobs must be at least 1. Got {self.jobs}.")
        if self.executor is None and self.jobs is not None:
            raise InputError("--jobs requires --executor local, slurm or ray.")
        for name in _OF_SLURM:
            engines = ("slurm", "ray") if name == "gres" else ("slurm",)
            if getattr(self, name) and self.executor not in engines:
                raise InputError(f"--{name} requires --executor {' or '.join(engines)}.")
