"""Records as those tools see them that draw curves, runs and scalars at steps; and logging runs to all tools."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import ResultId


@dataclass(frozen=True)
class LoggedRecord:
    """A record, and the folder below which a tool that writes files has its own."""

    record: Record
    folder: Path

    @property
    def run(self) -> ResultId:
        """The run that it is a point of: scene, method and training."""
        return ResultId(self.record.scene, self.record.method, self.record.run or None)

    @property
    def step(self) -> int:
        """The checkpoint's; 0 where there is none."""
        return self.record.step or 0

    @property
    def label(self) -> str:
        """What stands before the slash in the names of its scalars: as the hook has it while nerfstudio trains."""
        record = self.record
        parts = [record.protocol["name"], *(["fast"] if record.fast else [])]
        return "-".join(parts if record.split == "test" else [*parts, record.split])

    @property
    def scalars(self) -> dict[str, float]:
        """The means by `<protocol>/<metric>`."""
        return {f"{self.label}/{metric}": mean for metric, mean in self.record.means.items()}


Sink = Callable[[Sequence[Sequence[LoggedRecord]]], list[str]]
"""Logs runs, each as the records of `runs_of`; gives a line for each thing that a user should know of where."""


def runs_of(records: Iterable[LoggedRecord]) -> list[list[LoggedRecord]]:
    """The records of each run of a tool, by step; the runs in the order in which they come first.

    A run is a training, or a folder of renders.

    Raises:
        InputError: two records would be the same point of the same curve.
    """
    runs: dict[ResultId, list[LoggedRecord]] = {}
    points: dict[tuple[ResultId, int, str], Record] = {}
    for logged in records:
        run, record = logged.run, logged.record
        other = points.setdefault((run, logged.step, logged.label), record)
        if other is not record:
            raise InputError(
                f"Two records of {run} would be logged as {logged.label} at step {logged.step}, those of the "
                f"fingerprints {other.fingerprint} and {record.fingerprint}. All records are there: log one of the "
                f"two, with `nvs-eval table RECORDS --protocol {other.fingerprint} --log ...`."
            )
        runs.setdefault(run, []).append(logged)
    return [sorted(run, key=lambda logged: logged.step) for run in runs.values()]


def open_sinks(names: Sequence[str]) -> dict[str, Sink]:
    """The sinks of these names, each once. To be opened before any long work.

    Raises:
        InputError: what one needs is not installed, or cannot be used; the message says what to do.
    """
    return {
        name: importlib.import_module(f"nvs_eval.report.loggers.{name}").open_sink() for name in dict.fromkeys(names)
    }


def log_runs(sinks: Mapping[str, Sink], runs: Sequence[Sequence[LoggedRecord]], *, say: Callable[[str], None]) -> None:
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
